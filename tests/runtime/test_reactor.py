"""Sockets that are read at the end of the loop's turns: what tasks see of it, with and without."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import trio
import trio.testing

from runtime.reactor import LULL_S, TURN_S, Reactor


@pytest.fixture(params=["at the end of turns", "by tasks"])
async def reactor(request: pytest.FixtureRequest) -> Reactor:
    made = Reactor()
    assert made.is_direct
    if request.param == "by tasks":
        made.read_by_tasks()
        assert not made.is_direct
    return made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


async def test_what_comes_is_taken_until_that_is_not_wanted(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        theirs.send(b"%d" % len(taken))
        return len(taken) < 5

    theirs.send(b"0")
    await reactor.read(ours, take)
    assert taken == [b"0", b"1", b"2", b"3", b"4"]
    await reactor.read(ours, lambda data: taken.append(data) or False)
    assert taken[-1] == b"5"


async def test_no_more_is_read_at_once_than_is_allowed(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    taken: list[bytes] = []
    theirs.send(b"abcdefg")
    await reactor.read(ours, lambda data: taken.append(data) or len(taken) < 3, bytes_most=3)
    assert taken == [b"abc", b"def", b"g"]


async def test_the_end_of_the_stream_is_told(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    taken: list[bytes] = []
    theirs.send(b"last")
    theirs.close()
    await reactor.read(ours, lambda data: taken.append(data) or bool(data))
    assert taken == [b"last", b""]


async def test_what_take_raises_comes_out_of_read(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair

    def take(data: bytes) -> bool:
        raise LookupError(data)

    theirs.send(b"x")
    with pytest.raises(LookupError):
        await reactor.read(ours, take)


async def test_a_socket_that_is_closed_meanwhile_ends_its_reader(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, _ = pair

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await reactor.read(ours, lambda data: True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        reactor.closing(ours)
        ours.close()
    with pytest.raises((trio.ClosedResourceError, ValueError)):
        await reactor.read(ours, lambda data: True)


async def test_take_may_close_its_own_socket(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair

    def take(data: bytes) -> bool:
        reactor.closing(ours)
        ours.close()
        return False

    theirs.send(b"x")
    try:
        await reactor.read(ours, take)
    except trio.ClosedResourceError:
        assert reactor.is_direct  # a task of its own was not waiting any more


async def test_a_cancelled_reader_loses_nothing(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    with trio.CancelScope() as scope:
        scope.cancel()
        await reactor.read(ours, lambda data: True)
    theirs.send(b"kept")
    taken: list[bytes] = []
    await reactor.read(ours, lambda data: taken.append(data) or False)
    assert taken == [b"kept"]


async def test_what_take_schedules_runs_while_more_comes(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    woken = trio.Event()
    over = False

    def take(data: bytes) -> bool:
        woken.set()
        theirs.send(b"again")  # there is always something to read
        return not over

    async def wait() -> None:
        nonlocal over
        await woken.wait()
        over = True

    theirs.send(b"first")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await reactor.read(ours, take)


async def test_a_deadline_that_take_sets_is_met(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    with trio.CancelScope() as scope:

        def take(data: bytes) -> bool:
            scope.deadline = trio.current_time() + 5 * LULL_S
            return True

        await reactor.read(ours, take)
    assert scope.cancelled_caught


async def test_others_have_their_turn_beside_a_flood(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    """A timer, a thread's message and another socket."""
    ours, theirs = pair
    token = trio.lowlevel.current_trio_token()
    told = trio.Event()
    over = False

    def take(data: bytes) -> bool:
        theirs.send(b"more")
        return not over

    async def others() -> None:
        nonlocal over
        await trio.sleep(LULL_S)
        await trio.to_thread.run_sync(token.run_sync_soon, told.set)
        await told.wait()
        left, right = trio.socket.socketpair()
        await left.send(b"x")
        assert await right.recv(1) == b"x"
        left.close()
        right.close()
        over = True

    theirs.send(b"first")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await reactor.read(ours, take)


