"""The link to one worker as it should be: what goes out for a call, and what comes of what comes in."""

from __future__ import annotations

import sys

import pytest
import trio

from runtime import wire
from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.held_modules import AT_ONCE_BYTES, WorkerModule
from runtime.limits import KIB
from tests.runtime.executor.links import ASK, FACTS, LIMITS, POSTING, WAIT, done, log, opened_peer, request


async def test_a_call_from_start_to_done() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        assert [kind for kind, _, _ in peer.sent()] == [frames.MODULE, frames.PIECE, frames.START]
        peer.link.receive(log(flight, b"a line\n") + request(flight, 1))
        *_, (kind, number, body) = peer.sent()  # before it, what a slow machine charged
        assert (kind, number) == (frames.REPLY, flight.number)
        assert body[frames.REPLY_HEAD.size :] == wire.response(1, {})
        peer.link.receive(done(flight, rest=b"answer", cpu_us=77))
        (outcome,) = peer.outcomes["a"]
        assert (outcome.ending, outcome.response) == (Ending.COMPLETED, b"answer")
        usage = flight.usage
        assert usage.cpu_us - flight.served_us == 77
        assert (usage.host_calls, usage.request_bytes) == (1, len(ASK))
        assert (peer.log.lines, peer.left) == ([("info", "a line")], [flight])


async def test_a_module_is_sent_once_and_forgotten_when_there_are_too_many() -> None:
    async with opened_peer() as peer:
        first, second = (WorkerModule(artifact=bytes(700 * KIB), facts=FACTS, posts=False) for _ in range(2))
        flights = [peer.call(module=first), peer.call(module=first)]
        for _ in range(40):
            await trio.testing.wait_all_tasks_blocked()
            sent = peer.sent()
            if len([kind for kind, _, _ in sent if kind == frames.START]):
                break
        for flight in flights:
            peer.link.receive(done(flight))
        peer.call(module=second)
        assert frames.UNLOAD in [kind for kind, _, _ in peer.sent()]


async def test_code_that_is_read_again_is_not_sent_again_and_its_bytes_are_not_kept() -> None:
    code = bytes(range(200))
    unused = sys.getrefcount(code)
    async with opened_peer() as peer:
        for key, sent in (("a", True), ("a", False), ("b", True), ("a", False)):
            flight = peer.call(module=WorkerModule(artifact=code, facts=FACTS, posts=False, key=key))
            kinds = [kind for kind, _, _ in peer.sent()]
            assert kinds == ([frames.MODULE, frames.PIECE, frames.START] if sent else [frames.START])
            peer.link.receive(done(flight))
        peer.left.clear()
        del flight
        assert sys.getrefcount(code) == unused


async def test_a_large_module_goes_in_pieces_and_its_calls_wait_for_the_last_one() -> None:
    async with opened_peer() as peer:
        large = WorkerModule(artifact=bytes(AT_ONCE_BYTES + 1), facts=FACTS, posts=False)
        peer.call("large", module=large)
        peer.call("small")
        order: list[int] = []
        for _ in range(10):
            order += [kind for kind, _, _ in peer.sent() if kind in (frames.PIECE, frames.START)]
            await trio.testing.wait_all_tasks_blocked()
        assert order.count(frames.PIECE) == AT_ONCE_BYTES // frames.PIECE_BYTES + 1 + 1
        assert order[-1] == frames.START
        assert order.index(frames.START) < len(order) - 1


async def test_a_call_that_waits_for_its_module_is_cut_at_once() -> None:
    async with opened_peer() as peer:
        flight = peer.call(module=WorkerModule(artifact=bytes(AT_ONCE_BYTES + 1), facts=FACTS, posts=False))
        peer.link.cut(flight)
        assert peer.outcomes["a"][0].ending is Ending.DEADLINE_EXCEEDED
        for _ in range(6):
            await trio.testing.wait_all_tasks_blocked()
            assert frames.START not in [kind for kind, _, _ in peer.sent()]


async def test_a_module_that_does_not_load_ends_its_calls_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    async with opened_peer() as peer:
        flight, other = peer.call("a", module=POSTING), peer.call("b")
        (ref,) = {number for kind, number, body in peer.sent() if kind == frames.PIECE and body == POSTING.artifact}
        peer.link.receive(frames.frame(frames.UNLOADABLE, ref, b"no"))
        assert (peer.outcomes["a"][0].ending, flight.over, other.over) == (Ending.INTERNAL, True, False)
        assert peer.outcomes["a"][0].details["incident"] in caplog.text


