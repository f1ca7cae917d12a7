"""Money: whole minor units and an ISO 4217 code. Never a float, never text, never zero or negative.

The codes are our own table, to which codes are only ever added: a ledger is for ever, and what was booked in a
currency that ISO withdraws must still be read (packages that carry the ISO's list forget such codes). Left out is
what nobody pays with: funds codes, precious metals, units of account. A test compares the table with the ISO's list
of the day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

AMOUNT_MAX: Final = 10**12
"""Of one amount, in minor units: so far below 2^63 that nine million of them still fit a stored counter."""
Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]

_BY_EXPONENT: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP "
        "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
        "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN "
        "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
        "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XAD XCD XCG YER "
        "ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
}
EXPONENTS: Final[Mapping[str, int]] = {code: digits for digits, codes in _BY_EXPONENT.items() for code in codes.split()}
"""Every currency there is → how many of its digits are minor units. Membership is exact: 'eur' is not in it."""


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`{"amount": minor units, "currency": code}` on the wire; a held value is a valid one (ValueError)."""

    amount: Amount
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]

    def __post_init__(self) -> None:
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
