"""The embedded store: SQLite in a file behind one writer thread, or in memory without a thread.

What lives here: who runs what where. File: jobs queue up while the writer syncs the batch before, and share the
next sync; they are acknowledged after it, all with one wake-up. Memory: the same SQL, inline, for tests and
throw-away hosts. What a commit is and which failure means what is in connection.py.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import trio

from host_api.acting import in_name_of
from host_api.contract import Clock
from host_api.store import backup, remains, state_directory
from host_api.store.connection import (
    Job,
    StorageFault,
    busy,
    close,
    connect,
    interrupt,
    run_alone,
    run_batch,
    run_read,
    unknown_outcome,
)
from host_api.store.migrations import Migration, known_migrations, outstanding
from host_api.store.protocol import Store, StoreError, T, Transaction

_log = logging.getLogger(__name__)

FILE_NAME = "hostel.sqlite3"
BATCH_JOBS = 256
"""Jobs one commit may hold: measured best; more only adds to the wait of the first."""
QUEUE_JOBS = 4_096
"""Jobs handed over and not yet answered; one more is refused with BUSY. About half a second of work."""
ANSWER_SECONDS = 10.0
"""How long a job is waited for. A writer slower than this has a broken disk: UNKNOWN_OUTCOME."""
_TO_BE_WRITTEN_ANEW = 1
"""The file's `user_version` while a VACUUM is owed; 0 otherwise."""

_APPLIED = """CREATE TABLE IF NOT EXISTS schema_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_us INTEGER NOT NULL) STRICT"""


class _HostTime:
    """The injected clock, never earlier than what was said or stored before."""

    def __init__(self, clock: Clock, last_us: int) -> None:
        self._now_us = clock.now_us
        self._last_us = last_us

    def now_us(self) -> int:
        now_us = self._now_us()
        if now_us > self._last_us:
            self._last_us = now_us
        return self._last_us


