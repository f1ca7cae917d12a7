"""The journal of one host: receipts and programs' log lines, in bounded files beside the store.

What lives here: what happens when. An entry is encoded where it happens and put into a buffer; a thread writes the
buffer ten times a second at most, never while nothing comes. It is no ledger: a crash loses a tenth of a second of it,
a full disk what comes meanwhile, counted and told once, and no call ever waits for it. Entries are entries.py's,
files segments.py's, and which file a line goes to shelves.py's.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from host_api.errors import ApiError, ErrorCode
from runtime.errors import UsageError
from runtime.journal.entries import Encoder, Kind, LogLine, PastCall, Query, decode, field
from runtime.journal.shelves import Shelves
from runtime.journal.tail import Tail
from runtime.log import logger
from runtime.receipt import Receipt
from runtime.session import CallSession
from runtime.settings import JournalSettings
from runtime.statistics import JournalFigures

_log = logger("journal")

FOLDER: Final = "journal"
KEY_PURPOSE: Final = "journal"
"""Its key file in the state directory's `keys/`."""
FLUSH_S: Final = 0.1
BUFFER_BYTES_MOST: Final = 8 << 20
"""Of one kind; what comes while so much waits for the disk is dropped, and counted."""
BUFFER_SHARE: Final = 4
"""One program has one part in so many of it."""
PRUNE_S: Final = 600.0
READ_MOST: Final = 10_000
"""Entries one question may be answered with."""
READ_BYTES_MOST: Final = 8 << 20
TAILS_MOST: Final = 64
_RETRY_MS: Final = 1_000
_DAY_US: Final = 24 * 3600 * 1_000_000


class _Buffer:
    """One kind: what waits to be written, and its files."""

    def __init__(self, shelves: Shelves) -> None:
        self.shelves = shelves
        self.lines: list[bytes] = []
        self.programs: list[str] = []
        """Whose each line is."""
        self.bytes_of: dict[str, int] = {}
        """Program → bytes of it that wait."""
        self.bytes = self.taken = self.dropped = 0

    def take(self) -> tuple[list[bytes], list[str]]:
        lines, programs = self.lines, self.programs
        self.lines, self.programs, self.bytes_of, self.bytes = [], [], {}, 0
        return lines, programs


