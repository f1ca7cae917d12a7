"""The wall deadline: what it cancels, how it stands still, and how its own end is told apart from another's."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from runtime.deadline import Deadline


async def test_it_passes_at_its_time_and_not_before(mock_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10)
    mock_clock.jump(9.999)
    assert not deadline.expired()
    mock_clock.jump(0.001)
    assert deadline.expired()


async def test_what_is_awaited_ends_with_it(autojump_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10)
    with deadline.scope() as scope:
        await trio.sleep(60)
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(10, abs=1e-6)
    assert deadline.expired()


async def test_a_scope_opened_too_late_ends_at_once(mock_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=1)
    mock_clock.jump(2)
    with deadline.scope() as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_cancellation_from_outside_goes_through(autojump_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10)
    with trio.move_on_after(1) as outer, deadline.scope():
        await trio.sleep(60)
        pytest.fail("slept on")
    assert outer.cancelled_caught
    assert trio.current_time() == pytest.approx(1, abs=1e-6)
    assert not deadline.expired()


async def test_standing_still_moves_every_open_scope(autojump_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10, still_s=150)
    ended: list[float] = []

    async def other() -> None:
        with deadline.scope():
            await trio.sleep_forever()
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.sleep(4)
        with deadline.stand_still(), deadline.scope() as asked:
            await trio.sleep(100)
        assert not asked.cancelled_caught
        assert not deadline.expired()
    assert ended == [pytest.approx(110, abs=1e-6)]
    assert deadline.stood_s == pytest.approx(100)


async def test_standing_still_is_bounded_in_all(autojump_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10, still_s=30)
    with deadline.stand_still():
        await trio.sleep(20)
    with deadline.scope() as scope, deadline.stand_still():
        await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(40, abs=1e-6)  # 10 of its own and 30 stood still
    assert deadline.stood_s == pytest.approx(20 + 10)
    assert deadline.expired()


async def test_overlapping_stretches_count_once(autojump_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10, still_s=100)

    async def ask(after: float, seconds: float) -> None:
        await trio.sleep(after)
        with deadline.stand_still():
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 0, 20)
        nursery.start_soon(ask, 10, 20)
    assert deadline.stood_s == pytest.approx(30)
    assert deadline.ends_at - trio.current_time() == pytest.approx(10)


async def test_expired_is_false_while_it_stands_still(mock_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10, still_s=5)
    with deadline.stand_still():
        mock_clock.jump(14.9)
        assert not deadline.expired()
        mock_clock.jump(0.2)
        assert deadline.expired()


async def test_cut_ends_it_even_where_it_stands_still(autojump_clock: trio.testing.MockClock) -> None:
    deadline = Deadline(wall_s=10, still_s=100)

    async def close() -> None:
        await trio.sleep(3)
        deadline.cut()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        with deadline.scope() as scope, deadline.stand_still():
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(3, abs=1e-6)
    assert deadline.expired()


def test_any_monotonic_clock_will_do() -> None:
    times = iter([100.0, 104.0, 105.0])
    deadline = Deadline(wall_s=5, now=lambda: next(times))
    assert not deadline.expired()
    assert deadline.expired()
