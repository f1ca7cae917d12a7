"""The subject of an order: the one text of a guest's that stands on the cashier's screen.

What lives here: which texts may stand there. A subject cannot break out of its line, turn the reading direction, hide
characters or be blank; payee and amount are drawn by the host and never come from it.
"""

from __future__ import annotations

import unicodedata
from typing import Final

CHARS_MAX: Final = 64
_RAW_CHARS_MAX: Final = 4 * CHARS_MAX
"""Looked at before anything is normalised: NFC makes a text shorter, rarely longer."""

_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Controls; formats (bidi marks and embeddings, zero-width characters, soft hyphen, tags); unassigned; private use;
surrogates; line and paragraph separators."""
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks that show nothing, so that no category tells them: fillers, joiners, the empty braille cell."""


def clean_subject(text: str) -> str:
    """NFC, runs of spaces made one, at most 64 characters. Raises ValueError with what is wrong and where."""
    if len(text) > _RAW_CHARS_MAX:
        raise ValueError(f"subject has {len(text)} characters; at most {CHARS_MAX}")
    normal = " ".join(part for part in _spaced(unicodedata.normalize("NFC", text)).split(" ") if part)
    if not 1 <= len(normal) <= CHARS_MAX:
        raise ValueError(f"subject has {len(normal)} characters; it must have 1 to {CHARS_MAX}, not all spaces")
    return normal


def _spaced(text: str) -> str:
    """Every kind of space as U+0020; refuses what must not be there."""
    kept = []
    for at, character in enumerate(text):
        category = unicodedata.category(character)
        if category in _REFUSED_CATEGORIES or character in _BLANK:
            raise ValueError(
                f"subject must not hold U+{ord(character):04X} (character {at + 1}): no controls, no bidi marks,"
                " nothing invisible"
            )
        kept.append(" " if category == "Zs" else character)
    return "".join(kept)
