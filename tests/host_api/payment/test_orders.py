"""The order's table cell by cell, logical expiry, fees and the confirmation's digest."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.errors import ApiError, ErrorCode
from host_api.money import AMOUNT_MAX, Money
from host_api.payment.orders import (
    BPS,
    TRANSITIONS,
    CloseReason,
    Effect,
    Event,
    FeeTerms,
    Order,
    Status,
    after,
    at,
    decline_of,
    digest,
    fee,
)

S, E = Status, Event
EXPECTED: dict[tuple[Status, Event], tuple[Status, CloseReason | None, Effect]] = {
    (S.PENDING, E.REQUEST): (S.CONFIRMING, None, Effect.NONE),
    (S.PENDING, E.EXPIRE): (S.CLOSED, CloseReason.EXPIRED, Effect.NONE),
    (S.CONFIRMING, E.CONFIRM): (S.SUCCEEDED, None, Effect.CAPTURE),
    (S.CONFIRMING, E.DECLINE): (S.PENDING, None, Effect.NONE),
    (S.CONFIRMING, E.LAST_DECLINE): (S.CLOSED, CloseReason.DECLINED, Effect.NONE),
    (S.CONFIRMING, E.PROMPT_TIMEOUT): (S.PENDING, None, Effect.NONE),
    (S.CONFIRMING, E.WITHDRAW): (S.PENDING, None, Effect.NONE),
    (S.CONFIRMING, E.NO_FUNDS): (S.CLOSED, CloseReason.NO_FUNDS, Effect.NONE),
    (S.CONFIRMING, E.OVER_LIMIT): (S.CLOSED, CloseReason.LIMIT, Effect.NONE),
    (S.CONFIRMING, E.EXPIRE): (S.CLOSED, CloseReason.EXPIRED, Effect.NONE),
}
"""Written here a second time on purpose: a change of the table must be made in two places."""


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "id": "o1",
        "app_id": "shop",
        "user": "alice",
        "out_trade_no": "1",
        "money": Money(amount=1250, currency="CNY"),
        "subject": "Tea",
        "created_us": 1_000,
        "expires_us": 2_000,
    }
    return Order(**{**fields, **changes})


@pytest.mark.parametrize(("status", "event"), list(product(Status, Event)))
def test_every_cell_of_the_table(status: Status, event: Event) -> None:
    before = order(status=status, close_reason=CloseReason.DECLINED if status is S.CLOSED else None, version=4)
    expected = EXPECTED.get((status, event))
    if expected is None:
        with pytest.raises(ApiError) as refused:
            after(before, event)
        assert refused.value.code is ErrorCode.INVALID_STATE
        assert refused.value.details["status"] == status.value
        return
    changed = after(before, event)
    assert (changed.status, changed.close_reason, TRANSITIONS[status, event].effect) == expected
    declined = event in (E.DECLINE, E.LAST_DECLINE)
    assert changed == replace(
        before, status=expected[0], close_reason=expected[1], version=5, declines=1 if declined else 0
    )


def test_closed_and_succeeded_are_the_end() -> None:
    assert {status for status, _ in TRANSITIONS} == {S.PENDING, S.CONFIRMING}


def test_money_moves_in_one_cell_only() -> None:
    assert [cell for cell, rule in TRANSITIONS.items() if rule.effect is Effect.CAPTURE] == [(S.CONFIRMING, E.CONFIRM)]


@pytest.mark.parametrize("status", Status)
def test_expiry_is_exact_and_ends_open_orders_only(status: Status) -> None:
    before = order(status=status, close_reason=CloseReason.DECLINED if status is S.CLOSED else None)
    assert at(before, 1_999) is before
    expired = at(before, 2_000)
    if status in (S.PENDING, S.CONFIRMING):
        assert (expired.status, expired.close_reason) == (S.CLOSED, CloseReason.EXPIRED)
        with pytest.raises(ApiError) as refused:
            after(expired, E.REQUEST)
        assert refused.value.code is ErrorCode.EXPIRED
    else:
        assert expired is before


def test_the_third_no_is_the_last() -> None:
    assert [decline_of(order(declines=n)) for n in range(3)] == [E.DECLINE, E.DECLINE, E.LAST_DECLINE]


@given(st.integers(1, AMOUNT_MAX), st.integers(0, BPS), st.integers(0, 10**12))
def test_a_fee_is_rounded_half_to_even_and_never_more_than_was_captured(amount: int, bps: int, fixed: int) -> None:
    share = (Decimal(amount) * bps / BPS).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    assert fee(amount, FeeTerms(bps=bps, fixed=fixed)) == min(int(share) + fixed, amount)


@pytest.mark.parametrize(
    ("amount", "bps", "fixed", "charged"),
    [
        (10_000, 60, 0, 60),
        (250, 60, 0, 2),
        (750, 60, 0, 4),
        (83, 60, 0, 0),
        (84, 60, 0, 1),
        (5, 60, 9, 5),
        (7, 0, 0, 0),
    ],
)
def test_fees(amount: int, bps: int, fixed: int, charged: int) -> None:
    assert fee(amount, FeeTerms(bps=bps, fixed=fixed)) == charged


@pytest.mark.parametrize("terms", [{"bps": -1}, {"bps": 10_001}, {"bps": 1.5}, {"fixed": -1}, {"fixed": True}])
def test_fee_terms_that_cannot_be(terms: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fee"):
        FeeTerms(**terms)


def test_the_digest_covers_order_version_amount_currency_and_payee() -> None:
    digests = {
        digest(order(), "Shop"),
        digest(order(id="o2"), "Shop"),
        digest(order(version=2), "Shop"),
        digest(order(money=Money(amount=1251, currency="CNY")), "Shop"),
        digest(order(money=Money(amount=1250, currency="EUR")), "Shop"),
        digest(order(), "Shop2"),
        digest(order(id="o11", version=1), "Shop"),
        digest(order(id="o1", version=11), "Shop"),
    }
    assert len(digests) == 8
    assert digest(order(version=3), "Shop", version=1) == digest(order(version=1), "Shop")
