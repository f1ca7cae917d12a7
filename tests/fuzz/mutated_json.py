"""Changes of JSON that keep it JSON, mostly: what a manifest is changed by. Knows no field."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final

Place = tuple[Any, Any]
"""A container, and a key or a position in it."""
VALUES: Final = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 1.5, 1e308, "", " ", "x", "../x", "/x", "x" * 300, "\0", "\u202e",
    "org.example.other", "payment", "resident", "fresh", "hostel_v2", "program.wasm", "main.js", "manifest.json",
    [], {}, [[]], {"": ""}, ["x"] * 70, {"en": "x"}, {"name": "storage", "reason": "r"},
    [{"name": "payment", "reason": "r"}], {"cpu_us": 1_000}, {"memory_bytes": 65_536}, {"wall_ms": -1},
    {"no_such_limit": 1},
)  # fmt: skip
KEYS: Final = ("limits", "events", "lifetime", "script", "module", "name", "code", "required", "constraints", "x", "")


def changed(source: bytes, draw: random.Random, *, most: int = 3) -> bytes:
    """The document with some of its parts changed; now and then its text is what is changed."""
    tree = json.loads(source)
    for _ in range(draw.randint(1, most)):
        tree = _changed_once(tree, draw)
    text = json.dumps(tree, ensure_ascii=draw.random() < 0.5)
    if draw.random() < 0.15:
        text = _changed_text(text, draw)
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[Place]:
    inside: Iterator[Place] = iter(())
    if isinstance(value, dict):
        inside = ((value, key) for key in value)
    elif isinstance(value, list):
        inside = ((value, index) for index in range(len(value)))
    for place in inside:
        yield place
        yield from _places(place[0][place[1]])


def _changed_once(tree: Any, draw: random.Random) -> Any:
    places = list(_places(tree))
    if not places or draw.random() < 0.01:
        return draw.choice(VALUES)
    holder, at = draw.choice(places)
    match draw.randrange(6):
        case 0:
            del holder[at]
        case 1:
            other, key = draw.choice(places)
            holder[at] = json.loads(json.dumps(other[key])) if _has(other, key) else draw.choice(VALUES)
        case 2 if isinstance(holder, dict):
            holder[draw.choice(KEYS)] = holder.pop(at) if draw.random() < 0.5 else draw.choice(VALUES)
        case 3 if isinstance(holder, list):
            holder.extend([holder[at]] * draw.choice((1, 2, 40)))
        case 4 if isinstance(holder[at], str):
            holder[at] = _changed_text(holder[at], draw)
        case _:
            holder[at] = draw.choice(VALUES)
    return tree


def _has(holder: Any, at: Any) -> bool:
    return at in holder if isinstance(holder, dict) else at < len(holder)


def _changed_text(text: str, draw: random.Random) -> str:
    at = draw.randint(0, len(text))
    piece = draw.choice((text[:at] * 2, chr(draw.randrange(0xD800)), '"', "\\", "{", "[" * 40, ",", "\ud800", "é", ""))
    return text[:at] + piece + text[at + draw.randint(0, 2) :]
