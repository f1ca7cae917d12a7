"""Fakes for tests of programs and of the host: a clock that is set, ids from a seed, a session with everything in it.

Part of the public API: kept as stable as the rest, and used by this project's own tests. No mocks: each is a small true
implementation of what it stands for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from host_api.capability import CAPABILITIES, Authority, parse_grants
from runtime.deadline import Deadline
from runtime.limits import Limits
from runtime.receipt import Usage
from runtime.session import CallSession, Holdings


class VirtualClock:
    """A `host_api.contract.Clock` that stands still until it is moved. Microseconds since the epoch."""

    __slots__ = ("_now_us",)

    def __init__(self, now_us: int = 1_800_000_000_000_000) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        return self._now_us

    def advance(self, *, us: int = 0, ms: int = 0, s: int = 0) -> None:
        """Forward only: ValueError for a negative sum."""
        step = us + 1_000 * ms + 1_000_000 * s
        if step < 0:
            raise ValueError(f"a clock never goes back ({step} µs)")
        self._now_us += step


class SeededIds:
    """Ids that look like the host's own, 128 bits as hexadecimal text, the same for the same seed: call it."""

    __slots__ = ("_random",)

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def __call__(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


class LogLines:
    """A log sink that keeps what it is given: `lines` holds (level, line)."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, session: CallSession, level: str, line: str) -> None:
        self.lines.append((level, line))


def make_session(
    *,
    granted: Any = ("storage", "payment"),
    limits: Limits | None = None,
    now: Callable[[], float] = lambda: 0.0,
    **changes: Any,
) -> CallSession:
    """A session of user "alice" in a program that requests everything, with `granted` as for `parse_grants`.

    `now` drives its deadline: pass trio.current_time where the deadline is to pass. `changes`: any other field.
    """
    limits = limits or Limits()
    fields: dict[str, Any] = {
        "call_id": "call-1",
        "app_id": "org.example.shop",
        "release_name": "1.0.0",
        "release_code": 1,
        "user": "alice",
        "sector": "org.example.shop",
        "reasons": {name: {"en": f"Example Shop needs {name}."} for name in CAPABILITIES},
        "notices": {},
        "program_name": "Example Shop",
        "payee": "Example Shop",
        "interactive": True,
        "locale": "en-GB",
        "time_zone": "Europe/London",
        "currency": "GBP",
        "config": {},
        "trace_id": "0" * 32,
        "authority": Authority(requested=parse_grants(list(CAPABILITIES)), granted=parse_grants(granted)),
        "usage": Usage(),
        "deadline": Deadline(wall_s=limits.wall_ms / 1_000, still_s=limits.prompt_wait_ms / 1_000, now=now),
        "holdings": Holdings(),
        "log_sink": LogLines(),
    }
    return CallSession(limits=limits, **{**fields, **changes})
