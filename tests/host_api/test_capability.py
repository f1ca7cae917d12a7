"""Grants: deny by default, only ever narrowed, every unknown name refused with the nearest known one."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.capability import (
    CAPABILITIES,
    NO_GRANTS,
    Authority,
    Constraints,
    Grant,
    GrantError,
    Grants,
    parse_grants,
)
from host_api.errors import ApiError, ErrorCode

numbers = st.none() | st.integers(0, 100)
currencies = st.none() | st.lists(st.sampled_from(["CNY", "EUR", "GBP"]), max_size=3).map(tuple)
prefixes = st.none() | st.lists(st.text("ab/", min_size=1, max_size=4), max_size=4).map(tuple)
constraints = st.builds(
    Constraints, amount_max=numbers, day_max=numbers, currencies=currencies, count=numbers, keys=prefixes,
    expires_at_us=numbers,
)  # fmt: skip
keys = st.text("ab/", min_size=1, max_size=6)


def allows_key(constraints: Constraints, key: str) -> bool:
    return constraints.keys is None or key.startswith(constraints.keys)


# ---- narrowing -------------------------------------------------------------------------------------------------------
@given(constraints, constraints, keys, st.integers(0, 101), st.sampled_from(["CNY", "EUR", "GBP"]))
def test_narrowed_allows_what_both_allow_and_nothing_else(
    a: Constraints, b: Constraints, key: str, number: int, currency: str
) -> None:
    both = a.narrowed(b)
    assert allows_key(both, key) == (allows_key(a, key) and allows_key(b, key))
    for name in ("amount_max", "day_max", "count"):
        held = [getattr(c, name) for c in (both, a, b)]
        within = [value is None or number <= value for value in held]
        assert within[0] == (within[1] and within[2])
    listed = [c.currencies is None or currency in c.currencies for c in (both, a, b)]
    assert listed[0] == (listed[1] and listed[2])
    living = [c.expires_at_us is None or number < c.expires_at_us for c in (both, a, b)]
    assert living[0] == (living[1] and living[2])


@given(constraints, constraints, constraints)
def test_narrowing_does_not_depend_on_the_order(a: Constraints, b: Constraints, c: Constraints) -> None:
    assert a.narrowed(b) == b.narrowed(a)
    assert a.narrowed(a) == a
    assert a.narrowed(b).narrowed(c) == a.narrowed(b.narrowed(c))


def test_prefixes_inside_prefixes() -> None:
    a = Constraints(keys=("cart/", "orders/2026"))
    b = Constraints(keys=("cart/apple", "orders/", "other/"))
    assert a.narrowed(b).keys == ("cart/apple", "orders/2026")
    assert Constraints(keys=("a", "ab", "b")).keys == ("a", "b")
    assert Constraints(keys=("a",)).narrowed(Constraints(keys=("b",))).keys == ()


# ---- authority -------------------------------------------------------------------------------------------------------
def refusal(authority: Authority, now_us: int = 0) -> ErrorCode | None:
    try:
        authority.require("storage", now_us)
    except ApiError as error:
        assert error.details["capability"] == "storage"
        assert error.code.cure in error.message
        return error.code
    return None


STORAGE, PAYMENT = parse_grants(["storage"]), parse_grants(["payment"])


@pytest.mark.parametrize(
    ("requested", "granted", "code"),
    [
        (NO_GRANTS, NO_GRANTS, ErrorCode.CAPABILITY_UNDECLARED),
        (NO_GRANTS, STORAGE, ErrorCode.CAPABILITY_UNDECLARED),
        (PAYMENT, STORAGE, ErrorCode.CAPABILITY_UNDECLARED),
        (STORAGE, NO_GRANTS, ErrorCode.CAPABILITY_NOT_GRANTED),
        (STORAGE, PAYMENT, ErrorCode.CAPABILITY_NOT_GRANTED),
        (STORAGE, STORAGE, None),
        (STORAGE, parse_grants(["payment", "storage"]), None),
    ],
)
def test_only_what_is_requested_and_granted(requested: Grants, granted: Grants, code: ErrorCode | None) -> None:
    authority = Authority(requested=requested, granted=granted)
    assert refusal(authority) == code
    if code is not None:
        with pytest.raises(ApiError):
            authority.constraints("storage")


def test_a_grant_ends_at_its_time() -> None:
    authority = Authority(requested=STORAGE, granted=parse_grants({"storage": {"expires_at_us": 1_000}}))
    assert refusal(authority, 999) is None
    assert refusal(authority, 1_000) is ErrorCode.GRANT_EXPIRED
    assert authority.constraints("storage").expires_at_us == 1_000


def test_a_manifest_may_ask_for_less_than_is_granted() -> None:
    authority = Authority(
        requested=parse_grants({"payment": {"amount_max": 500, "currencies": ["EUR", "CNY"]}}),
        granted=parse_grants({"payment": {"amount_max": 900, "currencies": ["CNY"], "count": 3}}),
    )
    assert authority.require("payment", 0) == Constraints(amount_max=500, currencies=("CNY",), count=3)


# ---- parsing ---------------------------------------------------------------------------------------------------------
@given(st.dictionaries(st.sampled_from(sorted(CAPABILITIES)), constraints))
def test_grants_survive_being_stored(wanted: dict[str, Constraints]) -> None:
    source = {
        name: {key: value for key, value in held.as_dict().items() if key in CAPABILITIES[name]}
        for name, held in wanted.items()
    }
    parsed = parse_grants(source)
    assert parse_grants(parsed.as_dict()) == parsed
    assert set(parsed.as_dict()) == set(wanted)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"http": {"hosts": ["127.0.0.1"]}}, "must be a name"),
        ({"http": {"hosts": ["https://a.example"]}}, "constraint hosts"),
        ({"http": {"hosts": ["A.example"]}}, "write a.example"),
        ({"http": {"hosts": ["a.example:443"]}}, "write a.example"),
        (["storrage"], "did you mean storage"),
        (["x" * 500], "known: http, notify, payment"),
        (["storage", "storage"], "twice"),
        ([1], "unknown capability"),
        ([["storage"]], "unknown capability"),
        ("storage", "list of names"),
        (b"storage", "list of names"),
        (None, "list of names"),
        (7, "list of names"),
        ({"storage": None}, "must be a map"),
        ({"storage": ["keys"]}, "must be a map"),
        ({"payment": {"amount": 5}}, "did you mean amount_max"),
        ({"storage": {"amount_max": 5}}, "unknown constraint of storage 'amount_max'"),
        ({"payment": {1: 5}}, "unknown constraint"),
        ({"payment": {"amount_max": -1}}, "whole number"),
        ({"payment": {"amount_max": True}}, "whole number"),
        ({"payment": {"amount_max": 1.0}}, "whole number"),
        ({"payment": {"amount_max": 2**53 + 1}}, "whole number"),
        ({"payment": {"count": "3"}}, "whole number"),
        ({"payment": {"currencies": "CNY"}}, "list of texts"),
        ({"payment": {"currencies": {"CNY": 1}}}, "list of texts"),
        ({"payment": {"currencies": [1]}}, "printable text"),
        ({"payment": {"currencies": ["CNY", "XXZ"]}}, "'XXZ' is no ISO 4217 code"),
        ({"payment": {"currencies": ["XAU"]}}, "no ISO 4217 code to pay with"),
        ({"payment.refund": {"currencies": ["eur"]}}, "write EUR"),
        ({"storage": {"keys": [""]}}, "1 to 256"),
        ({"storage": {"keys": ["a\n"]}}, "printable"),
        ({"storage": {"keys": ["k" * 257]}}, "1 to 256"),
        ({"storage": {"keys": ["k"] * 257}}, "257 entries"),
    ],
)
def test_what_is_no_grant_is_refused_with_a_cure(source: Any, words: str) -> None:
    with pytest.raises(GrantError) as refused:
        parse_grants(source)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_a_grant_made_by_hand_is_checked_too() -> None:
    with pytest.raises(GrantError, match="unknown capability"):
        Grant(capability="root")
    with pytest.raises(GrantError, match="unknown constraint of storage"):
        Grant(capability="storage", constraints=Constraints(count=1))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5), lambda v: st.lists(v) | st.dictionaries(st.text(max_size=8), v)
    )
)
def test_anything_gives_grants_or_grant_error(source: Any) -> None:
    with contextlib.suppress(GrantError):
        assert isinstance(parse_grants(source), Grants)
