"""Cases as lines of JSON on one stream, results as lines on another; each case on a host of its own in this process.

What lives here: opening such a host, in memory or, where a case starts it anew, on a directory that is gone
afterwards. What a case says of its host is world.py's.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from runtime.daemon.control import serve_one
from runtime.daemon.control.host_answers import HostAnswers
from runtime.host import Host
from runtime.rehearsal import Rehearsal
from runtime.target import world
from runtime.target.asking import Asking
from runtime.target.payouts import pay_out
from runtime.target.steps import Stage
from runtime.testing import VirtualClock

FEATURES: Final = frozenset({"clock", "restart", "control", "releases", "store", "names", "fresh", "faults", "payouts"})
"""What a target has beyond installing, calling and answering prompts."""


def play_lines(lines: Iterable[bytes], write: Callable[[str], object]) -> None:
    """Until there are no more. A line that is no case is answered as one that was not played."""
    with tempfile.TemporaryDirectory(prefix="hostel-target-") as folder:
        for line in lines:
            write(json.dumps(trio.run(_play, json.loads(line), Path(folder))) + "\n")


async def _play(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    if missing := sorted({*case["needs"]} - FEATURES):
        return {"case": case["case"], "skipped": f"this target has no {', '.join(missing)}"}
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        state = Path(kept) / "state" if {"restart", "store"} & {*case["needs"]} else None
        async with _Opened(case, state, folder / "artifacts") as opened:
            stage = Stage(await opened.again(), opened.advance, opened.again, opened.connect, opened.pay_out)
            steps = [await stage.do(step) for step in case["steps"]]
    return {"case": case["case"], "steps": steps}


class _Opened:
    """A host that can be opened again, and a connection to it. An asynchronous context: it closes what is open."""

    def __init__(self, case: Mapping[str, Any], state: Path | None, artifacts: Path) -> None:
        self._settings = replace(world.config(case, artifacts).host, workers=None)
        self._keyring = world.keyring(case)
        self._state = state
        self._outside = world.outside(case)
        self._clock = VirtualClock(world.begins_us(case))
        self._rehearsal = Rehearsal()
        self._scene = 0
        self._stack = AsyncExitStack()
        self._host: Host | None = None
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> _Opened:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def again(self) -> Asking:
        """Closes the host that is open, opens one on the same state, and connects to it."""
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        self._scene += 1
        self._rehearsal.begin(self._scene)
        self._host = await self._stack.enter_async_context(
            Host.open(
                self._state, keyring=self._keyring, settings=self._settings, clock=self._clock,
                rehearsal=self._rehearsal, outside=self._outside,
            )
        )  # fmt: skip
        self._nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(self._nursery.cancel_scope.cancel)
        asking = Asking(self.connect())
        self._nursery.start_soon(asking.run)
        return asking

    def connect(self) -> socket.socket:
        """A connection to the host that is open."""
        if self._host is None or self._nursery is None:
            raise RuntimeError("no host is open")
        here, there = socket.socketpair()
        self._nursery.start_soon(serve_one, HostAnswers(self._host).all(), there)
        return here

    async def pay_out(self, app_id: str, amount: int, currency: str) -> None:
        """See `payouts.pay_out`."""
        if self._host is None:
            raise RuntimeError("no host is open")
        await pay_out(self._host, app_id, amount, currency)

    async def advance(self, ms: int) -> None:
        self._clock.advance(ms=ms)
        if self._host is not None:
            await self._host.settle()
