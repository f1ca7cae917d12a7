"""The vectors that the message codec of every SDK is held to: host_api/guest/vectors.json, by the host's own codec.

What lives here: which values and which malformed bytes stand in it. docs/generate.py writes the file, so a change of
the wire that it does not know of is found; tests/samples/vectors.py reads it and tells how a guest is asked.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, Final

from runtime import wire

ABOUT: Final = (
    "Values of the wire (docs/protocol.md, section 3). bytes: hexadecimal; `61*300` is that byte 300 times. "
    "valid: a codec reads `bytes` and writes the same value as `shortest`: shortest form, floats in 8 bytes, keys in "
    "the order they came. whole_float: a float without a fraction, which a language with one kind of number may write "
    "as an integer. invalid: a codec refuses them; where by_host is true it need not, as the host does before a guest "
    "sees it."
)
_SIZE_MAX: Final = 262_144

_SCALARS: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53,
    2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -1, -31, -32, -33, -127, -128, -129, -32_768, -32_769, -(2**31),
    -(2**31) - 1, -(2**53) + 1, -(2**53), -(2**53) - 1, -(2**63),
    1.5, -0.25, 0.1, 1e-300, -1.7976931348623157e308, 5e-324, 0.0, -0.0, 1.0, 1e300,
)  # fmt: skip
_TEXTS: Final = (
    "", "a", "\xe9", "e\u0301", "\u20ac", "\U0001d11e", "\u82f9\u679c apples", "\0", '"\\\n',
    "\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff",
)  # fmt: skip
_LONGER: Final = (
    ("cc01", 1), ("cd0001", 1), ("ce00000001", 1), ("cf0000000000000001", 1), ("d005", 5), ("d10005", 5),
    ("d200000005", 5), ("d30000000000000005", 5), ("d0ff", -1), ("d1ffff", -1), ("d2ffffffff", -1),
    ("d3ffffffffffffffff", -1), ("cf7fffffffffffffff", 2**63 - 1), ("ca3fc00000", 1.5), ("cabf000000", -0.5),
    ("ca7f7fffff", 3.4028234663852886e38), ("d900", ""), ("d90161", "a"), ("da000161", "a"), ("db0000000161", "a"),
    ("c5000161", b"a"), ("c60000000161", b"a"), ("dc000101", [1]), ("dd0000000101", [1]), ("dc0000", []),
    ("de0001a16b01", {"k": 1}), ("df00000001a16b01", {"k": 1}), ("81d9016b01", {"k": 1}), ("de0000", {}),
)  # fmt: skip
_WHOLE_MESSAGE: Final = [
    1, 7, None, {"text": "苹果", "bytes": b"\x00\xff", "list": [1, -200, 70_000, 2.5, True, None], "map": {"in": {}}}
]  # fmt: skip


def vectors_file() -> bytes:
    """The file, whole. Raises ValueError where the host's codec does not agree with what stands here."""
    valid = [_valid(name, data, value) for name, data, value in _every_valid()]
    invalid = [_invalid(name, data, by_host) for name, data, by_host in _every_invalid()]
    names = [row.partition('", ')[0] for row in (*valid, *invalid)]
    if len(set(names)) != len(names):
        raise ValueError("two vectors have one name")
    lines = [f'{{"about": {json.dumps(ABOUT)},', '"valid": [', ",\n".join(valid), '],\n"invalid": [']
    return "\n".join([*lines, ",\n".join(invalid), "]}\n"]).encode()


def _valid(name: str, data: bytes, value: Any) -> str:
    read = wire.decode(data, _SIZE_MAX)
    if wire.encode(read) != wire.encode(value):
        raise ValueError(f"{name} is another value")
    row: dict[str, Any] = {"name": name, "bytes": _written(data), "shortest": _written(wire.encode(value))}
    if isinstance(value, float) and value.is_integer():
        row["whole_float"] = True
    return json.dumps(row, ensure_ascii=True)


def _invalid(name: str, data: bytes, by_host: bool) -> str:
    try:
        wire.decode(data, _SIZE_MAX)
    except wire.MalformedMessage:
        return json.dumps({"name": name, "bytes": _written(data), "by_host": by_host})
    raise ValueError(f"{name} is valid")


def _written(data: bytes) -> str:
    """Hexadecimal, with the one long run of equal bytes that a vector may have at its end written short."""
    run = len(data) - len(data.rstrip(data[-1:]))
    if run < 24:
        return data.hex()
    return f"{data[:-run].hex()} {data[-1]:02x}*{run}".strip()


