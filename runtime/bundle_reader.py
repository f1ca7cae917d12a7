"""Reading a bundle beside the event loop: unpacking and hashing megabytes takes longer than a turn of it may.

What lives here: the one thread at a time that reads them. What may be in a bundle is bundle/'s.
"""

from __future__ import annotations

from typing import Final

import trio

from runtime.bundle import Bundle

SMALL_BYTES: Final = 64 << 10
"""A bundle of at most this is read at once: a thread would take longer."""
_reading: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar("bundles being read")


async def read_bundle(data: bytes) -> Bundle:
    """As `Bundle.from_bytes`, one after the other; others have their turns meanwhile. Raises as that does."""
    if len(data) <= SMALL_BYTES:
        return Bundle.from_bytes(data)
    try:
        limiter = _reading.get()
    except LookupError:
        limiter = trio.CapacityLimiter(1)
        _reading.set(limiter)
    return await trio.to_thread.run_sync(Bundle.from_bytes, data, limiter=limiter)
