"""The escape drill in workers of a running daemon: whoever has taken one over gets nowhere, and nobody else notices.

Each attempt is refused, or it ends its process by SIGSYS: then the calls of that worker end as `worker_lost`, a fresh
worker takes the next ones, and the neighbour's calls on the worker of another group go on. A program that does so again
and again is quarantined. HOSTEL_LONG=1 makes every attempt, else one of each kind. -s prints the table.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import trio

from benchmarks import guests
from runtime.client import Client
from runtime.errors import HostelError, ProgramUnavailable, WorkerLost
from tests.chaos.daemon import Daemon, serving, until, until_told
from tests.chaos.drilled import METHOD
from tests.crash.scale import LONG
from tests.hostile.escapes import ATTEMPTS, Target
from tests.hostile.test_escape import ANSWERED

ENDING = [name for name in ATTEMPTS if name not in ANSWERED] if LONG else [
    "connect TCP (socket made before)", "send UDP (socket made before)", "new socket AF_UNIX", "fork", "exec",
    "ptrace the parent", "read the parent's memory", "signal the parent (kill)", "map an open file",
]  # fmt: skip
PATIENT = {**guests.UNRATED, "wall_ms": 120_000}
LATE_S = 5.0
"""No call of the neighbour takes as long, on a machine that starts a worker every moment."""
WORKERS = {"count": 1, "deaths": len(ENDING), "deaths_s": 3_600.0, "back_off_s": 0.0, "back_off_most_s": 0.0}


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    """What is outside: listeners, a sibling, a folder. The parent is the daemon, which says itself where it is."""
    (folder / "bait").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        yield Target(parent=0, at=0, sibling=os.getpid(), tcp=tcp.getsockname()[1], udp=udp.getsockname()[1],
                     folder=str(folder))  # fmt: skip


class Neighbour:
    """An honest program in a worker of its own, called all the while."""

    def __init__(self, client: Client, app: str) -> None:
        self._client, self.app = client, app
        self.took: list[float] = []

    async def call_on(self) -> None:
        while True:
            began = trio.current_time()
            await self._client.call(self.app, "session.info", user="bob")
            self.took.append(trio.current_time() - began)
            await trio.sleep(0.002)  # a load, not a wait


class Attacker:
    """Calls of the program that has taken its worker over."""

    def __init__(self, client: Client, app: str) -> None:
        self._client, self.app = client, app

    async def attempt(self, name: str) -> str:
        return str((await self._client.call(self.app, METHOD, {"name": name}, user="eve")).value)

    async def is_answered(self) -> bool:
        reply = await self._client.call(self.app, "session.info", user="eve")
        return bool(reply.value["app_id"] == self.app)

    async def ends(self, name: str) -> list[str]:
        """The attempt, and a call of the same program that waits meanwhile: how both end."""
        ended: list[str] = []

        async def wait() -> None:
            ended.append(await _ending(self._client.call(self.app, "session.sleep", {"ms": 50_000}, user="eve")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await until_told(self._is_waited_for)
            ended.append(await _ending(self.attempt(name)))
        return ended

    async def _is_waited_for(self) -> bool:
        return any(worker.calls for worker in (await self._client.status()).workers if worker.group == "unreviewed")


async def _ending(call: object) -> str:
    try:
        return str(await call)  # type: ignore[misc]
    except WorkerLost as error:
        return error.message
    except HostelError as error:
        return error.code


@pytest.mark.slow
async def test_nothing_gets_out_of_a_worker(tmp_path: Path) -> None:
    with target(tmp_path) as outside:
        words = (sys.executable, "-m", "tests.chaos.drilled", json.dumps(asdict(outside)), "serve")
        async with serving(tmp_path, workers=WORKERS, command=words) as daemon, daemon.client() as client:
            assert daemon.ready["sandbox_level"] == "full"
            attacker, neighbour = await install(client)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(neighbour.call_on)
                await until(lambda: len(neighbour.took) > 10)
                await drill(daemon, attacker)
                seen = len(neighbour.took)
                await until(lambda: len(neighbour.took) > seen + 10)
                nursery.cancel_scope.cancel()
            print(f"the neighbour: {len(neighbour.took)} calls, longest {max(neighbour.took) * 1e3:.0f} ms")
            assert max(neighbour.took) < LATE_S
            await is_quarantined(client, attacker)


async def is_quarantined(client: Client, attacker: Attacker) -> None:
    """From the last of its deaths on, with the reason."""

    async def is_stopped() -> bool:
        return bool((await client.program(attacker.app)).quarantined)

    await until_told(is_stopped)
    reason = (await client.program(attacker.app)).quarantined
    assert "SIGSYS" in reason and str(len(ENDING)) in reason
    with pytest.raises(ProgramUnavailable) as refused:
        await attacker.is_answered()
    assert refused.value.details["state"] == "quarantined"


async def install(client: Client) -> tuple[Attacker, Neighbour]:
    taken = await client.install(guests.archive("taken", guests.forward(1), asks=()), limits=PATIENT)
    honest = await client.install(
        guests.archive("honest", guests.forward(2), asks=()), limits=guests.UNRATED, isolation="dedicated"
    )
    return Attacker(client, taken.app_id), Neighbour(client, honest.app_id)


async def drill(daemon: Daemon, attacker: Attacker) -> None:
    for name in sorted(ANSWERED):
        told = await attacker.attempt(name)
        print(f"{name:50} {told}")
        assert told.startswith("refused (E"), name
    for name in ENDING:
        before = set(daemon.workers())
        ended = await attacker.ends(name)
        print(f"{name:50} {ended[0]}")
        assert all(told.endswith("killed by SIGSYS") for told in ended), (name, ended)
        await until(lambda before=before: bool(set(daemon.workers()) - before))  # type: ignore[misc]
        if name != ENDING[-1]:
            assert await attacker.is_answered()
