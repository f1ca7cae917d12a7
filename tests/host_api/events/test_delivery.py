"""Delivery: in order, at least once, ever more rarely, and what is kept of it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from host_api.events.delivery import (
    LADDER_US,
    PUSHES_MAX,
    RETENTION_US,
    begin_again,
    given_up,
    last_seq,
    next_push_us,
    published_after,
)
from host_api.events.outbox import PAYLOAD_CHARS_MAX
from host_api.store import open_store
from runtime.testing import VirtualClock
from tests.host_api.events.conftest import APP, Outbox


# ---- the ladder ------------------------------------------------------------------------------------------------------
def test_the_ladder_is_a_day_and_an_hour_long() -> None:
    assert [us // 1_000_000 for us in LADDER_US] == [1, 5, 30, 120, 600, 3_600, 10_800, 21_600, 21_600, 21_600, 10_800]
    assert 25 * 3_600 < sum(LADDER_US) // 1_000_000 < 26 * 3_600
    assert [next_push_us(pushes, 7) for pushes in range(1, PUSHES_MAX)] == [7 + us for us in LADDER_US]
    assert next_push_us(PUSHES_MAX, 7) == 0


async def test_an_event_is_pushed_by_the_ladder_to_the_microsecond_and_then_no_more(events: Outbox) -> None:
    await events.publish()
    for wait_us in (0, *LADDER_US):
        if wait_us:
            events.clock.advance(us=wait_us - 1)
            assert await events.take() is None
            events.clock.advance(us=1)
        assert await events.taken() == ("order", 1)
        assert await events.take() is None
    events.clock.advance(s=30 * 24 * 3_600)
    assert await events.take() is None
    assert events.due_us() == 0
    assert [event.acked_us for event in events.listed()] == [0]


async def test_an_attempt_is_written_down_before_the_push(clock: VirtualClock, tmp_path: Path) -> None:
    """A host that dies during a push repeats it later: neither lost nor pushed without end."""
    for wait_us in (0, *LADDER_US):
        async with open_store(tmp_path / "state", clock) as store:
            events = Outbox(store, clock)
            if not wait_us:
                await events.publish()
            clock.advance(us=wait_us)
            assert await events.taken() == ("order", 1)
    async with open_store(tmp_path / "state", clock) as store:
        assert Outbox(store, clock).due_us() == 0


# ---- order -----------------------------------------------------------------------------------------------------------
async def test_of_a_stream_only_the_oldest_unacknowledged_event_is_pushed(events: Outbox) -> None:
    first, second = [await events.publish() for _ in range(2)]
    assert await events.taken() == ("order", 1)
    assert await events.take() is None
    await events.publish()
    assert await events.ack(first)
    assert await events.taken() == ("order", 2)
    assert await events.ack(second)
    assert await events.taken() == ("order", 3)


async def test_streams_do_not_wait_for_each_other_and_the_longest_due_is_first(events: Outbox) -> None:
    for stream in ("a", "b", "c"):
        await events.publish(stream)
        events.clock.advance(us=1)
    assert [await events.taken() for _ in range(4)] == [("a", 1), ("b", 1), ("c", 1), None]


async def test_programs_do_not_see_each_other(events: Outbox) -> None:
    seqs = [await events.publish("a"), await events.publish("b")]
    assert seqs == [1, 2] and await events.publish(app_id="org.example.other") == 1  # nobody counts its neighbours'
    assert not await events.ack(seqs[1], app_id="org.example.other")
    assert (await events.taken("org.example.other"), await events.taken("org.example.third")) == (("order", 1), None)
    assert (len(events.listed()), len(events.listed("org.example.other"))) == (2, 1)


async def test_an_acknowledgement_covers_those_before_it_in_its_stream_alone(events: Outbox) -> None:
    seqs = [await events.publish() for _ in range(4)]
    other = await events.publish("other")
    assert await events.ack(seqs[2])
    assert [bool(event.acked_us) for event in events.listed()] == [True, True, True, False, False]
    assert {await events.taken(), await events.taken()} == {("order", 4), ("other", 1)}
    assert await events.ack(other)


async def test_an_acknowledgement_may_be_repeated_and_moves_nothing(events: Outbox) -> None:
    seqs = [await events.publish() for _ in range(3)]
    await events.ack(seqs[1])
    told = events.listed()
    assert await events.taken() == ("order", 3)
    due_us = events.due_us()
    events.clock.advance(us=10)
    for seq in (seqs[0], seqs[1], seqs[1]):
        assert await events.ack(seq)
    assert (events.listed(), events.due_us()) == (told, due_us)


@pytest.mark.parametrize(("seq", "user"), [(2, ""), (99, ""), (1, "bob")])
async def test_what_is_not_there_or_not_yours_cannot_be_acknowledged(events: Outbox, seq: int, user: str) -> None:
    await events.publish()
    await events.publish(app_id="org.example.other")
    assert not await events.ack(seq, user=user)
    assert not any(event.acked_us for event in events.listed())


async def test_behind_an_event_that_was_given_up_the_stream_waits(events: Outbox) -> None:
    first = await events.publish()
    for wait_us in (0, *LADDER_US):
        events.clock.advance(us=wait_us)
        await events.take()
    await events.publish()
    events.clock.advance(s=1_000_000)
    assert await events.take() is None
    await events.ack(first)
    assert await events.taken() == ("order", 2)


async def test_a_program_that_is_installed_anew_gets_given_up_events_from_the_first_step_on(events: Outbox) -> None:
    for stream in ("a", "b", "c"):
        await events.publish(stream)
    for wait_us in (0, *LADDER_US):
        events.clock.advance(us=wait_us)
        for _ in range(3):
            await events.take()
    assert events.store.read(lambda tx: given_up(tx, APP))
    assert not events.store.read(lambda tx: given_up(tx, "org.example.other"))
    assert [await events.store.write(lambda tx: begin_again(tx, APP, 2)) for _ in range(3)] == [2, 1, 0]
    assert [await events.taken() for _ in range(4)] == [("a", 1), ("b", 1), ("c", 1), None]
    events.clock.advance(s=1)
    assert await events.take() is not None


# ---- publishing ------------------------------------------------------------------------------------------------------
async def test_what_was_published_is_told_in_order(events: Outbox) -> None:
    assert events.store.read(last_seq) == 0
    assert [await events.publish(app_id=app_id) for app_id in ("a", "b", "a")] == [1, 1, 2]
    assert events.store.read(last_seq) == 3
    assert events.store.read(lambda tx: published_after(tx, 0, 2)) == [(1, "a"), (2, "b")]
    assert events.store.read(lambda tx: published_after(tx, 2, 9)) == [(3, "a")]


async def test_a_payload_at_its_limit_and_one_over(events: Outbox) -> None:
    room = PAYLOAD_CHARS_MAX - len('{"x":""}')
    await events.publish(payload={"x": "y" * room})
    with pytest.raises(ValueError, match="4097 characters"):
        await events.publish(payload={"x": "y" * (room + 1)})
    assert len(events.listed()) == 1


# ---- retention -------------------------------------------------------------------------------------------------------
async def test_acknowledged_events_go_after_their_time_and_the_others_stay(events: Outbox) -> None:
    seqs = [await events.publish() for _ in range(3)] + [await events.publish("other")]
    await events.ack(seqs[1])
    events.clock.advance(us=RETENTION_US - 1)
    assert await events.prune() == 0
    events.clock.advance(us=1)
    assert [await events.prune(1) for _ in range(3)] == [1, 1, 0]
    assert [(event.stream, event.stream_seq) for event in events.listed()] == [("order", 3), ("other", 1)]


async def test_neither_number_is_ever_used_again(events: Outbox) -> None:
    seq = await events.publish()
    await events.ack(seq)
    events.clock.advance(us=RETENTION_US)
    assert await events.prune() == 0  # the youngest of all
    later = await events.publish()
    await events.ack(later)
    events.clock.advance(us=RETENTION_US)
    assert await events.prune() == 1
    assert await events.publish() > later > seq
    assert [event.stream_seq for event in events.listed()] == [2, 3]


# ---- the model -------------------------------------------------------------------------------------------------------
STREAMS = "abc"
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "publish", "handle", "fail", "crash", "pull", "prune", "install"]),
        st.sampled_from(STREAMS),
        st.sampled_from([0, 1, 1_000_000, 3_600_000_000, RETENTION_US]),
    ),
    max_size=60,
)


class Guest:
    """What a program saw, by stream: it acknowledges whatever it handles, and no push shows it a gap."""

    def __init__(self) -> None:
        self.handled: defaultdict[str, int] = defaultdict(int)

    def sees(self, stream: str, stream_seq: int) -> None:
        assert stream_seq <= self.handled[stream] + 1
        self.handled[stream] = max(self.handled[stream], stream_seq)


@settings(deadline=None)
@given(STEPS)
def test_whoever_acknowledges_what_it_handles_sees_every_state_in_order_without_a_gap(
    steps: list[tuple[str, str, int]],
) -> None:
    async def run() -> None:
        clock, guest = VirtualClock(), Guest()
        published: defaultdict[str, int] = defaultdict(int)
        async with open_store(None, clock) as store:
            events = Outbox(store, clock)
            for step, stream, wait_us in steps:
                clock.advance(us=wait_us)
                await carry_out(events, guest, published, step, stream)
                assert events.findings() == []
            await catch_up(events, guest)
        assert guest.handled == published

    trio.run(run)


async def carry_out(events: Outbox, guest: Guest, published: defaultdict[str, int], step: str, stream: str) -> None:
    if step == "publish":
        published[stream] += 1
        await events.publish(stream)
    elif step == "prune":
        await events.prune(2)
    elif step == "install":
        await events.store.write(lambda tx: begin_again(tx, APP, 100))
    elif step == "pull":
        await pull(events, guest)
    elif event := await events.take():
        assert event.stream_seq == guest.handled[event.stream] + 1 or step != "handle"
        if step != "crash":  # the push reached the guest
            guest.sees(event.stream, event.stream_seq) if step == "handle" else None
        if step == "handle":
            assert await events.ack(event.seq)


async def pull(events: Outbox, guest: Guest) -> None:
    for event in events.listed():
        if not event.acked_us:
            guest.sees(event.stream, event.stream_seq)
            await events.ack(event.seq)


async def catch_up(events: Outbox, guest: Guest) -> None:
    """The program is well again: every push that is planned is handled, what was given up is listed."""
    while due_us := events.due_us():
        events.clock.advance(us=max(0, due_us - events.clock.now_us()))
        event = await events.take()
        assert event is not None
        guest.sees(event.stream, event.stream_seq)
        await events.ack(event.seq)
    await pull(events, guest)
