"""Refunds: money of a captured order goes back to its user, and the platform's share of it to the program.

What lives here: the order of the checks of one refund. A refund is done when it is written; (order, out_request_no) is
one refund for ever. The functions are jobs of `Store.write`, or of `Store.read` where they say so.
"""

from __future__ import annotations

from typing import Final

from host_api.capability import Authority, Constraints
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.ledger import InsufficientFunds
from host_api.payment import records
from host_api.payment.bounds import admit_by_grant
from host_api.payment.fees import fee_returned
from host_api.payment.methods import OF_THE_STATE
from host_api.payment.orders import Event, Order, after
from host_api.payment.records import Refund
from host_api.payment.refund_methods import CAPABILITY, RefundParams, RefundResult
from host_api.payment.standing import as_seen, own_order
from host_api.payment.transitions import carry_out
from host_api.store.protocol import Transaction

REFUNDS_MAX: Final = 100
"""Refunds of one order: each leaves rows for ever."""
REFUND_KEEPS: Final = frozenset(
    {
        ErrorCode.LIMIT_EXCEEDED,
        ErrorCode.ORDER_MISMATCH,
        *OF_THE_STATE,
        ErrorCode.REFUND_EXCEEDS_CAPTURED,
        ErrorCode.REFUND_WINDOW_OVER,
        ErrorCode.MERCHANT_FUNDS_LOW,
    }
    - {ErrorCode.NOT_FOUND}
)
"""Refusals of a refund that are its outcome, kept under its key. As for a capture."""


def refund(
    tx: Transaction, app_id: str, user: str, refund_id: str, asked: RefundParams, authority: Authority
) -> RefundResult:
    """One refund, or the one that this out_request_no has.

    Raises ApiError, in this order: NOT_FOUND, ORDER_MISMATCH, GRANT_CONSTRAINT, LIMIT_EXCEEDED (REFUNDS_MAX),
    REFUND_EXCEEDS_CAPTURED, as orders.refusal (REFUND_WINDOW_OVER is there), MERCHANT_FUNDS_LOW.
    """
    order = own_order(records.order_by_id(tx, app_id, asked.order_id), user)
    known = records.refund_by_request_no(tx, order.id, asked.out_request_no)
    if known is not None:
        return RefundResult.of(order, _same(known, asked), replayed=True)
    _admit(tx, order, asked.amount, authority.require(CAPABILITY, tx.now_us))
    made = Refund(
        id=refund_id,
        out_request_no=asked.out_request_no,
        amount=asked.amount,
        fee_returned=fee_returned(order.fee, order.captured, order.refunded + asked.amount) - order.fee_returned,
        reason=asked.reason,
    )
    try:
        return RefundResult.of(carry_out(tx, order, Event.REFUND, refund=made), made)
    except InsufficientFunds:
        raise ApiError(
            ErrorCode.MERCHANT_FUNDS_LOW,
            f"{asked.amount} {order.money.currency} less the fee that comes back: {ErrorCode.MERCHANT_FUNDS_LOW.cure}",
        ) from None


def query(tx: Transaction, app_id: str, user: str, order_id: str, out_request_no: str) -> RefundResult:
    """Read-only. Raises ApiError NOT_FOUND: the same for an order that is unknown or foreign and for no such refund."""
    order = own_order(records.order_by_id(tx, app_id, order_id), user)
    known = records.refund_by_request_no(tx, order.id, out_request_no)
    if known is None:
        raise ApiError(ErrorCode.NOT_FOUND, "no such refund")
    return RefundResult.of(order, known)


def _same(known: Refund, asked: RefundParams) -> Refund:
    if (known.amount, known.reason) != (asked.amount, asked.reason):
        raise ApiError(
            ErrorCode.ORDER_MISMATCH,
            "the out_request_no exists with other content: use another one for another refund",
            details={"out_request_no": known.out_request_no},
        )
    return known


def _admit(tx: Transaction, order: Order, amount: int, grant: Constraints) -> None:
    admit_by_grant(grant, amount, order.money.currency)
    made = records.refunds_of(tx, order.id)
    if made >= REFUNDS_MAX:
        raise limit_exceeded("refunds_of_an_order", REFUNDS_MAX, made + 1, "refunds", "refunds of this order")
    if order.captured and order.refunded + amount > order.captured:
        raise ApiError(
            ErrorCode.REFUND_EXCEEDS_CAPTURED,
            f"{amount} after {order.refunded} is over the {order.captured} captured: at most"
            f" {order.captured - order.refunded} can be refunded",
            details={"captured": order.captured, "refunded": order.refunded, "amount": amount},
        )
    after(as_seen(tx, order), Event.REFUND)
