"""Money: whole minor units and an ISO 4217 code. Never a float, never text, never zero or negative.

Codes and exponents are those of the package iso4217, which carries the maintenance agency's list; docs/decisions/0013
says why it is bounded to editions that were tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import iso4217
import msgspec

AMOUNT_MAX: Final = 10**12
"""Of one amount, in minor units: so far below 2^63 that nine million of them still fit a stored counter."""
Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]

WITHDRAWN: Final[Mapping[str, int]] = {}
"""What was once in the list and is no longer → its exponent: a ledger is for ever, and what was booked must be read. A
test knows every code that a release had, and fails where a new edition of the list dropped one that is not here."""


def _listed() -> dict[str, int]:
    """The list of the maintenance agency, without what nobody pays with: funds codes, and what has no exponent of money
    (precious metals, units of account, tests) or one over 3 (indexed units)."""
    funds = {
        entry.findtext("Ccy")
        for entry in iso4217.raw_xml.iter("CcyNtry")
        if (name := entry.find("CcyNm")) is not None and name.get("IsFund") is not None
    }
    return {
        code: int(str(row["CcyMnrUnts"]))
        for code, row in iso4217.raw_table.items()
        if code is not None and code not in funds and row["CcyMnrUnts"] in ("0", "2", "3")
    }


EXPONENTS: Final[Mapping[str, int]] = {**WITHDRAWN, **_listed()}
"""Every currency there is → how many of its digits are minor units. Membership is exact: 'eur' is not in it."""


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An amount of money."""

    amount: Amount
    """Whole minor units: 1250 is 12.50 of a currency with two digits, and 1250 of one with none."""
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    """ISO 4217, exactly as it is written there: EUR, not eur."""

    def __post_init__(self) -> None:
        """A held value is a valid one: raises ValueError."""
        if type(self.amount) is not int or not 1 <= self.amount <= AMOUNT_MAX:
            raise ValueError(f"amount must be a whole number of minor units from 1 to {AMOUNT_MAX}")
        if self.currency not in EXPONENTS:
            raise ValueError(f"currency {ascii(self.currency)[:16]} is not an ISO 4217 code that can be paid with")


def amount_text(money: Money) -> str:
    """For a person to read: `12.34 CNY`, `1234 JPY`, `0.005 KWD`. No grouping, no symbol: nothing that depends on a
    place."""
    exponent = EXPONENTS[money.currency]
    if exponent == 0:
        return f"{money.amount} {money.currency}"
    whole, minor = divmod(money.amount, 10**exponent)
    return f"{whole}.{minor:0{exponent}} {money.currency}"
