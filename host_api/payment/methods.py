"""The methods of the payment service: parameters, results, errors. Declarations only.

There is no parameter for a payee, a user or an answer: who is paid and who pays comes from the host's records, and
only the cashier answers.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode
from host_api.idempotency import Key
from host_api.money import Money
from host_api.payment.orders import Order
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
    """What it is for, as the user reads it; see subject.py for what may stand in it."""
    ttl_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 900

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "subject", clean_subject(self.subject))


class RequestParams(Params, frozen=True, kw_only=True):
    order_id: OrderId
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 0
    """How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms."""


class QueryParams(Params, frozen=True, kw_only=True):
    order_id: OrderId | None = None
    out_trade_no: TradeNo | None = None

    def __post_init__(self) -> None:
        if (self.order_id is None) is (self.out_trade_no is None):
            raise ValueError("give either order_id or out_trade_no")


class OrderResult(Result, frozen=True, kw_only=True):
    order_id: str
    out_trade_no: str
    status: str
    """pending, confirming, succeeded or closed; more may come."""
    close_reason: str | None
    """declined, expired, no_funds or limit; nil while the order is not closed."""
    amount: Money
    subject: str
    expires_at_ms: int
    replayed: bool
    """True where the request had been carried out before, and this is its outcome again."""

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
        )


CREATE: Final = Method(
    name="payment.create",
    capability=CAPABILITY,
    params=CreateParams,
    result=OrderResult,
    errors=(
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.LIMIT_EXCEEDED,
        ErrorCode.KEY_REUSED,
        ErrorCode.ORDER_MISMATCH,
        ErrorCode.UNKNOWN_OUTCOME,
        ErrorCode.BUSY,
    ),
    waits=True,
    summary="Create an order that the session's user is to pay to this program's payee.",
    example={
        "key": "cart-81",
        "out_trade_no": "2026-0081",
        "amount": {"amount": 1250, "currency": "CNY"},
        "subject": "Fruit basket",
    },
)

REQUEST: Final = Method(
    name="payment.request",
    capability=CAPABILITY,
    params=RequestParams,
    result=OrderResult,
    errors=(
        ErrorCode.NOT_FOUND,
        ErrorCode.INVALID_STATE,
        ErrorCode.EXPIRED,
        ErrorCode.CASHIER_BUSY,
        ErrorCode.NOT_INTERACTIVE,
        ErrorCode.UNKNOWN_OUTCOME,
        ErrorCode.BUSY,
    ),
    waits=True,
    summary="Ask the user to pay an order: opens the cashier, and waits for the answer up to wait_ms.",
    example={"order_id": "0f" * 16, "wait_ms": 60_000},
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
)
