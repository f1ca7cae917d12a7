"""The ledger's proof: every transfer replayed from an empty ledger, compared with what the accounts say.

What lives here: invariants 1 to 5 of docs/protocol.md as far as accounts and transfers go; orders are checked in
payment/verification.py. Read-only. It computes with whole numbers of its own, not with the SQL it checks.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from host_api.ledger import AccountKind, Phase
from host_api.store.protocol import Row, Transaction

_CHUNK: Final = 10_000
FINDINGS_MAX: Final = 1_000
"""A ledger this broken is not made clearer by more."""
_TRANSFERS = """
    SELECT seq, id, phase, debit_account, credit_account, amount, currency, pending_id, order_id FROM transfers
    WHERE seq > :last ORDER BY seq LIMIT :chunk"""


@dataclass(slots=True)
class _Replayed:
    """One account's counters as the transfers make them."""

    kind: str
    currency: str
    stored: tuple[int, int, int, int] = (0, 0, 0, 0)
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


class Replay:
    """The ledger replayed as far as it was read. `advance` may be called again and again: it reads what came since."""

    def __init__(self) -> None:
        self._accounts: dict[int, _Replayed] = {}
        self._held: dict[bytes, tuple[int, int, int, str]] = {}
        """Holds not resolved yet: debit account, credit account, amount, order."""
        self._last = 0
        self._findings: list[str] = []

    def advance(self, tx: Transaction) -> list[str]:
        """What is wrong, one line each, the first difference first; as `verify`."""
        self._findings = []
        for row in _accounts(tx):
            account = self._accounts.setdefault(row[0], _Replayed(row[1], row[2]))
            account.stored = (row[3], row[4], row[5], row[6])
        while rows := tx.execute(_TRANSFERS, {"last": self._last, "chunk": _CHUNK}):
            for row in rows:
                self._apply(row)
            self._last = rows[-1][0]
        self._compare()
        return self._findings

    def _compare(self) -> None:
        sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for identity, account in self._accounts.items():
            if account.stored != account.counters:
                self._find(f"account {identity}: counters {account.stored}, by its transfers {account.counters}")
            debits_pending, debits_posted, credits_pending, credits_posted = account.stored
            sums[account.currency][0] += debits_posted - credits_posted
            sums[account.currency][1] += debits_pending - credits_pending
        for currency, (posted, pending) in sums.items():
            if posted or pending:
                self._find(f"{currency}: debits less credits are {posted} posted and {pending} pending, not 0")

    def _find(self, text: str) -> None:
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(text)

    def _apply(self, row: Row) -> None:
        seq, identity, phase, debit_id, credit_id, amount, currency, pending_id, order_id = row
        debit, credit = self._accounts.get(debit_id), self._accounts.get(credit_id)
        if debit is None or credit is None:
            self._find(f"transfer {seq}: its account is missing")
            return
        if not debit.currency == credit.currency == currency:
            self._find(f"transfer {seq}: {currency} between accounts of {debit.currency} and {credit.currency}")
        match phase:
            case Phase.SINGLE:
                debit.debits_posted += amount
                credit.credits_posted += amount
            case Phase.PENDING:
                debit.debits_pending += amount
                credit.credits_pending += amount
                self._held[identity] = (debit_id, credit_id, amount, order_id)
            case _:
                self._resolve(seq, phase, pending_id, (debit_id, credit_id, amount, order_id))
        if debit.overdrawn:
            self._find(f"transfer {seq}: account {debit_id} is overdrawn")

    def _resolve(self, seq: int, phase: str, pending_id: bytes, given: tuple[int, int, int, str]) -> None:
        hold = self._held.pop(pending_id, None)
        if hold is None:
            self._find(f"transfer {seq}: resolves a hold that is not open")
            return
        debit_id, credit_id, held, order_id = hold
        if given[:2] != (debit_id, credit_id) or given[3] != order_id or not _resolves(phase, given[2], held):
            self._find(f"transfer {seq}: differs from the hold it resolves")
        debit, credit = self._accounts[debit_id], self._accounts[credit_id]
        debit.debits_pending -= held
        credit.credits_pending -= held
        if phase == Phase.POST:
            debit.debits_posted += given[2]
            credit.credits_posted += given[2]


def _resolves(phase: str, amount: int, held: int) -> bool:
    return amount == held if phase == Phase.VOID else amount <= held


def verify(tx: Transaction) -> list[str]:
    """What is wrong, one line each, the first difference first; empty when the ledger holds together. Reads all of it:
    minutes for millions.

    Checked: per currency debits equal credits, posted and pending (1); counters equal the replayed transfers (2);
    nobody but funding is overdrawn, at any transfer (3); a transfer and its accounts share a currency (4); a hold is
    resolved at most once, by no more than it holds (5).
    """
    return Replay().advance(tx)


def _accounts(tx: Transaction) -> list[Row]:
    return tx.execute(
        "SELECT id, kind, currency, debits_pending, debits_posted, credits_pending, credits_posted"
        " FROM accounts ORDER BY id"
    )
