"""Erasing a user: one job of `Store.write`, after which no row says who they were.

What lives here: which rows go, which stay under a tombstone, and what happens to money first. That the bytes go too is
`Store.scrub`'s; that no call of the user's writes meanwhile is seen to by the caller.

Rows that only say something of the user are deleted. Rows that money hangs on stay for ever, under one tombstone for
all of the user's, so that every sum still verifies: orders, their usage, the wallet. Events stay, as nobody's: their
program is still to be told what became of its orders. What the audit says of the user is a commitment under a salt
that goes: from then on it means nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from host_api import audit, ledger
from host_api.erasure.texts import blank_event, blank_order
from host_api.erasure.tombstone import is_tombstone, tombstone
from host_api.ledger import AccountKind, AccountName, Leg
from host_api.money import AMOUNT_MAX, Money, amount_text
from host_api.payment.orders import CloseReason
from host_api.payment.sweep import close_program
from host_api.store.protocol import Transaction, owe_scrub

DELETED: Final[Mapping[str, str]] = {
    "storage_values": "scope_user",
    "storage_usage": "scope_user",
    "idempotency": "user_id",
    "user_fields": "user_id",
    "consents": "user_id",
    "prompts": "user_id",
    "prompt_declines": "user_id",
    "notices": "user_id",
    "subjects": "user_id",
}
"""Table → its column of the user; the user's rows go."""
REWRITTEN: Final[Mapping[str, str]] = {
    "orders": "user_id",
    "payment_usage": "user_id",
    "accounts": "owner",
    "events": "user_id",
}
"""Table → its column of the user; the user's rows stay, as the tombstone's, or nobody's."""
_ORDERS_AT_ONCE: Final = 1_000


class BalanceLeft(Exception):
    """The user still has money, and nobody said what is to become of it. Nothing was erased."""

    code = "balance_left"

    def __init__(self, balances: tuple[Money, ...]) -> None:
        amounts = ", ".join(amount_text(money) for money in balances)
        super().__init__(f"the user's wallet holds {amounts}: pay it out first, or forfeit it to the suspense account")
        self.balances = balances


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure did."""

    rows: int
    """Deleted or rewritten; 0: the host kept nothing of such a user."""
    orders_closed: int
    """Orders that were not paid yet, closed; what they held was the user's again."""
    forfeited: tuple[Money, ...]
    """What went from the wallet to the suspense account."""


def erase_user(tx: Transaction, user: str, *, new_id: Callable[[], str], forfeit_balance: bool = False) -> Erased:
    """Erase everything; with a balance left only if `forfeit_balance` says where it goes. May be repeated.

    `new_id`: 128 random bits as text. Raises BalanceLeft, ValueError for a name that is no user's.
    """
    if not user or is_tombstone(user):
        raise ValueError("a user has a name, and it is not that of an erased one")
    nobody = tombstone(new_id)
    closed = _end_payments(tx, user)
    forfeited = _empty_wallet(tx, user, nobody, forfeit_balance)
    _blank(tx, user, new_id)
    rows = _rewrite(tx, user, nobody) + _delete(tx, user)
    if rows:
        audit.record(tx, "user.erased", rows=rows, orders_closed=closed)
        owe_scrub(tx)
    return Erased(rows=rows, orders_closed=closed, forfeited=forfeited)


def _end_payments(tx: Transaction, user: str) -> int:
    """Orders that may still become payments close, holds are void."""
    closed = 0
    for (app_id,) in tx.execute(
        "SELECT DISTINCT app_id FROM orders WHERE user_id = :user"
        " AND status IN ('pending', 'confirming', 'authorized') ORDER BY app_id",
        {"user": user},
    ):
        while done := close_program(tx, app_id, CloseReason.REVOKED, _ORDERS_AT_ONCE, user=user):
            closed += done
    return closed


def _empty_wallet(tx: Transaction, user: str, nobody: str, forfeit: bool) -> tuple[Money, ...]:
    left = tuple(
        Money(amount=min(amount - moved, AMOUNT_MAX), currency=currency)
        for currency, amount in tx.execute(
            "SELECT currency, credits_posted - debits_posted FROM accounts WHERE kind = 'wallet' AND owner = :user"
            " AND credits_posted > debits_posted ORDER BY currency",
            {"user": user},
        )
        for moved in range(0, amount, AMOUNT_MAX)  # what one transfer may move
    )
    if left and not forfeit:
        raise BalanceLeft(left)
    for n, money in enumerate(left):
        wallet = AccountName(kind=AccountKind.WALLET, owner=user, currency=money.currency)
        suspense = AccountName(kind=AccountKind.SUSPENSE, currency=money.currency)
        leg = Leg(kind="forfeit", cause=nobody, debit=wallet, credit=suspense, amount=money.amount, n=n)
        ledger.move(tx, (leg,))
        audit.record(tx, "ledger.forfeited", amount=money.amount, currency=money.currency)
    return left


def _blank(tx: Transaction, user: str, new_id: Callable[[], str]) -> None:
    """The programs' texts about the user."""
    for app_id, order_id in tx.execute("SELECT app_id, id FROM orders WHERE user_id = :user", {"user": user}):
        blank_order(tx, app_id, order_id, new_id)
    for seq, topic in tx.execute("SELECT seq, topic FROM events WHERE user_id = :user", {"user": user}):
        blank_event(tx, seq, topic)


def _rewrite(tx: Transaction, user: str, nobody: str) -> int:
    return sum(
        len(tx.execute(sql, {"user": user, "nobody": nobody}))
        for sql in (
            "UPDATE orders SET user_id = :nobody WHERE user_id = :user RETURNING 1",
            "UPDATE payment_usage SET user_id = :nobody WHERE user_id = :user RETURNING 1",
            "UPDATE accounts SET owner = :nobody WHERE kind = 'wallet' AND owner = :user RETURNING 1",
        )
    ) + len(tx.execute("UPDATE events SET user_id = '' WHERE user_id = :user RETURNING 1", {"user": user}))


def _delete(tx: Transaction, user: str) -> int:
    rows = 0
    for (app_id,) in tx.execute("SELECT app_id FROM storage_usage WHERE scope_user = :user", {"user": user}):
        rows += len(
            tx.execute(
                "DELETE FROM storage_values WHERE app_id = :app_id AND scope_user = :user RETURNING 1",
                {"app_id": app_id, "user": user},
            )
        )
    for table, column in DELETED.items():
        if table != "storage_values":  # the largest, and known by program and user
            rows += len(tx.execute(f"DELETE FROM {table} WHERE {column} = :user RETURNING 1", {"user": user}))
    return rows
