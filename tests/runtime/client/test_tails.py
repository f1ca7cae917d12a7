"""Following a host: which events programs are told and which calls end, through the library and through the socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from host_api.events.outbox import publish
from host_api.events.telling import ToldEvent
from host_api.store.protocol import Transaction
from runtime import Host, UsageError, upkeep
from runtime.journal import journal as journals
from runtime.journal import tail as tails
from runtime.journal.entries import PastCall, Query
from runtime.settings import JournalSettings
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.client.test_client import APP, Pair, opened
from tests.runtime.daemon.control.conftest import until

OTHER = "org.example.other"
Follow = Callable[[Any], Awaitable[None]]


@pytest.fixture
async def pair(tmp_path: Path, artifacts: Path) -> AsyncIterator[Pair]:
    async with opened(
        tmp_path / "hostel.sock", tmp_path / "state", cache_dir=artifacts, journal=JournalSettings()
    ) as made:
        yield made


async def tell(host: Host, app_id: str, stream: str, times: int = 1) -> None:
    def job(tx: Transaction) -> None:
        for _ in range(times):
            publish(tx, app_id=app_id, user="alice-in-person", stream=stream, topic="payment.pending",
                    payload={"secret": "of-the-payload"})  # fmt: skip

    await host._store.write(job)


async def follow_both(nursery: trio.Nursery, pair: Pair, follow: Callable[[Any, Any], Any]) -> tuple[list[Any], ...]:
    """What comes to each of them."""
    seen: tuple[list[Any], list[Any]] = ([], [])
    for side, list_ in zip((pair.host, pair.client), seen, strict=True):
        nursery.start_soon(follow, side, list_.append)
    return seen


async def test_events_are_told_as_they_are_written_without_whose_they_are(pair: Pair) -> None:
    await tell(pair.host, APP, "before", 3)
    async with trio.open_nursery() as nursery:
        here, there = await follow_both(nursery, pair, lambda side, take: side.follow_events(take, before=2))
        await until(lambda: len(here) == len(there) == 2)
        await tell(pair.host, OTHER, "order-1")
        await tell(pair.host, APP, "order-2", 2)
        await until(lambda: len(here) == len(there) == 5)
        assert here == there
        assert [(one.app_id, one.stream, one.stream_seq, one.app_seq) for one in here] == [
            (APP, "before", 2, 2), (APP, "before", 3, 3), (OTHER, "order-1", 1, 1), (APP, "order-2", 1, 4),
            (APP, "order-2", 2, 5),
        ]  # fmt: skip
        assert [one.seq for one in here] == sorted(one.seq for one in here)
        assert here[0].topic == "payment.pending" and isinstance(here[0], ToldEvent)
        assert "alice" not in repr(here) and "secret" not in repr(here)
        nursery.cancel_scope.cancel()


async def test_events_of_one_program_and_more_than_a_page_of_others(pair: Pair) -> None:
    await tell(pair.host, APP, "before", 3)
    await tell(pair.host, OTHER, "before", 300)
    async with trio.open_nursery() as nursery:
        here, there = await follow_both(nursery, pair, lambda side, take: side.follow_events(take, APP, 2))
        await until(lambda: len(here) == len(there) == 2)
        await tell(pair.host, OTHER, "loud", 1_000)
        await tell(pair.host, APP, "mine", 600)
        await until(lambda: len(here) == len(there) == 602)
        assert [one.app_seq for one in here] == list(range(2, 604)) and here == there
        nursery.cancel_scope.cancel()


async def test_a_watcher_that_takes_nothing_misses_nothing(pair: Pair) -> None:
    """Events are read from the store at the watcher's own pace: nothing is held for it meanwhile."""
    with pair.host.event_tail() as tail:
        await tell(pair.host, APP, "order", 5_000)
        seen: list[ToldEvent] = []
        while len(seen) < 5_000:
            page = await anext(tail)
            assert 0 < len(page) <= 256
            seen += page
        assert [one.stream_seq for one in seen] == list(range(1, 5_001))


async def test_calls_are_told_as_they_end(pair: Pair) -> None:
    params = Script().step("sched_yield").params()
    for app in (APP, OTHER):
        await pair.host.install(bundle(scripted(), app))
    await pair.host.call(APP, "run", params, user="alice-in-person")
    async with trio.open_nursery() as nursery:
        here, there = await follow_both(
            nursery, pair, lambda side, take: side.follow_receipts(Query(app_id=APP), take, 10)
        )
        await until(lambda: len(here) == len(there) == 1)
        await pair.host.call(OTHER, "run", params)
        reply = await pair.host.call(APP, "run", params, user="alice-in-person", trace_id="mine")
        await until(lambda: len(here) == len(there) == 2)
        last: PastCall = there[-1]
        assert (last.receipt, last.trace_id) == (reply.receipt, "mine") and here == there
        assert "alice" not in repr(there)
        nursery.cancel_scope.cancel()
    await until(lambda: pair.host.journal is not None and pair.host.journal.status().tails == 0)


async def test_receipts_that_come_too_fast_are_dropped_with_a_mark(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "ENTRIES_MOST", 2)
    params = Script().step("sched_yield").params()
    assert pair.host.journal is not None
    await pair.host.install(bundle(scripted(), APP))
    async with pair.host.journal.follow("receipts", Query()) as tail:
        first = [(await pair.host.call(APP, "run", params)).receipt.call_id for _ in range(4)][:2]
        told = [await anext(tail) for _ in range(3)]
        assert [each and each.receipt.call_id for each in told] == [*first, None] and tail.dropped == 2
        later = (await pair.host.call(APP, "run", params)).receipt.call_id
        assert (await anext(tail)).receipt.call_id == later


@pytest.mark.parametrize(
    ("bound", "follow"),
    [
        ((journals, "TAILS_MOST"), lambda side: side.follow_receipts(Query(), lambda told: None)),
        ((upkeep, "EVENT_TAILS_MOST"), lambda side: side.follow_events(lambda told: None)),
    ],
    ids=["receipts", "events"],
)
async def test_so_many_follow_and_no_more(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, bound: tuple[Any, str], follow: Follow
) -> None:
    monkeypatch.setattr(*bound, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, pair.host)
        await trio.testing.wait_all_tasks_blocked()
        for side in (pair.host, pair.client):
            with pytest.raises(UsageError) as refused:
                await follow(side)
            assert refused.value.code == "too_many_watch"
        nursery.cancel_scope.cancel()
    with trio.move_on_after(0.05) as scope:
        await follow(pair.client)
    assert scope.cancelled_caught
