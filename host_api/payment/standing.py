"""How an order stands: whose it is, and what time has done to it, whatever is written down.

What lives here: the two ways to look at that. `as_seen` reads, for answers; `catch_up` writes it down, for jobs that go
on from there. An order's own time may be over, and before that the time of its prompt, which counts as a no.
"""

from __future__ import annotations

from typing import Final

from host_api.errors import ApiError, ErrorCode
from host_api.payment import records
from host_api.payment.orders import Event, Order, Status, after, at
from host_api.payment.transitions import carry_out
from host_api.prompts import records as prompts
from host_api.prompts.prompt import Prompt
from host_api.store.protocol import Transaction

KIND: Final = "payment"
"""Of the prompts that orders have."""


def own_order(order: Order | None, user: str) -> Order:
    """The order, if it is the session user's. Raises ApiError NOT_FOUND: the same for unknown and foreign."""
    if order is None or order.user != user:
        raise ApiError(ErrorCode.NOT_FOUND, "no such order")
    return order


def as_seen(tx: Transaction, order: Order) -> Order:
    """The order as it is now. Read-only."""
    if order.status is Status.CONFIRMING:
        prompt = _prompt(tx, order)
        if prompt is None:
            order = after(order, Event.WITHDRAW)
        elif _was_over(prompt, order, tx.now_us):
            order = after(order, Event.PROMPT_TIMEOUT)
    return at(order, tx.now_us)


def catch_up(tx: Transaction, order: Order, prompt: Prompt | None = None) -> Order:
    """The order as it is now, and written down so. `prompt`: the order's, where it is at hand."""
    if order.status is Status.CONFIRMING:
        prompt = prompt or _prompt(tx, order)
        if prompt is not None and _was_over(prompt, order, tx.now_us):
            order = carry_out(tx, order, Event.PROMPT_TIMEOUT)
            records.delete_prompt(tx, order)
    return order if at(order, tx.now_us) is order else carry_out(tx, order, order.due_event)


def _prompt(tx: Transaction, order: Order) -> Prompt | None:
    stored = prompts.at_place(tx, order.app_id, order.user)
    if stored is None or (stored.prompt.kind, stored.prompt.about) != (KIND, order.id):
        return None
    return stored.prompt


def _was_over(prompt: Prompt, order: Order, now_us: int) -> bool:
    """Whether the prompt's time was over while the order's was not: a prompt that ends with its order is no no."""
    return prompt.expires_us <= now_us and prompt.expires_us < order.expires_us
