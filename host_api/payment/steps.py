"""The three steps of a payment, each in one transaction: create, open the cashier, settle the answer.

What lives here: the order of the checks, and what is written together with what. The functions are jobs of
`Store.write`: they touch their transaction and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from host_api.capability import Authority, Constraints
from host_api.contract import CallLimits
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.idempotency import KeyedRequest, prune, recall, remember
from host_api.ledger import AccountKind, AccountName, InsufficientFunds, Leg, move
from host_api.payment import records
from host_api.payment.cashier import Prompt
from host_api.payment.methods import CAPABILITY, OrderResult
from host_api.payment.orders import (
    TRANSITIONS,
    Effect,
    Event,
    Order,
    Status,
    after,
    at,
    decline_of,
    digest,
    fee,
    refusal,
)
from host_api.payment.prompts import Answer
from host_api.store.protocol import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the session allows: its program's limits and its grant; one snapshot for a call and the prompt it opens."""

    limits: CallLimits
    authority: Authority

    def admit_amount(self, order: Order, now_us: int) -> None:
        """One payment. Raises ApiError LIMIT_EXCEEDED, GRANT_CONSTRAINT or GRANT_EXPIRED."""
        grant = self.authority.require(CAPABILITY, now_us)
        money, most = order.money, self.limits.payment_amount
        if money.amount > most:
            raise limit_exceeded("payment_amount", most, money.amount, "minor units", "the payment")
        if grant.amount_max is not None and money.amount > grant.amount_max:
            raise _constraint("amount_max", grant.amount_max, money.amount)
        if grant.currencies is not None and money.currency not in grant.currencies:
            raise _constraint("currencies", list(grant.currencies), money.currency)

    def admit_another(self, created: int, now_us: int) -> None:
        """One more order after `created` of the last hour. Raises ApiError LIMIT_EXCEEDED or GRANT_CONSTRAINT."""
        grant: Constraints = self.authority.require(CAPABILITY, now_us)
        if created >= self.limits.payment_hour_count:
            value = self.limits.payment_hour_count
            raise limit_exceeded("payment_hour_count", value, created + 1, "payments", "payments of this hour")
        if grant.count is not None and created >= grant.count:
            raise _constraint("count", grant.count, created + 1)

    def admit_day(self, paid: int, order: Order, now_us: int) -> None:
        """The payment after `paid` of the last 24 hours. Raises ApiError LIMIT_EXCEEDED or GRANT_CONSTRAINT."""
        grant = self.authority.require(CAPABILITY, now_us)
        total, most = paid + order.money.amount, self.limits.payment_day_amount
        if total > most:
            raise limit_exceeded("payment_day_amount", most, total, "minor units", "payments of this day")
        if grant.day_max is not None and total > grant.day_max:
            raise _constraint("day_max", grant.day_max, total)


def _constraint(name: str, value: object, used: object) -> ApiError:
    return ApiError(
        ErrorCode.GRANT_CONSTRAINT,
        f"{used} is outside the grant's {name} = {value}",
        details={"constraint": name, "value": value, "used": used},
    )


def create(
    tx: Transaction,
    wanted: Callable[[int], Order],
    keyed: KeyedRequest,
    bounds: Bounds,
    encode: Callable[[OrderResult], bytes],
    decode: Callable[[bytes], OrderResult],
) -> OrderResult:
    """A new order; or the outcome this key had; or the order this out_trade_no has. `wanted`: the order as of a time.

    Raises ApiError KEY_REUSED, ORDER_MISMATCH, LIMIT_EXCEEDED, GRANT_CONSTRAINT, in this order; none of them is
    kept under the key.
    """
    outcome = recall(tx, keyed)
    if outcome is not None:
        return decode(outcome)
    order = wanted(tx.now_us)
    known = records.order_by_trade_no(tx, order.app_id, order.out_trade_no)
    if known is None:
        bounds.admit_amount(order, tx.now_us)
        bounds.admit_another(records.created_in_last_hour(tx, order.app_id, order.user), tx.now_us)
        records.insert_order(tx, order)
        result = OrderResult.of(order)
    elif known.same_request(order):
        result = OrderResult.of(at(known, tx.now_us), replayed=True)
    else:
        raise ApiError(
            ErrorCode.ORDER_MISMATCH,
            f"{ErrorCode.ORDER_MISMATCH.cure}: use another out_trade_no",
            details={"out_trade_no": order.out_trade_no},
        )
    remember(tx, keyed, encode(result))
    prune(tx, 2)
    return result


