"""The real sources of time and ids; everything else is handed them, so that tests can hand in their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable


class SystemClock:
    """Microseconds since the epoch; never goes back in one process."""

    def __init__(self) -> None:
        self._offset_us = time.time_ns() // 1_000 - time.monotonic_ns() // 1_000

    def now_us(self) -> int:
        return time.monotonic_ns() // 1_000 + self._offset_us


def call_ids() -> Callable[[], str]:
    """128 bits as hex: 64 random ones for the host's run, then a counter; cheaper than 128 fresh ones a call."""
    prefix, count = secrets.token_hex(8), 0

    def next_id() -> str:
        nonlocal count
        count += 1
        return f"{prefix}{count:016x}"

    return next_id


def new_id() -> str:
    return secrets.token_hex(16)


def new_salt() -> bytes:
    """What host_api.audit commits to a user under."""
    return secrets.token_bytes(16)
