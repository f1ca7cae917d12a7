"""The methods of the payment service: parameters, results, errors. Declarations only.

There is no parameter for a payee, a user or an answer: who is paid and who pays comes from the host's records, and
only the cashier answers.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode
from host_api.idempotency import Key
from host_api.money import Amount, Money
from host_api.payment.orders import Order, Status
from host_api.payment.subject import clean_subject

CAPABILITY: Final = "payment"

OrderId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
TradeNo = Annotated[
    str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z", description="1 to 64 of A-Z a-z 0-9 _ . : -")
]


class CreateParams(Params, frozen=True, kw_only=True):
    key: Key
    out_trade_no: TradeNo
    """The program's own number of the order; unique for it for ever."""
    amount: Money
    subject: str
    """What it is for, as the user reads it: 1 to 64 visible characters, cleaned (protocol §8.2)."""
    ttl_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 900
    """Seconds until an order that nobody paid is closed."""
    capture: Literal["auto", "manual"] = "auto"
    """When the money moves: with the user's yes, or held for up to 7 days until payment.capture."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "subject", clean_subject(self.subject))


class RequestParams(Params, frozen=True, kw_only=True):
    order_id: OrderId
    """As payment.create gave it."""
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 0
    """How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms."""


class QueryParams(Params, frozen=True, kw_only=True):
    order_id: OrderId | None = None
    """As payment.create gave it; or else out_trade_no."""
    out_trade_no: TradeNo | None = None
    """The program's own number of the order; or else order_id."""

    def __post_init__(self) -> None:
        if (self.order_id is None) is (self.out_trade_no is None):
            raise ValueError("give either order_id or out_trade_no")


class CaptureParams(Params, frozen=True, kw_only=True):
    key: Key
    order_id: OrderId
    """As payment.create gave it."""
    amount: Amount | None = None
    """Minor units of the order's currency, at most what is held; all of it by default. The rest goes back."""


class CloseParams(Params, frozen=True, kw_only=True):
    key: Key
    order_id: OrderId
    """As payment.create gave it."""


class OrderResult(Result, frozen=True, kw_only=True):
    order_id: str
    """The host's number of the order."""
    out_trade_no: str
    """The program's own."""
    status: str
    """pending, confirming, authorized, succeeded, finished or closed; more may come."""
    close_reason: str | None
    """declined, expired, no_funds, limit, closed, voided, uninstalled or revoked; nil while the order is not closed."""
    amount: Money
    subject: str
    """As the user reads it."""
    expires_at_ms: int
    """When it is closed unless the user has paid; milliseconds since the epoch."""
    replayed: bool
    """True where the request had been carried out before, and this is its outcome again."""
    capture: str = "auto"
    """auto or manual, as it was created."""
    captured: int = 0
    """Minor units that were taken."""
    refunded: int = 0
    """Minor units that were given back in all."""
    hold_expires_at_ms: int | None = None
    """Until when the money is held; nil unless authorized."""
    refundable_until_ms: int | None = None
    """nil unless succeeded."""
    version: int = 0
    """Grows by one with each change: of two answers or events the later one has the greater."""

    @classmethod
    def of(cls, order: Order, *, replayed: bool = False) -> OrderResult:
        return cls(
            order_id=order.id,
            out_trade_no=order.out_trade_no,
            status=order.status.value,
            close_reason=order.close_reason and order.close_reason.value,
            amount=order.money,
            subject=order.subject,
            expires_at_ms=order.expires_us // 1000,
            replayed=replayed,
            capture=order.capture.value,
            captured=order.captured,
            refunded=order.refunded,
            hold_expires_at_ms=order.due_us // 1000 if order.status is Status.AUTHORIZED else None,
            refundable_until_ms=order.due_us // 1000 if order.status is Status.SUCCEEDED else None,
            version=order.version,
        )


