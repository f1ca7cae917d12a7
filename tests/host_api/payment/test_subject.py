"""The one text of a guest's on the cashier's screen."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.payment.subject import CHARS_MAX, clean_subject


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("Fruit basket", "Fruit basket"),
        ("  a \u3000 b\u00a0 ", "a b"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("水果篮", "水果篮"),
        ("x" * 64, "x" * 64),
        ("e\u0301" * 64, "\u00e9" * 64),
    ],
)
def test_what_is_shown(given_text: str, shown: str) -> None:
    assert clean_subject(given_text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \u00a0 ",
        "x" * 65,
        "x" * 10_000,
        "a\nb",
        "a\rb",
        "a\tb",
        "a\x00b",
        "a\x1b[31mb",
        "a\x7fb",
        "a\x85b",
        "a\u2028b",
        "a\u2029b",
        "a\u202eb",
        "a\u2066b",
        "a\u200fb",
        "a\u200bb",
        "a\u200db",
        "a\u2060b",
        "a\ufeffb",
        "a\u00adb",
        "\u3164",
        "\u2800",
        "a\ue000b",
        "a\udc80b",
        "a\U000e0041b",
        "a\uffffb",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        clean_subject(text)


@given(st.text(max_size=80))
def test_any_text_is_one_clean_line_or_refused(text: str) -> None:
    try:
        shown = clean_subject(text)
    except ValueError as refused:
        assert str(refused).isprintable()
        return
    assert 1 <= len(shown) <= CHARS_MAX
    assert shown == unicodedata.normalize("NFC", shown) == clean_subject(shown)
    assert shown.isprintable()
    assert shown == shown.strip()
