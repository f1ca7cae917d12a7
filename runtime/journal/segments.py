"""Files of lines: appended to, rotated, bounded in bytes and age, searched, and rewritten without what is erased.

What lives here: the files of one kind of entry, and nothing of what stands in them. All of it blocks; one thread at a
time changes the files, any number may search them.

A segment's name holds the time of its first line. A torn end (a crash, a full disk) is one line that is no entry: the
next line begins on its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

SEGMENTS: Final = 16
"""A kind's bytes are spread over about so many files: the oldest goes as a whole."""
FILES_MOST: Final = 16 * SEGMENTS
"""Each start of the host begins a file."""
BLOCK_BYTES: Final = 1 << 20
"""Read at once."""
LINE_BYTES_MAX: Final = 1 << 20
"""A longer line is none of ours: it is skipped."""
_SUFFIX: Final = ".jsonl"


class Segments:
    """The segments of one kind in one folder (0700, made by the caller). `close` it."""

    def __init__(self, folder: Path, kind: str, *, bytes_max: int, age_us: int) -> None:
        """No file is opened or made before the first `append`."""
        self._folder, self._kind = folder, kind
        self.set_bounds(bytes_max=bytes_max, age_us=age_us)
        self._descriptor = -1
        self._path = folder
        self._bytes = self._first_us = 0

    def set_bounds(self, *, bytes_max: int, age_us: int) -> None:
        """From the next `append` or `prune` on."""
        self._bytes_max, self._age_us = bytes_max, age_us

    @property
    def block_bytes(self) -> int:
        """Not more than this is appended at once, but for one line."""
        return min(BLOCK_BYTES, self._bytes_max // SEGMENTS)

    @property
    def first_us(self) -> int:
        """When the file that is being filled began; 0 before the first."""
        return self._first_us

    def files(self) -> list[tuple[int, Path]]:
        """(time of the first line in µs, file), oldest first."""
        found = []
        for path in self._folder.glob(f"{self._kind}-*{_SUFFIX}"):
            number = path.name[len(self._kind) + 1 : -len(_SUFFIX)]
            if number.isdecimal():
                found.append((int(number), path))
        return sorted(found)

    # ---- writing -----------------------------------------------------------------------------------------------------
    def append(self, lines: bytes, now_us: int) -> None:
        """Whole lines, at most a block of them. Raises OSError, with nothing of them kept."""
        if self._descriptor < 0 or self._bytes + len(lines) > self._bytes_max // SEGMENTS or (
            now_us - self._first_us > self._age_us // SEGMENTS
        ):  # fmt: skip
            self._begin(now_us)
        self.prune(now_us, room=len(lines))
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._bytes)
            raise
        self._bytes += written

    def prune(self, now_us: int, *, room: int = 0) -> None:
        """Delete the oldest until what is left, and `room` bytes more, are inside the bounds of bytes and age."""
        files = self.files()
        kept = sum(_size(path) for _, path in files) + room
        for at, (first_us, path) in enumerate(files):
            if kept <= self._bytes_max and first_us > now_us - self._age_us and len(files) - at <= FILES_MOST:
                break
            if path == self._path and self._descriptor >= 0:
                self.close()
                if room:
                    self._begin(now_us)
            kept -= _size(path)
            path.unlink(missing_ok=True)

    def _begin(self, now_us: int) -> None:
        self.close()
        last = self.files()[-1:]
        first_us = max(now_us, last[0][0] + 1) if last else now_us
        self._path = self._folder / f"{self._kind}-{first_us:017}{_SUFFIX}"
        self._descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        self._bytes, self._first_us = 0, first_us

    def close(self) -> None:
        """The next `append` begins a new segment. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def rewrite(self, unwanted: bytes) -> int:
        """Every segment that has lines with `unwanted` in them anew, without those; how many lines went.

        A crash leaves each segment as it was or as it is to be, and at most a part that the next call removes.
        Raises OSError.
        """
        self.close()
        for part in self._folder.glob(f"{self._kind}-*.part"):
            part.unlink(missing_ok=True)
        gone = 0
        for _, path in self.files():
            if here := sum(1 for _ in _lines(path, unwanted)):
                _copy_without(path, unwanted)
            gone += here
        if gone:
            _sync(self._folder)
        return gone

    # ---- searching ---------------------------------------------------------------------------------------------------
    def newest_first(self, needle: bytes, since_us: int) -> Iterator[list[bytes]]:
        """The lines with `needle` in them, a segment at a time, the newest segment first and each in its own order.
        What goes meanwhile is not found."""
        files = self.files()
        for at in range(len(files) - 1, -1, -1):
            if at + 1 < len(files) and files[at + 1][0] <= since_us:
                return
            with suppress(FileNotFoundError):
                yield list(_lines(files[at][1], needle))


def _lines(path: Path, needle: bytes) -> Iterator[bytes]:
    """Lines with `needle` in them; blocks without it are passed over at the speed of the memory."""
    for block in _blocks(path):
        if needle in block:
            yield from (line for line in block.split(b"\n") if line and needle in line)
        time.sleep(0)  # the thread that runs trio has its turn


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces of whole lines."""
    rest = b""
    with path.open("rb") as file:
        while data := file.read(BLOCK_BYTES):
            head, newline, tail = (rest + data).rpartition(b"\n")
            if newline:
                yield head
            rest = tail if len(tail) <= LINE_BYTES_MAX else b""
    if rest:
        yield rest


def _copy_without(path: Path, unwanted: bytes) -> None:
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        for line in _lines(path, b""):
            if unwanted not in line:
                file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