def open_cashier(tx: Transaction, app_id: str, user: str, order_id: str) -> Order:
    """The order, now confirming. The caller holds the only place of this program and user at the cashier.

    So an order that says confirming has no prompt any more (the host stopped, or an answer could not be written): its
    prompt counts as withdrawn. Raises ApiError NOT_FOUND, INVALID_STATE, EXPIRED.
    """
    stored = own_order(records.order_by_id(tx, app_id, order_id), user)
    order = at(stored, tx.now_us)
    if order.status is Status.CONFIRMING:
        order = after(order, Event.WITHDRAW)
    order = after(order, Event.REQUEST)
    records.update_order(tx, order, was=stored.version)
    return order


def own_order(order: Order | None, user: str) -> Order:
    """The order, if it is the session user's. Raises ApiError NOT_FOUND: the same for unknown and foreign."""
    if order is None or order.user != user:
        raise ApiError(ErrorCode.NOT_FOUND, "no such order")
    return order


def settle(tx: Transaction, prompt: Prompt, answer: Answer, bounds: Bounds) -> Order:
    """Carry the answer out: the order as it is then.

    Raises ApiError INVALID_STATE if the order is not the one that was shown any more, at the version that was shown.
    """
    stored = own_order(records.order_by_id(tx, prompt.app_id, prompt.order_id), prompt.user)
    if digest(stored, prompt.payee) != prompt.digest:
        raise refusal(stored, Event.CONFIRM)
    expired = at(stored, tx.now_us)
    if expired is not stored:
        records.update_order(tx, expired, was=stored.version)
        return expired
    try:
        return _carry_out(tx, stored, _event(tx, stored, prompt, answer, bounds), prompt)
    except InsufficientFunds:
        return _carry_out(tx, stored, Event.NO_FUNDS, prompt)


def _event(tx: Transaction, order: Order, prompt: Prompt, answer: Answer, bounds: Bounds) -> Event:
    match answer:
        case Answer.WITHDRAWN:
            return Event.WITHDRAW
        case Answer.TIMED_OUT:
            return Event.PROMPT_TIMEOUT
        case Answer.DECLINED:
            return decline_of(order)
        case Answer.APPROVED:
            if tx.now_us >= prompt.expires_us:
                return Event.PROMPT_TIMEOUT
            try:
                bounds.admit_amount(order, tx.now_us)
                bounds.admit_day(records.paid_in_last_day(tx, order), order, tx.now_us)
            except ApiError:
                return Event.OVER_LIMIT
            return Event.CONFIRM


def _carry_out(tx: Transaction, order: Order, event: Event, prompt: Prompt) -> Order:
    """The transition and its effect on the ledger, together. Raises InsufficientFunds before anything is written."""
    changed = after(order, event)
    match TRANSITIONS[order.status, event].effect:
        case Effect.NONE:
            pass
        case Effect.CAPTURE:
            charged = fee(order.money.amount, records.fee_terms(tx, order.app_id))
            move(tx, _capture(order, charged), order_id=order.id)
            records.insert_usage(tx, order)
            records.insert_confirmation(tx, order, prompt.payee, prompt.digest)
            changed = replace(changed, captured=order.money.amount, fee=charged)
    records.update_order(tx, changed, was=order.version)
    return changed


def _capture(order: Order, charged: int) -> list[Leg]:
    """wallet → merchant the whole amount, merchant → fee what the platform charges."""
    currency = order.money.currency
    wallet = AccountName(kind=AccountKind.WALLET, owner=order.user, currency=currency)
    merchant = AccountName(kind=AccountKind.MERCHANT, owner=order.app_id, currency=currency)
    legs = [Leg(kind="capture", cause=order.id, debit=wallet, credit=merchant, amount=order.money.amount)]
    if charged:
        platform = AccountName(kind=AccountKind.FEE, currency=currency)
        legs.append(Leg(kind="fee", cause=order.id, debit=merchant, credit=platform, amount=charged))
    return legs
