"""Rates and the queue of one program."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from runtime.admission import Admission, Rate, Shared
from runtime.errors import HostBusy, HostClosed
from runtime.limits import DeveloperLimits, Limits
from runtime.session import Holdings

PAGE = 65_536


def admission(**limits: int) -> Admission:
    return Admission(Limits().changed(limits), Holdings())


def test_a_rate_gives_its_burst_at_once_then_its_average() -> None:
    rate = Rate(per_s=10, burst=3)
    for _ in range(3):
        assert rate.ready_in_us(1_000_000) == 0
        rate.take(1, 1_000_000)
    assert rate.ready_in_us(1_000_000) == 100_000
    assert rate.ready_in_us(1_099_999) == 1
    assert rate.ready_in_us(1_100_000) == 0


def test_a_rate_that_was_overdrawn_is_earned_back_first() -> None:
    rate = Rate(per_s=1_000, burst=1)
    rate.take(501, 0)
    assert rate.ready_in_us(0) == 501_000 and rate.ready_in_us(501_000) == 0


@given(
    per_s=st.integers(1, 10_000),
    burst=st.integers(1, 1_000),
    steps=st.lists(st.tuples(st.integers(0, 50_000), st.integers(1, 5)), max_size=200),
)
def test_no_sequence_gets_more_than_burst_plus_rate(per_s: int, burst: int, steps: list[tuple[int, int]]) -> None:
    """In any window from the start: what was taken while ready is at most burst + elapsed × rate, plus one take."""
    rate, now, taken = Rate(per_s, burst), 10**15, 0
    for pause, units in steps:
        now += pause
        if rate.ready_in_us(now) == 0:
            rate.take(units, now)
            taken += units
        elapsed = now - 10**15
        assert taken <= burst + elapsed * per_s / 1_000_000 + 5


@given(st.integers(1, 10_000), st.integers(1, 100), st.integers(0, 10**6))
def test_ready_in_is_exact(per_s: int, burst: int, now: int) -> None:
    rate = Rate(per_s, burst)
    rate.take(burst, now)
    wait = rate.ready_in_us(now)
    assert wait > 0 and rate.ready_in_us(now + wait) == 0 and rate.ready_in_us(now + wait - 1) == 1


def test_calls_over_the_rate_are_refused_with_when_to_come_again() -> None:
    door = admission(calls_per_s=2, calls_burst=1)
    assert door.enter_now(10**15, PAGE)
    with pytest.raises(HostBusy) as refused:
        door.enter_now(10**15, PAGE)
    assert refused.value.code == "rate_limited" and refused.value.retry_after_ms == 500
    assert refused.value.details == {"limit": "calls_per_s", "value": 2, "scope": "program"}
    door.leave(PAGE, 0)
    assert door.enter_now(10**15 + 500_000, PAGE)


def test_cpu_time_is_charged_after_the_call() -> None:
    door = admission(cpu_us_per_s=1_000, cpu_burst_us=1_000)
    assert door.enter_now(10**15, PAGE)
    door.leave(PAGE, 1_500)
    with pytest.raises(HostBusy, match="cpu_us_per_s"):
        door.enter_now(10**15, PAGE)
    assert door.enter_now(10**15 + 501_000, PAGE)


async def test_the_queue_is_first_come_first_served_and_bounded() -> None:
    door = admission(calls_in_flight=1, calls_queued=2)
    order: list[int] = []

    async def call(number: int) -> None:
        if not door.enter_now(10**15, PAGE):
            await door.wait(PAGE, 10)
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(call, number)
            await trio.testing.wait_all_tasks_blocked()
        assert (door.in_flight, door.queued) == (1, 2)
        assert not door.enter_now(10**15, PAGE)
        with pytest.raises(HostBusy) as refused:
            await door.wait(PAGE, 10)
        assert refused.value.code == "queue_full" and refused.value.details["used"] == 2
        for _ in range(3):
            door.leave(PAGE, 0)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [0, 1, 2] and door.in_flight == 0


async def test_memory_of_live_sandboxes_is_reserved_whole() -> None:
    door = admission(live_memory_bytes=3 * PAGE)
    assert door.enter_now(10**15, 2 * PAGE)
    assert door.enter_now(10**15, PAGE)
    assert not door.enter_now(10**15, PAGE)
    door.leave(2 * PAGE, 0)
    assert door.enter_now(10**15, 2 * PAGE)


async def test_nobody_overtakes_who_waits() -> None:
    door = admission(live_memory_bytes=2 * PAGE)
    assert door.enter_now(10**15, PAGE)
    async with trio.open_nursery() as nursery:
        assert not door.enter_now(10**15, 2 * PAGE)
        nursery.start_soon(door.wait, 2 * PAGE, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert not door.enter_now(10**15, PAGE), "a small call went past a large one that waits"
        door.leave(PAGE, 0)


async def test_queued_messages_count_as_held_memory() -> None:
    holdings = Holdings()
    door = Admission(Limits().changed({"calls_in_flight": 1, "held_bytes": 65_536}), holdings)
    assert door.enter_now(10**15, PAGE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.wait, PAGE, 65_536)
        await trio.testing.wait_all_tasks_blocked()
        assert holdings.held_bytes == 65_536
        with pytest.raises(HostBusy, match="held_bytes"):
            await door.wait(PAGE, 1)
        nursery.cancel_scope.cancel()
    assert holdings.held_bytes == 0 and door.queued == 0


async def test_a_cancelled_waiter_that_was_let_in_gives_its_place_back() -> None:
    door = admission(calls_in_flight=1)
    assert door.enter_now(10**15, PAGE)

    async def wait(scope: trio.CancelScope) -> None:
        with scope:
            await door.wait(PAGE, 1)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(wait, scope)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()  # and in the same turn, before the waiter runs, it is let in
        door.leave(PAGE, 0)
    assert (door.in_flight, door.queued) == (0, 0)


async def test_closing_refuses_who_waits_and_who_comes() -> None:
    door = admission(calls_in_flight=1)
    assert door.enter_now(10**15, PAGE)
    errors: list[Exception] = []

    async def wait() -> None:
        try:
            await door.wait(PAGE, 1)
        except HostClosed as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        door.close(HostClosed("closing"))
    assert len(errors) == 1
    with pytest.raises(HostClosed):
        door.enter_now(10**15, PAGE)


async def test_higher_limits_let_in_who_waits() -> None:
    door = admission(calls_in_flight=1)
    assert door.enter_now(10**15, PAGE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.wait, PAGE, 1)
        await trio.testing.wait_all_tasks_blocked()
        door.set_limits(Limits().changed({"calls_in_flight": 2}))
    assert door.in_flight == 2


async def test_a_program_whose_call_waits_in_a_mailbox_is_in_use() -> None:
    """Forgotten then, it would run beside the one that is read anew, which alone hears that it is killed."""
    holdings = Holdings()
    admission = Admission(Limits(), holdings)
    assert admission.is_idle(1)
    assert holdings.hold(10, 100)
    assert not admission.is_idle(1)
    holdings.release(10)
    assert admission.is_idle(1)


async def test_a_program_read_anew_keeps_its_place_in_its_developers_line() -> None:
    """Whatever is changed of a program is read with its developer: those who waited longest still go first."""
    shared = Shared("dev", DeveloperLimits().changed({"calls_in_flight": 1}))
    doors = {name: Admission(Limits(), Holdings(), shared) for name in ("busy", "first", "second")}
    order: list[str] = []

    async def call(name: str) -> None:
        if not doors[name].enter_now(10**15, PAGE):
            await doors[name].wait(PAGE, 10)
        order.append(name)

    async with trio.open_nursery() as nursery:
        for name in doors:
            nursery.start_soon(call, name)
            await trio.testing.wait_all_tasks_blocked()
        doors["first"].share(shared)
        for name in doors:
            doors[name].leave(PAGE, 0)
            await trio.testing.wait_all_tasks_blocked()
    assert order == ["busy", "first", "second"] and shared.in_flight == 0
