"""Entries as they come, for whoever watches: a bounded queue a watcher, that drops and says so rather than grow.

What lives here: the queue. Used from the trio thread; a watcher that is slow costs nobody else anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import trio

from runtime.journal.entries import Entry, Kind, Query, decode

ENTRIES_MOST: Final = 4_096
BYTES_MOST: Final = 1 << 20


class Tail:
    """What comes after it was made, and before it what `begin_with` says; None stands for entries that were dropped
    before the next one. `dropped` says how many, in all."""

    def __init__(self, kind: Kind, query: Query, now_us: int) -> None:
        self.kind, self.query = kind, query
        self.dropped = 0
        self._began_us = now_us
        self._before: deque[Any] = deque()
        self._told: list[Any] = []
        self._lines: deque[bytes | None] = deque()
        self._bytes = 0
        self._more = trio.Event()

    def begin_with(self, entries: Sequence[Entry]) -> None:
        """What was read of the files since this was made: some of it may be in the queue too."""
        self._before.extend(entries)
        self._told = [entry for entry in entries if entry.at_us >= self._began_us]

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

    async def __anext__(self) -> Any:
        """Waits for the next, for ever: a PastCall or LogLine by its kind, or None."""
        if self._before:
            return self._before.popleft()
        while True:
            while not self._lines:
                self._more = trio.Event()
                await self._more.wait()
            line = self._lines.popleft()
            if line is None:
                return None
            self._bytes -= len(line)
            entry = decode(self.kind, line)
            if entry not in self._told:
                return entry
            self._told.remove(entry)
