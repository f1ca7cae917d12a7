"""Erasing a user: jobs of `Store.write`, after which no row says who they were.

What lives here: which rows go, which stay under a tombstone, and what happens to money first. That the bytes go too is
`Store.scrub`'s; that no call of the user's writes meanwhile is seen to by the caller.

The first job takes the user's name off orders, usage and wallet at once, so that at no moment a sum or a party is in
doubt; it is one statement a table. All else is some rows a job, under the mark that the first one leaves in `erasures`
if it is not the last: whoever finds the mark goes on, and what was done already is not there to be found.

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
from host_api.erasure.rows import delete, delete_values
from host_api.erasure.texts import BLANK, OF_PAYMENT, blank_order
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
    "notices": "user_id",
    "consents": "user_id",
    "prompts": "user_id",
    "prompt_declines": "user_id",
    "user_fields": "user_id",
    "trial_users": "user_id",
    "subjects": "user_id",
    "erasures": "user_id",
}
"""Table → its column of the user; the user's rows go, those of `erasures` with the last."""
REWRITTEN: Final[Mapping[str, str]] = {
    "orders": "user_id",
    "payment_usage": "user_id",
    "accounts": "owner",
    "events": "user_id",
}
"""Table → its column of the user; the user's rows stay, as the tombstone's, or nobody's."""
ROWS_AN_ORDER: Final = 5
"""What an order counts for where rows are counted: itself, its refunds and its events."""


