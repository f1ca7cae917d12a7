"""A host with hostile guests on it. Whatever a test did, nothing of a guest may be left when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from host_api.services import Outside
from runtime import App, CallEnded, CompileLimits, Ending, Host, HostSettings, Reply, ScriptedCashier
from runtime.executor.in_process import InProcessExecutor
from runtime.receipt import Receipt
from runtime.testing import LogLines
from tests.executor_choice import in_workers
from tests.hostile.guests import Script, bundle, scripted
from tests.hostile.neighbour import Neighbour


class Site:
    """A host, its log and its cashier, with guests that are installed one after the other."""

    def __init__(self, host: Host, log: LogLines, cashier: ScriptedCashier) -> None:
        self.host, self.log, self.cashier = host, log, cashier
        self._count = 0

    async def install(self, wasm: bytes | None = None, /, *, grant: Any = ("storage", "payment"), **limits: int) -> App:
        """The scripted guest, or that module, with these grants and under these limits."""
        self._count += 1
        made = bundle(wasm or scripted(), f"org.example.guest{self._count}")
        return await self.host.install(made, grant=grant, limits=limits)

    async def run(self, script: Script, app: App | None = None, *, user: str = "alice", **limits: int) -> list[Any]:
        """What the scripted guest told."""
        return (await self.reply(script, app, user=user, **limits))[0]

    async def reply(
        self, script: Script, app: App | None = None, *, user: str = "alice", **limits: int
    ) -> tuple[list[Any], Reply]:
        app = app or await self.install(**limits)
        reply = await self.host.call(app, "run", script.params(), user=user)
        return script.told(reply.value), reply

    async def ask(self, request: bytes, app: App | None = None, *, user: str = "alice", **limits: int) -> list[Any]:
        """The response to one request of a guest."""
        script = Script().ask(request)
        app = app or await self.install(**limits)
        reply = await self.host.call(app, "run", script.params(), user=user)
        return script.responses(reply.value)[0]

    async def end(
        self, guest: Script | bytes, app: App | None = None, **limits: int
    ) -> tuple[Ending, CallEnded, Receipt]:
        """How a call ended that did not complete; its receipt says the same."""
        if isinstance(guest, Script):
            app, params = app or await self.install(**limits), guest.params()
        else:
            app, params = await self.install(guest, **limits), {}
        with pytest.raises(CallEnded) as caught:
            await self.host.call(app, "run", params, user="alice")
        error = caught.value
        assert error.receipt is not None
        assert error.receipt.ending is error.ending
        assert error.code == error.ending.value
        return error.ending, error, error.receipt

    def nothing_left(self) -> None:
        """No call, no sandbox, no prompt, no held byte, and no tick that a guest would need."""
        self.host._calls.residents.drop()
        told = self.host.statistics()
        assert (told.calls_in_flight, told.calls_queued, told.sandboxes, told.fetches) == (0, 0, 0, 0)
        if isinstance(self.host._executor, InProcessExecutor):
            assert self.host._executor.ticker.running == 0
        for program in self.host._registry:
            assert (program.holdings.held_bytes, program.admission.in_flight) == (0, 0)
            assert program.admission.live_memory_bytes == 0


PATIENT = CompileLimits().changed({"wall_ms": 600_000, "cpu_s": 300})
"""What compiling the guests may take where that is not what a test is about: the machine may be full."""
Opened = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def opened(artifacts: Path) -> Opened:
    """Opens a site: `async with opened(state=…, slots=…)`."""

    @asynccontextmanager
    async def open_site(
        state: Path | None = None, *, clock: Any = None, cashier: ScriptedCashier | None = None, log_sink: Any = None,
        outside: Outside | None = None, **settings: Any,
    ) -> AsyncIterator[Site]:  # fmt: skip
        log, cashier = LogLines(), cashier or ScriptedCashier(lambda _: True)
        slots = settings.get("slots", 64)
        chosen: Mapping[str, Any] = {
            "slots": slots, "allow_unsigned": True, "cache_dir": artifacts, "workers": in_workers(slots),
            "compile_limits": PATIENT, **settings,
        }  # fmt: skip
        async with Host.open(
            state, settings=HostSettings(**chosen), cashier=cashier, log_sink=log_sink or log, clock=clock,
            outside=outside,
        ) as host:  # fmt: skip
            site = Site(host, log, cashier)
            yield site
            site.nothing_left()

    return open_site


@pytest.fixture
async def site(opened: Opened) -> AsyncIterator[Site]:
    """On a store in memory."""
    async with opened() as made:
        yield made


@pytest.fixture
async def neighbour(site: Site) -> Neighbour:
    """An honest program on the same site, which is to be answered rightly whatever another one does."""
    return await Neighbour.on(site)


@pytest.fixture(params=["memory", "file"])
async def stored(request: pytest.FixtureRequest, tmp_path: Path, opened: Opened) -> AsyncIterator[Site]:
    """On both stores, for what has state. Its clock is the system's: the file store has a thread."""
    state = tmp_path / "state" if request.param == "file" else None
    async with opened(state) as made:
        yield made
