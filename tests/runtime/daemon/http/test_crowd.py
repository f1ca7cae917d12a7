"""The crowd: who makes room for whom."""

from __future__ import annotations

from runtime.daemon.addresses import counted_as
from runtime.daemon.http.crowd import Crowd
from runtime.daemon.http.settings import HttpSettings


def crowd(**changes: int) -> Crowd:
    return Crowd(HttpSettings(**{"connections": 3, "connections_per_address": 2, "requests": 1, **changes}))  # type: ignore[arg-type]


def test_who_waits_longest_makes_room() -> None:
    room = crowd()
    first, second, third = (room.enter(name) for name in "abc")
    assert first is not None and second is not None and third is not None
    assert room.begin(first)
    room.end(first)
    assert room.enter("d") is not None
    assert (first.is_gone, second.is_gone, third.is_gone, room.connections) == (False, True, False, 3)


def test_an_address_makes_room_for_itself_alone() -> None:
    room = crowd()
    other, first, second = room.enter("a"), room.enter("b"), room.enter("b")
    assert room.enter("b") is not None
    assert other is not None and first is not None and second is not None
    assert (other.is_gone, first.is_gone, second.is_gone) == (False, True, False)


def test_who_is_being_answered_is_never_sent_away() -> None:
    room = crowd(connections=1)
    visitor = room.enter("a")
    assert visitor is not None and room.begin(visitor)
    assert room.enter("b") is None and room.enter("a") is None
    room.leave(visitor)
    room.leave(visitor)
    assert (room.connections, room.requests, room.held_bytes) == (0, 0, 0)
    assert room.enter("b") is not None


def test_requests_are_counted() -> None:
    room = crowd()
    first, second = room.enter("a"), room.enter("b")
    assert first is not None and second is not None
    assert room.begin(first) and not room.begin(second)
    room.end(first)
    assert room.begin(second) and room.requests == 1


def test_who_holds_longest_makes_room_for_bytes() -> None:
    room = crowd(held_bytes=4 << 20)
    empty, first, second = room.enter("a"), room.enter("b"), room.enter("c")
    assert empty is not None and first is not None and second is not None
    assert room.hold(first, 3 << 20) and room.hold(second, 1 << 20)
    assert room.hold(second, 1)
    assert (empty.is_gone, first.is_gone, room.held_bytes) == (False, True, (1 << 20) + 1)
    assert not room.hold(second, 4 << 20) and not room.hold(first, 1)


def test_whose_connection_it_is() -> None:
    assert counted_as("192.0.2.1") == counted_as("::ffff:192.0.2.1") == "192.0.2.1"
    assert counted_as("2001:db8:1:2::3") == counted_as("2001:db8:1:2:ffff::%eth0") != counted_as("2001:db8:1:3::3")
