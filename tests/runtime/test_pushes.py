"""Pushes: who is woken when, on trio's virtual clock, and that nobody waits for anybody else's slow program."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.events import delivery, outbox
from host_api.events.delivery import LADDER_US, PUSHES_MAX
from host_api.events.verification import verify
from host_api.store import Store, open_store
from runtime.errors import Ending, GuestTrapped
from runtime.pushes import METHOD, NEWS_MAX, PUSH_S, PUSHES_AT_ONCE, Pushes, patience_s
from runtime.testing import SeededIds

EPOCH_US = 1_800_000_000_000_000
APP = "org.example.shop"
LONG_S = 1_000_000
"""Eleven days."""


class TrioClock:
    """The host's time is that of the test's virtual clock."""

    def now_us(self) -> int:
        return EPOCH_US + round(trio.current_time() * 1_000_000)


class World:
    """A store, pushes, and programs that do what they were told to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.taking = {APP}
        self.acks = True
        self.nap_s = 0.0
        self.at_once = self.most_at_once = 0
        self.pushed: list[tuple[float, str, str, int]] = []
        """(when, program, stream, stream_seq)."""
        self.messages: list[tuple[str, str, dict[str, Any]]] = []
        self.trouble: BaseException | None = None
        self.pushes = Pushes(
            store=store, push=self.push, takes=lambda _, app_id: app_id in self.taking, new_incident=SeededIds()
        )

    async def push(self, app_id: str, user: str, method: str, params: Any) -> None:
        self.pushed.append((trio.current_time(), app_id, params["stream"], params["stream_seq"]))
        self.messages.append((user, method, params))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await trio.sleep(self.nap_s if app_id == APP else 0)
            if self.trouble is not None:
                raise self.trouble
            if self.acks:
                await self.ack(params["seq"], app_id)
        finally:
            self.at_once -= 1

    async def ack(self, seq: int, app_id: str = APP) -> None:
        await self.store.write(lambda tx: delivery.acknowledge(tx, app_id, "", seq))
        self.pushes.acknowledged(app_id)

    async def publish(self, stream: str = "order", app_id: str = APP, user: str = "alice") -> int:
        def job(tx: Any) -> int:
            outbox.publish(tx, app_id=app_id, user=user, stream=stream, topic="payment.pending", payload={"of": stream})
            return delivery.last_seq(tx)

        seq = await self.store.write(job)
        self.pushes.wake()
        return seq

    def streams(self, app_id: str = APP) -> list[tuple[str, int]]:
        return [(stream, number) for _, app, stream, number in self.pushed if app == app_id]

    def times(self) -> list[float]:
        return [when for when, *_ in self.pushed]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Running. In memory: there is no thread, so the clock may jump."""
    async with open_store(None, TrioClock()) as store, trio.open_nursery() as nursery:
        made = World(store)
        nursery.start_soon(made.pushes.run)
        await settled()
        yield made
        nursery.cancel_scope.cancel()
        assert store.read(verify) == []


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


# ---- one program -----------------------------------------------------------------------------------------------------
async def test_an_event_is_pushed_at_once_with_what_it_tells(autojump_clock: Any, world: World) -> None:
    seq = await world.publish(user="bob")
    await settled()
    told = {"seq": seq, "topic": "payment.pending", "stream": "order", "stream_seq": 1, "payload": {"of": "order"}}
    assert world.messages == [("bob", METHOD, told)]


async def test_the_next_of_a_stream_follows_the_acknowledgement_at_once(autojump_clock: Any, world: World) -> None:
    world.acks = False
    first = await world.publish()
    await world.publish()
    await settled()
    assert world.streams() == [("order", 1)]
    world.acks = True
    await world.ack(first)
    await settled()
    assert world.streams() == [("order", 1), ("order", 2)]


async def test_a_program_that_never_acknowledges_is_woken_by_the_ladder(autojump_clock: Any, world: World) -> None:
    world.acks = False
    await world.publish()
    await trio.sleep(4 * LONG_S)
    waits = [round((after - before) * 1_000_000) for before, after in itertools.pairwise(world.times())]
    assert len(waits) == PUSHES_MAX - 1
    # never earlier than the ladder says, and later only by the patience there is with such a program
    for failures, (wait_us, rung_us) in enumerate(zip(waits, LADDER_US, strict=True), start=1):
        assert wait_us == max(rung_us, patience_s(failures) * 1_000_000)


@pytest.mark.parametrize(
    "trouble",
    [GuestTrapped("trapped", ending=Ending.TRAPPED), ApiError(ErrorCode.BUSY, "busy"), KeyError("a bug")],
    ids=["of the guest", "of the store", "ours"],
)
async def test_whatever_a_push_raises_it_is_tried_again(
    autojump_clock: Any, world: World, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world.trouble = trouble
    await world.publish()
    await trio.sleep(0.5)
    world.trouble = None
    await trio.sleep(1)
    assert world.streams() == [("order", 1)] * 2
    assert ("incident=" in caplog.text) is not isinstance(trouble, GuestTrapped)
    await trio.sleep(LONG_S)
    assert len(world.pushed) == 2


async def test_a_push_that_takes_too_long_is_cancelled_and_repeated(autojump_clock: Any, world: World) -> None:
    world.nap_s = PUSH_S + 1
    await world.publish()
    await trio.sleep(PUSH_S + 0.5)
    assert (len(world.pushed), world.at_once) == (1, 0)
    world.nap_s = PUSH_S - 1
    await trio.sleep(PUSH_S + 1)
    assert world.streams() == [("order", 1)] * 2
    assert world.store.read(lambda tx: delivery.acknowledged(tx, 1))


async def test_one_push_at_a_time_each_and_an_impatient_line(autojump_clock: Any, world: World) -> None:
    """A program with a hundred events that acknowledges none: no burst, and it gets rarer and rarer."""
    world.acks = False
    for number in range(100):
        await world.publish(f"{number}")
    await trio.sleep(120)
    assert world.most_at_once == 1
    assert len(world.pushed) <= 8


# ---- programs that are not there -------------------------------------------------------------------------------------
async def test_a_program_that_takes_no_events_is_never_woken(autojump_clock: Any, world: World) -> None:
    await world.publish(app_id="org.example.other")
    await trio.sleep(LONG_S)
    assert world.pushed == []
    world.taking.add("org.example.other")
    world.pushes.installed("org.example.other")
    await settled()
    assert world.streams("org.example.other") == [("order", 1)]


async def test_uninstalled_its_events_wait_and_their_ladder_stands_still(autojump_clock: Any, world: World) -> None:
    world.acks = False
    await world.publish()
    await settled()
    world.taking.clear()
    await trio.sleep(LONG_S)
    assert len(world.pushed) == 1
    world.taking.add(APP)
    world.pushes.installed(APP)
    await settled()
    assert len(world.pushed) == 2
    ((attempts,),) = world.store.read(lambda tx: tx.execute("SELECT attempts FROM events"))
    assert attempts == 2


async def test_an_install_gives_given_up_events_a_new_ladder(autojump_clock: Any, world: World) -> None:
    world.acks = False
    await world.publish("a")
    await world.publish("b")
    await trio.sleep(4 * LONG_S)
    assert len(world.pushed) == 2 * PUSHES_MAX
    world.acks = True
    await trio.sleep(1_000)
    world.pushes.installed(APP)
    await trio.sleep(patience_s(99))
    assert world.streams()[2 * PUSHES_MAX :] == [("a", 1), ("b", 1)]


async def test_a_restart_pushes_what_was_not_acknowledged(autojump_clock: trio.testing.MockClock) -> None:
    """Between publishing and pushing, and between pushing and acknowledging."""
    async with open_store(None, TrioClock()) as store:
        for acks in (False, True):
            world = World(store)
            world.acks = acks
            if not acks:
                await world.publish()
            async with trio.open_nursery() as nursery:
                world.pushes.installed(APP)
                nursery.start_soon(world.pushes.run)
                await trio.sleep(1.5 if acks else 0.5)
                nursery.cancel_scope.cancel()
            assert world.streams() == [("order", 1)]
        assert store.read(lambda tx: delivery.acknowledged(tx, 1))


# ---- neighbours ------------------------------------------------------------------------------------------------------
async def test_slow_programs_hold_their_own_place_only(autojump_clock: Any, world: World) -> None:
    world.nap_s = 10
    for number in range(50):
        await world.publish(f"{number}")
    world.taking.add("org.example.quick")
    await world.publish(app_id="org.example.quick")
    await settled()
    assert world.streams("org.example.quick") == [("order", 1)]


async def test_pushes_at_once_are_bounded_and_everybody_has_a_turn(autojump_clock: Any, world: World) -> None:
    """Who was pushed goes to the end: nobody has a second turn before everybody had a first."""
    apps = [f"org.example.app{number}" for number in range(3 * PUSHES_AT_ONCE)]
    world.taking.update(apps)
    world.acks = False
    gate = trio.Event()
    push = world.push

    async def held(*words: Any) -> None:
        world.at_once += 1
        world.most_at_once = max(world.most_at_once, world.at_once)
        await gate.wait()
        world.at_once -= 1
        await push(*words)

    world.pushes._push = held
    for app_id in apps:
        for stream in ("a", "b"):
            await world.publish(stream, app_id)
    await settled()
    assert world.at_once == PUSHES_AT_ONCE
    gate.set()
    await trio.sleep(0.5)
    assert sorted(app for _, app, *_ in world.pushed) == sorted(apps)
    await trio.sleep(0.6)
    assert sorted(app for _, app, *_ in world.pushed) == sorted(apps * 2)


async def test_who_was_pushed_goes_to_the_end_however_old_its_events_are(
    autojump_clock: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.pushes.PUSHES_AT_ONCE", 1)
    world.nap_s = 10
    world.taking.add("org.example.quick")
    for stream in ("a", "b", "c"):
        await world.publish(stream)
    await trio.sleep(5)
    await world.publish("late", "org.example.quick")
    await trio.sleep(100)
    assert [stream for _, _, stream, _ in world.pushed] == ["a", "late", "b", "c"]


async def test_a_flood_of_news_is_all_looked_at(autojump_clock: Any, world: World) -> None:
    """Most of it of programs that take no events, the last of one that does."""
    world.taking = {f"{2 * NEWS_MAX}"}

    def job(tx: Any) -> None:
        for number in range(2 * NEWS_MAX + 1):
            outbox.publish(tx, app_id=f"{number}", user="", stream="s", topic="t", payload={})

    await world.store.write(job)
    world.pushes.wake()
    await settled()
    assert world.streams(f"{2 * NEWS_MAX}") == [("s", 1)]


# ---- rest ------------------------------------------------------------------------------------------------------------
async def test_nothing_to_do_is_done_without_a_tick(autojump_clock: Any, world: World) -> None:
    """The task sleeps until a push is due: it looks once an event and once a wake-up, not once a second."""
    looks = count_reads(world)
    await trio.sleep(LONG_S)
    assert looks() == 0
    world.acks = False
    await world.publish()
    await trio.sleep(LONG_S)
    assert looks() <= 4 * PUSHES_MAX


def count_reads(world: World) -> Callable[[], int]:
    count, read = 0, world.store.read

    def counted(job: Any) -> Any:
        nonlocal count
        count += 1
        return read(job)

    world.store.read = counted  # type: ignore[method-assign]
    return lambda: count


async def test_closed_it_begins_nothing_and_lets_what_began_go_on(autojump_clock: Any, world: World) -> None:
    world.nap_s = 5
    await world.publish("a")
    await settled()
    world.pushes.close()
    await world.publish("b")
    await trio.sleep(1_000)
    assert world.streams() == [("a", 1)]
    assert world.store.read(lambda tx: delivery.acknowledged(tx, 1))
