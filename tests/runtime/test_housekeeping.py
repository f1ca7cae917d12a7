"""Housekeeping on trio's virtual clock: batches, rhythm, faults of one part, and the audit's record of refusals."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from host_api import audit, idempotency
from host_api.errors import ApiError, ErrorCode
from host_api.store import Store, Transaction, open_store
from runtime.housekeeping import (
    BACK_OFF_MAX_S,
    SWEEP_EVERY_S,
    SWEEP_ROWS,
    TALLIES_EVERY_S,
    TALLY_RECORDS_MAX,
    Housekeeping,
    back_off_s,
    fetches,
    refusals,
)
from runtime.pushes import Pushes
from runtime.testing import SeededIds
from tests.runtime.test_pushes import TrioClock


class Refused:
    """Stands for the broker's count."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, str, str]] = Counter()

    def drain(self) -> Counter[tuple[str, ...]]:
        drained, self.counted = self.counted, Counter()
        return drained


class World:
    def __init__(self, store: Store) -> None:
        self.store, self.refused = store, Refused()
        self.scope, self.stopped = trio.CancelScope(), trio.Event()

    def records(self) -> list[dict[str, Any]]:
        rows = self.store.read(lambda tx: tx.execute("SELECT record FROM audit ORDER BY n"))
        return [json.loads(row[0]) for row in rows]

    def refusals(self) -> list[tuple[str, str, str, int]]:
        assert {record["effect"] for record in self.records()} <= {"host_call.refused"}
        return [(record["app_id"], record["method"], record["code"], record["count"]) for record in self.records()]


Kept = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def kept() -> Kept:
    """A house that is kept while the block runs: `async with kept(*sweeps)`."""

    async def nowhere(*words: object) -> None:
        raise AssertionError("no program is installed here")

    @asynccontextmanager
    async def keep(*sweeps: Callable[[Transaction, int], int]) -> AsyncIterator[World]:
        async with open_store(None, TrioClock()) as store:
            world = World(store)
            pushes = Pushes(store=store, push=nowhere, takes=lambda *_: False, new_incident=SeededIds())
            house = Housekeeping(
                store=store, sweeps=sweeps, pushes=pushes, tallies=[refusals(world.refused.drain)],
                new_incident=SeededIds(),
            )  # fmt: skip

            async def run() -> None:
                with world.scope:
                    await house.run()
                world.stopped.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                yield world
                world.scope.cancel()
            assert store.read(audit.verify) is None

    return keep


# ---- sweeps ----------------------------------------------------------------------------------------------------------
async def test_a_sweep_goes_on_batch_by_batch_until_there_is_nothing_left(autojump_clock: Any, kept: Kept) -> None:
    asked: list[tuple[float, int]] = []
    left = 2 * SWEEP_ROWS + 1

    def sweep(tx: Transaction, at_most: int) -> int:
        nonlocal left
        done = min(left, at_most)
        left -= done
        asked.append((trio.current_time(), done))
        return done

    async with kept(sweep):
        await trio.sleep(SWEEP_EVERY_S * 1.5)
        assert [done for _, done in asked] == [SWEEP_ROWS, SWEEP_ROWS, 1, 0]
        assert {when for when, _ in asked} == {0.0, SWEEP_EVERY_S}


async def test_others_have_their_turn_between_two_batches(autojump_clock: Any, kept: Kept) -> None:
    batches = 0

    def endless(tx: Transaction, at_most: int) -> int:
        nonlocal batches
        batches += 1
        return at_most

    async with kept(endless) as world:
        for turn in range(1, 20):
            await world.store.write(lambda tx: None)
            assert batches <= 2 * turn + 2


async def test_idempotency_rows_go_after_their_time(autojump_clock: Any, kept: Kept) -> None:
    insert = "INSERT INTO idempotency VALUES ('a', '', 'm', :key, 1, zeroblob(32), zeroblob(1), :created_us)"
    count = "SELECT count(*) FROM idempotency"
    async with kept(idempotency.prune) as world:

        def job(tx: Transaction) -> None:
            created_us = tx.now_us - idempotency.RETENTION_US + 25_000_000
            for number in range(3 * SWEEP_ROWS):
                tx.execute(insert, {"key": f"{number}", "created_us": created_us})

        await world.store.write(job)
        await trio.sleep(24)
        assert world.store.read(lambda tx: tx.execute(count)) == [(3 * SWEEP_ROWS,)]
        await trio.sleep(SWEEP_EVERY_S)
        assert world.store.read(lambda tx: tx.execute(count)) == [(0,)]


