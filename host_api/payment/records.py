"""The payment service's rows: orders, confirmations, usage, refunds, merchants. SQL and nothing but SQL.

Orders are inserted and updated by transitions.py alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from host_api.payment.fees import FeeTerms
from host_api.payment.orders import Capture, CloseReason, Confirmation, Order, Status
from host_api.store.protocol import Row, Transaction

DAY_US: Final = 24 * 3600 * 1_000_000
HOUR_US: Final = 3600 * 1_000_000

_ORDER = (
    "SELECT id, app_id, user_id, out_trade_no, amount, currency, subject, created_us, expires_us, status, close_reason,"
    " declines, captured, refunded, fee, version, capture, hold_until_us, captured_us, fee_returned, audit_n"
    " FROM orders"
)


def _order(row: Row) -> Order:
    return Order(
        id=row[0],
        app_id=row[1],
        user=row[2],
        out_trade_no=row[3],
        money=Money(amount=row[4], currency=row[5]),
        subject=row[6],
        created_us=row[7],
        expires_us=row[8],
        status=Status(row[9]),
        close_reason=CloseReason(row[10]) if row[10] else None,
        declines=row[11],
        captured=row[12],
        refunded=row[13],
        fee=row[14],
        version=row[15],
        capture=Capture(row[16]),
        hold_until_us=row[17],
        captured_us=row[18],
        fee_returned=row[19],
        audit_n=row[20],
    )


def order_by_id(tx: Transaction, app_id: str, order_id: str) -> Order | None:
    rows = tx.execute(f"{_ORDER} WHERE id = :id AND app_id = :app_id", {"id": order_id, "app_id": app_id})
    return _order(rows[0]) if rows else None


def order_whosever(tx: Transaction, order_id: str) -> Order | None:
    """For proofs and operators: no session may come by it."""
    rows = tx.execute(f"{_ORDER} WHERE id = :id", {"id": order_id})
    return _order(rows[0]) if rows else None


def order_by_trade_no(tx: Transaction, app_id: str, out_trade_no: str) -> Order | None:
    rows = tx.execute(
        f"{_ORDER} WHERE app_id = :app_id AND out_trade_no = :number", {"app_id": app_id, "number": out_trade_no}
    )
    return _order(rows[0]) if rows else None


def orders_after(tx: Transaction, last_id: str, at_most: int) -> list[Order]:
    """All orders, by id, some at a time."""
    rows = tx.execute(f"{_ORDER} WHERE id > :last ORDER BY id LIMIT :at_most", {"last": last_id, "at_most": at_most})
    return [_order(row) for row in rows]


def orders_due(tx: Transaction, at_most: int) -> list[Order]:
    """Those whose `due_us` has come and that nobody has written down yet, longest overdue first."""
    rows = tx.execute(
        f"{_ORDER} WHERE due_us > 0 AND due_us <= :now_us ORDER BY due_us LIMIT :at_most",
        {"now_us": tx.now_us, "at_most": at_most},
    )
    return [_order(row) for row in rows]


def lapsed_holds(tx: Transaction, user: str, currency: str) -> list[Order]:
    """The user's orders whose hold's time is over while the ledger still holds the money."""
    rows = tx.execute(
        f"{_ORDER} WHERE status = 'authorized' AND user_id = :user AND currency = :currency AND due_us <= :now_us"
        " ORDER BY due_us",
        {"now_us": tx.now_us, "user": user, "currency": currency},
    )
    return [_order(row) for row in rows]


def lapsed_amount(tx: Transaction, name: AccountName) -> int:
    """What the ledger still holds in that wallet, or for that merchant, though the holds' time is over."""
    column = {AccountKind.WALLET: "user_id", AccountKind.MERCHANT: "app_id"}.get(name.kind)
    if column is None:
        return 0
    rows = tx.execute(
        "SELECT coalesce(sum(amount), 0) FROM orders WHERE status = 'authorized'"
        f" AND {column} = :owner AND currency = :currency AND due_us <= :now_us",
        {"now_us": tx.now_us, "currency": name.currency, "owner": name.owner},
    )
    return int(rows[0][0])


