"""The text a user is shown: the right language, and a version that changes with any of the texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.user.purpose import purpose, version

TAGS = st.from_regex(r"\A[A-Za-z]{2,3}(-[A-Za-z0-9]{2,4}){0,2}\Z")
REASONS = st.dictionaries(TAGS, st.text(max_size=8), max_size=5)


@pytest.mark.parametrize(
    ("languages", "locale", "shown"),
    [
        ("en zh-Hans fr", "zh-Hans", "zh-Hans"),
        ("en ZH-hans fr", "zh-Hans", "ZH-hans"),
        ("en zh zh-Hant", "zh-Hant-TW", "zh-Hant"),
        ("en zh zh-Hans", "zh-Hant-TW", "zh"),
        ("en pt-BR", "pt", "pt-BR"),
        ("en pt-BR", "pt-PT", "pt-BR"),
        ("fr en de", "ja-JP", "en"),
        ("fr en-GB de", "ja", "en-GB"),
        ("fr de", "ja", "fr"),
        ("de fr", "", "de"),
        ("en es-419", "es-MX", "es-419"),
        ("en enx", "enx-XX", "enx"),
        ("fr", "e", "fr"),
    ],
)
def test_the_language_that_is_shown(languages: str, locale: str, shown: str) -> None:
    reasons = {tag: f"in {tag}" for tag in languages.split()}
    found = purpose(reasons, locale)
    assert (found.language, found.text) == (shown, f"in {shown}")


def test_a_text_without_a_language_is_for_everybody() -> None:
    assert purpose({"": "To deliver"}, "zh").text == "To deliver"
    assert purpose({}, "zh").text == ""


def test_the_version_is_fixed() -> None:
    assert version({"en": "To deliver", "zh": "用于配送"}) == "f644a533ba52d755eee591df63cf635e"
    assert version({}) == purpose({}, "en").version


@given(REASONS, REASONS)
def test_versions_are_equal_only_where_all_texts_are(one: dict[str, str], other: dict[str, str]) -> None:
    assert (version(one) == version(other)) is (one == other)
    assert version(dict(reversed(one.items()))) == version(one)


@given(REASONS, st.text(max_size=8))
def test_any_locale_gets_one_of_the_texts(reasons: dict[str, str], locale: str) -> None:
    found = purpose(reasons, locale)
    assert (reasons.get(found.language) == found.text) if reasons else found.text == ""
