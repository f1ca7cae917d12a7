"""One clean line: what a text of a guest's must be that the host shows to a person.

What lives here: which characters may stand in it. Such a text cannot break out of its line, turn the reading direction,
hide characters, be blank, or draw over its surroundings. Where it is shown, and what the host draws beside it, is its
user's business.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_RAW_FACTOR: Final = 4
"""Longer than this times its bound, a text is refused before it is normalised: NFC makes it shorter, rarely longer."""
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Me", "Zl", "Zp"})
"""Controls; formats (bidi marks and embeddings, zero-width characters, soft hyphen, tags); unassigned; private use;
surrogates; marks that enclose what they follow; line and paragraph separators."""
_VARIATIONS: Final = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_BLANK: Final = _VARIATIONS | frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U00016fe4\U0001d159"
)
"""Letters and marks that show nothing, so that no category tells them: fillers, joiners, the empty braille cell."""
_STYLES: Final = "\ufe0e\ufe0f"
"""Of the variations, the two that say how an emoji is drawn: they may follow a symbol."""
_MARKS_MAX: Final = 4
"""Marks on one character: no script needs more, and a pile of them reaches into the lines above and below."""


def one_line(what: str, text: str, chars_max: int) -> str:
    """NFC, runs of spaces made one, 1 to `chars_max` characters. Raises ValueError that names `what`, and what is wrong
    with it and where."""
    if len(text) > _RAW_FACTOR * chars_max:
        raise ValueError(f"{what} has {len(text)} characters; at most {chars_max}")
    spaced = _spaced(what, unicodedata.normalize("NFC", text))
    normal = " ".join(part for part in spaced.split(" ") if part)
    if not 1 <= len(normal) <= chars_max:
        raise ValueError(f"{what} has {len(normal)} characters; it must have 1 to {chars_max}, not all spaces")
    return normal


def _spaced(what: str, text: str) -> str:
    """Every kind of space as U+0020; refuses what must not be there."""
    kept, before, marks = [], "Zs", 0
    for at, character in enumerate(text):
        category = unicodedata.category(character)
        styled = character in _STYLES and before == "So"
        if category in _REFUSED_CATEGORIES or (character in _BLANK and not styled):
            raise _refused(what, at, character, "no controls, no bidi marks, nothing invisible")
        marks = marks + 1 if category == "Mn" else 0
        if marks > _MARKS_MAX or (marks and before == "Zs"):
            raise _refused(what, at, character, f"at most {_MARKS_MAX} marks on a character, none without one")
        kept.append(" " if category == "Zs" else character)
        before = category
    return "".join(kept)


def _refused(what: str, at: int, character: str, rule: str) -> ValueError:
    return ValueError(f"{what} must not hold U+{ord(character):04X} (character {at + 1}): {rule}")
