"""The real sources of time and ids; everything else is handed them, so that tests can hand in their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

_IDS_AT_ONCE = 64


class SystemClock:
    """Microseconds since the epoch; never goes back in one process."""

    def __init__(self) -> None:
        self._offset_us = time.time_ns() // 1_000 - time.monotonic_ns() // 1_000

    def now_us(self) -> int:
        return time.monotonic_ns() // 1_000 + self._offset_us


def call_ids() -> Callable[[], str]:
    """128 random bits as hex, taken from the system in larger pieces. No counter: guests see them, and would count each
    other's calls."""
    pool, at = "", 0

    def next_id() -> str:
        nonlocal pool, at
        if at == len(pool):
            pool, at = secrets.token_hex(_IDS_AT_ONCE * 16), 0
        at += 32
        return pool[at - 32 : at]

    return next_id


def new_id() -> str:
    return secrets.token_hex(16)


def new_salt() -> bytes:
    """What host_api.audit commits to a user under."""
    return secrets.token_bytes(16)
