"""The one text of a guest's on the cashier's screen."""

from __future__ import annotations

import contextlib
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
        ("\u2764\ufe0f basket", "\u2764\ufe0f basket"),
        ("q\u0323\u0307\u0302\u0301", "q\u0323\u0307\u0302\u0301"),
        ("\u0e17\u0e35\u0e48", "\u0e17\u0e35\u0e48"),
        ("l2.5O CNY", "l2.5O CNY"),
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
        "a\ufe0fb",
        "a\ufe00",
        "\u2764\ufe0f\ufe0f",
        "a\U000e0100",
        "\U0001d159",
        "\u0338paid",
        "a \u0338b",
        "a\u20e0",
        "q\u0323\u0307\u0302\u0301\u0300",
        "a\u061cb",
        "a\u180eb",
        "a\u206ab",
        "a\ufff9b",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        clean_subject(text)


IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Unicode's Default_Ignorable_Code_Point: what a font may show as nothing at all."""


def test_nothing_that_unicode_calls_ignorable_hides_in_a_text() -> None:
    let_through = []
    for first, last in IGNORABLE:
        for code in range(first, last + 1):
            with contextlib.suppress(ValueError):
                let_through.append(clean_subject(f"a{chr(code)}b"))
    assert let_through == []


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