def unpaid_orders(tx: Transaction, app_id: str, user: str | None, at_most: int) -> list[Order]:
    """The program's orders that may still become payments, with that user or with anybody: pending, confirming and
    authorized ones."""
    of_user = "" if user is None else " AND user_id = :user"
    rows = tx.execute(
        f"{_ORDER} WHERE app_id = :app_id{of_user} AND status IN ('pending', 'confirming', 'authorized')"
        " LIMIT :at_most",
        {"app_id": app_id, "at_most": at_most, **({} if user is None else {"user": user})},
    )
    return [_order(row) for row in rows]


def insert_order(tx: Transaction, order: Order) -> None:
    tx.execute(
        "INSERT INTO orders (id, app_id, user_id, out_trade_no, amount, currency, subject, capture, status,"
        " close_reason, declines, captured, refunded, fee, version, created_us, expires_us, due_us, audit_n)"
        " VALUES (:id, :app_id, :user, :number, :amount, :currency, :subject, :capture, :status,"
        " '', 0, 0, 0, 0, :version, :created_us, :expires_us, :due_us, :audit_n)",
        {
            "id": order.id,
            "app_id": order.app_id,
            "user": order.user,
            "number": order.out_trade_no,
            "amount": order.money.amount,
            "currency": order.money.currency,
            "subject": order.subject,
            "capture": order.capture.value,
            "status": order.status.value,
            "version": order.version,
            "created_us": order.created_us,
            "expires_us": order.expires_us,
            "due_us": order.due_us,
            "audit_n": order.audit_n,
        },
    )


def update_order(tx: Transaction, order: Order, *, was: int) -> None:
    """Write the order's state over that of version `was`; jobs run one after the other, so it is at no other."""
    if not tx.execute(
        "UPDATE orders SET status = :status, close_reason = :reason, declines = :declines, captured = :captured,"
        " captured_us = :captured_us, refunded = :refunded, fee = :fee, fee_returned = :fee_returned,"
        " hold_until_us = :hold_until_us, due_us = :due_us, audit_n = :audit_n, version = :version"
        " WHERE id = :id AND version = :was RETURNING id",
        {
            "status": order.status.value,
            "reason": "" if order.close_reason is None else order.close_reason.value,
            "declines": order.declines,
            "captured": order.captured,
            "captured_us": order.captured_us,
            "refunded": order.refunded,
            "fee": order.fee,
            "fee_returned": order.fee_returned,
            "hold_until_us": order.hold_until_us,
            "due_us": order.due_us,
            "audit_n": order.audit_n,
            "version": order.version,
            "id": order.id,
            "was": was,
        },
    ):
        raise RuntimeError(f"order {order.id} is not at version {was}")


def delete_prompt(tx: Transaction, order: Order) -> None:
    """Take the order's prompt away: in the transaction that leaves nothing to be answered."""
    tx.execute(
        "DELETE FROM prompts WHERE app_id = :app_id AND user_id = :user AND kind = 'payment' AND about = :id",
        {"app_id": order.app_id, "user": order.user, "id": order.id},
    )


def created_in_last_hour(tx: Transaction, app_id: str, user: str) -> int:
    """Orders created in the hour that ends now; one created exactly an hour ago no longer counts."""
    rows = tx.execute(
        "SELECT count(*) FROM orders WHERE app_id = :app_id AND user_id = :user AND created_us > :since",
        {"app_id": app_id, "user": user, "since": tx.now_us - HOUR_US},
    )
    return int(rows[0][0])


def paid_in_last_day(tx: Transaction, order: Order) -> int:
    """What the order's user paid its program in the 24 hours that end now, in the order's currency."""
    rows = tx.execute(
        "SELECT coalesce(sum(amount), 0) FROM payment_usage"
        " WHERE app_id = :app_id AND user_id = :user AND currency = :currency AND at_us > :since",
        {
            "app_id": order.app_id,
            "user": order.user,
            "currency": order.money.currency,
            "since": tx.now_us - DAY_US,
        },
    )
    return int(rows[0][0])


