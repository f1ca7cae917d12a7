"""How much may be paid: the program's limits and its grant, asked in the transaction of the effect.

What lives here: one question a limit. What they are asked with (sums and counts) is read by the callers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from host_api.capability import Authority, Constraints
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.payment.methods import CAPABILITY
from host_api.payment.orders import Order


class PaymentLimits(Protocol):
    """Of `CallLimits`, what is asked here."""

    @property
    def payment_amount(self) -> int: ...
    @property
    def payment_day_amount(self) -> int: ...
    @property
    def payment_hour_count(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the session allows: its program's limits and its grant; one snapshot for a call and the prompt it opens."""

    limits: PaymentLimits
    authority: Authority

    def admit_amount(self, order: Order, now_us: int) -> None:
        """One payment. Raises ApiError GRANT_EXPIRED, GRANT_CONSTRAINT or LIMIT_EXCEEDED, in this order."""
        money, most = order.money, self.limits.payment_amount
        admit_by_grant(self.authority.require(CAPABILITY, now_us), money.amount, money.currency)
        if money.amount > most:
            raise limit_exceeded("payment_amount", most, money.amount, "minor units", "the payment")

    def admit_another(self, created: int, now_us: int) -> None:
        """One more order after `created` of the last hour. Raises ApiError GRANT_CONSTRAINT or LIMIT_EXCEEDED."""
        grant = self.authority.require(CAPABILITY, now_us)
        if grant.count is not None and created >= grant.count:
            raise constraint_met("count", grant.count, created + 1)
        if created >= self.limits.payment_hour_count:
            value = self.limits.payment_hour_count
            raise limit_exceeded("payment_hour_count", value, created + 1, "payments", "payments of this hour")

    def admit_day(self, paid: int, order: Order, now_us: int) -> None:
        """The payment after `paid` of the last 24 hours. Raises ApiError GRANT_CONSTRAINT or LIMIT_EXCEEDED."""
        grant = self.authority.require(CAPABILITY, now_us)
        total, most = paid + order.money.amount, self.limits.payment_day_amount
        if grant.day_max is not None and total > grant.day_max:
            raise constraint_met("day_max", grant.day_max, total)
        if total > most:
            raise limit_exceeded("payment_day_amount", most, total, "minor units", "payments of this day")


def admit_by_grant(grant: Constraints, amount: int, currency: str) -> None:
    """One amount that is asked for, taken or given back. Raises ApiError GRANT_CONSTRAINT."""
    if grant.amount_max is not None and amount > grant.amount_max:
        raise constraint_met("amount_max", grant.amount_max, amount)
    if grant.currencies is not None and currency not in grant.currencies:
        raise constraint_met("currencies", list(grant.currencies), currency)


def constraint_met(name: str, value: object, used: object) -> ApiError:
    """The refusal of what is outside the grant: names the constraint, its value and what was asked."""
    return ApiError(
        ErrorCode.GRANT_CONSTRAINT,
        f"{used} is outside the grant's {name} = {value}",
        details={"constraint": name, "value": value, "used": used},
    )
