"""What can be asked of a state, whether a host runs on it or not: money, users, prompts, consents, the audit.

What lives here: operations that need the store and nothing that runs programs. A host offers them to its operator
(operations.py); the command line offers them on a state directory that no host uses.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from host_api import audit, balances, ledger
from host_api.erasure.program import Uninstalled
from host_api.erasure.service import Erasure
from host_api.erasure.tombstone import is_tombstone
from host_api.erasure.user import BalanceLeft, Erased
from host_api.errors import ApiError, ErrorCode
from host_api.front_end.sessions import FrontEnds
from host_api.money import AMOUNT_MAX, Money
from host_api.notify.notices import Notices
from host_api.payment import records, sweep
from host_api.payment.orders import Order
from host_api.payment.standing import as_seen
from host_api.prompts.desk import Desk
from host_api.store import Store, StoreError, Transaction
from host_api.store.key_file import FOLDER, KEY_BYTES, open_key
from host_api.user.consent import ConsentStore
from host_api.user.directory import EmbeddedDirectory
from runtime import signed_head, sources, verification
from runtime.backup import Manifest, back_up
from runtime.errors import StartupError, UsageError
from runtime.journal.entries import LogLine, PastCall, Query
from runtime.journal.journal import Journal
from runtime.made_backups import MadeBackup, made
from runtime.signed_head import SignedHead

_COUNTED: Final = ("accounts", "transfers", "orders", "refunds", "events", "audit")
Progress = Callable[[str, int], None]
"""Told what is looked at now, and how many rows were read; it may be called from another thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a proof of the whole state found."""

    findings: list[str]
    """What is wrong, one line each, the first difference first."""
    head: audit.Head
    rows: dict[str, int]
    """Table → how many rows it has."""


class StateOperations:
    """Used from the trio thread that opened the store. `directory`: the state directory; None for one in memory."""

    def __init__(
        self, *, store: Store, directory: Path | None, desk: Desk, users: EmbeddedDirectory, consents: ConsentStore,
        notices: Notices, front_end: FrontEnds, erasure: Erasure, journal: Journal | None,
    ) -> None:  # fmt: skip
        self._store, self._erasure = store, erasure
        self.directory = directory
        """The state directory; None for a state in memory."""
        self.journal = journal
        """Receipts and programs' log lines, to be read and followed; None where none are kept."""
        self._audit_key: bytes | None = None
        self.prompts = desk
        """Prompts that wait for their users: where a front end lists, shows and answers them."""
        self.users = users
        """What is known of users, unless the platform brought a directory of its own."""
        self.consents = consents
        """What users allowed which program, for them to see and take back."""
        self.notices = notices
        """Messages from programs to users, to be shown and taken."""
        self.front_end = front_end
        """Tokens with which front ends speak for their users, issued and ended."""

    def now_us(self) -> int:
        """The host's time, µs since the epoch."""
        return self._store.now_us()

    # ---- money -------------------------------------------------------------------------------------------------------
    async def deposit(self, user: str, money: Money, *, reference: str | None = None) -> bool:
        """Money from outside into a user's wallet. False if `reference` was booked before (then nothing happens)."""
        if is_tombstone(user):
            raise UsageError("no user is called so: such names stand for users that were erased")
        reference = reference or sources.new_id()
        return await self._store.write(
            lambda tx: ledger.deposit(tx, user=user, money=money, reference=reference, new_salt=sources.new_salt)
        )

    def balance(self, account: ledger.AccountName) -> ledger.Balance:
        """Posted and pending balances of one account; zeros where it was never used."""
        return self._store.read(lambda tx: sweep.balance(tx, account))

    def balances(self, owner: str = "") -> list[balances.Total]:
        """The accounts of a user or program; '': sums over all accounts, by kind and currency."""
        return self._store.read(lambda tx: _balances(tx, owner))

    def order(self, app_id: str, order_id: str) -> Order:
        """As it is now. Raises ApiError NOT_FOUND."""

        def read(tx: Transaction) -> Order:
            order = records.order_by_id(tx, app_id, order_id)
            if order is None:
                raise ApiError(ErrorCode.NOT_FOUND, "no such order")
            return as_seen(tx, order)

        return self._store.read(read)

    # ---- programs ----------------------------------------------------------------------------------------------------
    async def uninstall(self, app_id: str, *, end_calls: bool = False, erase: bool = False) -> Uninstalled:
        """The program's releases go, its unpaid orders close, and with `erase` what it kept and said is erased, on the
        disk too. What was paid stays. No call of it is in flight here. Raises ApiError of the store; done again, it
        goes on."""
        closed, rows = await self._erasure.uninstall(app_id, erase=erase)
        return Uninstalled(orders_closed=closed, rows_erased=rows)

    # ---- users -------------------------------------------------------------------------------------------------------
    async def export_user(self, user: str) -> dict[str, Any]:
        """Everything the host keeps of a user, as plain values, by section. ValueError; ApiError of the store."""
        return await self._erasure.export_user(user)

    async def erase_user(self, user: str, *, forfeit_balance: bool = False) -> Erased:
        """Forget a user, on the disk too: their prompts and unpaid orders are closed, and what stays of payments names
        nobody.

        Raises BalanceLeft, with nothing erased, while money is in a wallet and `forfeit_balance` is not said; ApiError
        of the store. See docs/protocol.md, Erasure.
        """
        if not user:
            raise UsageError("a user has a name: '' is nobody")
        if not forfeit_balance:
            self._check_wallets(user)
        return await self._erase_user(user, forfeit_balance)

    async def _erase_user(self, user: str, forfeit_balance: bool) -> Erased:
        await self.front_end.end_sessions(user, erasing=True)
        return await self._erasure.erase_user(user, forfeit_balance=forfeit_balance)

    def _check_wallets(self, user: str) -> None:
        """Before anything is ended for an erasure that will be refused. The erasure itself looks again."""
        accounts = self._store.read(lambda tx: balances.of_owner(tx, user))
        left = tuple(
            Money(amount=min(balance.posted, AMOUNT_MAX), currency=name.currency)
            for name, balance in accounts
            if name.kind is ledger.AccountKind.WALLET and balance.posted > 0
        )
        if left:
            raise BalanceLeft(left)

    # ---- the journal -------------------------------------------------------------------------------------------------
    async def receipts(self, query: Query, limit: int = 100) -> list[PastCall]:
        """Of the newest calls that `query` asks for, the oldest first; [] where none are kept."""
        return [] if self.journal is None else await self.journal.receipts(query, limit)

    async def logs(self, query: Query, limit: int = 100) -> list[LogLine]:
        """The newest lines that programs logged and `query` asks for, the oldest first; [] where none are kept."""
        return [] if self.journal is None else await self.journal.lines(query, limit)

    async def follow_logs(self, query: Query, take: Callable[[LogLine | None], None], limit: int = 100) -> None:
        """As `logs`, and then those that come, until it is cancelled; `take` is short. None stands for lines that were
        dropped, because they came faster than they were taken. Raises UsageError: too many follow already."""
        if self.journal is not None:
            async with self.journal.follow("logs", query, limit) as tail:
                async for line in tail:
                    take(line)

    async def follow_receipts(self, query: Query, take: Callable[[PastCall | None], None], limit: int = 0) -> None:
        """As `follow_logs`, of calls as they end."""
        if self.journal is not None:
            async with self.journal.follow("receipts", query, limit) as tail:
                async for told in tail:
                    take(told)

    # ---- backups -----------------------------------------------------------------------------------------------------
    async def backup(self, to: Path, *, journal: bool = False) -> Manifest:
        """A backup of all that is kept, as the new folder `to`, while everything goes on (docs/operations.md). What was
        acknowledged before this call is in it; audited. `journal`: with receipts and programs' log lines.

        Raises UsageError: nothing is kept, or the folder cannot be made; ApiError of the store. Nothing is left then.
        """
        if self.directory is None:
            raise UsageError("this host keeps everything in memory: there is nothing to back up")
        if journal and self.journal is not None:
            await self.journal.flush()
        return await back_up(self._store, self.directory, to, journal=journal)

    async def backups(self) -> list[MadeBackup]:
        """Those that were made of this state, newest first, with how many erasures came after each."""
        return await self._store.survey(made)

    # ---- proof -------------------------------------------------------------------------------------------------------
    def audit_head(self) -> audit.Head:
        """Where the audit's chain is now: kept outside, it proves later that nothing was cut off or changed."""
        return self._store.read(audit.head)

    async def audit_key(self) -> str:
        """The public key that heads of the audit are signed with; '' before the first was signed. Raises
        StartupError: the key is lost, or not the host's alone."""
        if self._audit_key is None:
            made = self.directory is not None and (self.directory / FOLDER / signed_head.KEY_PURPOSE).exists()
            if not made:
                return ""
            await self.signed_head()
        return "" if self._audit_key is None else str(signed_head.public_key(self._audit_key))

    async def signed_head(self) -> SignedHead:
        """The audit's head, signed with the host's key, which is made with the first. Raises StartupError."""
        if self._audit_key is None:
            self._audit_key = await self._open_audit_key()
        return signed_head.sign(self.audit_head(), self._store.now_us(), self._audit_key)

    async def _open_audit_key(self) -> bytes:
        try:
            return await open_key(
                self._store, self.directory, signed_head.KEY_PURPOSE, lambda: secrets.token_bytes(KEY_BYTES)
            )
        except StoreError as error:
            raise StartupError(str(error), code=error.code) from error

    def audit_records(self, after: int = 0, limit: int = 100) -> list[tuple[int, str]]:
        """(number, record as JSON) of up to `limit` records after that number; unproved."""
        return self._store.read(lambda tx: audit.records_after(tx, after, limit))

    def verify(self, head: audit.Head | None = None, *, progress: Callable[[str], None] | None = None) -> list[str]:
        """Recompute ledger, orders, events and audit: what is wrong, one line each, the first difference first; empty
        when all of it holds. Reads everything; nothing else runs meanwhile: `survey` lets it."""
        return self._store.read(lambda tx: verification.verify(tx, head, progress))

    async def survey(
        self, head: audit.Head | None = None, *, audit_only: bool = False, progress: Progress | None = None
    ) -> Survey:
        """As `verify`, on one snapshot, while everything else goes on; also what there is."""
        return await self._store.survey(partial(_survey, known=head, audit_only=audit_only, progress=progress))


