"""One kind of entries on one shelf, or programs' log lines on several: floods have shelves apart.

What lives here: which shelf a line goes to, and how much each shelf may hold. All programs share one shelf, of which a
program may fill a small part; whoever logs more goes to one of a few shelves apart, by their name, until they have been
silent for a day. The shelves apart have one half of the bytes together, in equal parts: a flood pushes out its own
lines and those of other floods, never those of a program that says little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from runtime.journal.segments import SEGMENTS, Segments

SHARE: Final = 8
"""A program may fill one part in so many of a file that all share, before it goes to a shelf apart."""
APART: Final = 32
"""Shelves for floods: programs are spread over them by their names."""
LOUD_MOST: Final = 10_000
"""Programs that are known to flood; of more, those are forgotten that were found out first."""
SILENT_US: Final = 24 * 3600 * 1_000_000


class Shelves:
    """The files of one kind. Written by one thread at a time. `by_program` False: everything is on one shelf."""

    def __init__(self, folder: Path, kind: str, *, by_program: bool, bytes_max: int, age_us: int) -> None:
        self._folder, self._kind, self._by_program = folder, kind, by_program
        self._apart: dict[str, Segments] = {}
        self._loud: dict[str, int] = {}
        """Program that goes to a shelf apart → when it logged last."""
        self._shared = Segments(folder, kind, bytes_max=bytes_max, age_us=age_us)
        self._written: dict[str, int] = {}
        """Program → bytes of it in the shared file that is being filled, the one that began then."""
        self._counted_us = 0
        self.set_bounds(bytes_max=bytes_max, age_us=age_us)
        if by_program:
            for tag in sorted({path.name.split("-")[1] for path in folder.glob(f"{kind}-*-*.jsonl")}):
                self._make(tag)

    def set_bounds(self, *, bytes_max: int, age_us: int) -> None:
        """From the next `append` or `prune` on."""
        self._bytes_max, self._age_us = bytes_max, age_us
        self._share_out()

    def _share_out(self) -> None:
        half = self._bytes_max // 2 if self._by_program else 0
        self._shared.set_bounds(bytes_max=self._bytes_max - half, age_us=self._age_us)
        for shelf in self._apart.values():
            shelf.set_bounds(bytes_max=half // len(self._apart), age_us=self._age_us)

    # ---- writing -----------------------------------------------------------------------------------------------------
    def sorted_out(
        self, lines: Iterable[bytes], programs: Iterable[str], now_us: int
    ) -> Iterator[tuple[Segments, list[bytes]]]:
        """Each line to its shelf; `programs` says whose each is. In the order that they came, shelf by shelf. Raises
        OSError."""
        if not self._by_program:
            yield self._shared, list(lines)
            return
        if self._shared.first_us != self._counted_us:
            self._counted_us = self._shared.first_us
            self._written.clear()
        found: dict[int, tuple[Segments, list[bytes]]] = {}
        before = len(self._apart)
        for line, program in zip(lines, programs, strict=True):
            shelf = self._shelf(program, len(line), now_us)
            found.setdefault(id(shelf), (shelf, []))[1].append(line)
        if len(self._apart) > before:  # the others may hold less from now on
            for apart in self._apart.values():
                apart.prune(now_us)
        yield from found.values()

    def _shelf(self, program: str, size: int, now_us: int) -> Segments:
        if program not in self._loud:
            written = self._written[program] = self._written.get(program, 0) + size
            if written <= self._bytes_max // 2 // SEGMENTS // SHARE:
                return self._shared
            if len(self._loud) >= LOUD_MOST:
                del self._loud[next(iter(self._loud))]
        self._loud[program] = now_us
        tag = _tag(program)
        return self._apart.get(tag) or self._make(tag)

    def _make(self, tag: str) -> Segments:
        shelf = self._apart[tag] = Segments(
            self._folder, f"{self._kind}-{tag}", bytes_max=self._bytes_max, age_us=self._age_us
        )
        self._share_out()
        return shelf

    def prune(self, now_us: int) -> None:
        """What is over the bounds of bytes and age goes; who has been silent for long shares again. Raises OSError."""
        self._loud = {program: at_us for program, at_us in self._loud.items() if at_us > now_us - SILENT_US}
        self._shared.prune(now_us)
        for tag, shelf in tuple(self._apart.items()):
            shelf.prune(now_us)
            if not shelf.files():
                shelf.close()
                del self._apart[tag]
                self._share_out()

    def close(self) -> None:
        for shelf in self._all():
            shelf.close()

    def rewrite(self, unwanted: bytes) -> int:
        """See `Segments.rewrite`."""
        return sum(shelf.rewrite(unwanted) for shelf in self._all())

    # ---- searching ---------------------------------------------------------------------------------------------------
    def newest_first(self, needle: bytes, since_us: int, program: str = "") -> list[Iterator[list[bytes]]]:
        """For each shelf that may have what is asked for, as `Segments.newest_first`."""
        if not program:
            shelves = self._all()
        else:
            apart = self._apart.get(_tag(program))
            shelves = [self._shared] if apart is None else [apart, self._shared]
        return [shelf.newest_first(needle, since_us) for shelf in shelves]

    def _all(self) -> list[Segments]:
        return [self._shared, *self._apart.values()]


@lru_cache(4_096)
def _tag(program: str) -> str:
    return f"{blake2b(program.encode(), digest_size=1).digest()[0] % APART:02}"
