"""A worker that is taken over: whatever it sends, only its own calls suffer, and each of them ends exactly once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from host_api.errors import ErrorCode
from runtime import wire
from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.flight import REFUSED_MOST, Flight
from runtime.executor.frames import Violation, frame
from runtime.executor.held_modules import AT_ONCE_BYTES, WorkerModule
from runtime.executor.job import Outcome
from runtime.executor.worker_link import BACKLOG_MOST, FRAMES_AT_ONCE
from tests.runtime.executor.links import ASK, FACTS, LIMITS, POSTING, WAIT, done, log, opened_peer, request

Bad = Callable[[Flight], bytes]
OTHER = 999
BAD: dict[str, Bad] = {
    "a kind that is none": lambda flight: frame(77, flight.number),
    "a kind of the broker's": lambda flight: frame(frames.START, flight.number),
    "a call it was never given": lambda flight: frame(frames.DONE, OTHER, bytes(50)),
    "a call that has ended": lambda flight: done(flight) + done(flight),
    "a request for a call that has ended": lambda flight: done(flight) + request(flight, 1),
    "a second ready": lambda flight: frame(frames.READY, 0, b"{}"),
    "a request without a head": lambda flight: frame(frames.REQUEST, flight.number, b"\0"),
    "a request over its limit": lambda flight: request(flight, 1, bytes(LIMITS.request_bytes + 1)),
    "a request out of order": lambda flight: request(flight, 2),
    "the same request again": lambda flight: request(flight, 1) + request(flight, 1),
    "more requests than it may": lambda flight: b"".join(request(flight, n) for n in range(1, 6)),
    "more at once than it may": lambda flight: b"".join(
        request(flight, n, wire.request(n, "test.wait", {})) for n in range(1, 5)
    ),
    "fewer refusals than before": lambda flight: request(flight, 1, refused=2) + request(flight, 2, refused=1),
    "refusals beyond all reason": lambda flight: request(flight, 1, refused=REFUSED_MOST + 1),
    "log of no stream": lambda flight: log(flight, b"x", 3),
    "a log without a stream": lambda flight: frame(frames.LOG, flight.number),
    "more log at once than a guest can write": lambda flight: log(flight, bytes(4_097)),
    "a log of nothing, which it could send for ever": lambda flight: log(flight, b""),
    "log beyond its limit": lambda flight: log(flight, bytes(LIMITS.log_bytes + 1)) + log(flight, b"x"),
    "a done without a head": lambda flight: frame(frames.DONE, flight.number, b"\0"),
    "no such ending": lambda flight: frame(frames.DONE, flight.number, b"\xff" + bytes(60)),
    "an ending that is not its to say": lambda flight: done(flight, Ending.REVOKED),
    "lost, it says of itself": lambda flight: done(flight, Ending.WORKER_LOST),
    "a deadline that has not passed": lambda flight: done(flight, Ending.DEADLINE_EXCEEDED),
    "a response over its limit": lambda flight: done(flight, rest=bytes(LIMITS.message_out_bytes + 1)),
    "an ending without a text": lambda flight: done(flight, Ending.TRAPPED, b""),
    "an ending whose text is no UTF-8": lambda flight: done(flight, Ending.TRAPPED, b'["\xff", {}]'),
    "an ending with a long text": lambda flight: done(flight, Ending.TRAPPED, bytes(frames.TEXT_BYTES + 1)),
    "an ending with strange numbers": lambda flight: done(flight, Ending.TRAPPED, b'["x", {"a": []}]'),
    "an ending with a number that no answer can hold": lambda flight: done(
        flight, Ending.TRAPPED, b'["x", {"a": 1%s}]' % (b"0" * 100)
    ),
    "an ending that answers for its guest": lambda flight: done(flight, Ending.FAILED, b'["x", {"error": "y"}]'),
    "an answer to no beat": lambda flight: frame(frames.PONG, 1, bytes(4)),
    "a module it has not": lambda flight: frame(frames.UNLOADABLE, 77),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_it_may_not_send_is_a_violation_and_harms_its_own_calls_only(case: str) -> None:
    async with opened_peer() as peer, opened_peer() as neighbour:
        flight, beside, elsewhere = peer.call(), peer.call("b"), neighbour.call("c")
        with pytest.raises(Violation):
            peer.link.receive(BAD[case](flight))
        peer.link.lose("violation")
        peer.go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(peer.outcomes["a"]) == len(peer.outcomes["b"]) == 1
        assert peer.outcomes["b"][0].ending is Ending.WORKER_LOST
        assert (peer.link.flights, peer.link.programs, beside.over) == ({}, {}, True)
        neighbour.link.receive(request(elsewhere, 1) + done(elsewhere, rest=b"fine"))
        assert neighbour.outcomes["c"][0].response == b"fine"


async def test_nothing_is_begun_for_a_call_that_nobody_wants_any_more() -> None:
    """Whatever the guest, or who took its worker over, asks for after it was given up."""
    async with opened_peer() as peer:
        flight = peer.call()
        flight.verdict = Outcome(ending=Ending.CANCELLED)
        peer.link.cut(flight)
        peer.go.set()
        peer.link.receive(request(flight, 1, WAIT))
        await trio.testing.wait_all_tasks_blocked()
        assert [kind for kind, _, _ in peer.sent()] == [frames.MODULE, frames.PIECE, frames.START, frames.CUT]
        peer.link.receive(done(flight, dropped=1))
        assert [outcome.ending for outcome in peer.outcomes["a"]] == [Ending.CANCELLED]
        assert (flight.usage.host_calls, flight.usage.dropped) == (1, 1)


ANY = st.lists(
    st.one_of(
        st.builds(frame, st.sampled_from([*range(1, 11), *range(30, 40)]), st.integers(0, 4), st.binary(max_size=80)),
        st.builds(
            lambda number, serial, body: frame(
                frames.REQUEST, number, frames.REQUEST_HEAD.pack(serial, 1, 0) + body
            ),
            st.integers(1, 2), st.integers(1, 4), st.one_of(st.binary(max_size=40), st.just(ASK), st.just(WAIT)),
        ),
        st.builds(
            lambda number, index, rest: frame(frames.DONE, number, bytes((index,)) + bytes(33) + rest),
            st.integers(1, 2), st.integers(0, 13), st.one_of(st.binary(max_size=40), st.just(b'["x", {}]')),
        ),
        st.builds(
            lambda number, text: frame(frames.LOG, number, b"\1" + text), st.integers(1, 2), st.binary(max_size=9)
        ),
        st.binary(max_size=60),
    ),
    max_size=12,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(ANY)
def test_random_frames_end_in_outcomes_or_a_violation(stream: list[bytes]) -> None:
    async def play() -> None:
        async with opened_peer() as peer:
            peer.call("a", module=POSTING)
            peer.call("b")
            try:
                for data in stream:
                    peer.link.receive(data)
                    peer.sent()
            except Violation:
                pass
            peer.link.lose("the end")
            peer.go.set()
            await trio.testing.wait_all_tasks_blocked()
            assert [len(peer.outcomes[name]) for name in "ab"] == [1, 1]

    trio.run(play)


async def test_what_it_claims_to_have_used_stays_inside_the_calls_own_limits() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        most = dict.fromkeys(("cpu_us", "fuel", "memory", "taken", "unclaimed", "dropped", "denials"), 2**32 - 1)
        peer.link.receive(done(flight, **most))
        usage, limits = flight.usage, LIMITS
        assert usage.cpu_us < 10 * limits.cpu_us
        assert usage.memory_bytes_peak == limits.memory_bytes
        assert usage.fuel == 0
        assert (usage.response_bytes, usage.unclaimed, usage.dropped, usage.denials) == (0, 0, 0, 0)
        assert (usage.host_calls, usage.request_bytes) == (0, 0)


async def test_an_end_of_fuel_where_none_is_counted_is_a_violation() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        with pytest.raises(Violation, match="fuel"):
            peer.link.receive(done(flight, Ending.FUEL_EXHAUSTED))


async def test_its_texts_are_made_printable() -> None:
    async with opened_peer() as peer:
        peer.link.receive(done(peer.call(), Ending.TRAPPED, b'["a\\u001b[31m\\n", {"x\\n": "\\u202e"}]'))
        (outcome,) = peer.outcomes["a"]
        assert (outcome.detail.isprintable(), outcome.details) == (True, {"x\\n": "\\u202e"})


async def test_refusals_that_it_tells_of_are_counted_for_the_program() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        peer.link.receive(request(flight, 1, refused=3) + done(flight, refused=5, denials=6))
        assert (flight.usage.host_calls, flight.usage.denials) == (6, 6)
        assert peer.broker.drain_refusals() == {("a", "", ErrorCode.LIMIT_EXCEEDED.code): 6}


async def test_a_request_beyond_what_is_left_after_lending_is_refused_and_the_guest_lives() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        flight.usage.host_calls += LIMITS.host_calls  # lent to a program that it called
        peer.link.receive(request(flight, 1))
        (reply,) = [body for kind, _, body in peer.sent() if kind == frames.REPLY]
        assert reply[: frames.REPLY_HEAD.size] == frames.REPLY_HEAD.pack(1, frames.ANSWER)
        assert wire.decode(reply[frames.REPLY_HEAD.size :], 1_024)[2]["code"] == "limit_exceeded"
        assert not flight.over


async def test_a_call_that_was_not_sent_to_it_yet_is_none_of_its_calls() -> None:
    async with opened_peer() as peer:
        flight = peer.call(module=WorkerModule(artifact=bytes(AT_ONCE_BYTES + 1), facts=FACTS, posts=False))
        for told in (request(flight, 1), done(flight)):
            with pytest.raises(Violation):
                peer.link.receive(told)
        assert not flight.over


async def test_it_may_not_be_read_on_while_it_does_not_take_its_answers() -> None:
    """A request of few bytes can have an answer of many: as many as it asks for at once would fill the memory."""
    async with opened_peer() as peer:
        flight = peer.call()
        peer.link.outbox.send(frames.FORGET, 0, bytes(BACKLOG_MOST))
        assert peer.link.receive(request(flight, 1) + done(flight)) is True
        assert not flight.over
        while peer.link.outbox.backlog:
            assert frames.REPLY not in [kind for kind, _, _ in peer.sent()]
            await trio.testing.wait_all_tasks_blocked()
        assert peer.link.receive(b"") is False
        assert (flight.over, [kind for kind, _, _ in peer.sent()][-1]) == (True, frames.REPLY)


async def test_what_it_sends_at_once_is_taken_a_few_frames_at_a_time() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        peer.link.receive(request(flight, 1))
        flight.log_left = 2 * FRAMES_AT_ONCE
        data = b"".join(log(flight, b"x") for _ in range(FRAMES_AT_ONCE)) + done(flight)
        assert (peer.link.receive(data), flight.over) == (True, False)
        assert (peer.link.receive(b""), flight.over) == (False, True)


async def test_a_notification_has_no_response() -> None:
    async with opened_peer() as peer:
        flight = peer.call(notification=True)
        with pytest.raises(Violation):
            peer.link.receive(done(flight, rest=b"x"))


async def test_a_fault_of_the_log_sink_ends_that_call_as_internal() -> None:
    class Broken(Exception):
        pass

    def broken(*told: object) -> None:
        raise Broken

    async with opened_peer() as peer:
        flight, beside = peer.call(), peer.call("b")
        flight.host.session.log_sink = broken  # type: ignore[attr-defined]
        peer.link.receive(log(flight, b"line\n"))
        assert (frames.CUT, flight.number, b"") in peer.sent()
        peer.link.receive(log(flight, b"more\n") + done(flight) + done(beside))
        assert [peer.outcomes[name][0].ending for name in "ab"] == [Ending.INTERNAL, Ending.COMPLETED]


async def test_services_that_work_for_a_lost_call_are_ended_before_it_is_told() -> None:
    async with opened_peer() as peer:
        peer.link.receive(request(peer.call(), 1, WAIT))
        await trio.testing.wait_all_tasks_blocked()
        peer.link.lose("killed")
        assert peer.outcomes["a"] == []
        await trio.testing.wait_all_tasks_blocked()
        assert [outcome.ending for outcome in peer.outcomes["a"]] == [Ending.WORKER_LOST]
