"""Why a program asks for personal data, as its manifest says it: the text a user is shown, and its version.

What lives here: choosing the text in the user's language, and the version of a whole map of texts. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

FALLBACK: Final = "en"
_DOMAIN: Final = b"hostel purpose 1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What the user reads, and the version a decision holds for."""

    text: str
    language: str
    """BCP 47, as the manifest spells it; '' where the manifest names none."""
    version: str
    """Of all the capability's texts: a change in another language is a change too."""


def purpose(reasons: Mapping[str, str], locale: str) -> Purpose:
    """The text of `reasons` (language → text) for a user who reads `locale` (BCP 47); without any text all is ''."""
    language = nearest(reasons, locale)
    return Purpose(text=reasons.get(language, ""), language=language, version=version(reasons))


def version(reasons: Mapping[str, str]) -> str:
    """32 hex digits of SHA-256 over languages and texts, each with its length; the order of the map does not count."""
    digest = sha256(_DOMAIN)
    for part in (part for pair in sorted(reasons.items()) for part in pair):
        content = part.encode()
        digest.update(len(content).to_bytes(4, "big") + content)
    return digest.hexdigest()[:32]


def nearest(texts: Mapping[str, str], locale: str) -> str:
    """The language of `texts` for a user who reads `locale`; '' where there is no text.

    The exact language, else the nearest shorter tag (zh-Hant-TW, zh-Hant, zh), else another text in the same language,
    else the same for English, else the first. Case does not count.
    """
    return next(_candidates(texts, locale), "")


def _candidates(reasons: Mapping[str, str], locale: str) -> Iterator[str]:
    by_tag = {tag.lower(): tag for tag in reasons}
    for wanted in (locale, FALLBACK):
        subtags = wanted.lower().split("-")
        for length in range(len(subtags), 0, -1):
            if (tag := "-".join(subtags[:length])) in by_tag:
                yield by_tag[tag]
        yield from (own for tag, own in by_tag.items() if tag.split("-")[0] == subtags[0])
    yield from reasons
