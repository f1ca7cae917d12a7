"""Processes that stand still: a worker that hangs is replaced; where it is the daemon, no worker is blamed for it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
import trio

from benchmarks import guests
from runtime.client import Client
from runtime.errors import HostelError
from tests.chaos.daemon import serving, until

AT_ONCE = 16
HEARTBEAT_S = 1.2
STALLS = 3
"""Which of two things the daemon sees first when it goes on is chance."""
UNANSWERED_S = 0.3 * HEARTBEAT_S
"""A worker is asked for a sign of life four times as often as it has to give one."""


class Load:
    """Calls without a pause, and how they end."""

    def __init__(self, client: Client, app: str) -> None:
        self._client, self._app = client, app
        self.endings: Counter[str] = Counter()

    async def call_on(self) -> None:
        while True:
            try:
                await self._client.call(self._app, "session.info", user="alice")
                self.endings["answer"] += 1
            except HostelError as error:
                self.endings[error.message] += 1

    async def goes_on(self) -> None:
        enough = self.endings["answer"] + 100
        await until(lambda: self.endings["answer"] >= enough)


@pytest.mark.slow
async def test_who_stands_still_is_who_is_replaced(tmp_path: Path) -> None:
    settings = {"count": 1, "heartbeat_s": HEARTBEAT_S}
    async with serving(tmp_path, workers=settings) as daemon, daemon.client() as client:
        app = await client.install(guests.archive("honest", guests.forward(), asks=()), limits=guests.UNRATED)
        load = Load(client, app.app_id)
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(load.call_on)
            await load.goes_on()
            (worker,) = daemon.workers()
            for _ in range(STALLS):
                await stall(daemon.process.pid, worker)
                await load.goes_on()
                assert (daemon.workers(), [*load.endings]) == ([worker], ["answer"])
            os.kill(worker, signal.SIGSTOP)
            await until(lambda: worker not in daemon.workers())
            await load.goes_on()
            nursery.cancel_scope.cancel()
        why = f"no sign of life for {HEARTBEAT_S} s: somebody stopped it (SIGSTOP, a debugger)"
        assert [*load.endings] == ["answer", f"the worker that ran the call is gone: {why}"]


async def stall(daemon: int, worker: int) -> None:
    """The daemon stands still for longer than a worker may, and when it goes on, the worker's answer lies there."""
    os.kill(worker, signal.SIGSTOP)
    await trio.sleep(UNANSWERED_S)  # now it has been asked
    os.kill(daemon, signal.SIGSTOP)
    os.kill(worker, signal.SIGCONT)
    await trio.sleep(HEARTBEAT_S)
    os.kill(daemon, signal.SIGCONT)
