"""Frames without sockets: any bytes, in any pieces, give messages or one refusal."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import wire
from runtime.control import frames
from runtime.control.frames import Cancel, Closing, FrameReader, Item, Request, Response, Violation

MOST = 4_096


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]


def fed(reader: FrameReader, parts: Sequence[bytes]) -> list[bytes]:
    return [message for part in parts for message in reader.feed(part)]


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=20), st.lists(st.integers(0, 9_999), max_size=30))
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader(MOST)
    assert fed(reader, pieces(b"".join(map(frames.frame, messages)), cuts)) == messages
    assert reader.held == 0


@given(st.binary(max_size=2_000), st.lists(st.integers(0, 9_999), max_size=10))
def test_any_bytes_are_held_or_refused(data: bytes, cuts: list[int]) -> None:
    reader, received = FrameReader(64), 0
    try:
        for part in pieces(data, cuts):
            received += len(part)
            for message in reader.feed(part):
                assert 1 <= len(message) <= 64
            assert reader.held < 64 + frames.HEAD_BYTES
    except Violation as violation:
        assert "frame_bytes is 64" in violation.reason


@pytest.mark.parametrize("size", [0, MOST + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_the_message_comes(size: int) -> None:
    with pytest.raises(Violation, match=f"{size} bytes"):
        fed(FrameReader(MOST), [size.to_bytes(4, "big")])


def test_a_frame_at_the_bound_is_taken() -> None:
    assert fed(FrameReader(MOST), [frames.frame(bytes(MOST))]) == [bytes(MOST)]


def test_bytes_one_by_one_cost_no_copy_of_what_is_held() -> None:
    """Each piece is appended: 64 KiB in single bytes are done in far less than the square of it."""
    reader = FrameReader(1 << 20)
    for at in range(65_536):
        assert list(reader.feed(b"\x00\x00\xff\xff"[at : at + 1] if at < 4 else b"x")) == []
    assert reader.held == 65_536


# ---- requests --------------------------------------------------------------------------------------------------------
@given(st.binary(max_size=300))
def test_any_message_is_a_request_or_a_violation(data: bytes) -> None:
    try:
        asked = frames.parse_request(data, MOST)
    except Violation as violation:
        assert violation.reason.isprintable()
    else:
        assert isinstance(asked, Request | Cancel)


WRONG = [
    [], [0], [0, 1, "m"], [0, 1, "m", []], [0, 1, b"m", {}], [0, -1, "m", {}], [0, 2**32, "m", {}], [0, 1.0, "m", {}],
    [False, 1, "m", {}], [0, True, "m", {}], [1, 1, None, {}], [2, "m", {}], [2, "$cancel", {}], [2, "$cancel", []],
    [2, "$cancel", {"msgid": "1"}], [2, "$cancel", {"msgid": 1, "more": 2}], [2, "$cancel", {"msgid": True}], {}, 7,
]  # fmt: skip


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_what_is_no_request(value: object) -> None:
    with pytest.raises(Violation):
        frames.parse_request(msgpack.packb(value), MOST)


def test_requests_and_cancels() -> None:
    assert frames.parse_request(wire.request(7, "ping", {"$token": "t"}), MOST) == Request(7, "ping", {"$token": "t"})
    (message,) = fed(FrameReader(MOST), [frames.cancel(2**32 - 1)])
    assert frames.parse_request(message, MOST) == Cancel(2**32 - 1)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_guests_deepest_and_largest_message_fits_into_a_call() -> None:
    deepest, largest = nested(wire.DEPTH_MAX - 2), [0] * (wire.ELEMENTS_MAX - 8)
    for inner in (deepest, largest):
        wire.parse_request(wire.request(1, "m", {"a": inner}), 1 << 20)
        asked = frames.parse_request(wire.request(1, "call", {"app": "a", "params": {"a": inner}}), 1 << 20)
        assert isinstance(asked, Request) and asked.params["params"] == {"a": inner}


@pytest.mark.parametrize(
    "data",
    [
        wire.request(1, "m", {"a": nested(frames.DEPTH_MAX)}),
        wire.request(1, "m", {"a": [0] * frames.ELEMENTS_MAX}),
        b"\x94\x00\x01\xa1m\x82\xa1a\x01\xa1a\x02",
        msgpack.packb([0, 1, "m", {"a": float("nan")}]),
        msgpack.packb([0, 1, "m", {"a": msgpack.ExtType(4, b"x")}]),
        msgpack.packb([0, 1, "m", {1: 2}]),
        wire.request(1, "m", {}) + b"\x00",
    ],
    ids=["depth", "elements", "equal keys", "nan", "ext", "key", "trailing"],
)
def test_bounds_of_the_wire_hold_here(data: bytes) -> None:
    with pytest.raises(Violation, match="malformed"):
        frames.parse_request(data, 1 << 20)


# ---- answers ---------------------------------------------------------------------------------------------------------
@given(st.binary(max_size=300))
def test_any_message_is_an_answer_or_a_violation(data: bytes) -> None:
    try:
        told = frames.parse_answer(data)
    except Violation:
        return
    assert isinstance(told, Response | Item | Closing)


def test_answers() -> None:
    reader = FrameReader(MOST)
    (item, closing) = fed(reader, [frames.item(3, {"part": "x"}), frames.closing({"code": "idle"})])
    assert frames.parse_answer(item) == Item(3, {"part": "x"})
    assert frames.parse_answer(closing) == Closing({"code": "idle"})
    assert frames.parse_answer(wire.response(3, {"a": 1})) == Response(3, None, {"a": 1})
