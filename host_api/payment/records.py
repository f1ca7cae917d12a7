"""The payment service's rows: orders, confirmations, usage, merchants. SQL and nothing but SQL; the rules: steps.py."""

from __future__ import annotations

from typing import Final

from host_api.money import Money
from host_api.payment.orders import CloseReason, FeeTerms, Order, Status
from host_api.store.protocol import Row, Transaction

DAY_US: Final = 24 * 3600 * 1_000_000
HOUR_US: Final = 3600 * 1_000_000

_ORDER = (
    "SELECT id, app_id, user_id, out_trade_no, amount, currency, subject, created_us, expires_us, status, close_reason,"
    " declines, captured, refunded, fee, version FROM orders"
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
    )


def order_by_id(tx: Transaction, app_id: str, order_id: str) -> Order | None:
    rows = tx.execute(f"{_ORDER} WHERE id = :id AND app_id = :app_id", {"id": order_id, "app_id": app_id})
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


def insert_order(tx: Transaction, order: Order) -> None:
    tx.execute(
        "INSERT INTO orders (id, app_id, user_id, out_trade_no, amount, currency, subject, capture, status,"
        " close_reason, declines, captured, refunded, fee, version, created_us, expires_us)"
        " VALUES (:id, :app_id, :user, :number, :amount, :currency, :subject, 'auto', :status,"
        " '', 0, 0, 0, 0, :version, :created_us, :expires_us)",
        {
            "id": order.id,
            "app_id": order.app_id,
            "user": order.user,
            "number": order.out_trade_no,
            "amount": order.money.amount,
            "currency": order.money.currency,
            "subject": order.subject,
            "status": order.status.value,
            "version": order.version,
            "created_us": order.created_us,
            "expires_us": order.expires_us,
        },
    )


def update_order(tx: Transaction, order: Order, *, was: int) -> None:
    """Write the order's state over that of version `was`; jobs run one after the other, so it is at no other."""
    if not tx.execute(
        "UPDATE orders SET status = :status, close_reason = :reason, declines = :declines, captured = :captured,"
        " refunded = :refunded, fee = :fee, version = :version WHERE id = :id AND version = :was RETURNING id",
        {
            "status": order.status.value,
            "reason": "" if order.close_reason is None else order.close_reason.value,
            "declines": order.declines,
            "captured": order.captured,
            "refunded": order.refunded,
            "fee": order.fee,
            "version": order.version,
            "id": order.id,
            "was": was,
        },
    ):
        raise RuntimeError(f"order {order.id} is not at version {was}")


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


def insert_confirmation(tx: Transaction, order: Order, payee: str, digest: bytes) -> None:
    """`order` as it was on the cashier's screen."""
    tx.execute(
        "INSERT INTO confirmations (order_id, order_version, amount, currency, payee, digest, confirmed_us)"
        " VALUES (:id, :version, :amount, :currency, :payee, :digest, :now_us)",
        {
            "id": order.id,
            "version": order.version,
            "amount": order.money.amount,
            "currency": order.money.currency,
            "payee": payee,
            "digest": digest,
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
