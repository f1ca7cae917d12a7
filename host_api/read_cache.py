"""A bounded cache of what was read, least recently used out first. Plain memory; knows neither store nor service."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")

ENTRY_BYTES = 512
"""What one entry costs besides its bytes: key, objects, links. About 500 by tracemalloc on CPython 3.11."""


class ReadCache(Generic[V]):
    """At most `bytes_max` bytes, ENTRY_BYTES for each entry included. Not for several threads."""

    def __init__(self, *, bytes_max: int) -> None:
        self._left = bytes_max
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> V | None:
        """What was kept, now the most recently used; None where nothing was."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def keep(self, key: Hashable, value: V, size: int) -> None:
        """Keep it, `size` bytes of it counted, and let the least recently used go until it fits."""
        if self._stopped:
            return
        self.drop(key)
        cost = size + ENTRY_BYTES
        self._entries[key] = (value, cost)
        self._left -= cost
        while self._left < 0:
            _, (_, freed) = self._entries.popitem(last=False)
            self._left += freed

    def drop(self, key: Hashable) -> None:
        """Forget it, if it was kept."""
        if entry := self._entries.pop(key, None):
            self._left += entry[1]

    def drop_if(self, unwanted: Callable[[Hashable], bool]) -> None:
        """Forget every key that is unwanted; asks about all of them."""
        for key in [key for key in self._entries if unwanted(key)]:
            self.drop(key)

    def stop(self) -> None:
        """Forget everything and keep nothing any more."""
        self._stopped = True
        for key in list(self._entries):
            self.drop(key)
