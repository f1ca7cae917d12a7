"""Fields of a user: every bound, and no message that quotes a value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.user.fields import FIELDS, PART_CHARS_MAX, address, checked, masked

GOOD = {
    "nickname": ["L", "x" * 64, "王小明", "👩\u200d🚀 Mei", "مریم\u200cی"],
    "avatar": ["https://img.example/a.png", "https://img.example:8443/a?b=c#d", "https://a.example/" + "x" * 1006],
    "locale": ["en", "zh-Hans-CN", "es-419"],
    "age_band": ["0-12", "13-15", "16-17", "18+"],
    "phone": ["+1234567", "+123456789012345"],
    "address": ['{"city":"Hangzhou"}', json.dumps({"street": "x" * PART_CHARS_MAX}, separators=(",", ":"))],
}
BAD = {
    "nickname": ["", " ", "x" * 65, "a\nb", "a\u202eb", "\u200d", "\ud800", "a\u2028b", "a\x00"],
    "avatar": [
        "http://img.example/a", "https://", "https:///a", "https://u:p@img.example/", "https://img.example:x/", "ftp://a/",
        "https://img.example/ä", "https://img.example/a b", "https://img.example/\n", "https://a.example/" + "x" * 1007,
        "javascript:alert(1)", "https://[::1/",
    ],
    "locale": ["", "e", "english-", "en_GB", "en\n", "en-" + "-".join(["abcd"] * 7)],
    "age_band": ["", "17", "18", "18+ ", "21+"],
    "phone": ["", "123456789", "+012345678", "+123456", "+1234567890123456", "+12 3456789", "+1234567\n", "+١٢٣٤٥٦٧"],
    "address": [
        "", "{}", "[]", "null", "{", '"x"', '{"planet":"Mars"}', '{"city":1}', '{"city":""}', '{"city":" "}',
        '{"city":null}', '{"country":"cn"}', '{"country":"CHN"}', '{"country":"CN\\n"}', '{"city":"a\\u202eb"}',
        json.dumps({"street": "x" * (PART_CHARS_MAX + 1)}), "[" * 4_000,
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_what_a_field_may_be(name: str, value: str) -> None:
    assert checked(name, value) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_what_a_field_may_not_be(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be") as caught:
        checked(name, value)
    assert len(value) < 3 or value not in str(caught.value)


def test_there_are_no_other_fields() -> None:
    assert set(GOOD) == set(BAD) == set(FIELDS)
    with pytest.raises(ValueError, match="unknown field 'mother'; known: nickname"):
        checked("mother", "x")


@pytest.mark.parametrize("value", [None, 1, b"Lin", "x" * 4_097])
def test_a_value_is_a_bounded_text(value: object) -> None:
    with pytest.raises(ValueError, match="must be a text of at most 4096 characters"):
        checked("nickname", value)


@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=80))
def test_any_text_is_taken_or_refused(name: str, value: str) -> None:
    try:
        kept = checked(name, value)
    except ValueError:
        return
    assert checked(name, kept) == kept


def test_an_address_has_its_parts() -> None:
    found = address('{"recipient":"Lin Mei","country":"CN"}')
    assert (found.recipient, found.country, found.city) == ("Lin Mei", "CN", None)


@pytest.mark.parametrize(
    ("phone", "shown"),
    [("+1234567", "****67"), ("+123456789", "****89"), ("+1234567890", "****7890"), ("+8613800000123", "****0123")],
)
def test_a_masked_number_hides_at_least_five_digits(phone: str, shown: str) -> None:
    assert masked(phone) == shown
    assert len(phone) - 1 - len(shown.strip("*")) >= 5