# ---- valid -----------------------------------------------------------------------------------------------------------
def _every_valid() -> Iterator[tuple[str, bytes, Any]]:
    """Name, bytes, value."""
    for value in _SCALARS:
        yield f"{type(value).__name__} {value!r}", wire.encode(value), value
    for text in _TEXTS:
        yield f"text {text!a}", wire.encode(text), text
    for size in (31, 32, 255, 256, 65_535, 65_536):
        yield f"text of {size} bytes", wire.encode("t" * size), "t" * size
    for size in (0, 1, 255, 256, 65_535, 65_536):
        yield f"{size} bytes", wire.encode(b"\xb7" * size), b"\xb7" * size
    for count in (0, 1, 15, 16, 4_000):
        yield f"array of {count}", wire.encode([None] * count), [None] * count
    for count in (0, 1, 15, 16, 300):
        numbered = {f"k{number:03}": True for number in range(count)}
        yield f"map of {count}", wire.encode(numbered), numbered
    for value in ({"b": 1, "a": {"d": [], "c": {}}}, {"": 0}, {"键": "值"}, {"k" * 256: 1}, _WHOLE_MESSAGE):
        yield f"nested {str(value)[:24]!a}", wire.encode(value), value
    for kind in ("arrays", "maps"):
        deepest = _nested(wire.DEPTH_MAX, kind)
        yield f"{wire.DEPTH_MAX} {kind} deep", wire.encode(deepest), deepest
    for code, value in _LONGER:
        yield f"longer form {code}", bytes.fromhex(code), value


def _nested(levels: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind == "arrays" else {"k": value}
    return value


# ---- invalid ---------------------------------------------------------------------------------------------------------
def _every_invalid() -> Iterator[tuple[str, bytes, bool]]:
    """Name, bytes, whether the host refuses them before a guest could see them."""
    message = wire.encode(_WHOLE_MESSAGE)
    for size in range(len(message)):
        yield f"cut after {size} bytes", message[:size], False
    for name, code in (
        ("reserved byte", "c1"), ("ext 8", "c70001"), ("ext 16", "c8000001"), ("ext 32", "c90000000001"),
        ("fixext 1", "d40100"), ("fixext 2", "d5010000"), ("fixext 4", "d6ff00000000"), ("fixext 8", "d7ff" + "00" * 8),
        ("fixext 16", "d801" + "00" * 16), ("ext in an array", "91d40100"), ("reserved byte in a map", "81a16bc1"),
        ("trailing byte", "c0c0"), ("trailing value in an array", "910102"),
        ("text longer than the bytes", "a561"), ("text 32 of 2^32 - 1 bytes", "dbffffffff61"),
        ("bytes of 2^32 - 1", "c6ffffffff00"), ("array of 2^32 - 1", "ddffffffff01"), ("array of 65,535", "dcffff01"),
        ("map of 2^32 - 1", "dfffffffffa16b01"), ("map of 65,535", "deffffa16b01"), ("map with half a pair", "81a16b"),
        ("key an integer", "810101"), ("key nil", "81c001"), ("key bytes", "81c4016b01"), ("key an array", "819001"),
        ("key a map", "818001"), ("second key no text", "82a16b010101"),
    ):  # fmt: skip
        yield name, bytes.fromhex(code), False
    for kind in ("arrays", "maps"):
        yield f"{wire.DEPTH_MAX + 1} {kind} deep", wire.encode(_nested(wire.DEPTH_MAX + 1, kind)), False
    yield "10,000 arrays deep", b"\x91" * 10_000 + b"\x01", False
    yield "empty", b"", False
    yield from _left_to_the_host()


def _left_to_the_host() -> Iterator[tuple[str, bytes, bool]]:
    for name, number in (("NaN", float("nan")), ("infinity", float("inf")), ("minus infinity", float("-inf"))):
        yield name, b"\xcb" + struct.pack(">d", number), True
        yield f"{name} in 4 bytes", b"\xca" + struct.pack(">f", number), True
    for name, code in (
        ("equal keys", "82a16b01a16b02"), ("equal keys in two forms", "82a16b01d9016b02"),
        ("lone continuation byte", "a180"), ("overlong 2 bytes", "a2c080"), ("overlong 3 bytes", "a3e08080"),
        ("overlong 4 bytes", "a4f0808080"), ("surrogate", "a3eda080"), ("above U+10FFFF", "a4f4908080"),
        ("cut character", "a2e282"), ("byte FE", "a1fe"), ("key no UTF-8", "81a18001"),
    ):  # fmt: skip
        yield name, bytes.fromhex(code), True
    yield "key of 257 bytes", wire.encode({"k" * 257: 1}), True