def _balances(tx: Transaction, owner: str) -> list[balances.Total]:
    if not owner:
        return balances.totals(tx)
    return [
        balances.Total(kind=name.kind, currency=name.currency, accounts=1, balance=balance)
        for name, balance in balances.of_owner(tx, owner)
    ]


def _survey(tx: Transaction, *, known: audit.Head | None, audit_only: bool, progress: Progress | None) -> Survey:
    counted = _Counted(tx, progress)
    if audit_only:
        counted.part("audit")
        findings = [found for found in (audit.verify(counted, known),) if found]
    else:
        findings = verification.verify(counted, known, counted.part)
    rows = {name: int(tx.execute(f"SELECT count(*) FROM {name}")[0][0]) for name in _COUNTED}
    return Survey(findings=findings, head=audit.head(tx), rows=rows)


class _Counted:
    """A `Transaction` that tells how far a proof has come."""

    def __init__(self, tx: Transaction, progress: Progress | None) -> None:
        self._tx, self._progress = tx, progress
        self._part, self._rows = "", 0
        self.now_us = tx.now_us

    def part(self, name: str) -> None:
        self._part = name
        if self._progress is not None:
            self._progress(name, self._rows)

    def execute(self, sql: str, bindings: Any = ()) -> list[tuple[Any, ...]]:
        rows = self._tx.execute(sql, bindings)
        self._rows += len(rows)
        if self._progress is not None and rows:
            self._progress(self._part, self._rows)
        return rows

    def savepoint(self) -> Any:
        return self._tx.savepoint()
