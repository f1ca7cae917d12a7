"""Amounts and currencies: what is money and what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.money import AMOUNT_MAX, EXPONENTS, Money, amount_text

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


def test_every_currency_of_the_iso_list_is_in_the_table() -> None:
    """The table may hold more: a code that ISO withdraws stays, because ledgers hold it."""
    iso4217 = pytest.importorskip("iso4217")
    funds = {
        entry.findtext("Ccy")
        for entry in iso4217.raw_xml.iter("CcyNtry")
        if (name := entry.find("CcyNm")) is not None and name.get("IsFund") is not None
    }
    listed = {
        code: int(row["CcyMnrUnts"])
        for code, row in iso4217.raw_table.items()
        if code is not None and code not in funds and row["CcyMnrUnts"] in ("0", "2", "3")
    }
    assert {code: EXPONENTS.get(code) for code in listed} == listed


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
