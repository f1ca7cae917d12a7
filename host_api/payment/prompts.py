"""Open prompts: at most one for each program and user, each a task of the host's, whoever waits for it.

What lives here: opening, asking, withdrawing, and waking who waits. What an answer does to the order is a function
that is handed in; nothing here knows the store. An operation on a prompt costs the same with one open or ten thousand.

A prompt outlives the call that opened it: it is a task in a nursery of the host's. The answer is the point of no
return: once the cashier has given it, nothing withdraws the prompt any more.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import trio

from host_api.contract import Clock
from host_api.errors import ApiError, ErrorCode
from host_api.payment.cashier import Cashier, Decision, Prompt
from host_api.payment.orders import Order

_log = logging.getLogger(__name__)

OPEN_MAX: Final = 10_000
"""Prompts open on one host; one more is refused with BUSY."""
LIFE_US: Final = 120_000_000
"""How long a prompt waits for its user."""


class Answer(Enum):
    APPROVED = "approved"
    DECLINED = "declined"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"


Settle = Callable[[Prompt, Answer], Awaitable[Order]]
"""Carries the answer out, and gives the order as it is then. Runs shielded; what it raises reaches who waits."""


@dataclass(slots=True, eq=False)
class Place:
    """The one place of a program and user at the cashier: reserved, then with a prompt, then settled."""

    key: tuple[str, str]
    order_id: str
    scope: trio.CancelScope
    settled: trio.Event
    waiting: int = 0
    """Calls that wait for the answer."""
    asked: bool = False
    """The prompt is open. Before that only the call that took the place may give it up."""
    answered: bool = False
    withdrawn: bool = False
    order: Order | None = None
    error: Exception | None = None

    def outcome(self) -> Order:
        """After `settled`: the order, or raise why it was not carried out."""
        if self.order is not None:
            return self.order
        raise self.error or ApiError(ErrorCode.BUSY, "the prompt did not open; try again", retry_after_ms=1_000)


class Prompts:
    """All open prompts of one host. `nursery` is the host's: closing it withdraws them all.

    A prompt that ends because the nursery closes still settles (shielded, within the store's own time bound).
    """

    def __init__(self, *, cashier: Cashier, nursery: trio.Nursery, clock: Clock) -> None:
        self._cashier = cashier
        self._nursery = nursery
        self._clock = clock
        self._places: dict[tuple[str, str], Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def find(self, app_id: str, user: str) -> Place | None:
        """The place that is taken, if it is."""
        return self._places.get((app_id, user))

    def reserve(self, app_id: str, user: str, order_id: str) -> Place:
        """Take the place. It must be given back: by `leave`, or by `ask`, which does it when the prompt is settled.

        Raises ApiError CASHIER_BUSY if it is taken, BUSY if too many prompts are open on this host.
        """
        key = (app_id, user)
        if key in self._places:
            raise ApiError(ErrorCode.CASHIER_BUSY, ErrorCode.CASHIER_BUSY.cure, retry_after_ms=1_000)
        if len(self._places) >= OPEN_MAX:
            raise ApiError(ErrorCode.BUSY, f"{OPEN_MAX} prompts are open on this host", retry_after_ms=1_000)
        place = Place(key=key, order_id=order_id, scope=trio.CancelScope(), settled=trio.Event())
        self._places[key] = place
        return place

    def leave(self, place: Place) -> None:
        """Give the place back and wake who waits at it."""
        del self._places[place.key]
        place.settled.set()

    def ask(self, place: Place, prompt: Prompt, settle: Settle) -> None:
        """Open the prompt in a task of its own. `place.settled` is set when the answer is carried out."""
        self._nursery.start_soon(self._serve, place, prompt, settle, name="cashier prompt")
        place.asked = True

    def withdraw(self, place: Place) -> bool:
        """Take the prompt off the screen. False if the user has answered already: then the answer counts."""
        if place.answered:
            return False
        place.withdrawn = True
        place.scope.cancel()
        return True

    def withdraw_program(self, app_id: str, user: str | None = None) -> int:
        """For a revoked grant, a removed program, a user who left: withdraw its prompts; returns how many.

        The one operation that looks at every open prompt.
        """
        mine = [place for key, place in self._places.items() if key[0] == app_id and user in (None, key[1])]
        return sum(self.withdraw(place) for place in mine)

    async def wait(self, place: Place, seconds: float) -> bool:
        """Wait for the answer; True if it was settled in time. With 0 seconds it only looks.

        Cancelled withdraws the prompt if no other call waits for it, and passes at once.
        """
        place.waiting += 1
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            if seconds > 0:
                with trio.move_on_after(seconds):
                    await place.settled.wait()
        except trio.Cancelled:
            if place.asked and place.waiting == 1:
                self.withdraw(place)
            raise
        finally:
            place.waiting -= 1
        return place.settled.is_set()

    async def _serve(self, place: Place, prompt: Prompt, settle: Settle) -> None:
        answer = Answer.WITHDRAWN
        try:
            answer = await self._answer(place, prompt)
        finally:
            place.answered = True
            with trio.CancelScope(shield=True):
                await self._settle(place, prompt, answer, settle)

    async def _answer(self, place: Place, prompt: Prompt) -> Answer:
        """The user's answer; a broken cashier's is a withdrawal."""
        seconds = max(0, prompt.expires_us - self._clock.now_us()) / 1e6
        decision: Decision | None = None
        try:
            with place.scope, trio.move_on_after(seconds):
                decision = await self._cashier.confirm(prompt)
            if place.withdrawn:
                return Answer.WITHDRAWN
            return Answer.TIMED_OUT if decision is None else _checked(prompt, decision)
        except Exception:
            _log.exception("the cashier failed on order %s", prompt.order_id)
            return Answer.WITHDRAWN

    async def _settle(self, place: Place, prompt: Prompt, answer: Answer, settle: Settle) -> None:
        try:
            place.order = await settle(prompt, answer)
        except Exception as error:
            place.error = error
            if not place.waiting:
                _log.exception("the answer to order %s was not carried out", prompt.order_id)
        finally:
            self.leave(place)


def _checked(prompt: Prompt, decision: Decision) -> Answer:
    """An answer counts only with the token and the digest of the prompt that was opened."""
    same_token = hmac.compare_digest(decision.token.encode(), prompt.token.encode())
    if not same_token or not hmac.compare_digest(decision.digest, prompt.digest):
        _log.error("an answer to order %s came with another token or digest", prompt.order_id)
        return Answer.WITHDRAWN
    return Answer.APPROVED if decision.approved else Answer.DECLINED
