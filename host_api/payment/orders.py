"""Orders: what one is, its states, and every transition there is.

What lives here: values and the table, nothing else. No store, no clock: the time is an argument. A transition that
is not in `TRANSITIONS` does not exist. Expiry is logical: `at` shows an order as it is at a time, whether or not
anybody has written that down. What a transition writes: transitions.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec
from msgspec.structs import replace

from host_api.errors import ApiError, ErrorCode
from host_api.money import Money

DECLINES_MAX: Final = 3
"""The user's third no closes the order; a prompt whose time ran out is a no."""
_DAY_US: Final = 24 * 3600 * 1_000_000
HOLD_US: Final = 7 * _DAY_US
"""How long confirmed money is held for a manual capture. At its end it is the user's again."""
REFUND_WINDOW_US: Final = 90 * _DAY_US
"""How long after its capture an order can be refunded. At its end it is finished."""


class Status(StrEnum):
    PENDING = "pending"
    CONFIRMING = "confirming"
    AUTHORIZED = "authorized"
    """Confirmed, and the money held: the program captures or closes."""
    SUCCEEDED = "succeeded"
    FINISHED = "finished"
    """Succeeded, and too long ago to be refunded."""
    CLOSED = "closed"


class CloseReason(StrEnum):
    DECLINED = "declined"
    EXPIRED = "expired"
    NO_FUNDS = "no_funds"
    LIMIT = "limit"
    CLOSED = "closed"
    """By the program, before it was paid."""
    VOIDED = "voided"
    """By the program, which gave back what was held."""
    UNINSTALLED = "uninstalled"
    REVOKED = "revoked"
    """The program may not take payments any more."""


class Capture(StrEnum):
    """When the money moves: with the user's yes, or when the program says so later."""

    AUTO = "auto"
    MANUAL = "manual"


class Event(StrEnum):
    REQUEST = "request"
    """The guest asks for the cashier."""
    CONFIRM = "confirm"
    """The user said yes, and the money is there."""
    AUTHORIZE = "authorize"
    """CONFIRM of an order with manual capture."""
    DECLINE = "decline"
    PROMPT_TIMEOUT = "prompt_timeout"
    """The user said nothing while the prompt was open: it counts as a no."""
    LAST_DECLINE = "last_decline"
    """DECLINE or PROMPT_TIMEOUT for the `DECLINES_MAX`th time."""
    WITHDRAW = "withdraw"
    """The prompt was taken back: the waiting call was cancelled, the cashier failed, the host stopped."""
    NO_FUNDS = "no_funds"
    """The user said yes, and the wallet does not cover it."""
    OVER_LIMIT = "over_limit"
    """The user said yes, and a limit or the grant does not allow it any more."""
    CAPTURE = "capture"
    """The guest takes what is held, or part of it."""
    CLOSE = "close"
    """The guest wants no payment any more."""
    REFUND = "refund"
    EXPIRE = "expire"
    """The order's time to be paid, or its hold's time, is over."""
    FINISH = "finish"
    """The time for refunds is over."""
    UNINSTALL = "uninstall"
    REVOKE = "revoke"


class Effect(StrEnum):
    """What the ledger does in the same transaction; each is one linked batch."""

    NONE = "none"
    PAY = "pay"
    """wallet → merchant the amount, merchant → fee the fee; usage the amount."""
    HOLD = "hold"
    """wallet → merchant the amount, pending; usage the amount."""
    POST = "post"
    """The hold is posted in part or whole, merchant → fee the fee of that; usage less what is not taken."""
    VOID = "void"
    """The hold is void; usage less all of it."""
    REFUND = "refund"
    """fee → merchant its share, merchant → wallet the amount; usage stays: a refund gives no limit back."""


@dataclass(frozen=True, slots=True)
class Rule:
    to: Status
    close_reason: CloseReason | None = None
    effect: Effect = Effect.NONE


def _open(status: Status) -> dict[tuple[Status, Event], Rule]:
    """What ends an order that nobody has paid."""
    return {
        (status, Event.CLOSE): Rule(Status.CLOSED, CloseReason.CLOSED),
        (status, Event.EXPIRE): Rule(Status.CLOSED, CloseReason.EXPIRED),
        (status, Event.UNINSTALL): Rule(Status.CLOSED, CloseReason.UNINSTALLED),
        (status, Event.REVOKE): Rule(Status.CLOSED, CloseReason.REVOKED),
    }


TRANSITIONS: Final[Mapping[tuple[Status, Event], Rule]] = {
    **_open(Status.PENDING),
    **_open(Status.CONFIRMING),
    (Status.PENDING, Event.REQUEST): Rule(Status.CONFIRMING),
    (Status.CONFIRMING, Event.CONFIRM): Rule(Status.SUCCEEDED, effect=Effect.PAY),
    (Status.CONFIRMING, Event.AUTHORIZE): Rule(Status.AUTHORIZED, effect=Effect.HOLD),
    (Status.CONFIRMING, Event.DECLINE): Rule(Status.PENDING),
    (Status.CONFIRMING, Event.PROMPT_TIMEOUT): Rule(Status.PENDING),
    (Status.CONFIRMING, Event.LAST_DECLINE): Rule(Status.CLOSED, CloseReason.DECLINED),
    (Status.CONFIRMING, Event.WITHDRAW): Rule(Status.PENDING),
    (Status.CONFIRMING, Event.NO_FUNDS): Rule(Status.CLOSED, CloseReason.NO_FUNDS),
    (Status.CONFIRMING, Event.OVER_LIMIT): Rule(Status.CLOSED, CloseReason.LIMIT),
    (Status.AUTHORIZED, Event.CAPTURE): Rule(Status.SUCCEEDED, effect=Effect.POST),
    (Status.AUTHORIZED, Event.CLOSE): Rule(Status.CLOSED, CloseReason.VOIDED, Effect.VOID),
    (Status.AUTHORIZED, Event.EXPIRE): Rule(Status.CLOSED, CloseReason.EXPIRED, Effect.VOID),
    (Status.AUTHORIZED, Event.UNINSTALL): Rule(Status.CLOSED, CloseReason.UNINSTALLED, Effect.VOID),
    (Status.AUTHORIZED, Event.REVOKE): Rule(Status.CLOSED, CloseReason.REVOKED, Effect.VOID),
    (Status.SUCCEEDED, Event.REFUND): Rule(Status.SUCCEEDED, effect=Effect.REFUND),
    (Status.SUCCEEDED, Event.FINISH): Rule(Status.FINISHED),
}

