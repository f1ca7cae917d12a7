"""What the model knows of an order and of a program, and how a program sees an order. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SECOND = 1_000_000
HOUR, DAY = 3600 * SECOND, 24 * 3600 * SECOND
REFUND_WINDOW = 90 * DAY


@dataclass
class Program:
    """What its operator set. Grants are narrowed in place; a new set of them is a new program."""

    limits: dict[str, int]
    grants: dict[str, dict[str, Any]]
    bps: int = 0
    fixed: int = 0


@dataclass
class Order:
    app: str
    user: str
    number: str
    amount: int
    currency: str
    subject: str
    capture: str
    created: int
    ttl_s: int
    id: str = ""
    status: str = "pending"
    reason: str | None = None
    declines: int = 0
    asked_at: int = 0
    prompt_until: int = 0
    paid_at: int = 0
    hold_until: int = 0
    captured: int = 0
    captured_at: int = 0
    refunded: int = 0
    fee: int = 0
    refunds: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked_under: Program | None = None
    asked_with: Program | None = None
    """What was granted when its prompt opened; the first of the two is narrowed since, if it was."""
    told: list[str] = field(default_factory=lambda: ["pending"])

    @property
    def expires(self) -> int:
        return self.created + self.ttl_s * SECOND

    @property
    def request(self) -> tuple[Any, ...]:
        return self.user, self.amount, self.currency, self.subject, self.capture, self.ttl_s

    @property
    def fee_back(self) -> int:
        return self.fee * self.refunded // self.captured if self.captured else 0

    def to(self, status: str, reason: str | None = None, told: str = "") -> None:
        self.status, self.reason = status, reason
        self.told.append(told or status)


def shown(order: Order, *, replayed: bool = False) -> dict[str, Any]:
    """The order as its program sees it."""
    held, done = order.status == "authorized", order.status == "succeeded"
    return {
        "order_id": order.id,
        "out_trade_no": order.number,
        "status": order.status,
        "close_reason": order.reason,
        "amount": {"amount": order.amount, "currency": order.currency},
        "subject": order.subject,
        "expires_at_ms": order.expires // 1000,
        "replayed": replayed,
        "capture": order.capture,
        "captured": order.captured,
        "refunded": order.refunded,
        "hold_expires_at_ms": order.hold_until // 1000 if held else None,
        "refundable_until_ms": (order.captured_at + REFUND_WINDOW) // 1000 if done else None,
        "version": len(order.told),
    }


def shown_refund(order: Order, number: str, *, replayed: bool = False) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "out_request_no": number,
        "status": "succeeded",
        "amount": {"amount": order.refunds[number][0], "currency": order.currency},
        "reason": order.refunds[number][1],
        "order_refunded": order.refunded,
        "replayed": replayed,
    }
