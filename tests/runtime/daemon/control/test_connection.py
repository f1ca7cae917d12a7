"""One connection without a socket: any bytes, in any pieces."""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from runtime import wire
from runtime.control import frames
from runtime.control.calling import Pong
from runtime.control.frames import FrameReader, Violation
from runtime.control.method import Role
from runtime.daemon.control.connection import BUNDLE_BYTES, STRANGER_BYTES, Connection
from runtime.daemon.control.settings import ControlSettings
from runtime.limits import MIB

SETTINGS = ControlSettings(outstanding=4)
MSGIDS = st.integers(0, 6)
MESSAGES = st.one_of(
    st.builds(lambda n: wire.request(n, "ping", {}), MSGIDS),
    st.builds(lambda n: wire.notification("$cancel", {"msgid": n}), MSGIDS),
    st.binary(max_size=20),
)


def answers(data: bytes) -> list[list[object]]:
    return [msgpack.unpackb(message) for message in FrameReader(MIB).feed(data)]


@given(st.lists(MESSAGES, max_size=30), st.data())
def test_each_request_is_answered_once_or_the_connection_is_over(messages: list[bytes], data: st.DataObject) -> None:
    """Against a list of what is owed: requests come out once, one over the bound is refused, a msgid is used once."""
    connection, owed = Connection(SETTINGS, Role.CALLER), set[int]()
    for message in messages:
        refused = False
        try:
            for request in filter(None, connection.receive(frames.frame(message) if message else b"")):
                assert request.msgid not in owed and len(owed) < SETTINGS.outstanding
                owed.add(request.msgid)
        except Violation:
            connection.close()
            refused = True
        told = answers(connection.take())
        assert all(answer[2]["code"] == "overloaded" for answer in told)  # type: ignore[index]
        if refused:
            assert connection.outstanding == 0
            return
        assert connection.outstanding == len(owed)
        if owed and data.draw(st.booleans()):
            done = data.draw(st.sampled_from(sorted(owed)))
            connection.answer(done, Pong(now_us=1))
            owed.discard(done)
            assert answers(connection.take()) == [[1, done, None, {"now_us": 1}]]
            assert connection.out_bytes == 0


@given(st.binary(max_size=3_000), st.integers(1, 500))
def test_any_bytes_are_answered_by_less_than_they_are(data: bytes, step: int) -> None:
    """What is random is a violation sooner or later, and until then nothing is said or held beyond the bound."""
    connection = Connection(SETTINGS, None)
    try:
        for at in range(0, len(data), step):
            for _ in connection.receive(data[at : at + step]):
                pass
            assert connection.held <= STRANGER_BYTES + frames.HEAD_BYTES
    except Violation as violation:
        assert len(violation.reason) < 200
    assert connection.out_bytes == 0


def test_the_bound_of_a_frame_follows_the_role() -> None:
    connection = Connection(SETTINGS, None)
    assert connection.frame_bytes == STRANGER_BYTES
    for role, bound in ((Role.CALLER, MIB), (Role.AUDITOR, MIB), (Role.OPERATOR, BUNDLE_BYTES)):
        connection.admit(role)
        assert connection.frame_bytes == bound


def test_what_is_stopped_and_what_is_not() -> None:
    connection, stopped = Connection(SETTINGS, Role.CALLER), list[int]()
    for n in range(3):
        assert len(list(connection.receive(frames.frame(wire.request(n, "call", {}))))) == 1
        connection.stoppable(n, lambda n=n: stopped.append(n))  # type: ignore[misc]
    connection.answer(0, Pong(now_us=1))
    assert list(connection.receive(frames.cancel(1) + frames.cancel(0) + frames.cancel(9))) == [None] * 3
    for stop in connection.close():
        stop()
    assert stopped == [1, 1, 2]
    connection.answer(2, Pong(now_us=1))
    connection.item(2, Pong(now_us=1))
    assert len(answers(connection.take())) == 1


def test_an_answer_that_is_too_long_is_an_error() -> None:
    connection = Connection(SETTINGS, Role.OPERATOR)
    assert list(connection.receive(frames.frame(wire.request(1, "ping", {}))))
    connection.fail_as(1, {"code": "x", "message": "m" * frames.RESPONSE_BYTES_MAX})
    ((_, _, error, _),) = answers(connection.take())
    assert error["code"] == "response_too_large"  # type: ignore[index]
