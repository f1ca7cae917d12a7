"""Cases as lines of JSON on one stream, results as lines on another; each case on a host of its own.

What lives here: opening such a host, with the case's clock and settings, in memory or, where a case starts it anew, on
a directory that is gone afterwards.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import trio

from runtime.daemon.config import of_sections
from runtime.daemon.control import serve_one
from runtime.daemon.control.host_answers import HostAnswers
from runtime.host import Host
from runtime.rehearsal import Rehearsal
from runtime.target.asking import Asking
from runtime.target.steps import Stage
from runtime.testing import VirtualClock

FEATURES: Final = frozenset({"clock", "restart", "control", "releases", "store"})
"""What this target has beyond installing, calling and answering prompts."""
SCENES: Final = 1 << 32


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
            stage = Stage(await opened.again(), opened.advance, opened.again)
            steps = [await stage.do(step) for step in case["steps"]]
    return {"case": case["case"], "steps": steps}


class _Opened:
    """A host that can be opened again, and a connection to it. An asynchronous context: it closes what is open."""

    def __init__(self, case: Mapping[str, Any], state: Path | None, artifacts: Path) -> None:
        settings = of_sections(case["settings"], "the case's settings").host
        self._settings = replace(
            settings, cache_dir=settings.cache_dir or artifacts, workers=None,
            allow_unsigned=case["settings"].get("host", {}).get("allow_unsigned", True),
        )  # fmt: skip
        self._state = state
        began = datetime.fromisoformat(case["clock"])
        self._clock = VirtualClock(int(began.timestamp()) * 1_000_000)
        self._rehearsal = Rehearsal()
        self._scene = 0
        self._stack = AsyncExitStack()
        self._host: Host | None = None

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
            Host.open(self._state, settings=self._settings, clock=self._clock, rehearsal=self._rehearsal)
        )
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        here, there = socket.socketpair()
        asking = Asking(here)
        nursery.start_soon(serve_one, HostAnswers(self._host).all(), there)
        nursery.start_soon(asking.run)
        self._stack.callback(nursery.cancel_scope.cancel)
        return asking

    async def advance(self, ms: int) -> None:
        self._clock.advance(ms=ms)
        if self._host is not None:
            await self._host.settle()
