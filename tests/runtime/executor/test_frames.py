"""Frames: any cutting of the stream gives the same ones, and none is kept that is too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.frames import Splitter, Violation, frame
from runtime.limits import Limits

FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)), min_size=1, max_size=8
)


def _any_length(kind: int, number: int) -> int:
    return 1 << 30


@given(FRAMES, st.data())
def test_any_cutting_gives_the_same_frames(made: list[frames.Frame], data: st.DataObject) -> None:
    stream = b"".join(frame(*each) for each in made)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter, found = Splitter(_any_length), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[begin:end])
    assert found == made
    assert splitter.kept_bytes == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_violation(data: bytes) -> None:
    splitter = Splitter(lambda kind, number: 0)
    try:
        found = splitter.feed(data)
    except Violation:
        return
    assert sum(len(body) + frames.SIZE for _, _, body in found) + splitter.kept_bytes == len(data)


def test_a_frame_that_is_too_long_is_refused_by_its_head() -> None:
    head = frame(1, 7, bytes(20_000))[: frames.SIZE]
    with pytest.raises(Violation, match="longer"):
        Splitter(lambda kind, number: 19_999).feed(head)
    splitter = Splitter(lambda kind, number: 20_000)
    assert splitter.feed(head) == []
    assert splitter.feed(bytes(20_000)) == [(1, 7, bytes(20_000))]


def test_small_frames_are_not_asked_about() -> None:
    asked: list[int] = []
    splitter = Splitter(lambda kind, number: asked.append(kind) or 0)
    splitter.feed(frame(1, 1, bytes(frames.SMALL_BYTES)))
    assert asked == []
    with pytest.raises(Violation):
        splitter.feed(frame(1, 1, bytes(frames.SMALL_BYTES + 1)))
    assert asked == [1]


@given(st.binary(max_size=80))
def test_any_body_is_a_done_or_a_violation(body: bytes) -> None:
    try:
        told = frames.done(body)
    except Violation:
        return
    assert told.ending in Ending
    assert told.rest == body[frames.DONE_HEAD.size :]


def test_limits_arrive_as_they_were() -> None:
    limits = Limits(cpu_us=600_000_000, held_bytes=1 << 40, log_bytes=0)
    values = frames.LIMITS.unpack(frames.packed_limits(limits))
    assert dict(zip(frames.LIMIT_NAMES, values, strict=True)) == {
        name: getattr(limits, name) for name in frames.LIMIT_NAMES
    }
