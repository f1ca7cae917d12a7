"""THE place where an order changes: the table's row, the ledger, the rows, one event and one audit record, together.

What lives here: `record_created` and `carry_out`. Whether something may be done (keys, limits, grants, whose order it
is) is decided before, by the callers; which transitions there are, in orders.py. Both functions run inside a job of
`Store.write`: what they write is committed with the rest of the job or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from host_api import audit
from host_api.events.outbox import publish
from host_api.ledger import InsufficientFunds
from host_api.payment import postings, records
from host_api.payment.fees import fee
from host_api.payment.orders import (
    HOLD_US,
    TRANSITIONS,
    Confirmation,
    Effect,
    Event,
    Order,
    Status,
    after,
    at,
    digest,
    exact,
    refusal,
)
from host_api.payment.records import Refund
from host_api.store.protocol import Transaction

_WITHOUT_ANSWER: Final = frozenset({Event.CLOSE, Event.EXPIRE, Event.UNINSTALL, Event.REVOKE})
"""What ends a confirming order though its prompt still stands: there is nothing left to be answered."""


def record_created(tx: Transaction, order: Order) -> Order:
    """Insert the order, tell it and audit it; gives it as it is stored. The caller has looked whether it may be."""
    order = _told(tx, order, order.status.value)
    records.insert_order(tx, order)
    return order


def carry_out(
    tx: Transaction,
    order: Order,
    event: Event,
    *,
    amount: int | None = None,
    confirmation: Confirmation | None = None,
    refund: Refund | None = None,
) -> Order:
    """The order after the event, with everything that belongs to it written.

    `order`: as it is stored, read in this transaction. CONFIRM, DECLINE and PROMPT_TIMEOUT are made exact here
    (`orders.exact`). `amount`: what CAPTURE takes, 1 to what is held; all of it by default. `confirmation`: the user's
    yes, for CONFIRM. `refund`: for REFUND, its `fee_returned` reckoned on the total.

    Raises ApiError, as `orders.refusal`, if the event does not apply to the order as it is now: one whose time is over
    takes nothing but the event of that, and the end of a prompt that was over before. Raises InsufficientFunds: the
    wallet's (CONFIRM) or the merchant's (REFUND). Either way the order is as it was.
    """
    now = at(order, tx.now_us)
    if now is not order and event not in (order.due_event, Event.PROMPT_TIMEOUT):
        raise refusal(now, event)
    event = exact(order, event)
    changed = after(order, event)
    if now is order and event is order.due_event:
        raise ValueError(f"order {order.id} is not yet over")
    match TRANSITIONS[order.status, event].effect:
        case Effect.NONE:
            pass
        case Effect.PAY:
            changed = _pay(tx, order, changed, _confirmed(order, confirmation))
        case Effect.HOLD:
            changed = _hold(tx, order, changed, _confirmed(order, confirmation))
        case Effect.POST:
            changed = _take(tx, order, changed, order.money.amount if amount is None else amount)
        case Effect.VOID:
            postings.release(tx, order)
            records.set_usage(tx, order, 0)
        case Effect.REFUND:
            changed = _give_back(tx, order, changed, refund)
    if order.status is Status.CONFIRMING and event in _WITHOUT_ANSWER:
        records.delete_prompt(tx, order)
    what = "refunded" if event is Event.REFUND else changed.status.value
    changed = _told(tx, changed, what, refund)
    records.update_order(tx, changed, was=order.version)
    return changed


def _confirmed(order: Order, confirmation: Confirmation | None) -> Confirmation:
    if confirmation is None or confirmation.digest != digest(order, confirmation.payee):
        raise ValueError(f"order {order.id} cannot be paid without the user's yes to it as it is")
    return confirmation


def _pay(tx: Transaction, order: Order, changed: Order, confirmation: Confirmation) -> Order:
    charged = fee(order.money.amount, records.fee_terms(tx, order.app_id))
    _from_wallet(tx, order, lambda: postings.pay(tx, order, charged))
    records.insert_usage(tx, order)
    records.insert_confirmation(tx, order, confirmation)
    return replace(changed, captured=order.money.amount, captured_us=tx.now_us, fee=charged)


def _hold(tx: Transaction, order: Order, changed: Order, confirmation: Confirmation) -> Order:
    until_us = tx.now_us + HOLD_US
    _from_wallet(tx, order, lambda: postings.reserve(tx, order, until_us))
    records.insert_usage(tx, order)
    records.insert_confirmation(tx, order, confirmation)
    return replace(changed, hold_until_us=until_us)


def _from_wallet(tx: Transaction, order: Order, post: Callable[[], object]) -> None:
    """Once more where holds whose time is over were in the way. Raises InsufficientFunds."""
    try:
        post()
    except InsufficientFunds:
        if not release_lapsed(tx, order.user, order.money.currency):
            raise
        post()


def _take(tx: Transaction, order: Order, changed: Order, amount: int) -> Order:
    charged = fee(amount, records.fee_terms(tx, order.app_id))
    postings.take(tx, order, amount, charged)
    records.set_usage(tx, order, amount)
    return replace(changed, captured=amount, captured_us=tx.now_us, fee=charged)


def _give_back(tx: Transaction, order: Order, changed: Order, refund: Refund | None) -> Order:
    if refund is None:
        raise ValueError("a refund is needed to refund")
    postings.give_back(tx, order, refund)
    records.insert_refund(tx, order.id, refund)
    return replace(
        changed, refunded=order.refunded + refund.amount, fee_returned=order.fee_returned + refund.fee_returned
    )


def release_lapsed(tx: Transaction, user: str, currency: str) -> int:
    """Void the wallet's holds whose time is over and that the sweep has not come to: the money is the user's from that
    very moment. Returns how many."""
    lapsed = records.lapsed_holds(tx, user, currency)
    for order in lapsed:
        carry_out(tx, order, order.due_event)
    return len(lapsed)


def _told(tx: Transaction, order: Order, what: str, refund: Refund | None = None) -> Order:
    """One event and one audit record: ids, state and amounts, never a text of the guest's or a user. The record names
    the order's record before it, so that those of one order are found from its row."""
    facts: dict[str, Any] = {
        "order_id": order.id,
        "status": order.status.value,
        "close_reason": order.close_reason and order.close_reason.value,
        "amount": order.money.amount,
        "currency": order.money.currency,
        "captured": order.captured,
        "refunded": order.refunded,
        "version": order.version,
    }
    told = {**facts, "out_trade_no": order.out_trade_no}
    if refund is not None:
        told |= {"out_request_no": refund.out_request_no, "refund_amount": refund.amount}
    publish(tx, app_id=order.app_id, user=order.user, stream=order.id, topic=f"payment.{what}", payload=told)
    audit_n = audit.record(tx, f"order.{what}", app_id=order.app_id, before=order.audit_n, **facts)
    return replace(order, audit_n=audit_n)
