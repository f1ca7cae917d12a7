"""Patterns: what a result must look like, written as JSON.

What lives here: comparing a pattern with a value, and the words for what differs. A map matches a map that has at least
these keys; a list item by item; anything else by value, where 1, 1.0 and true are three different things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "list": (list,), "map": (dict,),
    "nil": (type(None),),
}  # fmt: skip
SHOWN_CHARS = 300


class PatternError(Exception):
    """A pattern is not valid: a fault of the case."""


def differences(pattern: Any, value: Any, at: str = "") -> Iterator[str]:
    """One sentence for each place where the value is not as the pattern says; none if it matches."""
    if isinstance(pattern, dict):
        if operator := next((key for key in pattern if key.startswith("$")), None):
            yield from _operator(operator, pattern[operator], value, at)
        elif not isinstance(value, dict):
            yield _differs(at, f"a map with {', '.join(pattern) or 'any keys'}", value)
        else:
            yield from _keys(pattern, value, at)
    elif isinstance(pattern, list):
        if not isinstance(value, list) or len(value) != len(pattern):
            yield _differs(at, f"a list of {len(pattern)}", value)
        else:
            for index, (one, other) in enumerate(zip(pattern, value, strict=True)):
                yield from differences(one, other, f"{at}/{index}")
    elif type(pattern) is not type(value) or pattern != value:
        yield _differs(at, shown(pattern), value)


def _keys(pattern: dict[str, Any], value: dict[str, Any], at: str) -> Iterator[str]:
    for key, one in pattern.items():
        place = f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
        if isinstance(one, dict) and one.get("$absent") is True:
            if key in value:
                yield _differs(place, "nothing", value[key])
        elif key not in value:
            yield f"{place}: {shown(one)} is wanted, and there is nothing"
        else:
            yield from differences(one, value[key], place)


def _operator(name: str, operand: Any, value: Any, at: str) -> Iterator[str]:
    match name:
        case "$any":
            return
        case "$bytes":
            fits = value == {"$bytes": operand}
        case "$type":
            kinds = _TYPES[operand] if operand != "bytes" else ()
            fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
            fits = fits or (operand == "bytes" and isinstance(value, dict) and list(value) == ["$bytes"])
        case "$match":
            fits = isinstance(value, str) and re.search(operand, value) is not None
        case "$between":
            fits = isinstance(value, int | float) and not isinstance(value, bool) and operand[0] <= value <= operand[1]
        case "$length":
            fits = isinstance(value, str | list | dict) and len(value) == operand
        case "$one_of":
            fits = any(not list(differences(one, value)) for one in operand)
        case "$not":
            fits = bool(list(differences(operand, value)))
        case "$has":
            fits = isinstance(value, list) and any(not list(differences(operand, item)) for item in value)
        case "$exactly":
            if isinstance(value, dict) and isinstance(operand, dict) and (more := value.keys() - operand.keys()):
                yield _differs(
                    at, f"a map with {', '.join(operand)} and nothing else", {key: value[key] for key in more}
                )
            yield from differences(operand, value, at)
            return
        case _:
            raise PatternError(f"{at or '/'}: there is no pattern {name}")
    if not fits:
        yield _differs(at, f"{name} {shown(operand)}", value)


def _differs(at: str, wanted: str, value: Any) -> str:
    return f"{at or '/'}: {wanted} is wanted, {shown(value)} came"


def shown(value: Any) -> str:
    """As JSON, cut to what a line holds."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… ({len(text)} characters)"