async def test_a_module_on_its_way_is_not_forgotten_though_nobody_wants_it_any_more() -> None:
    """Its pieces would meet a worker that knows nothing of it, and end that."""
    async with opened_peer() as peer:
        first, second = (WorkerModule(artifact=bytes(700 * KIB), facts=FACTS, posts=False) for _ in range(2))
        peer.link.cut(peer.call(module=first))
        peer.call("b", module=second)
        known: set[int] = set()
        for _ in range(30):
            for kind, number, _body in peer.sent():
                if kind == frames.MODULE:
                    known.add(number)
                elif kind == frames.UNLOAD:
                    known.discard(number)
                assert kind != frames.PIECE or number in known
            await trio.testing.wait_all_tasks_blocked()


async def test_who_gets_the_place_of_a_call_whose_module_did_not_load_gets_it_anew() -> None:
    async with opened_peer() as peer:
        flight = peer.call("a", module=POSTING)
        ((ref, _),) = [(number, body) for kind, number, body in peer.sent() if kind == frames.PIECE]
        peer.link._ended = lambda left: peer.call("next", module=POSTING) if left is flight else None
        peer.link.receive(frames.frame(frames.UNLOADABLE, ref, b"no"))
        assert [kind for kind, _, _ in peer.sent()] == [frames.UNLOAD, frames.MODULE, frames.PIECE, frames.START]
        (following,) = peer.link.flights.values()
        peer.link.cut(following)
        peer.link.lose("the end")
        assert peer.outcomes["next"][0].ending is Ending.WORKER_LOST


async def test_what_is_no_request_is_told_also_where_the_call_may_make_none_any_more() -> None:
    """Else one guest would end the worker, and everybody in it."""
    async with opened_peer() as peer:
        flight = peer.call()
        peer.sent()
        flight.usage.host_calls += LIMITS.host_calls
        peer.link.receive(request(flight, 1, b"\xc1"))
        ((_, _, body),) = peer.sent()
        assert frames.REPLY_HEAD.unpack_from(body) == (1, frames.MALFORMED)


async def test_a_request_that_is_none_is_told_and_the_worker_ends_the_call() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        peer.sent()
        peer.link.receive(request(flight, 1, b"\xc1"))
        ((_, _, body),) = peer.sent()
        assert frames.REPLY_HEAD.unpack_from(body) == (1, frames.MALFORMED)
        peer.link.receive(done(flight, Ending.PROTOCOL_VIOLATION))
        assert peer.outcomes["a"][0].ending is Ending.PROTOCOL_VIOLATION


async def test_a_guest_that_posts_is_told_that_a_service_works_on_it() -> None:
    async with opened_peer() as peer:
        flight = peer.call(module=POSTING)
        peer.sent()
        peer.link.receive(request(flight, 1, WAIT))
        assert [frames.REPLY_HEAD.unpack_from(body) for _, _, body in peer.sent()] == [(1, frames.PENDING)]
        peer.go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert [frames.REPLY_HEAD.unpack_from(body) for _, _, body in peer.sent()] == [(1, frames.ANSWER)]


async def test_what_is_lent_meanwhile_is_told_before_anything_else_of_that_call() -> None:
    async with opened_peer() as peer:
        flight = peer.call(module=POSTING)
        peer.sent()
        peer.link.receive(request(flight, 1, WAIT))
        flight.usage.called_cpu_us += 500
        flight.usage.host_calls += 2
        budget = (frames.BUDGET, flight.number, frames.BUDGET_BODY.pack(500, 2))
        assert budget in peer.sent()
        flight.usage.called_cpu_us -= 100
        peer.go.set()
        await trio.testing.wait_all_tasks_blocked()
        kinds = [kind for kind, _, _ in peer.sent()]
        assert kinds == [frames.BUDGET, frames.REPLY]


async def test_an_effect_that_came_about_after_the_guest_died_is_not_told_as_dropped() -> None:
    async with opened_peer() as peer:
        flight = peer.call(module=POSTING)
        peer.link.receive(request(flight, 1, WAIT))
        await trio.testing.wait_all_tasks_blocked()
        peer.go.set()
        await trio.testing.wait_all_tasks_blocked()
        peer.link.receive(done(flight, Ending.TRAPPED, dropped=1))
        assert (flight.usage.dropped, flight.usage.unclaimed) == (0, 1)


async def test_a_call_that_is_cut_ends_by_what_its_worker_says() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        peer.sent()
        peer.link.cut(flight)
        peer.link.cut(flight)
        assert peer.sent() == [(frames.CUT, flight.number, b"")]
        assert peer.link.oldest_cut() is not None
        peer.link.receive(done(flight, Ending.DEADLINE_EXCEEDED))
        (outcome,) = peer.outcomes["a"]
        assert (outcome.ending, outcome.details["limit"]) == (Ending.DEADLINE_EXCEEDED, "wall_ms")
        assert peer.link.oldest_cut() is None


async def test_the_mark_is_believed_for_a_call_in_flight_only() -> None:
    async with opened_peer() as peer:
        flight = peer.call()
        peer.call("b")
        assert peer.link.suspects(flight.number) == ("a", ["a", "b"])
        assert peer.link.suspects(12_345) == (None, ["a", "b"])
