"""SQLite through apsw: one connection's settings, one job's transaction, one batch's commit.

What lives here: everything that names apsw or a SQLite pragma. No thread, no trio, no clock: sqlite.py has those.
One file is never opened with apsw and sqlite3 in one process (two copies of SQLite break each other's locks).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from host_api.errors import ApiError, ErrorCode
from host_api.store.protocol import Bindings, ConstraintViolated, Row

_log = logging.getLogger(__name__)

_FAULTS = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)
"""The disk or the file says no, whatever the statement: nothing a job could have done better."""

BUSY_TIMEOUT_MS = 1_000
"""Only this process uses the file; what can be in the way is a reader while the write-ahead log is reset."""
RETRY_AFTER_MS = 200
_PRAGMAS = (
    "trusted_schema = OFF",
    "foreign_keys = ON",
    "synchronous = FULL",
    "temp_store = MEMORY",
    "secure_delete = ON",  # what is deleted is overwritten; remains.py reaches what this does not
)


class StorageFault(Exception):
    """The disk or the file failed under a statement. The batch that met it is refused as a whole."""


def connect(path: Path | None, *, writable: bool) -> apsw.Connection:
    """A connection with our settings. `path` None: a database in memory, gone with the connection."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE if writable else apsw.SQLITE_OPEN_READONLY
    connection = apsw.Connection(":memory:" if path is None else str(path), flags=flags, statementcachesize=256)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    if path is not None and writable:
        mode = connection.execute("PRAGMA journal_mode = WAL").get
        if mode != "wal":
            raise StorageFault(f"{path}: SQLite answers journal mode {mode}, not wal")
    return connection


def close(connection: apsw.Connection) -> None:
    """Close the connection that writes, with all of the state in the one file: the reader, which is closed later, could
    not empty the write-ahead log."""
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.Error:
        _log.exception("the write-ahead log was not emptied; the next opening does it")
    connection.close()


def interrupt(connection: apsw.Connection) -> None:
    """Break off what another thread reads on it; nothing if it is closed already."""
    with suppress(apsw.ConnectionClosedError):
        connection.interrupt()


class SqliteTransaction:
    """A `Transaction`; dead after `end`."""

    __slots__ = ("_cursor", "now_us")

    def __init__(self, connection: apsw.Connection, now_us: int) -> None:
        self._cursor: apsw.Cursor | None = connection.cursor()
        self.now_us = now_us

    def execute(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        if self._cursor is None:
            raise RuntimeError("this transaction is over")
        try:
            return self._cursor.execute(sql, bindings).fetchall()
        except apsw.ConstraintError as error:
            raise ConstraintViolated(str(error)) from error
        except _FAULTS as error:
            raise StorageFault(f"{type(error).__name__}: {error}") from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK TO part")
            self.execute("RELEASE part")
            raise
        self.execute("RELEASE part")

    def end(self) -> None:
        self._cursor = None


class Job:
    """One `Store.write` on its way: what to run, when it was handed over, and how it ended."""

    __slots__ = ("alone", "error", "now_us", "run", "task", "value")

    def __init__(self, run: Callable[[Any], Any], now_us: int, *, alone: bool = False) -> None:
        self.run = run
        self.now_us = now_us
        self.alone = alone
        """It takes the connection itself, between two batches: upkeep of the file (`run_alone`)."""
        self.value: Any = None
        self.error: BaseException | None = None
        self.task: Any = None
        """The trio task that waits, None once it does not."""

    def refuse(self, error: BaseException) -> None:
        self.value, self.error = None, error

    def unwrap(self) -> Any:
        """The job's result, or raise what it raised. Once only."""
        if self.error is None:
            return self.value
        error, self.error = self.error, None
        try:
            raise error
        finally:
            del error  # else the traceback, this frame and the error hold each other


def run_batch(connection: apsw.Connection, jobs: Sequence[Job]) -> None:
    """Run the jobs in order in one transaction and commit it. Each job ends with its value or its error; never raises.

    A job that raises is undone alone. If the disk fails before the commit was tried, or has no room for it, all are
    refused with BUSY: nothing happened. If the commit fails in another way, nobody knows what reached the disk:
    UNKNOWN_OUTCOME for each job that had succeeded.
    """
    commit_tried = False
    try:
        _roll_back(connection)  # of a batch before, whose end the disk refused
        connection.execute("BEGIN IMMEDIATE")
        before = connection.total_changes()
        for job in jobs:
            _run_one(connection, job)
        if connection.total_changes() != before:
            connection.execute("UPDATE host_clock SET last_us = max(last_us, ?) WHERE id = 1", (jobs[-1].now_us,))
        commit_tried = True
        connection.execute("COMMIT")
    except Exception as fault:
        _log.exception("a batch of %d jobs was not committed", len(jobs))
        _roll_back(connection)
        # No room: the write of the commit's own frame failed, so a later recovery cannot find it. A failed sync is
        # another matter: the frame is written, and a power cut decides.
        nothing_happened = not commit_tried or isinstance(fault, apsw.FullError)
        for job in jobs:
            if nothing_happened:
                job.refuse(busy("the host's disk refused; nothing happened"))
            elif job.error is None:
                job.refuse(unknown_outcome("the commit failed"))


def run_alone(connection: apsw.Connection, job: Job) -> None:
    """Run a job that takes the connection, outside any transaction. It ends with its value or its error; never
    raises."""
    try:
        job.value = job.run(connection)
    except (StorageFault, *_FAULTS):
        _log.exception("upkeep of the store failed")
        job.refuse(busy("the host's disk refused"))
    except Exception as error:
        job.refuse(error)


def _run_one(connection: apsw.Connection, job: Job) -> None:
    connection.execute("SAVEPOINT job")
    transaction = SqliteTransaction(connection, job.now_us)
    try:
        job.value = job.run(transaction)
    except StorageFault:
        raise
    except BaseException as error:
        if not connection.in_transaction:
            raise StorageFault("the transaction was lost under a job") from error
        connection.execute("ROLLBACK TO job")
        job.error = error
    finally:
        transaction.end()
    connection.execute("RELEASE job")


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except apsw.Error:
            _log.exception("the store could not be rolled back")


def run_read(connection: apsw.Connection, job: Callable[[Any], Any], now_us: int) -> Any:
    """Run `job` on one snapshot and return its result. Raises what the job raises, ApiError BUSY for the disk."""
    transaction = SqliteTransaction(connection, now_us)
    try:
        _roll_back(connection)  # of a read before, whose end the disk refused
        connection.execute("BEGIN")
        return job(transaction)
    except (StorageFault, *_FAULTS) as error:
        raise busy("the host's disk refused to be read") from error
    finally:
        transaction.end()
        _roll_back(connection)


def busy(why: str) -> ApiError:
    return ApiError(ErrorCode.BUSY, f"{why}; try again", retry_after_ms=RETRY_AFTER_MS)


def unknown_outcome(why: str) -> ApiError:
    return ApiError(
        ErrorCode.UNKNOWN_OUTCOME,
        f"{why}: it may have happened; query before trying again",
        retry_after_ms=RETRY_AFTER_MS,
    )
