"""Reading a bundle beside the event loop: unpacking and hashing megabytes takes longer than a turn of it may.

What lives here: the one thread at a time that reads them. What may be in a bundle is bundle/'s.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final, TypeVar

import trio

from runtime.bundle import Bundle

T = TypeVar("T")
SMALL_BYTES: Final = 64 << 10
"""A bundle of at most this is read at once: a thread would take longer."""
_reading: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar("bundles being read")


async def read_bundle(data: bytes) -> Bundle:
    """As `Bundle.from_bytes`, one after the other; others have their turns meanwhile. Raises as that does."""
    return await _beside(Bundle.from_bytes, data)


async def digest(data: bytes) -> bytes:
    """SHA-256 of a bundle's file."""
    return await _beside(_digest, data)


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()


async def _beside(read: Callable[[bytes], T], data: bytes) -> T:
    if len(data) <= SMALL_BYTES:
        return read(data)
    try:
        limiter = _reading.get()
    except LookupError:
        limiter = trio.CapacityLimiter(1)
        _reading.set(limiter)
    return await trio.to_thread.run_sync(read, data, limiter=limiter)
