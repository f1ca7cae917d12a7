"""The methods of refunds: parameters, results, errors. Declarations only. They need a capability of their own.

There is no parameter for a currency: a refund is in that of its order.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode
from host_api.idempotency import Key
from host_api.money import Amount, Money
from host_api.payment.methods import OF_THE_STATE, OF_THE_STORE, OrderId
from host_api.payment.orders import Order
from host_api.payment.records import Refund
from host_api.payment.subject import clean_subject

CAPABILITY: Final = "payment.refund"

RequestNo = Annotated[
    str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z", description="1 to 64 of A-Z a-z 0-9 _ . : -")
]


class RefundParams(Params, frozen=True, kw_only=True):
    key: Key
    order_id: OrderId
    """The order that was captured."""
    out_request_no: RequestNo
    """The program's own number of the refund; unique for the order for ever."""
    amount: Amount
    """Minor units of the order's currency; all refunds together at most what was captured."""
    reason: str
    """What it is for; one clean line, as a subject."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "reason", clean_subject(self.reason))


class RefundQueryParams(Params, frozen=True, kw_only=True):
    order_id: OrderId
    """The order it is of."""
    out_request_no: RequestNo
    """The program's own number of the refund."""


class RefundResult(Result, frozen=True, kw_only=True):
    refund_id: str
    """The host's number of the refund."""
    order_id: str
    """The order it is of."""
    out_request_no: str
    """The program's own."""
    status: str
    """succeeded; more may come."""
    amount: Money
    reason: str
    """As it was given, cleaned."""
    order_refunded: int
    """Minor units of the order that were given back in all."""
    replayed: bool
    """True where the refund had been made before: it was not made again."""

    @classmethod
    def of(cls, order: Order, refund: Refund, *, replayed: bool = False) -> RefundResult:
        return cls(
            refund_id=refund.id,
            order_id=order.id,
            out_request_no=refund.out_request_no,
            status="succeeded",
            amount=Money(amount=refund.amount, currency=order.money.currency),
            reason=refund.reason,
            order_refunded=order.refunded,
            replayed=replayed,
        )


_REFUND_EXAMPLE: Final = {
    "refund_id": "1e" * 16,
    "order_id": "0f" * 16,
    "out_request_no": "2026-0081-1",
    "status": "succeeded",
    "amount": {"amount": 250, "currency": "CNY"},
    "reason": "One apple was bad",
    "order_refunded": 250,
    "replayed": False,
}

REFUND: Final = Method(
    name="payment.refund",
    capability=CAPABILITY,
    params=RefundParams,
    result=RefundResult,
    errors=(
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.RATE_LIMITED,
        ErrorCode.KEY_REUSED,
        ErrorCode.ORDER_MISMATCH,
        *OF_THE_STATE,
        ErrorCode.REFUND_EXCEEDS_CAPTURED,
        ErrorCode.REFUND_WINDOW_OVER,
        ErrorCode.MERCHANT_FUNDS_LOW,
        *OF_THE_STORE,
    ),
    waits=True,
    summary="Give the user back all or a part of what was captured, and the program its share of the fee.",
    example={
        "key": "refund-81-1",
        "order_id": "0f" * 16,
        "out_request_no": "2026-0081-1",
        "amount": 250,
        "reason": "One apple was bad",
    },
    answer=_REFUND_EXAMPLE,
)

REFUND_QUERY: Final = Method(
    name="payment.refund_query",
    capability=CAPABILITY,
    params=RefundQueryParams,
    result=RefundResult,
    errors=(ErrorCode.NOT_FOUND, ErrorCode.BUSY),
    waits=False,
    summary="Whether a refund was made: the truth where its answer was lost.",
    example={"order_id": "0f" * 16, "out_request_no": "2026-0081-1"},
    answer=_REFUND_EXAMPLE,
)
