"""The heap of deadlines: each call is cut at its own, also where that moved to and fro while a person was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from runtime.deadline import Deadline
from runtime.executor.deadlines import Deadlines
from runtime.executor.flight import Flight
from runtime.executor.job import Job
from runtime.testing import make_session
from tests.runtime.executor.links import LIMITS, MODULE, opened_peer

Clock = trio.testing.MockClock


class Calls:
    """Calls with deadlines, and when each was told that its own had passed."""

    def __init__(self) -> None:
        self.struck: dict[str, float] = {}
        self.deadlines = Deadlines(self._expired)

    def _expired(self, flight: Flight) -> None:
        self.struck[flight.job.program] = trio.current_time()
        flight.over = True

    async def begin(self, name: str, deadline: Deadline) -> None:
        async with opened_peer() as peer:
            session = make_session(app_id=name, deadline=deadline)
            host = peer.broker.open(session)
        flight = Flight(Job(name, "g", MODULE, b"", LIMITS, False), host, session.usage, lambda outcome: None)
        deadline.on_nearer = lambda: self.deadlines.came_nearer(flight)
        self.deadlines.add(flight)


@asynccontextmanager
async def watched() -> AsyncIterator[Calls]:
    made = Calls()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.deadlines.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_each_is_told_at_its_own_time(autojump_clock: Clock) -> None:
    async with watched() as calls:
        await calls.begin("late", Deadline(wall_s=9))
        await calls.begin("soon", Deadline(wall_s=2))
        await trio.sleep(10)
        assert calls.struck == pytest.approx({"late": 9, "soon": 2})


@pytest.mark.parametrize("asked_s", [1, 30, 200])
async def test_what_a_person_did_not_take_of_their_time_is_not_the_guests(
    autojump_clock: Clock, asked_s: float
) -> None:
    """Answered before the time comes that was in the heap, after it, and never."""
    async with watched() as calls:
        deadline = Deadline(wall_s=10, still_s=150)
        await calls.begin("a", deadline)
        await trio.sleep(4)
        with deadline.stand_still():
            await trio.sleep(asked_s)
        await trio.sleep(1_000)
        assert calls.struck == pytest.approx({"a": 10 + min(asked_s, 150)})


async def test_one_that_is_cut_is_told_at_once_standing_still_or_not(autojump_clock: Clock) -> None:
    async with watched() as calls:
        standing, going = Deadline(wall_s=10, still_s=150), Deadline(wall_s=10)
        await calls.begin("standing", standing)
        await calls.begin("going", going)
        with standing.stand_still():
            await trio.sleep(5)
            standing.cut()
            going.cut()
            assert calls.struck == pytest.approx({"standing": 5, "going": 5})
        await trio.sleep(1_000)
        assert calls.struck == pytest.approx({"standing": 5, "going": 5})
