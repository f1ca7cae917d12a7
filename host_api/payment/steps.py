"""What a program asks for in a payment, each in one transaction: create, capture, close.

What lives here: the order of the checks, and what is written together with what. The functions are jobs of
`Store.write`, effects of idempotency.once: they touch their transaction and nothing else. Refunds are in refunds.py.
"""

from __future__ import annotations

from typing import Final

from host_api.capability import Authority
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.payment import records
from host_api.payment.bounds import Bounds, admit_by_grant
from host_api.payment.methods import CAPABILITY, OF_THE_STATE, OrderResult
from host_api.payment.orders import Event, Order, after
from host_api.payment.standing import as_seen, catch_up, own_order
from host_api.payment.transitions import carry_out, record_created
from host_api.store.protocol import Transaction

CAPTURE_KEEPS: Final = frozenset({ErrorCode.LIMIT_EXCEEDED, *OF_THE_STATE} - {ErrorCode.NOT_FOUND})
"""Refusals of a capture that are its outcome, kept under its key: they hang on the order, which another try may find
changed, and a guest that never got the answer must not capture by sending the request again."""


def create(tx: Transaction, order: Order, bounds: Bounds) -> OrderResult:
    """A new order, or the one that this out_trade_no has. `order`: as it would be, made at this transaction's time.

    Raises ApiError ORDER_MISMATCH, LIMIT_EXCEEDED, GRANT_CONSTRAINT, in this order.
    """
    known = records.order_by_trade_no(tx, order.app_id, order.out_trade_no)
    if known is None:
        bounds.admit_amount(order, tx.now_us)
        bounds.admit_another(records.created_in_last_hour(tx, order.app_id, order.user), tx.now_us)
        record_created(tx, order)
        return OrderResult.of(order)
    if known.same_request(order):
        return OrderResult.of(as_seen(tx, known), replayed=True)
    raise ApiError(
        ErrorCode.ORDER_MISMATCH,
        f"{ErrorCode.ORDER_MISMATCH.cure}: use another out_trade_no",
        details={"out_trade_no": order.out_trade_no},
    )


def capture(
    tx: Transaction, app_id: str, user: str, order_id: str, amount: int | None, authority: Authority
) -> OrderResult:
    """Take `amount` (None: all) of what is held.

    Raises ApiError NOT_FOUND, GRANT_CONSTRAINT, as orders.refusal, and LIMIT_EXCEEDED.
    """
    order = own_order(records.order_by_id(tx, app_id, order_id), user)
    asked = order.money.amount if amount is None else amount
    admit_by_grant(authority.require(CAPABILITY, tx.now_us), asked, order.money.currency)
    after(as_seen(tx, order), Event.CAPTURE)
    if amount is not None and amount > order.money.amount:
        raise limit_exceeded("held", order.money.amount, amount, "minor units", "the capture")
    return OrderResult.of(carry_out(tx, order, Event.CAPTURE, amount=amount))


def close(tx: Transaction, app_id: str, user: str, order_id: str) -> OrderResult:
    """No payment any more: the prompt goes, what is held goes back. Raises ApiError NOT_FOUND, as orders.refusal."""
    order = catch_up(tx, own_order(records.order_by_id(tx, app_id, order_id), user))
    return OrderResult.of(carry_out(tx, order, Event.CLOSE))
