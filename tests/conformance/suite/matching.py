"""Patterns: what a result must look like, written as JSON.

What lives here: comparing a pattern with a value, and the words for what differs. A map matches a map that has at least
these keys; a list item by item; anything else by value, where 1, 1.0 and true are three different things.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "list": (list,), "map": (dict,),
    "nil": (type(None),),
}  # fmt: skip
SHOWN_CHARS = 300


class PatternError(Exception):
    """A pattern is not valid: a fault of the case."""


def filled(pattern: Any, kept: Mapping[str, Any]) -> Any:
    """The pattern with what was kept in the place of {"$kept": name}, and what is hashed worked out.

    {"$sha256": [parts]} is bytes: the hash over the parts, each a text, {"sized": text} (its length before it, 4 bytes,
    big-endian), {"json": value} (keys sorted, no spaces, ASCII), bytes, {"hex": text} or {"u64": number} (big-endian).
    """
    if isinstance(pattern, list):
        return [filled(one, kept) for one in pattern]
    if not isinstance(pattern, dict):
        return pattern
    if "$kept" in pattern:
        if pattern["$kept"] not in kept:
            raise PatternError(f"nothing was kept as {pattern['$kept']!r}")
        return kept[pattern["$kept"]]
    whole = {key: filled(one, kept) for key, one in pattern.items()}
    if "$sha256" in whole:
        digest = hashlib.sha256(b"".join(map(_hashed, whole["$sha256"]))).digest()
        return {"$bytes": base64.b64encode(digest).decode("ascii")}
    return whole


def at_pointer(value: Any, pointer: str) -> Any:
    """What stands at a JSON Pointer. Raises LookupError."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isdigit():
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise LookupError(key)
    return value


def _hashed(part: Any) -> bytes:
    match part:
        case {"sized": text}:
            data = str(text).encode()
            return len(data).to_bytes(4, "big") + data
        case {"json": value}:
            return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"hex": text}:
            return bytes.fromhex(text)
        case {"u64": int(number)}:
            return number.to_bytes(8, "big")
        case str():
            return part.encode()
    raise PatternError(f"what is hashed is a text, bytes, sized, json, hex or u64: {part!r}")


def _is_signed(operand: Any, value: Any) -> bool:
    """Whether the value, in hex, is an Ed25519 signature over those parts, by the key that is written as in §2.5."""
    try:
        key = base64.urlsafe_b64decode(operand["by"].removeprefix("ed25519:") + "=")
        Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(value), b"".join(map(_hashed, operand["over"])))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _contains(part: Any, value: Any) -> bool:
    """A text in a text or in bytes, or {"$bytes": …} in bytes."""
    if isinstance(value, dict) and list(value) == ["$bytes"]:
        wanted = part.encode() if isinstance(part, str) else base64.b64decode(part["$bytes"])
        return wanted in base64.b64decode(value["$bytes"])
    return isinstance(value, str) and isinstance(part, str) and part in value


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
        case "$contains":
            fits = _contains(operand, value)
        case "$signed":
            fits = _is_signed(operand, value)
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