def insert_usage(tx: Transaction, order: Order) -> None:
    tx.execute(
        "INSERT INTO payment_usage (order_id, app_id, user_id, currency, amount, at_us)"
        " VALUES (:id, :app_id, :user, :currency, :amount, :now_us)",
        {
            "id": order.id,
            "app_id": order.app_id,
            "user": order.user,
            "currency": order.money.currency,
            "amount": order.money.amount,
            "now_us": tx.now_us,
        },
    )


def set_usage(tx: Transaction, order: Order, amount: int) -> None:
    """What the order counts from now on, at the time it was confirmed; 0: nothing."""
    if amount:
        tx.execute("UPDATE payment_usage SET amount = :amount WHERE order_id = :id", {"id": order.id, "amount": amount})
    else:
        tx.execute("DELETE FROM payment_usage WHERE order_id = :id", {"id": order.id})


def insert_confirmation(tx: Transaction, order: Order, confirmation: Confirmation) -> None:
    """`order` as it was on the cashier's screen."""
    tx.execute(
        "INSERT INTO confirmations (order_id, order_version, amount, currency, payee, digest, confirmed_us)"
        " VALUES (:id, :version, :amount, :currency, :payee, :digest, :now_us)",
        {
            "id": order.id,
            "version": order.version,
            "amount": order.money.amount,
            "currency": order.money.currency,
            "payee": confirmation.payee,
            "digest": confirmation.digest,
            "now_us": tx.now_us,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund of an order: in the embedded ledger it is done when it is written."""

    id: str
    out_request_no: str
    amount: int
    fee_returned: int
    reason: str


def refund_by_request_no(tx: Transaction, order_id: str, out_request_no: str) -> Refund | None:
    rows = tx.execute(
        "SELECT id, out_request_no, amount, fee_returned, reason FROM refunds"
        " WHERE order_id = :order_id AND out_request_no = :number",
        {"order_id": order_id, "number": out_request_no},
    )
    if not rows:
        return None
    identity, number, amount, fee_returned, reason = rows[0]
    return Refund(id=identity, out_request_no=number, amount=amount, fee_returned=fee_returned, reason=reason)


def refunds_of(tx: Transaction, order_id: str) -> int:
    return int(tx.execute("SELECT count(*) FROM refunds WHERE order_id = :id", {"id": order_id})[0][0])


def insert_refund(tx: Transaction, order_id: str, refund: Refund) -> None:
    tx.execute(
        "INSERT INTO refunds (id, order_id, out_request_no, amount, fee_returned, reason, created_us)"
        " VALUES (:id, :order_id, :number, :amount, :fee_returned, :reason, :now_us)",
        {
            "id": refund.id,
            "order_id": order_id,
            "number": refund.out_request_no,
            "amount": refund.amount,
            "fee_returned": refund.fee_returned,
            "reason": refund.reason,
            "now_us": tx.now_us,
        },
    )


def fee_terms(tx: Transaction, app_id: str) -> FeeTerms:
    """No fee for a program without terms of its own."""
    rows = tx.execute("SELECT fee_bps, fee_fixed FROM merchants WHERE app_id = :app_id", {"app_id": app_id})
    return FeeTerms(bps=rows[0][0], fixed=rows[0][1]) if rows else FeeTerms()


def set_fee_terms(tx: Transaction, app_id: str, terms: FeeTerms) -> None:
    tx.execute(
        "INSERT INTO merchants (app_id, fee_bps, fee_fixed) VALUES (:app_id, :bps, :fixed)"
        " ON CONFLICT (app_id) DO UPDATE SET fee_bps = excluded.fee_bps, fee_fixed = excluded.fee_fixed",
        {"app_id": app_id, "bps": terms.bps, "fixed": terms.fixed},
    )
