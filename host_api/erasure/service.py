"""Export and erasure as an operator asks for them: the jobs, the caches that must forget, the bytes on the disk.

What lives here: their order. No method of a guest's: nothing here is reachable from a program. Who ends the calls of a
user or a program beforehand is the host that owns them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from host_api import audit
from host_api.contract import Codec
from host_api.erasure import program
from host_api.erasure import user as users
from host_api.erasure.export import export_user
from host_api.erasure.program import erase_program
from host_api.erasure.user import DELETED, REWRITTEN, Erased, erase_user, under_way
from host_api.errors import ApiError, ErrorCode
from host_api.payment.orders import CloseReason
from host_api.payment.sweep import close_program
from host_api.releases import removal
from host_api.store.protocol import Store, Transaction

T = TypeVar("T")

ROWS_AT_ONCE: Final = 1_000
"""In one transaction; other writers have their turn between two."""
_NOT_KEPT: Final = frozenset({"user", "exported_us"})


class Cache(Protocol):
    """What remembers values of programs; StorageService is one."""

    def forget(self, *, app_id: str | None = None, user: str | None = None) -> None: ...
    def stop_caching(self) -> None: ...


class Journal(Protocol):
    """What is kept of calls beside the store; runtime.journal is one."""

    async def forget_user(self, user: str) -> int: ...
    async def forget_program(self, app_id: str) -> int: ...


class Erasure:
    """The operator's. `cache`: None where no program runs (a state that is worked on offline). `journal`: None
    where none is kept. `new_id`: 128 random bits as text; `new_salt`: see `audit.subject`.
    """

    def __init__(
        self,
        *,
        store: Store,
        codec: Codec,
        cache: Cache | None,
        journal: Journal | None,
        new_id: Callable[[], str],
        new_salt: Callable[[], bytes],
    ) -> None:
        self._store = store
        self._codec = codec
        self._cache = cache
        self._journal = journal
        self._new_id = new_id
        self._new_salt = new_salt

    async def export_user(self, user: str) -> dict[str, Any]:
        """Everything the host keeps of the user, as plain values; audited. Raises ApiError of the store, ValueError."""
        if not user:
            raise ValueError("a user has a name: '' is nobody")
        found = await export_user(self._store, user, self._codec)
        if any(section for name, section in found.items() if name not in _NOT_KEPT):
            await self._store.write(partial(self._told, user=user))
        return found

    def _told(self, tx: Transaction, *, user: str) -> None:
        """The audit names nobody who was erased while they were exported."""
        audit.record(tx, "user.exported", subject=audit.subject(tx, user if _is_kept(tx, user) else "", self._new_salt))

    async def erase_user(self, user: str, *, forfeit_balance: bool = False) -> Erased:
        """Erase a user: the rows, what is cached, then the bytes on the disk. No call of theirs may be in flight.

        Raises BalanceLeft and ValueError (nothing happened), and ApiError of the store: UNKNOWN_OUTCOME means to do it
        again. Once begun, what an ApiError, a cancellation or a crash leaves is done by doing it again, or by `finish`;
        only a balance that came in while hundreds of open orders were closed is a refusal in the middle.
        """
        if user in self._store.read(under_way):
            await self._erase_user(user, forfeit_balance)
        erased = await self._erase_user(user, forfeit_balance)
        await self._store.scrub()
        return erased

    async def finish(self) -> None:
        """Go on with users' erasures that were begun; for a host that opens, before any call. Raises ApiError as
        `erase_user`."""
        if unfinished := self._store.read(under_way):
            for user in unfinished:
                await self._erase_user(user, forfeit_balance=False)
            await self._store.scrub()

    async def _erase_user(self, user: str, forfeit_balance: bool) -> Erased:
        if self._journal is not None:  # first: what a crash cuts short is asked for again
            await self._journal.forget_user(user)
        total = Erased(rows=0, orders_closed=0, forfeited=())
        after: users.Place | None = users.START
        while after is not None:
            job = partial(
                erase_user, user=user, at_most=ROWS_AT_ONCE, new_id=self._new_id, forfeit_balance=forfeit_balance,
                after=after,
            )  # fmt: skip
            did, after = await self._erase(job, user=user)
            total += did
        return total

    async def uninstall(self, app_id: str, *, erase: bool) -> tuple[int, int]:
        """Where no host runs: the program is gone, its orders that are not paid close, holds are void, their prompts'
        rows go, and its releases; with `erase` what it kept and said. How many orders, how many rows of that. Raises
        ApiError of the store; done again, it goes on."""
        await self._store.write(lambda tx: removal.leave(tx, app_id))
        closed = await self._end_payments(app_id)
        while await self._store.write(lambda tx: removal.remove_some(tx, app_id, scrub=erase)):
            pass
        rows = await self.erase_program(app_id) if erase else 0
        await self._store.write(lambda tx: removal.forget(tx, app_id))
        return closed, rows

    async def _end_payments(self, app_id: str) -> int:
        total = 0
        while closed := await self._store.write(partial(_close_some, app_id=app_id)):
            total += closed
        return total

    async def erase_program(self, app_id: str) -> int:
        """Erase what a program kept and said; how many rows. It is not installed any more, and none of its calls is in
        flight. Its payments are ended first. Raises ApiError as `erase_user`; done again, it goes on."""
        await self._end_payments(app_id)
        if self._journal is not None:
            await self._journal.forget_program(app_id)
        total = 0
        after: program.Place | None = program.START
        while after is not None:
            job = partial(erase_program, app_id=app_id, at_most=ROWS_AT_ONCE, new_id=self._new_id, after=after)
            rows, after = await self._erase(job, app_id=app_id)
            total += rows
        await self._store.scrub()
        return total

    async def _erase(self, job: Callable[[Transaction], T], **whose: str) -> T:
        try:
            return await self._store.write(job)
        except ApiError as error:
            if error.code is ErrorCode.UNKNOWN_OUTCOME and self._cache is not None:
                self._cache.stop_caching()
            raise
        finally:
            if self._cache is not None:
                self._cache.forget(**whose)


def _close_some(tx: Transaction, app_id: str) -> int:
    return close_program(tx, app_id, CloseReason.UNINSTALLED, ROWS_AT_ONCE)


def _is_kept(tx: Transaction, user: str) -> bool:
    return any(
        tx.execute(f"SELECT 1 FROM {table} WHERE {column} = :user LIMIT 1", {"user": user})
        for table, column in {**DELETED, **REWRITTEN}.items()
        if table not in ("accounts", "storage_values")  # known by kind and owner, by program and user
    ) or bool(tx.execute("SELECT 1 FROM accounts WHERE kind = 'wallet' AND owner = :user LIMIT 1", {"user": user}))