class BalanceLeft(Exception):
    """The user still has money, and nobody said what is to become of it. Nothing was erased."""

    code = "balance_left"

    def __init__(self, balances: tuple[Money, ...]) -> None:
        amounts = ", ".join(amount_text(money) for money in balances)
        super().__init__(f"the user's wallet holds {amounts}: pay it out first, or forfeit it to the suspense account")
        self.balances = balances


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure did, or one job of it."""

    rows: int
    """Deleted or rewritten; 0: the host kept nothing of such a user."""
    orders_closed: int
    """Orders that were not paid yet, closed; what they held was the user's again."""
    forfeited: tuple[Money, ...]
    """What went from the wallet to the suspense account."""

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            rows=self.rows + other.rows,
            orders_closed=self.orders_closed + other.orders_closed,
            forfeited=self.forfeited + other.forfeited,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far the orders of an erased user were looked through: up to this one."""

    app_id: str = ""
    created_us: int = 0
    order_id: str = ""


START: Final = Place()


def under_way(tx: Transaction) -> list[str]:
    """Users whose erasure began and did not end."""
    return [user for (user,) in tx.execute("SELECT user_id FROM erasures ORDER BY user_id")]


def erase_user(
    tx: Transaction,
    user: str,
    at_most: int,
    *,
    new_id: Callable[[], str],
    forfeit_balance: bool = False,
    after: Place = START,
) -> tuple[Erased, Place | None]:
    """Begin to erase everything, or go on: about `at_most` rows, and in the first job the name on all orders. With a
    balance left only if `forfeit_balance` says where it goes.

    What it did, and `after` for the next job; None: all is done. `new_id`: 128 random bits as text. Raises BalanceLeft,
    ValueError for a name that is no user's.
    """
    if not user or is_tombstone(user):
        raise ValueError("a user has a name, and it is not that of an erased one")
    marked = tx.execute("SELECT tombstone FROM erasures WHERE user_id = :user", {"user": user})
    nobody = str(marked[0][0]) if marked else tombstone(new_id)
    did, then = Erased(rows=0, orders_closed=0, forfeited=()), None
    begun = bool(marked)
    if not begun:
        did, begun = _begin(tx, user, nobody, at_most, forfeit_balance)
    if begun:
        rows, then = _go_on(tx, user, nobody, at_most, new_id, after)
        did += Erased(rows=rows, orders_closed=0, forfeited=())
        _mark(tx, user, nobody, bool(marked), then)
    else:
        then = after
    if did.rows or did.orders_closed or marked:
        what = "user.erased" if then is None else "user.erasing"
        audit.record(tx, what, rows=did.rows, orders_closed=did.orders_closed)
        owe_scrub(tx)
    return did, then


def _mark(tx: Transaction, user: str, nobody: str, marked: bool, then: Place | None) -> None:
    if marked and then is None:
        tx.execute("DELETE FROM erasures WHERE user_id = :user", {"user": user})
    elif not marked and then is not None:
        tx.execute(
            "INSERT INTO erasures (user_id, tombstone) VALUES (:user, :nobody)", {"user": user, "nobody": nobody}
        )


# ---- the first job ---------------------------------------------------------------------------------------------------
def _begin(tx: Transaction, user: str, nobody: str, at_most: int, forfeit: bool) -> tuple[Erased, bool]:
    """Money, and the name on what money hangs on. False: so many orders were to be closed that others have their turn
    before the name goes."""
    left = _balances(tx, user)
    if left and not forfeit:
        raise BalanceLeft(left)
    orders = max(1, at_most // ROWS_AN_ORDER)
    closed = _end_payments(tx, user, orders)
    if closed >= orders:
        return Erased(rows=0, orders_closed=closed, forfeited=()), False
    for n, money in enumerate(left):
        _forfeit(tx, user, nobody, money, n)
    return Erased(rows=_rewrite(tx, user, nobody), orders_closed=closed, forfeited=left), True


def _balances(tx: Transaction, user: str) -> tuple[Money, ...]:
    """What the wallets hold, with what is held in them, in amounts that one transfer may move."""
    return tuple(
        Money(amount=min(amount - moved, AMOUNT_MAX), currency=currency)
        for currency, amount in tx.execute(
            "SELECT currency, credits_posted - debits_posted FROM accounts WHERE kind = 'wallet' AND owner = :user"
            " AND credits_posted > debits_posted ORDER BY currency",
            {"user": user},
        )
        for moved in range(0, amount, AMOUNT_MAX)
    )


def _end_payments(tx: Transaction, user: str, at_most: int) -> int:
    """Orders that may still become payments close, holds are void; up to `at_most` of them."""
    closed = 0
    for (app_id,) in tx.execute(
        "SELECT DISTINCT app_id FROM orders WHERE user_id = :user"
        " AND status IN ('pending', 'confirming', 'authorized') ORDER BY app_id",
        {"user": user},
    ):
        closed += close_program(tx, app_id, CloseReason.REVOKED, at_most - closed, user=user)
    return closed


def _forfeit(tx: Transaction, user: str, nobody: str, money: Money, n: int) -> None:
    wallet = AccountName(kind=AccountKind.WALLET, owner=user, currency=money.currency)
    suspense = AccountName(kind=AccountKind.SUSPENSE, currency=money.currency)
    leg = Leg(kind="forfeit", cause=nobody, debit=wallet, credit=suspense, amount=money.amount, n=n)
    ledger.move(tx, (leg,))
    audit.record(tx, "ledger.forfeited", amount=money.amount, currency=money.currency)


def _rewrite(tx: Transaction, user: str, nobody: str) -> int:
    rows = 0
    for table, column, also in (
        ("orders", "user_id", ""),
        ("payment_usage", "user_id", ""),
        ("accounts", "owner", " AND kind = 'wallet'"),
    ):
        of = {"user": user, "nobody": nobody}
        rows += int(tx.execute(f"SELECT count(*) FROM {table} WHERE {column} = :user{also}", of)[0][0])
        tx.execute(f"UPDATE {table} SET {column} = :nobody WHERE {column} = :user{also}", of)
    return rows


# ---- every job -------------------------------------------------------------------------------------------------------
def _go_on(
    tx: Transaction, user: str, nobody: str, at_most: int, new_id: Callable[[], str], after: Place
) -> tuple[int, Place | None]:
    """About `at_most` rows; the user's salt goes with the last. How many, and how far the orders are."""
    rows, all_gone = _delete(tx, user, at_most)
    if not all_gone:
        return rows, after
    rows += _unname_events(tx, user, at_most - rows)
    if rows >= at_most:
        return rows, after
    blanked, then = _blank_orders(tx, nobody, (at_most - rows) // ROWS_AN_ORDER + 1, new_id, after)
    if then is None:
        blanked += delete(tx, "subjects", "user_id", user, at_most)
    return rows + blanked, then


def _delete(tx: Transaction, user: str, at_most: int) -> tuple[int, bool]:
    """What only says something of the user, but the salt. How many rows, and whether that is all."""
    rows = 0
    for (app_id,) in tx.execute("SELECT app_id FROM storage_usage WHERE scope_user = :user", {"user": user}):
        deleted, all_gone = delete_values(tx, app_id, user, at_most - rows)
        rows += deleted
        if not all_gone:
            return rows, False
    for table, column in DELETED.items():
        if table not in ("storage_values", "subjects", "erasures"):
            rows += delete(tx, table, column, user, at_most - rows)
    return rows, rows < at_most


def _unname_events(tx: Transaction, user: str, at_most: int) -> int:
    """They are nobody's now; what is not told of a payment is blanked."""
    return len(
        tx.execute(
            f"UPDATE events SET user_id = '', payload = CASE WHEN {OF_PAYMENT} THEN payload ELSE '{{}}' END"
            " WHERE seq IN (SELECT seq FROM events WHERE user_id = :user LIMIT :at_most) RETURNING 1",
            {"user": user, "at_most": at_most},
        )
    )


def _blank_orders(
    tx: Transaction, nobody: str, at_most: int, new_id: Callable[[], str], after: Place
) -> tuple[int, Place | None]:
    """The programs' texts about the user, in the next orders."""
    orders = tx.execute(
        "SELECT app_id, created_us, id, subject FROM orders WHERE user_id = :nobody"
        " AND (app_id, created_us, id) > (:app_id, :created_us, :id) ORDER BY app_id, created_us, id LIMIT :at_most",
        {
            "nobody": nobody, "app_id": after.app_id, "created_us": after.created_us, "id": after.order_id,
            "at_most": at_most,
        },
    )  # fmt: skip
    blanked = 0
    for app_id, created_us, order_id, subject in orders:
        after = Place(app_id=app_id, created_us=created_us, order_id=order_id)
        if subject != BLANK:
            blank_order(tx, app_id, order_id, new_id)
            blanked += 1
    return blanked, after if len(orders) == at_most else None
