"""What a store is: transactions, the two ways in, and what they raise.

What lives here: the protocols that services are written against and the errors of a store. No database: sqlite.py
is the first implementation, tests/host_api/store/contract what every implementation must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]
Bindings = Sequence[Any] | Mapping[str, Any]


class StoreError(Exception):
    """The store cannot be opened or does not hold together; the message says why and what to do.

    `code` is stable: `state_in_use`, `state_too_new`, `state_unsafe`, `state_damaged`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConstraintViolated(Exception):
    """A statement broke a constraint of the schema (CHECK, UNIQUE, foreign key, 64-bit bounds); it changed nothing.

    Rules are checked before they are written, so this is the last line of defence: a job lets it pass, and is
    undone. The message names table and columns, never values.
    """


class Transaction(Protocol):
    """One job's view of the store. Dead when the job returns."""

    @property
    def now_us(self) -> int:
        """The time of the hand-over, µs since the epoch; never earlier than any time stored before."""
        ...

    def execute(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """Run one statement, all its rows at once. Raises ConstraintViolated."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """All or nothing: what is written inside is undone if the block raises. The exception passes."""
        ...


class Store(Protocol):
    """All state of the host. Serializable: jobs see the world as if they ran one after the other."""

    @property
    def commits(self) -> int:
        """How many there were since it was opened; several writes share one."""
        ...

    @property
    def writes(self) -> int:
        """Jobs of `write` that were carried out or refused by the disk since it was opened."""
        ...

    def now_us(self) -> int:
        """The host's time: the injected clock, never earlier than what was said or stored before (a `Clock`)."""
        ...

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run `job` in a transaction and return its result once it is durable.

        `job` may run in another thread: it must not touch trio, and nothing but its transaction. An exception it
        raises undoes only what it did, and is raised here.

        Cancellation: the point of no return is the hand-over to the writer. Before it, Cancelled is raised and
        nothing happens; after it, the outcome is waited for in any case and Cancelled is delivered at the caller's
        next checkpoint.

        Raises ApiError: BUSY (nothing happened: the queue is full, the disk refused, the store is closing),
        UNKNOWN_OUTCOME (no answer in time, or the commit itself failed: it may have happened).
        """
        ...

    def read(self, job: Callable[[Transaction], T]) -> T:
        """Run `job` in place, on one snapshot that holds everything committed. It cannot write; it must be short.

        Not to be called from inside a job. Raises ApiError BUSY if the disk refuses.
        """
        ...

    async def survey(self, job: Callable[[Transaction], T]) -> T:
        """As `read`, for a job that may be long: nothing else waits for it. It sees one snapshot all the while.

        `job` may run in another thread, as in `write`. Cancelled, the job is broken off. Raises ApiError BUSY if the
        disk refuses.
        """
        ...

    async def scrub(self) -> None:
        """What transactions before this call deleted or overwrote is on no disk of the store's when this returns.

        To be called after an erasure, which says so with `owe_scrub` in its transaction: what is owed and was not done
        is done when the store is opened again. Reads and writes go on meanwhile. Backups of the state that the store
        made itself are removed. Cancelled, it stops and stays owed.

        Raises ApiError BUSY: the disk refused, or the store is closing; it stays owed.
        """
        ...

    async def backup(self, path: Path, look: Callable[[Transaction], T]) -> T:
        """Everything, as of one moment that comes after all that was acknowledged before this call, to the new file
        `path` (0600, durable). `look` reads that very moment, maybe in another thread; what it gives is returned.

        Reads and writes go on meanwhile, a `scrub` waits. Cancelled, the copy is broken off, and what there is of the
        file is the caller's to remove. Raises ApiError BUSY (a disk refused).
        """
        ...

    async def aclose(self) -> None:
        """Finish what was handed over, then close. Later writes are refused with BUSY. May be called again."""
        ...


def owe_scrub(tx: Transaction) -> None:
    """In a transaction that erases: its bytes are to be overwritten too, by `Store.scrub` or at the next opening."""
    tx.execute("UPDATE scrubs SET asked = asked + 1 WHERE id = 1")