async def test_news_is_taken_beside_tasks_that_never_wait(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    async with trio.open_nursery() as nursery:

        async def never_waits() -> None:
            while True:
                await trio.lowlevel.checkpoint()

        nursery.start_soon(never_waits)
        for number in range(20):
            theirs.send(b"%d" % number)
            await reactor.read(ours, lambda data: False)
        nursery.cancel_scope.cancel()


async def test_a_loop_that_has_nothing_to_do_is_idle(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    """After news too: with a reader that is parked, nothing runs and nothing is polled."""
    ours, theirs = pair
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.read, ours, bool)
        for _ in range(3):
            theirs.send(b"x")
            with trio.fail_after(10):
                await trio.testing.wait_all_tasks_blocked(5 * LULL_S)
        nursery.cancel_scope.cancel()


async def test_only_one_reads_from_a_socket(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, _ = pair
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.read, ours, bool)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await reactor.read(ours, bool)
        nursery.cancel_scope.cancel()


async def test_the_ends_of_turns_are_told_until_they_are_not_wanted(reactor: Reactor) -> None:
    ends: list[int] = []

    def end() -> None:
        ends.append(1)

    reactor.at_turns_end(end)
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    assert len(ends) >= 2
    reactor.not_at_turns_end(end)
    count = len(ends)
    await trio.lowlevel.checkpoint()
    assert len(ends) == count


async def test_an_end_that_fails_keeps_nobody_else_from_theirs(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    """trio would take the whole reactor out, and every client would wait for ever."""
    ours, theirs = pair
    ends: list[int] = []

    def fail() -> None:
        raise LookupError("a bug")

    reactor.at_turns_end(fail)
    reactor.at_turns_end(lambda: ends.append(1))
    theirs.send(b"x")
    with trio.fail_after(10):
        await reactor.read(ours, lambda data: False)
    await trio.lowlevel.checkpoint()
    count = len(ends)
    await trio.lowlevel.checkpoint()
    assert len(ends) > count > 0


async def test_a_turn_has_time_for_one_socket_whose_news_takes_long_and_all_have_their_turn(reactor: Reactor) -> None:
    pairs = [socket.socketpair() for _ in range(8)]
    taken: list[int] = []
    turns: list[int] = []
    turn = 0

    async def read(number: int, sock: socket.socket, left: int) -> None:
        def take(data: bytes) -> bool:
            nonlocal left
            until = perf_counter() + 2 * TURN_S
            while perf_counter() < until:
                pass
            taken.append(number)
            turns.append(turn)
            left -= 1
            return left > 0

        await reactor.read(sock, take, 1)

    async with trio.open_nursery() as nursery:
        for number, (ours, theirs) in enumerate(pairs):
            ours.setblocking(False)
            theirs.send(b"xxx")  # more than is read at once
            nursery.start_soon(read, number, ours, 3)

        async def count() -> None:
            nonlocal turn
            while len(taken) < 3 * len(pairs):
                turn += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(count)
    for begin in range(0, len(taken), len(pairs)):
        assert sorted(taken[begin : begin + len(pairs)]) == list(range(len(pairs)))
    if reactor.is_direct:
        assert len(set(turns)) == len(turns)
    for ends in pairs:
        for end in ends:
            end.close()


async def test_who_is_first_does_not_wait_for_a_crowd(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    """A crowd that goes at once takes many turns; a worker's signs of life are read in each."""
    ours, theirs = pair
    crowd = [socket.socketpair() for _ in range(500)]
    woken = 0

    async def wait(sock: socket.socket) -> None:
        nonlocal woken
        await reactor.news(sock)
        woken += 1

    async with trio.open_nursery() as nursery:
        for end, _ in crowd:
            end.setblocking(False)
            nursery.start_soon(wait, end)
        await trio.testing.wait_all_tasks_blocked(5 * LULL_S)
        for _, other in crowd:
            other.close()
        theirs.send(b"x")
        await reactor.read(ours, lambda data: False, first=True)
        if reactor.is_direct:
            assert woken < len(crowd) // 2
    assert woken == len(crowd)
    for end, _ in crowd:
        end.close()


async def test_who_waits_for_news_is_told_of_the_sockets_end(reactor: Reactor, pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    await reactor.news(ours)
    assert ours.recv(10) == b"x"

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await reactor.news(ours)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        reactor.closing(ours)


async def test_there_is_one_for_a_run() -> None:
    assert Reactor.of_this_run() is Reactor.of_this_run()


async def test_nothing_of_it_is_left_when_nobody_uses_it(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    before = _descriptors()
    for is_awake in (False, True):
        with Reactor.used() as reactor, Reactor.used() as again:
            assert again is reactor is Reactor.of_this_run()
            theirs.send(b"x")
            await reactor.read(ours, lambda data: False)
            assert len(_descriptors()) > len(before)
            if not is_awake:
                await trio.testing.wait_all_tasks_blocked(5 * LULL_S)
        assert _descriptors() == before
        await trio.testing.wait_all_tasks_blocked()
    with Reactor.used() as another:
        assert another is not reactor


def _descriptors() -> list[str]:
    return sorted(each.name for each in Path("/proc/self/fd").iterdir())


def test_inside_another_loop_it_never_keeps_that_one_waiting() -> None:
    """Guest mode: the other loop runs callbacks, and trio is one of them."""
    due: list[Callable[[], object]] = []
    direct: list[bool] = []

    async def main() -> None:
        direct.append(Reactor.of_this_run().is_direct)

    done: list[object] = []
    trio.lowlevel.start_guest_run(
        main, run_sync_soon_threadsafe=due.append, done_callback=done.append, host_uses_signal_set_wakeup_fd=True
    )
    while not done:
        if due:
            due.pop(0)()
    assert direct == [False]