class MemoryStore:
    """A `Store` on one connection, everything inline: a job is done when `write` returns, and nothing is durable."""

    def __init__(self, clock: Clock, known: Sequence[Migration]) -> None:
        self._connection = connect(None, writable=True)
        _migrate(self._connection, known, clock.now_us(), backup=None)
        self._time = _HostTime(clock, 0)
        self.now_us = self._time.now_us
        self._closed = False
        self.commits = self.writes = 0

    async def write(self, job: Callable[[Transaction], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise busy("the host is closing")
        handed_over = Job(in_name_of(job), self.now_us())
        run_batch(self._connection, (handed_over,))
        self.commits += 1
        self.writes += 1
        await trio.lowlevel.cancel_shielded_checkpoint()
        result: T = handed_over.unwrap()
        return result

    def read(self, job: Callable[[Transaction], T]) -> T:
        self._connection.execute("PRAGMA query_only = ON")
        try:
            result: T = run_read(self._connection, job, self.now_us())
        finally:
            self._connection.execute("PRAGMA query_only = OFF")
        return result

    async def survey(self, job: Callable[[Transaction], T]) -> T:
        await trio.lowlevel.checkpoint()
        return self.read(job)

    async def backup(self, path: Path, look: Callable[[Transaction], T]) -> T:
        await trio.lowlevel.checkpoint()
        copied: T = _copied(self._connection, path, look, self.now_us(), threading.Event())
        return copied

    async def scrub(self) -> None:
        """Nothing of it is on a disk."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection.close()


class FileStore:
    """A `Store` in a state directory: durable once acknowledged. Made by `open_store`, from within trio.run."""

    def __init__(
        self, file: Path, writer: apsw.Connection, reader: apsw.Connection, clock: Clock, last_us: int
    ) -> None:
        self._file = file
        self._reader = reader
        self._time = _HostTime(clock, last_us)
        self.now_us = self._time.now_us
        self._outstanding = self.commits = self.writes = 0
        self._closing = False
        self._closed = trio.Event()
        self._whole_file = trio.Lock()
        """A copy of the file keeps a snapshot that a scrub could not empty the write-ahead log under."""
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        # A daemon: a process that leaves without closing must not hang, and owes nobody the unacknowledged jobs.
        threading.Thread(target=self._write_batches, args=(writer,), name="hostel-store", daemon=True).start()

    async def write(self, job: Callable[[Transaction], T]) -> T:
        result: T = await self._outcome(job, alone=False, seconds=ANSWER_SECONDS)
        return result

    async def backup(self, path: Path, look: Callable[[Transaction], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        async with self._whole_file:
            if remains.owed(self._reader):  # else the copy has the bytes of who was erased, and nobody scrubs it
                await self._scrub()
            reader, unwanted = connect(self._file, writable=False), threading.Event()
            now_us = self.now_us()

            def copy() -> T:
                try:
                    copied: T = _copied(reader, path, look, now_us, unwanted)
                    return copied
                finally:
                    reader.close()

            try:
                return await trio.to_thread.run_sync(copy, abandon_on_cancel=True)
            except trio.Cancelled:
                unwanted.set()
                raise

    async def scrub(self) -> None:
        async with self._whole_file:
            await self._scrub()

    async def _scrub(self) -> None:
        steps: Iterator[None] | None = None

        def step(writer: apsw.Connection) -> bool:
            nonlocal steps
            steps = steps or remains.steps(writer, self._file)
            return next(steps, self) is not self

        while await self._outcome(step, alone=True, seconds=math.inf):
            pass

    async def _outcome(self, job: Callable[[Any], Any], *, alone: bool, seconds: float) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        handed_over = self._hand_over(job, alone)
        try:
            # The shield leaves this deadline as the only thing that can end the wait early.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + seconds) as patience:
                await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)
        finally:
            handed_over.task = None
        if patience.cancelled_caught:
            raise unknown_outcome(f"the store did not answer within {seconds:g} s")
        return handed_over.unwrap()

    def _hand_over(self, job: Callable[[Any], Any], alone: bool) -> Job:
        if self._closing:
            raise busy("the host is closing")
        if self._outstanding >= QUEUE_JOBS:
            raise busy(f"{QUEUE_JOBS} writes are waiting for the disk")
        handed_over = Job(in_name_of(job), self.now_us(), alone=alone)
        handed_over.task = trio.lowlevel.current_task()
        self._outstanding += 1
        self._queue.put(handed_over)
        return handed_over

    def read(self, job: Callable[[Transaction], T]) -> T:
        result: T = run_read(self._reader, job, self.now_us())
        return result

    async def survey(self, job: Callable[[Transaction], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        reader, now_us = connect(self._file, writable=False), self.now_us()

        def read() -> T:
            try:
                result: T = run_read(reader, job, now_us)
                return result
            finally:
                reader.close()

        try:
            return await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        except trio.Cancelled:
            interrupt(reader)
            raise

    async def aclose(self) -> None:
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ANSWER_SECONDS) as patience:
            await self._closed.wait()
        if patience.cancelled_caught:
            _log.error("the store's writer did not end within %g s; it is left behind", ANSWER_SECONDS)

    # -- in the writer thread
    def _write_batches(self, writer: apsw.Connection) -> None:
        taken: list[Job | None] = []  # from the queue, for the next round
        while (entry := taken.pop() if taken else self._queue.get()) is not None:
            batch = [entry]
            if entry.alone:
                run_alone(writer, entry)
            else:
                self._fill(batch, taken)
                run_batch(writer, batch)
            self._tell(partial(self._acknowledge, batch))
        close(writer)
        self._tell(self._finish)

    def _fill(self, batch: list[Job], taken: list[Job | None]) -> None:
        """Whatever else is queued and may share the commit. What may not (a job alone, the end) goes to `taken`."""
        while len(batch) < BATCH_JOBS:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return
            if entry is None or entry.alone:
                taken.append(entry)
                return
            batch.append(entry)

    def _tell(self, report: Callable[[], None]) -> None:
        try:
            self._token.run_sync_soon(report)
        except trio.RunFinishedError:
            _log.warning("the store's writer outlived the trio run; what it wrote was not acknowledged")

    # -- back in the trio thread
    def _acknowledge(self, batch: list[Job]) -> None:
        self._outstanding -= len(batch)
        self.commits += 1
        self.writes += len(batch)
        for job in batch:
            if job.task is not None:  # None: gave up waiting
                task, job.task = job.task, None
                trio.lowlevel.reschedule(task)

    def _finish(self) -> None:
        try:
            self._reader.close()
        except apsw.Error:  # raised here it would end the whole trio run
            _log.exception("the store's reader was not closed")
        self._closed.set()


def _copied(
    source: apsw.Connection, path: Path, look: Callable[[Transaction], Any], now_us: int, unwanted: threading.Event
) -> Any:
    try:
        return backup.copy(source, path, look, now_us, unwanted)
    except (OSError, apsw.Error) as error:
        raise busy(f"the backup's disk refused ({error})") from error


def _applied(connection: apsw.Connection) -> list[tuple[int, str]]:
    connection.execute(_APPLIED)
    return [
        (row[0], row[1]) for row in connection.execute("SELECT number, name FROM schema_migrations ORDER BY number")
    ]


def _migrate(
    connection: apsw.Connection, known: Sequence[Migration], now_us: int, *, backup: Callable[[Migration], None] | None
) -> None:
    """Bring the schema up to date, each file in one transaction. `backup` is called before an old one is changed.

    An old one is written anew then: a hostel that knew no erasure left what it deleted in free pages. That this is owed
    is committed with the change, so an opening that a crash or a full disk cut short leaves it to the next.
    """
    applied = _applied(connection)
    todo = outstanding(applied, known)
    if applied and todo and backup is not None:
        backup(todo[0])
    for migration in todo:
        with connection:
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO schema_migrations (number, name, applied_us) VALUES (?, ?, ?)",
                (migration.number, migration.name, now_us),
            )
            if applied:
                connection.execute(f"PRAGMA user_version = {_TO_BE_WRITTEN_ANEW}")
    if connection.execute("PRAGMA user_version").get == _TO_BE_WRITTEN_ANEW:
        connection.execute("PRAGMA temp_store = FILE")  # it is as large as the state
        connection.execute("VACUUM")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA user_version = 0")


def _open_files(path: Path, known: Sequence[Migration], now_us: int) -> tuple[apsw.Connection, apsw.Connection, int]:
    """Writer, reader and the last stored time. The directory is prepared and locked."""
    file = path / FILE_NAME
    state_directory.private_file(file)

    def back_up(before: Migration) -> None:
        whole = path / f"before-{before.label}.sqlite3"
        part = whole.with_suffix(".part")
        part.unlink(missing_ok=True)
        state_directory.private_file(part)
        writer.execute("VACUUM INTO ?", (str(part),))
        state_directory.sync(part)
        part.rename(whole)
        state_directory.sync(path)

    try:
        writer = connect(file, writable=True)
        _migrate(writer, known, now_us, backup=back_up)
        if remains.owed(writer):
            for _ in remains.steps(writer, file):
                pass
        state_directory.sync(path)
        reader = connect(file, writable=False)
        return writer, reader, writer.execute("SELECT last_us FROM host_clock").get
    except (apsw.Error, StorageFault) as error:
        raise StoreError("state_damaged", f"{file} cannot be opened ({error}): restore a backup") from error


@asynccontextmanager
async def open_store(
    path: Path | None, clock: Clock, *, known: Sequence[Migration] | None = None
) -> AsyncIterator[Store]:
    """The store in the state directory `path`, made if missing; in memory if None. Closed when the block is left.

    `known`: the schema's files, for tests of migration. Raises StoreError: the directory is in use by another host,
    open to others, written by a newer hostel, or damaged.
    """
    migrations = known_migrations() if known is None else known
    if path is None:
        store: Store = MemoryStore(clock, migrations)
        try:
            yield store
        finally:
            await store.aclose()
        return
    await trio.to_thread.run_sync(state_directory.prepare, path)
    with state_directory.DirectoryLock(path):
        opened = await trio.to_thread.run_sync(_open_files, path, migrations, clock.now_us())
        store = FileStore(path / FILE_NAME, opened[0], opened[1], clock, opened[2])
        try:
            yield store
        finally:
            await store.aclose()
