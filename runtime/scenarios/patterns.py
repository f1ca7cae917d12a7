"""Patterns: what a scenario expects of a value, and values that it keeps from one step for another.

What lives here: matching, JSON Pointer (RFC 6901) and `${name}`. Pure: no host, no file.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.scenarios.reading import At

TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
    "nil": lambda value: value is None,
    "bytes": lambda value: isinstance(value, bytes),
}
PATTERN_CHARS_MAX: Final = 200
MATCHED_CHARS_MAX: Final = 4_096
"""A longer text fits no `$match`: a regular expression's time is bounded by what it is given."""
_NAME: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")
_NESTED: Final = re.compile(r"[*+}][^()\[\]]*\)[*+{]")
"""A repeated group with a repetition inside: time that grows with powers of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Where a value is not what was expected."""

    path: str
    """JSON Pointer into the value; '' for all of it."""
    expected: Any
    came: Any
    """`MISSING` where there is nothing."""


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()


# ---- matching --------------------------------------------------------------------------------------------------------
def mismatch(pattern: Any, value: Any, path: str = "") -> Mismatch | None:
    """The first difference, in the pattern's order; None: it fits. `pattern` was `checked`."""
    if isinstance(pattern, dict):
        if len(pattern) == 1 and (rule := _RULES.get(next(iter(pattern)))):
            return rule(next(iter(pattern.values())), value, path)
        return _of_map(pattern, value, path)
    if isinstance(pattern, list):
        return _of_list(pattern, value, path)
    fits = _same(pattern, value)
    return None if fits else Mismatch(path=path, expected=pattern, came=value)


def _of_map(pattern: Mapping[str, Any], value: Any, path: str) -> Mismatch | None:
    if not isinstance(value, dict):
        return Mismatch(path=path, expected=pattern, came=value)
    for key, inner in pattern.items():
        place = f"{path}/{escaped(key)}"
        if key not in value:
            return Mismatch(path=place, expected=inner, came=MISSING)
        if (found := mismatch(inner, value[key], place)) is not None:
            return found
    return None


def _of_list(pattern: list[Any], value: Any, path: str) -> Mismatch | None:
    if not isinstance(value, list):
        return Mismatch(path=path, expected=pattern, came=value)
    for index, inner in enumerate(pattern):
        place = f"{path}/{index}"
        if index >= len(value):
            return Mismatch(path=place, expected=inner, came=MISSING)
        if (found := mismatch(inner, value[index], place)) is not None:
            return found
    if len(value) > len(pattern):
        return Mismatch(path=f"{path}/{len(pattern)}", expected=MISSING, came=value[len(pattern)])
    return None


def _same(pattern: Any, value: Any) -> bool:
    """By value; true is not 1, as it is not in JSON."""
    return pattern == value and isinstance(pattern, bool) == isinstance(value, bool)


def _judged(fits: Callable[[Any, Any], bool], name: str) -> Callable[[Any, Any, str], Mismatch | None]:
    def judge(wanted: Any, value: Any, path: str) -> Mismatch | None:
        return None if fits(wanted, value) else Mismatch(path=path, expected={name: wanted}, came=value)

    return judge


def _matches(wanted: str, value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MATCHED_CHARS_MAX and re.search(wanted, value) is not None


def _between(wanted: list[Any], value: Any) -> bool:
    return TYPES["number"](value) and wanted[0] <= value <= wanted[1]


def _length(wanted: int, value: Any) -> bool:
    return isinstance(value, str | bytes | list | dict) and len(value) == wanted


def _exactly(wanted: Mapping[str, Any], value: Any, path: str) -> Mismatch | None:
    found = _of_map(wanted, value, path)
    if found is None and (more := [key for key in value if key not in wanted]):
        return Mismatch(path=f"{path}/{escaped(more[0])}", expected=MISSING, came=value[more[0]])
    return found


_RULES: Final[Mapping[str, Callable[[Any, Any, str], Mismatch | None]]] = {
    "$any": lambda wanted, value, path: None,
    "$type": _judged(lambda wanted, value: TYPES[wanted](value), "$type"),
    "$match": _judged(_matches, "$match"),
    "$between": _judged(_between, "$between"),
    "$length": _judged(_length, "$length"),
    "$exactly": _exactly,
    "$base64": _judged(lambda wanted, value: isinstance(value, bytes) and value == base64.b64decode(wanted), "$base64"),
}


def check(at: At) -> None:
    """That a pattern is one. Raises ScenarioError."""
    for place in _places(at):
        special = [key for key in place.value if key.startswith("$")]
        if not special:
            continue
        if len(place.value) > 1:
            raise place.wrong(f"{special[0]} stands alone in its object")
        _check_rule(place, special[0])


def _check_rule(place: At, name: str) -> None:
    wanted = place.keys(*_RULES)[name]
    match name:
        case "$any":
            if not wanted.truth():
                raise wanted.wrong("false", "write true: anything fits")
        case "$type":
            wanted.one_of(list(TYPES))
        case "$match":
            _check_expression(wanted)
        case "$between":
            ends = wanted.list(2)
            if len(ends) != 2 or not all(TYPES["number"](end.value) for end in ends):
                raise wanted.wrong("not two numbers", "write [1, 9]")
        case "$length":
            wanted.whole(0, 1_000_000)
        case "$exactly":
            wanted.object()
        case _:
            decoded(place)


def _check_expression(at: At) -> None:
    text = at.text(PATTERN_CHARS_MAX)
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise at.wrong(f"no regular expression: {error}") from None
    if _NESTED.search(text):
        raise at.wrong("a repetition inside of a repeated group may take for ever", "write it without the group")


def _places(at: At) -> Iterator[At]:
    """Every object in it, the outer ones first."""
    left = [at]
    while left:
        place = left.pop()
        if isinstance(place.value, dict):
            yield place
            left += [place.below(key) for key in place.value]
        elif isinstance(place.value, list):
            left += place.list(len(place.value))


# ---- values kept -----------------------------------------------------------------------------------------------------
def escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON Pointer leads to; `MISSING` for nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        else:
            return MISSING
    return value


def names(value: Any) -> set[str]:
    """Those that `${name}` stands for in it."""
    if isinstance(value, str):
        return set(_NAME.findall(value))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {name for each in inner for name in names(each)}


def filled(value: Any, kept: Mapping[str, Any]) -> Any:
    """With `${name}` as what was kept under that name: itself where it is the whole text, else its text."""
    if isinstance(value, str):
        if whole := _NAME.fullmatch(value):
            return kept[whole[1]]
        return _NAME.sub(lambda found: str(kept[found[1]]), value)
    if isinstance(value, dict):
        return {key: filled(inner, kept) for key, inner in value.items()}
    return [filled(inner, kept) for inner in value] if isinstance(value, list) else value


def decoded(at: At) -> Any:
    """Params as they are sent: `{"$base64": "…"}` as bytes."""
    if isinstance(at.value, dict):
        if at.value.keys() == {"$base64"}:
            return _bytes(at.below("$base64"))
        return {key: decoded(at.below(key)) for key in at.value}
    return [decoded(each) for each in at.list(len(at.value))] if isinstance(at.value, list) else at.value


def _bytes(at: At) -> bytes:
    try:
        return base64.b64decode(at.text(1 << 20), validate=True)
    except binascii.Error:
        raise at.wrong("no base64") from None
