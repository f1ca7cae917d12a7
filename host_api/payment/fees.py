"""What a payee pays the platform, and gets back when it refunds: whole minor units, no store, no order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BPS: Final = 10_000


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


def fee_returned(charged: int, captured: int, refunded: int) -> int:
    """How much of the fee `charged` on `captured` the platform has given back once `refunded` of it is refunded in all.

    floor(charged × refunded / captured): of the total, never of one refund, so that many small refunds give back what
    one large one does, to the minor unit.
    """
    return charged * refunded // captured
