"""Entries as they come, for whoever watches: a bounded queue a watcher, that drops and says so rather than grow.

What lives here: the queue. Used from the trio thread; a watcher that is slow costs nobody else anything.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from runtime.journal.entries import LogLine, Query, decode

ENTRIES_MOST: Final = 4_096
BYTES_MOST: Final = 1 << 20


class Tail:
    """What comes after it was made; None stands for lines that were dropped before the next one.
    `dropped` says how many, in all."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.dropped = 0
        self._lines: deque[bytes | None] = deque()
        self._bytes = 0
        self._more = trio.Event()

    def offer(self, line: bytes) -> None:
        """Queued, or dropped where the watcher is too far behind."""
        if len(self._lines) >= ENTRIES_MOST or self._bytes + len(line) > BYTES_MOST:
            self.dropped += 1
            if self._lines and self._lines[-1] is not None:
                self._lines.append(None)
            return
        self._lines.append(line)
        self._bytes += len(line)
        self._more.set()

    def __aiter__(self) -> Tail:
        return self

    async def __anext__(self) -> LogLine | None:
        """Waits for the next, for ever."""
        while not self._lines:
            self._more = trio.Event()
            await self._more.wait()
        line = self._lines.popleft()
        self._bytes -= len(line or b"")
        return None if line is None else decode("logs", line)
