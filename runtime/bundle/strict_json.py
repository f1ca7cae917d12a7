"""JSON of which there is one reading: what two parsers could understand differently is refused, with its path.

Refused: duplicate keys, numbers that are not whole or beyond 2^53, NaN and Infinity, lone surrogates, a byte
order mark, anything after the value; and what is over the limits below. No I/O. Any bytes give a value or
`ManifestError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from runtime.bundle.refusal import shown
from runtime.errors import ManifestError

DEPTH_MAX = 16
ELEMENTS_MAX = 4096
"""Values of all kinds, inner ones included."""
KEY_CHARS_MAX = 128
TEXT_CHARS_MAX = 4096
NUMBER_MAX = 2**53
"""Either side of 0: exact in every reader, also where numbers are doubles."""
_NUMBER_CHARS_MAX = 17

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)
"""A string, also one without an end, or a bracket. Possessive: what was read once is not tried again, or a string that
never ends would be read anew from each of its quotes."""


class _Marked:
    """Stands in the tree for what was read and is refused, until the walk knows its path."""

    __slots__ = ("wrong",)

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong


def parse_json(data: bytes, bytes_max: int) -> Any:
    """The value of a JSON text: dict, list, str, int, bool or None, and nothing else, at most 16 levels deep.

    Raises:
        ManifestError: `details["path"]` is where (`$` for the whole text).
    """
    if len(data) > bytes_max:
        raise bad_value("$", f"{len(data)} bytes are over manifest_bytes_max = {bytes_max}")
    _check_depth(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_value("$", f"byte {error.start} is not UTF-8") from None
    try:
        tree = json.loads(
            text, object_pairs_hook=_object, parse_int=_whole, parse_float=_number, parse_constant=_number
        )
    except json.JSONDecodeError as error:
        raise bad_value("$", f"no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    _check_tree(tree, "$", [0])
    return tree


def bad_value(path: str, wrong: str, cure: str = "", *, code: str | None = None) -> ManifestError:
    """The error for what stands at `path`: what is wrong, then what to write instead."""
    message = f"manifest.json: {path}: {wrong}" + (f"; {cure}" if cure else "")
    return ManifestError(message, code=code, details={"path": path})


def step(path: str, key: str) -> str:
    """The path of a member of an object; hostile keys are cut and escaped."""
    return f"{path}.{key}" if key.isascii() and key.isidentifier() and len(key) <= 64 else f"{path}[{shown(key)}]"


def _check_depth(data: bytes) -> None:
    """Before any parser recurses: brackets outside of strings, open at once."""
    depth = 0
    for token in _TOKEN.finditer(data):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > DEPTH_MAX:
                raise bad_value("$", f"more than {DEPTH_MAX} levels of lists and objects")
        elif token[0] in (b"]", b"}"):
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            return _Marked(f"the key {shown(key)} is there twice")
        found[key] = value
    return found


def _whole(text: str) -> Any:
    if len(text) > _NUMBER_CHARS_MAX:
        return _Marked(f"a number of {len(text)} characters; at most {NUMBER_MAX}")
    number = int(text)
    return number if abs(number) <= NUMBER_MAX else _Marked(f"{text} is too large for a number; at most {NUMBER_MAX}")


def _number(text: str) -> Any:
    return _Marked(f"{shown(text)} is no whole number")


def _check_text(text: str, chars_max: int, refuse: Callable[[str], ManifestError]) -> None:
    if len(text) > chars_max:
        raise refuse(f"a text of {len(text)} characters; at most {chars_max}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise refuse("half a surrogate pair")


def _check_tree(value: Any, path: str, count: list[int]) -> None:
    """Refuse what was marked while parsing and what is over a limit; recursion is bounded by `_check_depth`."""

    def refuse(wrong: str) -> ManifestError:
        return bad_value(path, wrong)

    count[0] += 1
    if count[0] > ELEMENTS_MAX:
        raise bad_value("$", f"more than {ELEMENTS_MAX} values in all")
    if isinstance(value, _Marked):
        raise refuse(value.wrong)
    if isinstance(value, str):
        _check_text(value, TEXT_CHARS_MAX, refuse)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_tree(item, f"{path}[{index}]", count)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, KEY_CHARS_MAX, refuse)
            _check_tree(item, step(path, key), count)
