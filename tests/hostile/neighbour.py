"""The neighbour: an honest program on the host that is attacked, called before, during and after.

What lives here: what it is asked, what it must answer, what its receipt must say, and how long an attack is repeated so
that "meanwhile" is true. What must not live here: attacks. Nothing is timed: what is asserted is that it was answered
while attacks went on, rightly, and at the same price as when it was alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from runtime import App, Ending, wire
from runtime.limits import FUEL_MOST
from tests.hostile.guests import Script

if TYPE_CHECKING:
    from tests.hostile.conftest import Site

SERVED = 4
"""So many of its calls have to begin and end while attacks go on."""
PATIENCE = 5_000
"""After so many attacks without that it counts as starved."""
MEASURED = ("cpu_us", "wall_us")
"""What a receipt measures in time: the only part that company may change."""
ROOMY = {"calls_per_s": 1_000_000, "calls_burst": 1_000_000, "cpu_us_per_s": 64_000_000, "cpu_burst_us": 3_600_000_000}
CART = {"tea": 2, "rice": 1}
NOTE = wire.request(2, "storage.put", {"key": "note", "value": "paid"})
FORGET = wire.request(4, "storage.delete", {"key": "note"})


def _script() -> Script:
    """It computes, asks, writes, reads, logs and forgets: each kind of work that another may stand in the way of."""
    script = Script().step("spin", 1_000).ask(wire.request(1, "storage.get", {"key": "cart"}))
    script.call(NOTE)
    script.ask(wire.request(3, "session.sleep", {"ms": 0}))
    return script.print(b"served\n").ask(FORGET)


class Neighbour:
    """Two programs of one module, called in turn: one on the engine that all share, one whose instructions count."""

    def __init__(self, site: Site, apps: tuple[App, App]) -> None:
        self._site, self._apps = site, apps
        self._script = _script()
        self._alone: dict[App, dict[str, Any]] = {}
        self.served = 0

    @classmethod
    async def on(cls, site: Site) -> Neighbour:
        """Installed on that site, and called alone: what it says and pays then is what it must say and pay ever on."""
        own = {**ROOMY, "wall_ms": 600_000, "cpu_us": 10_000_000}  # a machine that is full makes no test fail
        apps = [await site.install(grant=("storage",), **own, **more) for more in ({}, {"fuel": FUEL_MOST})]
        made = cls(site, (apps[0], apps[1]))
        for app in apps:
            put = wire.request(1, "storage.put", {"key": "cart", "value": CART})
            assert (await site.ask(put, app, user="nora"))[2] is None
            made._alone[app] = await made._call(app)
        return made

    async def answers(self) -> None:
        """Both are called once: rightly answered, and the receipt is the one it had when it was alone."""
        for app in self._apps:
            found = await self._call(app)
            assert found == self._alone[app], f"beside others {found}, alone {self._alone[app]}"
            self.served += 1

    async def beside(self, attack: Callable[[], Awaitable[object]], *, times: int = 1) -> None:
        """Attacks over and over, at least `times`, until the neighbour was served meanwhile; then once more, alone."""
        before, stop = self.served, trio.Event()

        async def serve() -> None:
            while not stop.is_set():
                await self.answers()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            done = 0
            while done < times or self.served - before < SERVED:
                await attack()
                await trio.lowlevel.checkpoint()  # what is refused by the caller's own code has waited for nobody
                done += 1
                assert done < PATIENCE, f"the neighbour had {self.served - before} answers beside {done} attacks"
            stop.set()
        await self.answers()

    async def _call(self, app: App) -> dict[str, Any]:
        reply = await self._site.host.call(app, "run", self._script.params(), user="nora")
        receipt = reply.receipt
        assert (receipt.app_id, receipt.method, receipt.ending) == (app.app_id, "run", Ending.COMPLETED)
        told, answers = self._script.told(reply.value), self._script.responses(reply.value)
        found = {"found": True, "value": CART, "version": 1}
        assert [answer[3] for answer in answers] == [found, {}, {"deleted": True}]
        usage = msgspec.structs.asdict(receipt.usage)
        assert (usage["host_calls"], usage["denials"], usage["log_bytes"]) == (4, 0, 7)
        usage["response_bytes"] -= told[3]  # that of the write: the version in it takes more bytes as it goes up
        assert usage["cpu_us"] > 0 and (usage["fuel"] > 0) == (app is self._apps[1])
        return {name: value for name, value in usage.items() if name not in MEASURED}
