"""Amounts and currencies: what is money and what is not."""

from __future__ import annotations

from typing import Any

import iso4217
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.money import AMOUNT_MAX, EXPONENTS, WITHDRAWN, Money, amount_text

NO_AMOUNTS: list[Any] = [-1, 0, AMOUNT_MAX + 1, 2**63, 2**64 - 1, 1.0, True, "5", float("nan"), None, b"5", [5]]
NO_CURRENCIES: list[Any] = ["EUR\n", "eur", "EU", "EURO", "", "ＥＵＲ", "XAU", "XXX", "CHW", "CLF", "BTC", 978, None]


@pytest.mark.parametrize("amount", NO_AMOUNTS)
def test_what_is_no_amount(amount: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"amount": amount, "currency": "CNY"}, Money)
    with pytest.raises(ValueError, match="amount"):
        Money(amount=amount, currency="CNY")


@pytest.mark.parametrize("currency", NO_CURRENCIES)
def test_what_is_no_currency(currency: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"amount": 1, "currency": currency}, Money)
    with pytest.raises(ValueError, match="currency"):
        Money(amount=1, currency=currency)


@pytest.mark.parametrize("amount", [1, AMOUNT_MAX])
def test_the_smallest_and_the_largest_amount(amount: int) -> None:
    assert msgspec.convert({"amount": amount, "currency": "JPY"}, Money).amount == amount


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"amount": 1, "currency": "CNY", "payee": "me"}, Money)


EVER = {
    0: ("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF "),
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP "
        "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
        "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN "
        "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
        "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XAD XCD XCG YER "
        "ZAR ZMW ZWG "
    ),
    3: ("BHD IQD JOD KWD LYD OMR TND "),
}
"""Exponent → every code that a release of ours could book. Codes are only ever added here: ledgers hold them."""


def test_no_currency_that_was_ever_booked_is_forgotten_or_drawn_otherwise() -> None:
    ever = {code: exponent for exponent, codes in EVER.items() for code in codes.split()}
    kept = {code: EXPONENTS.get(code) for code in ever}
    assert kept == ever, "put what the list dropped into WITHDRAWN"


def test_a_withdrawn_currency_is_not_in_the_list_any_more() -> None:
    assert not set(WITHDRAWN) & set(iso4217.raw_table)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1, "CNY", "0.01 CNY"),
        (1234, "EUR", "12.34 EUR"),
        (1200, "EUR", "12.00 EUR"),
        (1234, "JPY", "1234 JPY"),
        (5, "KWD", "0.005 KWD"),
        (AMOUNT_MAX, "USD", "10000000000.00 USD"),
    ],
)
def test_an_amount_is_drawn_with_its_exponent(amount: int, currency: str, text: str) -> None:
    assert amount_text(Money(amount=amount, currency=currency)) == text


@given(st.integers(1, AMOUNT_MAX), st.sampled_from(sorted(EXPONENTS)))
def test_a_drawn_amount_can_be_read_back(amount: int, currency: str) -> None:
    number, code = amount_text(Money(amount=amount, currency=currency)).split(" ")
    whole, _, minor = number.partition(".")
    assert (int(whole + minor), len(minor), code) == (amount, EXPONENTS[currency], currency)
