"""Fees: rounding, bounds, and that no way of refunding gains from either."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.money import AMOUNT_MAX
from host_api.payment.fees import BPS, FeeTerms, fee, fee_returned


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


@given(st.data(), st.integers(1, AMOUNT_MAX))
def test_many_refunds_give_back_what_one_does(data: st.DataObject, captured: int) -> None:
    charged = data.draw(st.integers(0, captured))
    cuts = sorted(data.draw(st.lists(st.integers(0, captured), max_size=20)))
    shares = [fee_returned(charged, captured, cut) for cut in cuts]
    total = cuts[-1] if cuts else 0
    steps = [after - before for before, after in zip([0, *shares], shares, strict=False)]
    assert all(step >= 0 for step in steps)
    assert sum(steps) == fee_returned(charged, captured, total) == charged * total // captured


@given(st.data(), st.integers(1, AMOUNT_MAX))
def test_what_comes_back_is_never_more_than_the_refund_or_the_fee(data: st.DataObject, captured: int) -> None:
    charged = data.draw(st.integers(0, captured))
    before = data.draw(st.integers(0, captured - 1))
    amount = data.draw(st.integers(1, captured - before))
    back = fee_returned(charged, captured, before + amount) - fee_returned(charged, captured, before)
    assert 0 <= back <= min(amount, charged)
    assert fee_returned(charged, captured, captured) == charged
