"""Messages of megabytes, in pieces: they say what they would say in one piece, and nothing is held beyond them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import wire
from runtime.control import frames, large_messages
from runtime.control.frames import LARGE_BYTES, PIECE_BYTES, Cancel, FrameReader, Pieces, Request, Violation
from runtime.wire import PART_BYTES, MalformedMessage
from tests.runtime.control.test_frames import pieces

MOST = 4 * LARGE_BYTES
CUTS = st.lists(st.integers(0, MOST), max_size=12)
CONTENTS = st.builds(
    lambda size, seed: bytes([seed]) * (size - 1) + b"\xff",
    st.sampled_from([1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES]), st.integers(0, 255),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.integers(-9, 99), st.text(max_size=40), CONTENTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=8,
)


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except MalformedMessage:
        return MalformedMessage


def both(data: bytes, cuts: Sequence[int], most: int = MOST) -> tuple[object, object]:
    """What comes of it in pieces, and in one."""
    bounds = {"depth_max": wire.DEPTH_MAX, "elements_max": wire.ELEMENTS_MAX}
    return (
        outcome(lambda: large_messages.decode(pieces(data, cuts), most, **bounds)),
        outcome(lambda: wire.decode(data, most, **bounds)),
    )


@settings(max_examples=60)
@given(VALUES, CUTS)
def test_a_message_in_pieces_says_what_it_says_in_one(value: object, cuts: Sequence[int]) -> None:
    here, there = both(msgpack.packb(value), cuts)
    assert here == there == value


@settings(max_examples=100)
@given(VALUES, CUTS, st.integers(0, MOST), st.binary(max_size=6))
def test_what_is_broken_is_refused_in_pieces_as_in_one(
    value: object, cuts: Sequence[int], at: int, instead: bytes
) -> None:
    data = msgpack.packb(value)
    at %= len(data)
    here, there = both(data[:at] + instead + data[at + len(instead) :], cuts)
    assert repr(here) == repr(there)


LARGE = bytes(PART_BYTES + 1)
BROKEN = {
    "trailing": msgpack.packb({"a": LARGE}) + b"\x00",
    "cut in a large part": msgpack.packb({"a": LARGE})[:-1],
    "cut after one": msgpack.packb([LARGE, 7])[:-1],
    "equal keys": b"\x82\xa1a" + msgpack.packb(LARGE) + b"\xa1a\x01",
    "a large key": b"\x81" + msgpack.packb(LARGE) + b"\x01",
    "the place of a large part": msgpack.packb([LARGE])[:-1] + b"\x00" + wire.stand_in(0),
    "an ext type beside one": b"\x92" + msgpack.packb(LARGE) + wire.stand_in(0),
    "elements": msgpack.packb([LARGE, *[0] * wire.ELEMENTS_MAX]),
    "nan": msgpack.packb([LARGE, float("nan")]),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_the_bounds_of_the_wire_hold(data: bytes) -> None:
    assert both(data, [1, 7, PART_BYTES]) == (MalformedMessage, MalformedMessage)


def test_its_size_is_bounded() -> None:
    data = msgpack.packb(LARGE)
    assert both(data, [], len(data)) == (LARGE, LARGE)
    assert both(data, [], len(data) - 1) == (MalformedMessage, MalformedMessage)


# ---- frames ----------------------------------------------------------------------------------------------------------
SIZES = st.sampled_from([1, 200, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, LARGE_BYTES + 3 * PIECE_BYTES])


@settings(max_examples=40)
@given(st.lists(st.tuples(SIZES, st.integers(0, 255)), max_size=5), CUTS)
def test_messages_come_out_as_they_went_in_and_large_ones_in_pieces(
    made: Sequence[tuple[int, int]], cuts: Sequence[int]
) -> None:
    messages, reader = [bytes([seed]) * size for size, seed in made], FrameReader(MOST)
    found: list[bytes | Pieces] = []
    for part in pieces(b"".join(map(frames.frame, messages)), cuts):
        found += reader.messages(part)
    assert [b"".join(one) if isinstance(one, tuple) else one for one in found] == messages
    assert [isinstance(one, tuple) for one in found] == [size > LARGE_BYTES for size, _ in made]
    assert reader.held == 0


def test_bytes_one_by_one_become_pieces_of_a_size() -> None:
    """A piece for each byte would cost a host forty bytes for one."""
    reader, data = FrameReader(MOST), frames.frame(bytes(LARGE_BYTES + 1))
    found = [message for at in range(len(data)) for message in reader.messages(data[at : at + 1])]
    assert [len(piece) for piece in found[0]] == [PIECE_BYTES] * (LARGE_BYTES // PIECE_BYTES) + [1]  # type: ignore[arg-type]


def test_a_large_frame_that_is_not_whole_is_held_from_its_head_on() -> None:
    reader = FrameReader(MOST)
    head = (LARGE_BYTES + 5).to_bytes(frames.HEAD_BYTES, "big")
    for count, data in ((4, head), (5, b"x"), (5 + PIECE_BYTES, bytes(PIECE_BYTES))):
        assert list(reader.messages(data)) == []
        assert reader.held == count


def test_a_large_message_is_a_request_a_cancellation_or_a_violation() -> None:
    bundle = {"bundle": bytes(2 * LARGE_BYTES)}
    assert frames.parse_large((wire.request(7, "install", bundle),), MOST) == Request(7, "install", bundle)
    assert frames.parse_large((frames.cancel(3)[4:],), MOST) == Cancel(3)
    for wrong in (wire.encode([0, 1, "install", LARGE]), wire.encode(LARGE)):
        with pytest.raises(Violation, match="neither"):
            frames.parse_large((wrong,), MOST)
    with pytest.raises(Violation, match="malformed"):
        frames.parse_large((b"\xc1",), MOST)
