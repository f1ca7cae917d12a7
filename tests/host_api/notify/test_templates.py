"""Placeholders: what is filled in stays where it is put, and cannot look like anything else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.notify.templates import VALUE_CHARS_MAX, placeholders, rendered


@pytest.mark.parametrize(
    ("text", "values", "shown"),
    [
        ("Order {no}: {no}", {"no": "81"}, "Order 81: 81"),
        ("{a}{b}", {"a": "{b}", "b": "{a}"}, "{b}{a}"),
        ("no placeholder", {}, "no placeholder"),
        ("{a}", {"a": "  x \u00a0 y "}, "x y"),
        ("{a}", {"a": "e\u0301" * VALUE_CHARS_MAX}, "\u00e9" * VALUE_CHARS_MAX),
        ("{a}", {"a": r"\g<0>\1"}, r"\g<0>\1"),
    ],
)
def test_what_is_shown(text: str, values: dict[str, str], shown: str) -> None:
    assert rendered(text, values) == shown


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "too few"),
        ({"no": "1", "carrier": "SF", "more": "x"}, "too many"),
        ({"no": "1", "Carrier": "SF"}, "carrier, no"),
        ({"no": "1", "carrier": "a\nb"}, r"carrier must not hold U\+000A"),
        ({"no": "1", "carrier": "a\u202eb"}, r"carrier must not hold U\+202E"),
        ({"no": "1", "carrier": "\u200b"}, r"carrier must not hold U\+200B"),
        ({"no": "1", "carrier": " "}, "carrier has 0 characters"),
        ({"no": "1", "carrier": "x" * (VALUE_CHARS_MAX + 1)}, f"{VALUE_CHARS_MAX + 1} characters"),
    ],
)
def test_values_that_are_refused(values: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rendered("Order {no}: {carrier}", values)


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{A}", "{a", "a}", "{{a}}", "{a b}", "{1}", "{a!r}", "{a.b}", "{a:9}"]
)
def test_a_brace_is_a_placeholder_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a brace that is not part"):
        placeholders(text)


@given(st.lists(st.sampled_from(["{a}", "{bb}", "text", " "]), max_size=8).map("".join), st.text(), st.text())
def test_any_values_fill_their_places_or_are_refused(text: str, a: str, b: str) -> None:
    names = placeholders(text)
    try:
        shown = rendered(text, {name: {"a": a, "bb": b}[name] for name in names})
    except ValueError:
        return
    assert shown.isprintable()
    around = re.split(r"\{a\}|\{bb\}", text)
    assert shown.startswith(around[0]) and shown.endswith(around[-1])
    assert len(shown) <= len(text) + 8 * VALUE_CHARS_MAX
