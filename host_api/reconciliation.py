"""The ledger's proof: every transfer replayed from an empty ledger, compared with what the accounts say.

What lives here: invariants 1 to 5 of docs/protocol.md as far as accounts and transfers go; orders are checked in
payment/verification.py. Read-only. It computes with whole numbers of its own, not with the SQL it checks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from host_api.ledger import AccountKind, Phase
from host_api.store.protocol import Row, Transaction

_CHUNK: Final = 10_000
FINDINGS_MAX: Final = 1_000
"""A ledger this broken is not made clearer by more."""


@dataclass(slots=True)
class _Replayed:
    """One account's counters as the transfers make them."""

    kind: str
    currency: str
    stored: tuple[int, int, int, int]
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    @property
    def counters(self) -> tuple[int, int, int, int]:
        return self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted

    @property
    def overdrawn(self) -> bool:
        return self.kind != AccountKind.FUNDING and self.credits_posted < self.debits_posted + self.debits_pending


@dataclass(slots=True)
class _Replay:
    accounts: dict[int, _Replayed]
    held: dict[bytes, tuple[int, int, int, str]] = field(default_factory=dict)
    """Holds not resolved yet: debit account, credit account, amount, order."""
    findings: list[str] = field(default_factory=list)

    def find(self, text: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(text)

    def apply(self, row: Row) -> None:
        seq, identity, phase, debit_id, credit_id, amount, currency, pending_id, order_id = row
        debit, credit = self.accounts.get(debit_id), self.accounts.get(credit_id)
        if debit is None or credit is None:
            self.find(f"transfer {seq}: its account is missing")
            return
        if not debit.currency == credit.currency == currency:
            self.find(f"transfer {seq}: {currency} between accounts of {debit.currency} and {credit.currency}")
        match phase:
            case Phase.SINGLE:
                debit.debits_posted += amount
                credit.credits_posted += amount
            case Phase.PENDING:
                debit.debits_pending += amount
                credit.credits_pending += amount
                self.held[identity] = (debit_id, credit_id, amount, order_id)
            case _:
                self._resolve(seq, phase, pending_id, (debit_id, credit_id, amount, order_id))
        if debit.overdrawn:
            self.find(f"transfer {seq}: account {debit_id} is overdrawn")

    def _resolve(self, seq: int, phase: str, pending_id: bytes, given: tuple[int, int, int, str]) -> None:
        hold = self.held.pop(pending_id, None)
        if hold is None:
            self.find(f"transfer {seq}: resolves a hold that is not open")
            return
        debit_id, credit_id, held, order_id = hold
        if given[:2] != (debit_id, credit_id) or given[3] != order_id or given[2] > held:
            self.find(f"transfer {seq}: differs from the hold it resolves")
        debit, credit = self.accounts[debit_id], self.accounts[credit_id]
        debit.debits_pending -= held
        credit.credits_pending -= held
        if phase == Phase.POST:
            debit.debits_posted += given[2]
            credit.credits_posted += given[2]


def verify(tx: Transaction) -> list[str]:
    """What is wrong, one line each; empty when the ledger holds together. Reads all of it: minutes for millions.

    Checked: per currency debits equal credits, posted and pending (1); counters equal the replayed transfers (2);
    nobody but funding is overdrawn, at any transfer (3); a transfer and its accounts share a currency (4); a hold is
    resolved at most once, by no more than it holds (5).
    """
    replay = _Replay({row[0]: _Replayed(row[1], row[2], (row[3], row[4], row[5], row[6])) for row in _accounts(tx)})
    for row in _transfers(tx):
        replay.apply(row)
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for identity, account in replay.accounts.items():
        if account.stored != account.counters:
            replay.find(f"account {identity}: counters {account.stored}, by its transfers {account.counters}")
        debits_pending, debits_posted, credits_pending, credits_posted = account.stored
        sums[account.currency][0] += debits_posted - credits_posted
        sums[account.currency][1] += debits_pending - credits_pending
    for currency, (posted, pending) in sums.items():
        if posted or pending:
            replay.find(f"{currency}: debits less credits are {posted} posted and {pending} pending, not 0")
    return replay.findings


def _accounts(tx: Transaction) -> list[Row]:
    return tx.execute(
        "SELECT id, kind, currency, debits_pending, debits_posted, credits_pending, credits_posted"
        " FROM accounts ORDER BY id"
    )


def _transfers(tx: Transaction) -> Iterator[Row]:
    """All of them, oldest first, some thousand at a time."""
    last: Any = 0
    while rows := tx.execute(
        "SELECT seq, id, phase, debit_account, credit_account, amount, currency, pending_id, order_id FROM transfers"
        " WHERE seq > :last ORDER BY seq LIMIT :chunk",
        {"last": last, "chunk": _CHUNK},
    ):
        yield from rows
        last = rows[-1][0]