_ORDER_EXAMPLE: Final = {
    "order_id": "0f" * 16,
    "out_trade_no": "2026-0081",
    "status": "pending",
    "close_reason": None,
    "amount": {"amount": 1250, "currency": "CNY"},
    "subject": "Fruit basket",
    "expires_at_ms": 1_800_000_900_000,
    "replayed": False,
    "capture": "auto",
    "captured": 0,
    "refunded": 0,
    "hold_expires_at_ms": None,
    "refundable_until_ms": None,
    "version": 1,
}
_SUCCEEDED: Final = {
    **_ORDER_EXAMPLE,
    "status": "succeeded",
    "captured": 1250,
    "refundable_until_ms": 1_807_776_000_000,
    "version": 3,
}
OF_THE_STATE: Final = (
    ErrorCode.NOT_FOUND,
    ErrorCode.INVALID_STATE,
    ErrorCode.EXPIRED,
    ErrorCode.DECLINED,
    ErrorCode.INSUFFICIENT_FUNDS,
)
"""What an operation on an order answers where the order is not the session's, or not in a state for it."""
OF_THE_STORE: Final = (ErrorCode.UNKNOWN_OUTCOME, ErrorCode.BUSY)

CREATE: Final = Method(
    name="payment.create",
    capability=CAPABILITY,
    params=CreateParams,
    result=OrderResult,
    errors=(
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.LIMIT_EXCEEDED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.KEY_REUSED,
        ErrorCode.ORDER_MISMATCH,
        *OF_THE_STORE,
    ),
    waits=True,
    summary="Create an order that the session's user is to pay to this program's payee.",
    example={
        "key": "cart-81",
        "out_trade_no": "2026-0081",
        "amount": {"amount": 1250, "currency": "CNY"},
        "subject": "Fruit basket",
    },
    answer=_ORDER_EXAMPLE,
)

REQUEST: Final = Method(
    name="payment.request",
    capability=CAPABILITY,
    params=RequestParams,
    result=OrderResult,
    errors=(
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.RATE_LIMITED,
        *OF_THE_STATE,
        ErrorCode.CASHIER_BUSY,
        ErrorCode.NOT_INTERACTIVE,
        *OF_THE_STORE,
    ),
    waits=True,
    summary="Ask the user to pay an order: opens the cashier, and waits for the answer up to wait_ms.",
    example={"order_id": "0f" * 16, "wait_ms": 60_000},
    answer=_SUCCEEDED,
)

QUERY: Final = Method(
    name="payment.query",
    capability=CAPABILITY,
    params=QueryParams,
    result=OrderResult,
    errors=(ErrorCode.NOT_FOUND, ErrorCode.BUSY),
    waits=False,
    summary="How an order stands now: the truth about every payment whose answer was lost.",
    example={"out_trade_no": "2026-0081"},
    answer=_SUCCEEDED,
)

CAPTURE: Final = Method(
    name="payment.capture",
    capability=CAPABILITY,
    params=CaptureParams,
    result=OrderResult,
    errors=(
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.RATE_LIMITED,
        ErrorCode.KEY_REUSED,
        *OF_THE_STATE,
        *OF_THE_STORE,
    ),
    waits=True,
    summary="Take what is held for an order with manual capture, all of it or a part; what is left goes back at once.",
    example={"key": "ship-81", "order_id": "0f" * 16, "amount": 1000},
    answer={**_SUCCEEDED, "capture": "manual", "captured": 1000, "version": 4},
)

CLOSE: Final = Method(
    name="payment.close",
    capability=CAPABILITY,
    params=CloseParams,
    result=OrderResult,
    errors=(ErrorCode.RATE_LIMITED, ErrorCode.KEY_REUSED, *OF_THE_STATE, *OF_THE_STORE),
    waits=True,
    summary="Give an order up before it is captured: its prompt is taken away, what is held goes back.",
    example={"key": "cancel-81", "order_id": "0f" * 16},
    answer={**_ORDER_EXAMPLE, "status": "closed", "close_reason": "closed", "version": 2},
)