_CODES: Final = {
    CloseReason.EXPIRED: ErrorCode.EXPIRED,
    CloseReason.DECLINED: ErrorCode.DECLINED,
    CloseReason.NO_FUNDS: ErrorCode.INSUFFICIENT_FUNDS,
}
"""What an operation on a closed order answers; INVALID_STATE for the other reasons."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order as stored. Times in µs since the epoch, 0 for never; amounts in minor units of `money.currency`. A
    Struct because each step of a payment makes several."""

    id: str
    app_id: str
    user: str
    out_trade_no: str
    money: Money
    subject: str
    created_us: int
    expires_us: int
    """Until when it can be paid."""
    capture: Capture = Capture.AUTO
    status: Status = Status.PENDING
    close_reason: CloseReason | None = None
    declines: int = 0
    hold_until_us: int = 0
    captured: int = 0
    captured_us: int = 0
    refunded: int = 0
    fee: int = 0
    """Charged at the capture; what came back of it is `fee_returned`."""
    fee_returned: int = 0
    version: int = 1
    """Grows by one with each transition."""
    audit_n: int = 0
    """The number of its last record in the audit, which names the one before."""

    def same_request(self, other: Order) -> bool:
        """Whether both were asked for in the same words: what a repeated out_trade_no is held against."""
        return self._request == other._request

    @property
    def _request(self) -> tuple[object, ...]:
        ttl_us = self.expires_us - self.created_us
        return self.app_id, self.user, self.out_trade_no, self.money, self.subject, self.capture, ttl_us

    @property
    def due_us(self) -> int:
        """When something happens to it by itself (`due_event`); 0: never."""
        match self.status:
            case Status.PENDING | Status.CONFIRMING:
                return self.expires_us
            case Status.AUTHORIZED:
                return self.hold_until_us
            case Status.SUCCEEDED:
                return self.captured_us + REFUND_WINDOW_US
            case Status.CLOSED | Status.FINISHED:
                return 0

    @property
    def due_event(self) -> Event:
        return Event.FINISH if self.status is Status.SUCCEEDED else Event.EXPIRE


def at(order: Order, now_us: int) -> Order:
    """The order as it is at that time: from `due_us` on, what happens to it by itself has happened."""
    return after(order, order.due_event) if 0 < order.due_us <= now_us else order


def after(order: Order, event: Event) -> Order:
    """The order after the event; amounts and times that the event sets, and `Rule.effect`, are transitions.py's.

    Raises ApiError, as `refusal`. Logical expiry is the caller's: it asks `at` first.
    """
    event = exact(order, event)
    rule = TRANSITIONS.get((order.status, event))
    if rule is None:
        raise refusal(order, event)
    changed = replace(order, status=rule.to, close_reason=rule.close_reason, version=order.version + 1)
    if event in (Event.DECLINE, Event.PROMPT_TIMEOUT, Event.LAST_DECLINE):
        changed = replace(changed, declines=order.declines + 1)
    return changed


def exact(order: Order, event: Event) -> Event:
    """Which row of the table it is: a yes by how the order is captured, a no by how many there were."""
    if event is Event.CONFIRM and order.capture is Capture.MANUAL:
        return Event.AUTHORIZE
    if event in (Event.DECLINE, Event.PROMPT_TIMEOUT) and order.declines + 1 >= DECLINES_MAX:
        return Event.LAST_DECLINE
    return event


def refusal(order: Order, event: Event) -> ApiError:
    """Why the event does not apply: with the state the order is in.

    EXPIRED, DECLINED or INSUFFICIENT_FUNDS where that is why it is closed, REFUND_WINDOW_OVER for a refund of a
    finished one, else INVALID_STATE.
    """
    reason = order.close_reason
    details = {"status": order.status.value, "close_reason": reason and reason.value}
    if event is Event.REFUND and order.status is Status.FINISHED:
        return ApiError(ErrorCode.REFUND_WINDOW_OVER, f"refund: {ErrorCode.REFUND_WINDOW_OVER.cure}", details=details)
    stands, cure = order.status.value, ""
    code = ErrorCode.INVALID_STATE
    if reason is not None:
        stands, cure = f"closed ({reason.value})", "; for another payment create a new order"
        code = _CODES.get(reason, code)
    return ApiError(code, f"{event.value} does not apply to an order that is {stands}{cure}", details=details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The user's yes: to whom, and the digest of what stood on the cashier's screen."""

    payee: str
    digest: bytes


def digest(order: Order, payee: str, *, version: int | None = None) -> bytes:
    """SHA-256 over what the user is asked to confirm: order, version, amount, currency, payee; unambiguous.

    `version`: that of the order when it was shown; its present one by default.
    """
    shown = order.version if version is None else version
    parts = (order.id, str(shown), str(order.money.amount), order.money.currency, payee)
    encoded = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return sha256(b"hostel confirmation 1\0" + encoded).digest()