class Journal:
    """Made when a host opens its state; `run` in a nursery, `aclose` after it. Used from the trio thread only.

    Without settings nothing is written, and `forget` still reaches what was written before.
    """

    def __init__(
        self, folder: Path, *, key: bytes, settings: JournalSettings | None, now_us: Callable[[], int]
    ) -> None:
        self._folder, self._now_us = folder, now_us
        self._encoder = Encoder(key)
        bounds = settings or JournalSettings()
        self._buffers: Mapping[Kind, _Buffer] = {
            kind: _Buffer(Shelves(folder, kind, by_program=kind == "logs", **_bounds(bounds, kind)))
            for kind in ("receipts", "logs")
        }
        self._receipts, self._lines = self._buffers["receipts"], self._buffers["logs"]
        self.writes = settings is not None
        self._tails: set[Tail] = set()
        self._wake = trio.Event()
        self._files = trio.CapacityLimiter(1)
        self._readers = trio.CapacityLimiter(2)
        self._failing = False

    # ---- what comes --------------------------------------------------------------------------------------------------
    def receipt(self, receipt: Receipt, session: CallSession) -> None:
        """A call ended. About 2 µs."""
        entry = self._encoder.receipt(self._now_us(), receipt, session)
        self._put(self._receipts, entry, session.app_id)
        for tail in self._tails:
            if tail.kind == "receipts" and tail.query.wants_call(session):
                tail.offer(entry)

    def line(self, session: CallSession, level: str, text: str) -> None:
        """A program logged a line: a `LogSink`."""
        line = self._encoder.line(self._now_us(), session, level, text)
        self._put(self._lines, line, session.app_id)
        for tail in self._tails:
            if tail.kind == "logs" and tail.query.wants_call(session) and tail.query.wants_level(level):
                tail.offer(line)

    def _put(self, buffer: _Buffer, line: bytes, program: str) -> None:
        size = len(line)
        of_program = buffer.bytes_of.get(program, 0) + size
        if buffer.bytes + size > BUFFER_BYTES_MOST or of_program > BUFFER_BYTES_MOST // BUFFER_SHARE:
            buffer.dropped += 1
            return
        buffer.lines.append(line)
        buffer.programs.append(program)
        buffer.bytes_of[program] = of_program
        buffer.bytes += size
        buffer.taken += 1
        if not self._wake.is_set():
            self._wake.set()

    def status(self) -> JournalFigures:
        return JournalFigures(
            receipts=self._receipts.taken, lines=self._lines.taken,
            dropped=sum(buffer.dropped for buffer in self._buffers.values()),
            failing=self._failing, tails=len(self._tails),
        )  # fmt: skip

    def set_bounds(self, settings: JournalSettings) -> None:
        """Other bounds, from the next write on."""
        for kind, buffer in self._buffers.items():
            buffer.shelves.set_bounds(**_bounds(settings, kind))

    # ---- to the disk -------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Writes what comes, and deletes what is too old; until it is cancelled."""
        while True:
            with trio.move_on_after(PRUNE_S):
                await self._wake.wait()
                await trio.sleep(FLUSH_S)
            self._wake = trio.Event()
            await self.flush()

    async def flush(self) -> None:
        """What was put before this call is in the files, or dropped and counted, when this returns."""
        if not self.writes:
            return  # how long anything is kept is for the host that writes to say
        for kind, buffer in self._buffers.items():
            lines, programs = buffer.take()
            with trio.CancelScope(shield=True):
                lost, reason = await trio.to_thread.run_sync(
                    _write, self._folder, buffer.shelves, lines, programs, self._now_us(), limiter=self._files
                )
            buffer.dropped += lost
            if reason and not self._failing:
                _log.warning(
                    "the journal cannot be written: entries are dropped until it can", kind=kind, reason=reason
                )
            elif self._failing and lines and not reason:
                _log.warning("the journal is written again", dropped=self.status().dropped)
            if lines:
                self._failing = bool(reason)

    async def aclose(self) -> None:
        """After `run` was cancelled and the last call ended: writes what is left."""
        await self.flush()
        for buffer in self._buffers.values():
            buffer.shelves.close()

    # ---- erasing -----------------------------------------------------------------------------------------------------
    async def forget_user(self, user: str) -> int:
        """No file holds an entry of the user's calls when this returns; none of them may be in flight. How many went.
        Raises ApiError BUSY: the disk refused; done again, it goes on."""
        return await self._forget(self._encoder.of_user(user))

    async def forget_program(self, app_id: str) -> int:
        """The same for a program's calls and lines."""
        return await self._forget(field("app_id", app_id))

    async def _forget(self, unwanted: bytes) -> int:
        await self.flush()
        gone = 0
        for buffer in self._buffers.values():
            try:
                gone += await trio.to_thread.run_sync(buffer.shelves.rewrite, unwanted, limiter=self._files)
            except OSError as error:
                why = f"the journal's files could not be written anew ({error.strerror}); nothing else was erased"
                raise ApiError(ErrorCode.BUSY, f"{why}; try again", retry_after_ms=_RETRY_MS) from error
        return gone

    # ---- reading -----------------------------------------------------------------------------------------------------
    async def receipts(self, query: Query, at_most: int = 1_000) -> list[PastCall]:
        """The newest `at_most` (READ_MOST at most) that are asked for, the oldest of them first."""
        return await self._read("receipts", query, at_most)

    async def lines(self, query: Query, at_most: int = 1_000) -> list[LogLine]:
        """The same of lines that programs logged."""
        return await self._read("logs", query, at_most)

    async def _read(self, kind: Kind, query: Query, at_most: int) -> list[Any]:
        await self.flush()
        shelves = self._buffers[kind].shelves
        return await trio.to_thread.run_sync(
            _read, kind, shelves, query, min(at_most, READ_MOST), limiter=self._readers
        )

    @asynccontextmanager
    async def follow(self, kind: Kind, query: Query, before: int = 0) -> AsyncIterator[Tail]:
        """The newest `before` entries that are asked for, and those that come while the block runs; none is missed
        between, none told twice. Raises UsageError: TAILS_MOST follow already."""
        if len(self._tails) >= TAILS_MOST:
            raise UsageError(f"{TAILS_MOST} follow the journal already", code="too_many_watch")
        tail = Tail(kind, query, self._now_us())
        self._tails.add(tail)
        try:
            if before:
                tail.begin_with(await self._read(kind, query, before))
            yield tail
        finally:
            self._tails.discard(tail)


def _bounds(settings: JournalSettings, kind: Kind) -> dict[str, int]:
    if kind == "receipts":
        return {"bytes_max": settings.receipts_bytes_max, "age_us": settings.receipts_days * _DAY_US}
    return {"bytes_max": settings.logs_bytes_max, "age_us": settings.logs_days * _DAY_US}


# ---- in a thread -----------------------------------------------------------------------------------------------------
def _write(folder: Path, shelves: Shelves, lines: list[bytes], programs: list[str], now_us: int) -> tuple[int, str]:
    """How many were lost, and why."""
    left = len(lines)
    try:
        if not lines:
            shelves.prune(now_us)
            return 0, ""
        folder.mkdir(mode=0o700, exist_ok=True)
        for shelf, of_it in shelves.sorted_out(lines, programs, now_us):
            for start, end in _blocks(of_it, shelf.block_bytes):
                shelf.append(b"".join(of_it[start:end]), now_us)
                left -= end - start
    except OSError as error:
        return left, error.strerror or type(error).__name__
    return 0, ""


def _blocks(lines: list[bytes], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of lines that have so many bytes together at most, or are one line."""
    start = size = 0
    for at, line in enumerate(lines):
        if size + len(line) > most and at > start:
            yield start, at
            start, size = at, 0
        size += len(line)
    yield start, len(lines)


def _read(kind: Kind, shelves: Shelves, query: Query, at_most: int) -> list[Any]:
    found: deque[Any] = deque()
    size = 0
    asked = shelves.newest_first(query.needle(), query.since_us, query.app_id)
    newest_first = heapq.merge(*(_entries(kind, files, query) for files in asked), key=lambda told: -told[0].at_us)
    for entry, length in newest_first:
        size += length
        if len(found) >= at_most or size > READ_BYTES_MOST:
            break
        found.appendleft(entry)
    return list(found)


def _entries(kind: Kind, files: Iterator[list[bytes]], query: Query) -> Iterator[tuple[Any, int]]:
    """What is asked for of one shelf, newest first, and how long each line is."""
    for lines in files:
        for line in reversed(lines):
            entry = decode(kind, line)
            if entry is not None and query.wants(entry):
                yield entry, len(line)
