"""What lies in the ledger's accounts, for their operator: sums, and the accounts of one owner. Read-only."""

from __future__ import annotations

from dataclasses import dataclass

from host_api.ledger import AccountKind, AccountName, Balance
from host_api.payment import sweep
from host_api.store.protocol import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All accounts of one kind in one currency; amounts in minor units."""

    kind: AccountKind
    currency: str
    accounts: int
    balance: Balance


def totals(tx: Transaction) -> list[Total]:
    """By kind and currency, as stored: a hold whose time is over counts until the next sweep."""
    rows = tx.execute(
        "SELECT kind, currency, count(*), sum(credits_posted - debits_posted), sum(debits_pending),"
        " sum(credits_pending) FROM accounts GROUP BY kind, currency ORDER BY kind, currency"
    )
    return [
        Total(
            kind=AccountKind(kind), currency=currency, accounts=count,
            balance=Balance(posted=posted, held=held, incoming=incoming),
        )
        for kind, currency, count, posted, held, incoming in rows
    ]  # fmt: skip


def of_owner(tx: Transaction, owner: str) -> list[tuple[AccountName, Balance]]:
    """The accounts of a user or program, by kind and currency; none if there never was one."""
    rows = tx.execute(
        "SELECT kind, currency FROM accounts WHERE kind IN ('wallet', 'merchant') AND owner = :owner"
        " ORDER BY kind, currency",
        {"owner": owner},
    )
    names = [AccountName(kind=AccountKind(kind), owner=owner, currency=currency) for kind, currency in rows]
    return [(name, sweep.balance(tx, name)) for name in names]
