"""An honest program's calls through a daemon's socket, one after the other, while others are up to something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from benchmarks import guests
from benchmarks.measure import quantile
from runtime.client import Client
from tests.chaos.daemon import Daemon, until


class Caller:
    """Calls of an honest program, one after the other."""

    def __init__(self, client: Client, app: str) -> None:
        self._client, self._app = client, app
        self.took: list[float] = []

    async def call_on(self) -> None:
        while True:
            began = trio.current_time()
            await self._client.call(self._app, "session.info", user="alice")
            self.took.append(trio.current_time() - began)
            await trio.sleep(0.002)  # a load, not a wait

    async def goes_on(self) -> None:
        """Two calls more have ended: one of them began after this was asked."""
        before = len(self.took)
        await until(lambda: len(self.took) > before + 1)

    def told(self) -> str:
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "longest": 1.0}
        shown = ", ".join(f"{name} {quantile(self.took, share) * 1e3:.1f} ms" for name, share in shares.items())
        return f"{len(self.took)} calls, {shown}"


@asynccontextmanager
async def calling(daemon: Daemon) -> AsyncIterator[Caller]:
    """A caller on a connection of its own, of a program of its own, who was answered already and is answered still when
    the block is left. A call of its that fails, fails the test."""
    async with daemon.client() as client:
        app = await client.install(guests.archive("honest", guests.forward(), asks=()), limits=guests.UNRATED)
        caller = Caller(client, app.app_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.call_on)
            await caller.goes_on()
            yield caller
            await caller.goes_on()
            nursery.cancel_scope.cancel()
