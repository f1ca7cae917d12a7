"""Bytes that are cheap to send and dear, or ambiguous, to decode: MessagePack bombs, used by test_decoder_bombs.py.

Each is one value, or what stands where a value should: to be sent as a whole message, inside the params of a request,
or as the result of a response. `REFUSED` has no reading; `TAKEN` are their nearest neighbours that have one.
`sent` is a guest that sends one, in each of the `WAYS`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from runtime.limits import MIB
from runtime.wire import DEPTH_MAX, ELEMENTS_MAX, KEY_BYTES_MAX
from tests.hostile.guests import Script
from tests.hostile.neighbour import ROOMY

MEGABYTE = 1 << 20
KEY = b"\xa1k"
NIL = b"\xc0"
ROOM_FOR_BOMBS = {
    **ROOMY, "request_bytes": 4 * MIB, "message_in_bytes": 4 * MIB, "message_out_bytes": 4 * MIB,
    "held_bytes": 64 * MIB, "cpu_us": 60_000_000,
}  # fmt: skip
"""A program's limits, so large that it is the decoder that refuses, and no limit on bytes before it."""
PARAMS = b"\x94\x00\x01\xacsession.info\x81\xa1k"
ANSWER = b"\x94\x01\x01\xc0"
WAYS = ("as a request", "posted", "in its params", "as an answer")


def sent(way: str, data: bytes) -> Script:
    """What a guest is to do that sends this to its host."""
    made = Script()
    if way == "as an answer":
        said = ANSWER + data
        return made.step("give", made.bring(said), len(said))
    if way == "posted":
        return made.post(data)
    return made.call(data if way == "as a request" else PARAMS + data)


def arrays(depth: int) -> bytes:
    """Arrays of one element inside each other."""
    return b"\x91" * depth + NIL


def maps(depth: int) -> bytes:
    return (b"\x81" + KEY) * depth + NIL


def claims(first: int, size: int = 0xFFFF_FFFF, body: bytes = b"") -> bytes:
    """A form of 32 bits that says how much follows, and what really does."""
    return bytes([first]) + struct.pack(">I", size) + body


def filled(element: bytes, size: int = MEGABYTE) -> bytes:
    """An honest array of as many equal elements as fit."""
    count = size // len(element)
    return claims(0xDD, count, element * count)


def keyed(count: int) -> bytes:
    """An honest map with that many short keys, no two the same."""
    return claims(0xDF, count, b"".join(b"\xa6%06x" % number + NIL for number in range(count)))


def floats(bits: int) -> bytes:
    return b"\xcb" + struct.pack(">Q", bits)


REFUSED: Mapping[str, Callable[[], bytes]] = {
    # depth
    "arrays, 100,000 deep": lambda: arrays(100_000), "maps, 100,000 deep": lambda: maps(100_000),
    "arrays, 1,000 deep": lambda: arrays(1_000), "arrays, one too deep": lambda: arrays(DEPTH_MAX + 1),
    "maps and arrays in turn, 500 deep": lambda: (b"\x91\x81" + KEY) * 500 + NIL,
    # sizes that are claimed
    "an array of 4 billion": lambda: claims(0xDD), "a map of 4 billion": lambda: claims(0xDF),
    "bytes of 4 GiB": lambda: claims(0xC6), "text of 4 GiB": lambda: claims(0xDB),
    "an extension of 4 GiB": lambda: claims(0xC9),
    "an array of 100 million in a megabyte": lambda: claims(0xDD, 100_000_000, NIL * MEGABYTE),
    "arrays of 4 billion inside each other": lambda: claims(0xDD) * 10,
    # a byte that becomes many
    "a megabyte of empty arrays": lambda: filled(b"\x90"), "a megabyte of empty maps": lambda: filled(b"\x80"),
    "a megabyte of nils": lambda: filled(NIL), "a megabyte of empty texts": lambda: filled(b"\xa0"),
    "a megabyte of floats": lambda: filled(floats(0)), "a map of 100,000 keys": lambda: keyed(100_000),
    "one element too many": lambda: filled(NIL, ELEMENTS_MAX), "one key too many": lambda: keyed(ELEMENTS_MAX // 2),
    "a key of a megabyte": lambda: b"\x81" + claims(0xDB, MEGABYTE, b"k" * MEGABYTE) + NIL,
    "a key one byte too long": lambda: b"\x81\xda" + struct.pack(">H", KEY_BYTES_MAX + 1) + b"k" * (KEY_BYTES_MAX + 1)
    + NIL,
    # two readings
    "a key twice": lambda: b"\x82" + KEY + b"\x01" + KEY + b"\x02",
    "a key twice, in two forms": lambda: b"\x82" + KEY + b"\x01\xd9\x01k\x02",
    "a key that is a number": lambda: b"\x81\x01\x01", "a key that is bytes": lambda: b"\x81\xc4\x01k\x01",
    "a key that is nil": lambda: b"\x81\xc0\x01", "a key that is an array": lambda: b"\x81\x90\x01",
    "a byte after it": lambda: b"\x01\x01", "cut in the middle": lambda: b"\x92\x01",
    # forms that no value has
    "an extension": lambda: b"\xd4\x05x", "a timestamp": lambda: b"\xd6\xff\0\0\0\0",
    "the unused byte": lambda: b"\xc1", "NaN": lambda: floats(0x7FF8 << 48), "infinity": lambda: floats(0x7FF0 << 48),
    "minus infinity": lambda: floats(0xFFF0 << 48), "NaN of 32 bits": lambda: b"\xca\x7f\xc0\0\0",
    "text that is no UTF-8": lambda: b"\xa1\xff", "half a surrogate": lambda: b"\xa3\xed\xa0\x80",
    "an overlong form": lambda: b"\xa2\xc0\xaf",
}  # fmt: skip

TAKEN: Mapping[str, Callable[[], bytes]] = {
    "as deep as inside a message it may be": lambda: arrays(DEPTH_MAX - 2),
    "a number in a longer form": lambda: b"\xcf" + bytes(7) + b"\x01",
    "the largest number": lambda: b"\xcf" + b"\xff" * 8, "the smallest": lambda: b"\xd3\x80" + bytes(7),
    "the largest float": lambda: floats(0x7FEF_FFFF_FFFF_FFFF),
    "half a megabyte of bytes": lambda: claims(0xC6, MEGABYTE // 2, bytes(MEGABYTE // 2)),
    "an empty array in the longest form": lambda: claims(0xDD, 0),
    "many elements": lambda: filled(b"\x90", ELEMENTS_MAX - 16),
}  # fmt: skip
