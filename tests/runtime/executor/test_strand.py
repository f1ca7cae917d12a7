"""A call's coroutine taken on by hand: it goes as far as it can at each step, and uses a task only where it says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager

import outcome
import pytest
import trio

from runtime.executor.strand import BY_HAND, Strand, Strands
from runtime.sandbox.loop import PASS_MOST


class Asked:
    """Waits for the host, as executor/remote_host.py does."""

    def __init__(self) -> None:
        self.strand: Strand

    def __await__(self) -> Generator[Strand, bytes | None, bytes | None]:
        return (yield self.strand)


class Lanes:
    """Tasks for those who need one."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.tasks = 0
        self.strands = Strands(self._to_task)

    def _to_task(self, strand: Strand) -> None:
        self.tasks += 1
        self._nursery.start_soon(self._lane, strand)

    async def _lane(self, strand: Strand) -> None:
        await strand.in_task()


@asynccontextmanager
async def opened() -> AsyncIterator[Lanes]:
    async with trio.open_nursery() as nursery:
        yield Lanes(nursery)


async def test_it_goes_on_where_its_answer_comes_and_needs_no_task() -> None:
    asked, told = Asked(), list[bytes | None]()

    async def call() -> None:
        told.append(await asked)
        told.append(await asked)

    async with opened() as lanes:
        asked.strand = strand = Strand(call(), lanes.strands)
        strand.go()
        assert told == []
        strand.go(b"one")
        assert told == [b"one"], "in the very turn in which the answer came"
        strand.wake(outcome.Value(b"two"))
        assert (told, lanes.tasks) == ([b"one", b"two"], 0)


async def test_an_error_is_raised_where_it_waits() -> None:
    asked, told = Asked(), list[str]()

    async def call() -> None:
        try:
            await asked
        except ValueError as error:
            told.append(str(error))

    async with opened() as lanes:
        asked.strand = strand = Strand(call(), lanes.strands)
        strand.go()
        strand.wake(outcome.Error(ValueError("over")))
        assert told == ["over"]


async def test_what_needs_the_loop_is_a_task_until_it_waits_for_the_host_again() -> None:
    asked, told = Asked(), list[object]()

    async def call() -> None:
        await BY_HAND.enter()
        with trio.move_on_after(0):
            await trio.sleep_forever()
        told.append("slept")
        told.append(await asked)
        told.append("by hand")
        await BY_HAND.enter()
        await BY_HAND.enter()  # it is one already
        await BY_HAND.next_pass(None)
        told.append("a task again")

    async with opened() as lanes:
        asked.strand = strand = Strand(call(), lanes.strands)
        strand.go()
        assert (told, lanes.tasks) == ([], 1)
        await trio.testing.wait_all_tasks_blocked()
        assert told == ["slept"]
        strand.go(b"answer")
        assert (told[1:], lanes.tasks) == ([b"answer", "by hand"], 2)
    assert told[3:] == ["a task again"]


async def test_those_that_wait_for_the_next_pass_go_on_in_order_a_few_at_a_time() -> None:
    told = list[int]()

    async def call(number: int) -> None:
        await BY_HAND.next_pass(None)
        told.append(number)

    async with opened() as lanes:
        for number in range(PASS_MOST + 3):
            Strand(call(number), lanes.strands).go()
        assert (told, len(lanes.strands)) == ([], PASS_MOST + 3)
        lanes.strands.next_pass()
        assert (told, len(lanes.strands)) == ([*range(PASS_MOST)], 3)
        lanes.strands.next_pass()
        assert (told, len(lanes.strands), lanes.tasks) == ([*range(PASS_MOST + 3)], 0, 0)


async def test_a_bug_comes_out_at_the_step_that_meets_it() -> None:
    async def call() -> None:
        raise RuntimeError("a bug")

    async with opened() as lanes:
        with pytest.raises(RuntimeError, match="a bug"):
            Strand(call(), lanes.strands).go()
