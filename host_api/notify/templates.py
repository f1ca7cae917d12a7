"""Templates of notices: what a program may say to a user who is not looking, worded in its manifest.

What lives here: placeholders, and filling them in. No guest's text stands anywhere but in a placeholder, cleaned, and
what is filled in is never looked at again. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from host_api.one_line import one_line

TEMPLATES_MAX: Final = 32
TEXT_CHARS_MAX: Final = 256
"""Of one template in one language."""
PLACEHOLDERS_MAX: Final = 8
"""Different ones in one template."""
NAME_CHARS_MAX: Final = 32
VALUE_CHARS_MAX: Final = 64
"""Of what is filled in for one of them."""

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def placeholders(text: str) -> frozenset[str]:
    """The names in braces. Raises ValueError: a brace that is not part of `{name}`, too many names, too long a one."""
    names = frozenset(_PLACEHOLDER.findall(text))
    if set("{}") & set(_PLACEHOLDER.sub("", text)):
        raise ValueError("holds a brace that is not part of a placeholder such as {order_no}")
    if len(names) > PLACEHOLDERS_MAX:
        raise ValueError(f"has {len(names)} placeholders; at most {PLACEHOLDERS_MAX}")
    if any(len(name) > NAME_CHARS_MAX for name in names):
        raise ValueError(f"has a placeholder of more than {NAME_CHARS_MAX} characters")
    return names


def rendered(text: str, values: Mapping[str, str]) -> str:
    """The text with each placeholder filled in, once, everywhere it stands.

    Raises ValueError: a value is missing, names no placeholder, or is not one clean line of VALUE_CHARS_MAX characters.
    """
    names = placeholders(text)
    if names != values.keys():
        known = ", ".join(sorted(names)) or "none"
        raise ValueError(f"its placeholders are {known}: {'too many' if values.keys() - names else 'too few'} given")
    clean = {name: one_line(name, value, VALUE_CHARS_MAX) for name, value in values.items()}
    return _PLACEHOLDER.sub(lambda found: clean[found[1]], text)
