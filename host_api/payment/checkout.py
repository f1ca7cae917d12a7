"""The checkout: an order is shown to its user, who says yes or no; payment.request, and what the answer does.

What lives here: how an order becomes a prompt, and a prompt's end a transition of the order. Opening, showing, waiting
and answering are the desk's (host_api/prompts); what a transition writes, transitions.py's. The guest never confirms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from host_api.capability import Authority, parse_grants
from host_api.contract import Session
from host_api.errors import ApiError, limit_exceeded
from host_api.ledger import InsufficientFunds
from host_api.money import amount_text
from host_api.payment import records
from host_api.payment.bounds import Bounds, admit_by_grant
from host_api.payment.methods import CAPABILITY, OrderResult, RequestParams
from host_api.payment.orders import Confirmation, Event, Order, Status, after, at, digest, refusal
from host_api.payment.standing import KIND, as_seen, catch_up, own_order
from host_api.payment.transitions import carry_out
from host_api.prompts import records as prompts
from host_api.prompts.desk import Desk
from host_api.prompts.prompt import Answer, Prompt, Shown
from host_api.store.protocol import Store, Transaction

ASKS_MAX: Final = 20
"""Prompts for one order: each that is taken back leaves two records in the audit, which is kept for ever."""
_EVENTS: Final = {
    Answer.DECLINED: Event.DECLINE,
    Answer.TIMED_OUT: Event.PROMPT_TIMEOUT,
    Answer.WITHDRAWN: Event.WITHDRAW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """What the opening call's limits were."""

    payment_amount: int
    payment_day_amount: int
    payment_hour_count: int


class Checkout:
    """payment.request. Registers the kind "payment" at the desk; holds nothing but what it was given."""

    def __init__(self, *, store: Store, desk: Desk) -> None:
        self._store = store
        self._desk = desk
        desk.register(KIND, self.settle)

    async def request(self, session: Session, params: RequestParams) -> OrderResult:
        """Opens the cashier, or joins the prompt that is open for this very order (a request sent again).

        Raises ApiError as Desk.ask, which looks for GRANT_CONSTRAINT, LIMIT_EXCEEDED, NOT_FOUND and what orders.refusal
        says.
        Cancelled while it waits, it withdraws the prompt, unless another call waits too or the user has answered.
        """
        order_id = params.order_id

        stored: Order

        def order_of(tx: Transaction) -> Order:
            return own_order(records.order_by_id(tx, session.app_id, order_id), session.user)

        def look(tx: Transaction) -> None:
            nonlocal stored
            grant = session.authority.require(CAPABILITY, tx.now_us)
            stored = order_of(tx)
            admit_by_grant(grant, stored.money.amount, stored.money.currency)
            order = as_seen(tx, stored)
            after(order, Event.REQUEST)
            _admit_question(order)

        place = await self._desk.ask(
            session, kind=KIND, about=order_id, look=look, make=lambda tx: _open(tx, session, stored)
        )
        with session.stand_still():
            await self._desk.wait(place, min(params.wait_ms, session.limits.prompt_wait_ms) / 1_000)
        order = self._store.read(lambda tx: as_seen(tx, order_of(tx)))
        return OrderResult.of(order, replayed=place.joined)

    def settle(self, tx: Transaction, prompt: Prompt, answer: Answer) -> None:
        """What a prompt's end does to its order. Raises ApiError for a yes to an order that is not the one that was
        shown any more, at the version that was shown; any other end leaves such an order alone."""
        order = own_order(records.order_by_id(tx, prompt.app_id, prompt.about), prompt.user)
        payee = str(prompt.shown["payee"])
        if order.status is not Status.CONFIRMING or digest(order, payee) != prompt.digest:
            if answer is Answer.APPROVED:
                raise refusal(at(order, tx.now_us), Event.CONFIRM)
        elif catch_up(tx, order, prompt) is not order:
            return  # its time, or the prompt's, was over before the answer
        elif answer is not Answer.APPROVED:
            carry_out(tx, order, _EVENTS[answer])
        elif not self._admits(tx, prompt, order):
            carry_out(tx, order, Event.OVER_LIMIT)
        else:
            confirmation = Confirmation(payee=payee, digest=prompt.digest)
            try:
                carry_out(tx, order, Event.CONFIRM, confirmation=confirmation)
            except InsufficientFunds:
                carry_out(tx, order, Event.NO_FUNDS)

    def _admits(self, tx: Transaction, prompt: Prompt, order: Order) -> bool:
        """Whether limits and grant allow it still: as they were when the prompt opened, and the grant as it is now,
        where somebody here knows it."""
        paid = records.paid_in_last_day(tx, order)
        try:
            for bounds in _bounds(prompts.bounds_of(tx, prompt.id), self._desk.authorities(tx, prompt)):
                bounds.admit_amount(order, tx.now_us)
                bounds.admit_day(paid, order, tx.now_us)
        except ApiError:
            return False
        return True


def _admit_question(order: Order) -> None:
    """Raises ApiError LIMIT_EXCEEDED. A prompt that was taken back moved the order two versions on."""
    asked = (order.version - 1) // 2
    if asked >= ASKS_MAX:
        raise limit_exceeded("asks_of_an_order", ASKS_MAX, asked + 1, "prompts", "prompts for this order")


def _open(tx: Transaction, session: Session, order: Order) -> Shown:
    """The transition, and what the cashier shows."""
    if order.status is Status.CONFIRMING:  # without a prompt: `as_seen` let it pass
        order = carry_out(tx, order, Event.WITHDRAW)
    order = carry_out(tx, order, Event.REQUEST)
    shown = {
        "payee": session.payee,
        "amount_text": amount_text(order.money),
        "subject": order.subject,
        "amount": {"amount": order.money.amount, "currency": order.money.currency},
    }
    limits = session.limits
    bounds = {
        "payment_amount": limits.payment_amount,
        "payment_day_amount": limits.payment_day_amount,
        "payment_hour_count": limits.payment_hour_count,
        "grant": session.authority.require(CAPABILITY, tx.now_us).as_dict(),
    }
    return Shown(shown=shown, bounds=bounds, digest=digest(order, session.payee), expires_us=order.expires_us)


def _bounds(stored: Mapping[str, Any], live: list[Authority]) -> list[Bounds]:
    limits = _Limits(**{name: value for name, value in stored.items() if name != "grant"})
    grants = parse_grants({CAPABILITY: stored["grant"]})
    authorities = [Authority(requested=grants, granted=grants), *live]
    return [Bounds(limits=limits, authority=authority) for authority in authorities]
