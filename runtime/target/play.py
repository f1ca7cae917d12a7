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

from host_api.http.access import HttpAccess
from host_api.services import Outside
from runtime.bundle import Keyring, PublicKey, TrustedKey
from runtime.daemon.config import of_sections
from runtime.daemon.control import serve_one
from runtime.daemon.control.host_answers import HostAnswers
from runtime.host import Host
from runtime.rehearsal import Rehearsal
from runtime.target.asking import Asking
from runtime.target.steps import Stage
from runtime.testing import VirtualClock

FEATURES: Final = frozenset({"clock", "restart", "control", "releases", "store", "names", "fresh"})
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
            stage = Stage(await opened.again(), opened.advance, opened.again, opened.connect)
            steps = [await stage.do(step) for step in case["steps"]]
    return {"case": case["case"], "steps": steps}


class _Names:
    """A resolver that knows the names of a case; a look-up of one with null never ends."""

    def __init__(self, known: Mapping[str, list[str] | None]) -> None:
        self._known = known

    async def __call__(self, host: str, *, app_id: str) -> list[str]:
        if host not in self._known:
            raise OSError("no such name")
        addresses = self._known[host]
        if addresses is None:
            await trio.sleep_forever()
        return addresses


def _us(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) * 1_000_000


def _keyring(told: Iterable[Mapping[str, Any]]) -> Keyring:
    return Keyring(
        TrustedKey(
            public_key=PublicKey.from_text(key["public_key"]), revoked=key.get("revoked", False),
            not_before_us=_us(key["not_before"]) if "not_before" in key else None,
            not_after_us=_us(key["not_after"]) if "not_after" in key else None,
        )
        for key in told
    )  # fmt: skip


class _Opened:
    """A host that can be opened again, and a connection to it. An asynchronous context: it closes what is open."""

    def __init__(self, case: Mapping[str, Any], state: Path | None, artifacts: Path) -> None:
        settings = of_sections(case["settings"], "the case's settings").host
        self._settings = replace(
            settings, cache_dir=settings.cache_dir or artifacts, workers=None,
            allow_unsigned=case["settings"].get("host", {}).get("allow_unsigned", True),
        )  # fmt: skip
        self._keyring = _keyring(case.get("keyring", ()))
        self._state = state
        self._outside = Outside(http=HttpAccess(resolver=_Names(case["names"]))) if "names" in case else None
        self._clock = VirtualClock(_us(case["clock"]))
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

    async def advance(self, ms: int) -> None:
        self._clock.advance(ms=ms)
        if self._host is not None:
            await self._host.settle()