# ---- faults ----------------------------------------------------------------------------------------------------------
async def test_a_part_that_fails_is_logged_and_tried_later_and_stops_no_other(
    autojump_clock: Any, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[float] = []
    others = 0

    def broken(tx: Transaction, at_most: int) -> int:
        tried.append(trio.current_time())
        raise KeyError("a bug")

    def sound(tx: Transaction, at_most: int) -> int:
        nonlocal others
        others += 1
        return 0

    async with kept(broken, sound):
        await trio.sleep(995)
        assert others == 100
        waits = [round(after - before) for before, after in itertools.pairwise(tried)]
        assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert caplog.text.count("incident=") == len(tried)
    assert "broken" in caplog.text and "Traceback" in caplog.text


async def test_after_a_fault_the_usual_rhythm_comes_back(autojump_clock: Any, kept: Kept) -> None:
    tried: list[float] = []

    def twice(tx: Transaction, at_most: int) -> int:
        tried.append(trio.current_time())
        if len(tried) in (1, 2, 4):
            raise ApiError(ErrorCode.BUSY, "the disk")
        return 0

    async with kept(twice):
        await trio.sleep(30)
    assert tried == [0, 1, 3, 13, 14, 24]


def test_the_back_off_is_bounded() -> None:
    assert [back_off_s(failures) for failures in (1, 2, 3, 9, 10, 99)] == [1, 2, 4, 256, BACK_OFF_MAX_S, BACK_OFF_MAX_S]


# ---- refusals --------------------------------------------------------------------------------------------------------
async def test_refusals_become_one_record_a_minute_with_their_count(autojump_clock: Any, kept: Kept) -> None:
    async with kept() as world:
        world.refused.counted.update({("a", "payment.create", "rate_limited"): 7, ("b", "", "unknown_method"): 1})
        await trio.sleep(TALLIES_EVERY_S - 1)
        assert world.refusals() == []
        await trio.sleep(2)
        told = [("a", "payment.create", "rate_limited", 7), ("b", "", "unknown_method", 1)]
        assert world.refusals() == told
        await trio.sleep(10 * TALLIES_EVERY_S)
        assert world.refusals() == told
        world.refused.counted[("a", "payment.create", "rate_limited")] = 2
        await trio.sleep(TALLIES_EVERY_S)
        assert world.refusals() == [*told, ("a", "payment.create", "rate_limited", 2)]


async def test_what_was_counted_is_recorded_when_the_host_closes(autojump_clock: Any, kept: Kept) -> None:
    async with kept() as world:
        await trio.sleep(1)
        world.refused.counted[("a", "m", "busy")] = 3
        world.scope.cancel()
        await world.stopped.wait()
        assert world.refusals() == [("a", "m", "busy", 3)]


async def test_a_flood_of_refusals_is_no_flood_of_records(autojump_clock: Any, kept: Kept) -> None:
    flood = {(f"app{number}", "m", "not_found"): number for number in range(1, 10_001)}
    flood[("", "", "busy")] = 1
    async with kept() as world:
        world.refused.counted.update(flood)
        await trio.sleep(TALLIES_EVERY_S + 1)
        told = world.refusals()
        assert len(told) == TALLY_RECORDS_MAX + 2
        assert sum(count for *_, count in told) == sum(flood.values())
        assert ("app10000", "m", "not_found", 10_000) in told and ("", "", "busy", 1) in told


async def test_what_could_not_be_recorded_is_recorded_later(autojump_clock: Any, kept: Kept) -> None:
    async with kept() as world:
        world.refused.counted[("a", "m", "busy")] = 3
        write = world.store.write

        async def full(job: Any) -> Any:
            raise ApiError(ErrorCode.BUSY, "the disk is full")

        world.store.write = full  # type: ignore[method-assign]
        await trio.sleep(TALLIES_EVERY_S + 5)
        world.store.write = write  # type: ignore[method-assign]
        world.refused.counted[("a", "m", "busy")] = 4
        await trio.sleep(TALLIES_EVERY_S + 5)
        assert world.refusals() == [("a", "m", "busy", 7)]


def test_condensing_again_changes_nothing() -> None:
    once = refusals(dict).condensed({(f"app{number}", "m", f"code{number % 3}"): number for number in range(1, 500)})
    assert refusals(dict).condensed(once) == once


def test_fetches_are_told_by_program_and_host_and_the_rare_ones_together() -> None:
    counts = {(f"app{number}", "a.example"): number for number in range(1, TALLY_RECORDS_MAX + 2)}
    told = fetches(lambda: counts).condensed(counts)
    assert told == {**{key: count for key, count in counts.items() if count > 1}, ("", ""): 1}
