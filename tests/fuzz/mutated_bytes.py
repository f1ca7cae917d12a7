"""Changes of bytes, drawn from a `random.Random`: the same draw gives the same bytes. Knows no format."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

INTERESTING: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
LONGEST: Final = 32
"""Bytes that one change takes out, puts in or doubles, but for `_spliced`."""


def changed(source: bytes, draw: random.Random, *, most: int = 4, others: Sequence[bytes] = ()) -> bytes:
    """One to `most` changes of `source`; `others` are what pieces are taken from besides."""
    data = bytearray(source)
    for _ in range(draw.randint(1, most)):
        draw.choice(_CHANGES)(data, draw)
    if others and draw.random() < 0.2:
        _spliced(data, draw, draw.choice(others))
    return bytes(data)


def _place(data: bytearray, draw: random.Random) -> tuple[int, int]:
    at = draw.randint(0, len(data))
    return at, min(len(data), at + draw.randint(1, LONGEST))


def _bit(data: bytearray, draw: random.Random) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _byte(data: bytearray, draw: random.Random) -> None:
    if data:
        data[draw.randrange(len(data))] = draw.randrange(256)


def _number(data: bytearray, draw: random.Random) -> None:
    """One that formats stumble over, in either order of bytes."""
    size = draw.choice((1, 2, 4, 8))
    value = draw.choice(INTERESTING) & (1 << 8 * size) - 1
    at = draw.randint(0, len(data))
    data[at : at + size] = value.to_bytes(size, draw.choice(("big", "little")))


def _taken_out(data: bytearray, draw: random.Random) -> None:
    begin, end = _place(data, draw)
    del data[begin:end]


def _put_in(data: bytearray, draw: random.Random) -> None:
    at = draw.randint(0, len(data))
    data[at:at] = draw.randbytes(draw.randint(1, 8))


def _doubled(data: bytearray, draw: random.Random) -> None:
    begin, end = _place(data, draw)
    data[end:end] = data[begin:end] * draw.choice((1, 1, 1, 8))


def _moved(data: bytearray, draw: random.Random) -> None:
    begin, end = _place(data, draw)
    piece = bytes(data[begin:end])
    del data[begin:end]
    at = draw.randint(0, len(data))
    data[at:at] = piece


def _cut_off(data: bytearray, draw: random.Random) -> None:
    if draw.random() < 0.3:
        del data[draw.randint(0, len(data)) :]


def _spliced(data: bytearray, draw: random.Random, other: bytes) -> None:
    """A piece of another of the corpus, of any length."""
    begin, end = sorted((draw.randint(0, len(other)), draw.randint(0, len(other))))
    at = draw.randint(0, len(data))
    data[at : at + draw.choice((0, end - begin))] = other[begin:end]


_CHANGES: Final = (_bit, _byte, _byte, _number, _taken_out, _put_in, _doubled, _moved, _cut_off)
