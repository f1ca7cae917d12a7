"""Orders: what one is, its states, and every transition there is.

What lives here: values and the table, nothing else. No store, no clock: the time is an argument. A transition that
is not in `TRANSITIONS` does not exist; adding one (manual capture, refunds) is adding rows. Expiry is logical: `at`
shows an order as it is at a time, whether or not anybody has written that down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Final

from host_api.errors import ApiError, ErrorCode
from host_api.money import Money

DECLINES_MAX: Final = 3
"""The user's third no closes the order."""
BPS: Final = 10_000


class Status(StrEnum):
    PENDING = "pending"
    CONFIRMING = "confirming"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


class CloseReason(StrEnum):
    DECLINED = "declined"
    EXPIRED = "expired"
    NO_FUNDS = "no_funds"
    LIMIT = "limit"


class Event(StrEnum):
    REQUEST = "request"
    """The guest asks for the cashier."""
    CONFIRM = "confirm"
    """The user said yes, and the money is there."""
    DECLINE = "decline"
    LAST_DECLINE = "last_decline"
    """The user said no for the `DECLINES_MAX`th time."""
    PROMPT_TIMEOUT = "prompt_timeout"
    WITHDRAW = "withdraw"
    """The prompt was taken back: the waiting call was cancelled, the cashier failed, the host stopped."""
    NO_FUNDS = "no_funds"
    """The user said yes, and the wallet does not cover it."""
    OVER_LIMIT = "over_limit"
    """The user said yes, and a limit or the grant does not allow it any more."""
    EXPIRE = "expire"


class Effect(StrEnum):
    """What the ledger does in the same transaction."""

    NONE = "none"
    CAPTURE = "capture"
    """wallet → merchant the amount, merchant → fee the fee, usage the amount; one linked batch."""


@dataclass(frozen=True, slots=True)
class Rule:
    to: Status
    close_reason: CloseReason | None = None
    effect: Effect = Effect.NONE


TRANSITIONS: Final[Mapping[tuple[Status, Event], Rule]] = {
    (Status.PENDING, Event.REQUEST): Rule(Status.CONFIRMING),
    (Status.PENDING, Event.EXPIRE): Rule(Status.CLOSED, CloseReason.EXPIRED),
    (Status.CONFIRMING, Event.CONFIRM): Rule(Status.SUCCEEDED, effect=Effect.CAPTURE),
    (Status.CONFIRMING, Event.DECLINE): Rule(Status.PENDING),
    (Status.CONFIRMING, Event.LAST_DECLINE): Rule(Status.CLOSED, CloseReason.DECLINED),
    (Status.CONFIRMING, Event.PROMPT_TIMEOUT): Rule(Status.PENDING),
    (Status.CONFIRMING, Event.WITHDRAW): Rule(Status.PENDING),
    (Status.CONFIRMING, Event.NO_FUNDS): Rule(Status.CLOSED, CloseReason.NO_FUNDS),
    (Status.CONFIRMING, Event.OVER_LIMIT): Rule(Status.CLOSED, CloseReason.LIMIT),
    (Status.CONFIRMING, Event.EXPIRE): Rule(Status.CLOSED, CloseReason.EXPIRED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order as stored. Times in µs since the epoch, amounts in minor units of `money.currency`."""

    id: str
    app_id: str
    user: str
    out_trade_no: str
    money: Money
    subject: str
    created_us: int
    expires_us: int
    status: Status = Status.PENDING
    close_reason: CloseReason | None = None
    declines: int = 0
    captured: int = 0
    refunded: int = 0
    fee: int = 0
    version: int = 1
    """Grows by one with each transition."""

    def same_request(self, other: Order) -> bool:
        """Whether both were asked for in the same words: what a repeated out_trade_no is held against."""
        return self._request == other._request

    @property
    def _request(self) -> tuple[object, ...]:
        ttl_us = self.expires_us - self.created_us
        return self.app_id, self.user, self.out_trade_no, self.money, self.subject, ttl_us


def at(order: Order, now_us: int) -> Order:
    """The order as it is at that time: from `expires_us` on, an open one is closed."""
    if now_us >= order.expires_us and (order.status, Event.EXPIRE) in TRANSITIONS:
        return after(order, Event.EXPIRE)
    return order


def after(order: Order, event: Event) -> Order:
    """The order after the event; `Rule.effect` is the caller's to carry out. Raises ApiError INVALID_STATE or EXPIRED.

    Logical expiry is the caller's too: it asks `at` first.
    """
    rule = TRANSITIONS.get((order.status, event))
    if rule is None:
        raise refusal(order, event)
    changed = replace(order, status=rule.to, close_reason=rule.close_reason, version=order.version + 1)
    if event in (Event.DECLINE, Event.LAST_DECLINE):
        changed = replace(changed, declines=order.declines + 1)
    return changed


def decline_of(order: Order) -> Event:
    """Which of the two declines the user's next no is."""
    return Event.LAST_DECLINE if order.declines + 1 >= DECLINES_MAX else Event.DECLINE


def refusal(order: Order, event: Event) -> ApiError:
    """Why the event does not apply: with the state the order is in."""
    details = {"status": order.status.value, "close_reason": order.close_reason and order.close_reason.value}
    if order.close_reason is CloseReason.EXPIRED:
        return ApiError(ErrorCode.EXPIRED, f"the order has expired: {ErrorCode.EXPIRED.cure}", details=details)
    return ApiError(
        ErrorCode.INVALID_STATE,
        f"{event.value} does not apply to an order that is {order.status.value}",
        details=details,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTerms:
    """What a merchant account pays the platform for each capture."""

    bps: int = 0
    """Hundredths of a per cent of the amount, 0 to 10,000."""
    fixed: int = 0
    """Minor units, in whatever currency is captured."""

    def __post_init__(self) -> None:
        if type(self.bps) is not int or not 0 <= self.bps <= BPS:
            raise ValueError(f"fee bps must be a whole number from 0 to {BPS}")
        if type(self.fixed) is not int or not 0 <= self.fixed <= 10**12:
            raise ValueError("fixed fee must be a whole number of minor units from 0 to 10^12")


def fee(captured: int, terms: FeeTerms) -> int:
    """round_half_even(captured × bps / 10^4) + fixed, never more than what was captured. Whole numbers throughout."""
    share, rest = divmod(captured * terms.bps, BPS)
    if 2 * rest > BPS or (2 * rest == BPS and share % 2 == 1):
        share += 1
    return min(share + terms.fixed, captured)


def digest(order: Order, payee: str, *, version: int | None = None) -> bytes:
    """SHA-256 over what the user is asked to confirm: order, version, amount, currency, payee; unambiguous.

    `version`: that of the order when it was shown; its present one by default.
    """
    shown = order.version if version is None else version
    parts = (order.id, str(shown), str(order.money.amount), order.money.currency, payee)
    encoded = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return sha256(b"hostel confirmation 1\0" + encoded).digest()
