"""How a refused bundle is worded: one line, what and why and the number.

What lives here: the two constructors every file of this package raises through, and the cutting of hostile text. No
rule about what is refused.
"""

from __future__ import annotations

from typing import Any

from runtime.errors import BundleError

SHOWN_CHARS_MAX = 120


def shown(value: object) -> str:
    """Hostile text (or bytes) as it may stand in a message: ASCII, escaped, at most `SHOWN_CHARS_MAX` characters."""
    whole = ascii(value[: SHOWN_CHARS_MAX + 1] if isinstance(value, str | bytes) else value)
    return whole if len(whole) <= SHOWN_CHARS_MAX else whole[: SHOWN_CHARS_MAX - 3] + "..."


def refused(message: str, **details: Any) -> BundleError:
    """The error to raise for a bundle that breaks a rule."""
    return BundleError(message, details=details)


def over_limit(what: str, used: int, limit: str, value: int, unit: str) -> BundleError:
    """The error to raise for a bundle that is over a number; it names the limit, its value and what was used."""
    message = f"{what}: {used} {unit} is over {limit} = {value}"
    return BundleError(message, details={"limit": limit, "value": value, "used": used, "unit": unit})
