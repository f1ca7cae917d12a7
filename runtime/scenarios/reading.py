"""Reading hostile JSON with its path: each value is asked for by what it has to be, or refused with where it stands.

What lives here: one value with its path, and the error. Which keys a scenario has is scenario.py's.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from runtime.bundle.refusal import shown
from runtime.errors import UsageError

DEPTH_MAX: Final = 32
TEXT_CHARS_MAX: Final = 65_536


class ScenarioError(UsageError):
    """A scenario's file is not one. The message says where, what is wrong, and what to write instead."""

    code = "scenario_invalid"


class At:
    """A value of a file, and where it stands."""

    __slots__ = ("path", "source", "value")

    def __init__(self, value: Any, path: str, source: str) -> None:
        self.value, self.path, self.source = value, path, source

    def wrong(self, what: str, cure: str = "") -> ScenarioError:
        """The error to raise."""
        message = f"{self.source}: {self.path or '$'}: {what}" + (f"; {cure}" if cure else "")
        return ScenarioError(message, details={"file": self.source, "path": self.path or "$"})

    # ---- objects and lists -------------------------------------------------------------------------------------------
    def keys(self, *known: str, needed: Sequence[str] = ()) -> Mapping[str, At]:
        """An object with no other keys than these."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"{_kind(self.value)}, no object", f"write an object with {_listed(known)}")
        for key in self.value:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise self.below(key).wrong(
                    "there is no such key", f"did you mean {near[0]}?" if near else f"known: {_listed(known)}"
                )
        for key in needed:
            if key not in self.value:
                raise self.below(key).wrong("is missing")
        return {key: self.below(key) for key in self.value}

    def items(self, most: int) -> Iterator[tuple[str, At]]:
        """An object whose keys are names."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"{_kind(self.value)}, no object")
        if len(self.value) > most:
            raise self.wrong(f"{len(self.value)} entries; at most {most}")
        for key in self.value:
            yield key, self.below(key)

    def list(self, most: int) -> list[At]:
        if not isinstance(self.value, list):
            raise self.wrong(f"{_kind(self.value)}, no list")
        if len(self.value) > most:
            raise self.wrong(f"{len(self.value)} entries; at most {most}")
        return [At(value, f"{self.path}[{index}]", self.source) for index, value in enumerate(self.value)]

    def below(self, key: str) -> At:
        value = self.value.get(key) if isinstance(self.value, dict) else None
        name = key if key.replace("_", "a").isalnum() and key.isascii() else f"[{shown(key)}]"
        joined = name if not self.path or name.startswith("[") else f".{name}"
        return At(value, f"{self.path}{joined}", self.source)

    # ---- single values -----------------------------------------------------------------------------------------------
    def text(self, most: int = 200, *, least: int = 0, cure: str = "") -> str:
        if not isinstance(self.value, str):
            raise self.wrong(f"{_kind(self.value)}, no text", cure)
        if not least <= len(self.value) <= most:
            raise self.wrong(f"{len(self.value)} characters; from {least} to {most}", cure)
        return self.value

    def one_of(self, known: Sequence[str]) -> str:
        found = self.text(64)
        if found not in known:
            near = difflib.get_close_matches(found, known, n=1)
            raise self.wrong(shown(found), f"did you mean {near[0]}?" if near else f"known: {_listed(known)}")
        return found

    def whole(self, least: int, most: int) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.wrong(f"{_kind(self.value)}, no whole number")
        if not least <= self.value <= most:
            raise self.wrong(f"{self.value}", f"write a number from {least} to {most}")
        return self.value

    def truth(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong(f"{_kind(self.value)}, neither true nor false")
        return self.value

    def object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.wrong(f"{_kind(self.value)}, no object")
        return self.value


def parse(data: bytes, source: str, bytes_max: int) -> At:
    """The file's one value, with no key twice and not too deep. Raises ScenarioError."""
    whole = At(None, "", source)
    if len(data) > bytes_max:
        raise whole.wrong(f"{len(data)} bytes; at most {bytes_max}")
    try:
        whole.value = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise whole.wrong("too many levels of lists and objects") from None
    except ValueError as error:  # no UTF-8, no JSON, a number of too many digits
        raise whole.wrong(f"no JSON: {error}") from None
    if _depth(whole.value) > DEPTH_MAX:
        raise whole.wrong(f"more than {DEPTH_MAX} levels of lists and objects")
    return whole


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} is there twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _depth(value: Any) -> int:
    deepest, left = 0, [(value, 1)]
    while left:
        inner, depth = left.pop()
        deepest = max(deepest, depth)
        if isinstance(inner, dict | list):
            left += [(each, depth + 1) for each in (inner.values() if isinstance(inner, dict) else inner)]
    return deepest


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number",
             float: "a fraction", type(None): "nothing"}  # fmt: skip
    return names.get(type(value), "no JSON")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
