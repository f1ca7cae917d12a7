"""Shares: the same users for ever, about as many as asked for, and more of them only by adding."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.releases.rollout import SHARES, place

USERS = 20_000


def test_the_place_is_over_these_bytes() -> None:
    digest = sha256(b"hostel gray 1\0org.example.shop\0alice").digest()
    assert place("org.example.shop", "alice") == int.from_bytes(digest[:8], "big") % 10_000


@pytest.mark.parametrize("share", [100, 500, 2_500, 5_000, 9_000])
def test_a_share_is_within_one_percent_of_what_was_asked(share: int) -> None:
    inside = sum(place("org.example.shop", f"user-{number}") < share for number in range(USERS))
    assert abs(inside / USERS - share / SHARES) < 0.01


@given(st.text(min_size=1, max_size=20), st.integers(0, SHARES), st.integers(0, SHARES))
def test_a_larger_share_only_adds(user: str, one: int, other: int) -> None:
    found = place("app", user)
    assert 0 <= found < SHARES
    if found < min(one, other):
        assert found < max(one, other)


def test_programs_do_not_try_things_on_the_same_users() -> None:
    both = sum(place("one", f"user-{n}") < 1_000 and place("two", f"user-{n}") < 1_000 for n in range(USERS))
    assert both / USERS == pytest.approx(0.01, abs=0.005)
