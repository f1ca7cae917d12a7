"""What every store promises (host_api/store/protocol.py): run on each implementation, see conftest.py."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from host_api.errors import ApiError, ErrorCode
from host_api.store import ConstraintViolated, Store, Transaction, owe_scrub
from runtime.testing import VirtualClock

PUT = "INSERT INTO merchants (app_id, fee_bps, fee_fixed) VALUES (:app, :bps, 0)"


def put(app: str, bps: int = 1) -> Any:
    return lambda tx: tx.execute(PUT, {"app": app, "bps": bps})


def apps(tx: Transaction) -> list[str]:
    return [row[0] for row in tx.execute("SELECT app_id FROM merchants ORDER BY app_id")]


async def test_a_write_returns_its_result_and_is_seen_by_the_next_read(store: Store) -> None:
    def job(tx: Transaction) -> str:
        tx.execute(PUT, {"app": "a", "bps": 7})
        return "done"

    assert await store.write(job) == "done"
    assert store.read(apps) == ["a"]


async def test_a_job_that_raises_is_undone_alone_and_its_exception_is_raised(store: Store) -> None:
    class Refused(Exception):
        pass

    def failing(tx: Transaction) -> None:
        tx.execute(PUT, {"app": "lost", "bps": 1})
        raise Refused

    outcomes: list[str] = []

    async def run(job: Any, name: str) -> None:
        try:
            await store.write(job)
        except Refused:
            outcomes.append(name)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(run, put(f"kept{number}"), "")
            nursery.start_soon(run, failing, f"refused{number}")
    assert sorted(outcomes) == [f"refused{number}" for number in range(5)]
    assert store.read(apps) == [f"kept{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("sql", "bindings"),
    [
        (PUT, {"app": "a", "bps": 1}),  # UNIQUE
        (PUT, {"app": "b", "bps": 10_001}),  # CHECK
        (PUT, {"app": "c", "bps": 1.5}),  # STRICT
        (PUT, {"app": None, "bps": 1}),  # NOT NULL
        (
            "INSERT INTO confirmations VALUES (:app, 1, 1, 'CNY', '', :digest, 0)",
            {"app": "d", "digest": bytes(32)},
        ),  # foreign key
    ],
)
async def test_a_broken_constraint_is_raised_and_changes_nothing(store: Store, sql: str, bindings: Any) -> None:
    await store.write(put("a"))
    with pytest.raises(ConstraintViolated):
        await store.write(lambda tx: tx.execute(sql, bindings))
    assert store.read(apps) == ["a"]


async def test_a_sum_over_64_bits_is_a_broken_constraint(store: Store) -> None:
    await store.write(
        lambda tx: tx.execute(
            "INSERT INTO accounts (kind, owner, currency, credits_posted) VALUES ('fee', '', 'CNY', :most)",
            {"most": 2**63 - 1},
        )
    )
    with pytest.raises(ConstraintViolated):
        await store.write(lambda tx: tx.execute("UPDATE accounts SET credits_posted = credits_posted + 1"))


async def test_a_savepoint_undoes_only_what_is_inside(store: Store) -> None:
    def job(tx: Transaction) -> None:
        tx.execute(PUT, {"app": "before", "bps": 1})
        for end in ("kept", "lost"):
            try:
                with tx.savepoint():
                    tx.execute(PUT, {"app": end, "bps": 1})
                    if end == "lost":
                        raise KeyError
            except KeyError:
                pass
        tx.execute(PUT, {"app": "then", "bps": 1})

    await store.write(job)
    assert store.read(apps) == ["before", "kept", "then"]


async def test_a_read_cannot_write_and_reads_go_on_after_it_tried(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)readonly|refused to be read"):
        store.read(lambda tx: tx.execute(PUT, {"app": "a", "bps": 1}))
    assert store.read(apps) == []
    await store.write(put("b"))
    assert store.read(apps) == ["b"]


async def test_a_transaction_is_dead_when_its_job_is_over(store: Store) -> None:
    for kept in (await store.write(lambda tx: tx), store.read(lambda tx: tx)):
        with pytest.raises(RuntimeError, match="over"):
            kept.execute("SELECT 1")


async def test_cancelled_before_the_hand_over_nothing_happens(store: Store) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.write(put("a"))
    assert scope.cancelled_caught
    await store.write(put("b"))
    assert store.read(apps) == ["b"]


async def test_cancelled_after_the_hand_over_the_outcome_is_waited_for(store: Store) -> None:
    reached: list[str] = []
    with trio.CancelScope() as scope:

        def job(tx: Transaction) -> None:
            tx.execute(PUT, {"app": "a", "bps": 1})
            trio_thread(scope.cancel)

        token = trio.lowlevel.current_trio_token()

        def trio_thread(call: Any) -> None:
            """From the writer's thread, or inline."""
            try:
                trio.lowlevel.current_trio_token()
            except RuntimeError:
                trio.from_thread.run_sync(call, trio_token=token)
            else:
                call()

        await store.write(job)
        reached.append("outcome")
        await trio.lowlevel.checkpoint()
        reached.append("not reached")
    assert scope.cancelled_caught
    assert reached == ["outcome"]
    assert store.read(apps) == ["a"]


async def test_jobs_run_in_the_order_they_were_handed_over(store: Store) -> None:
    handed_over: list[int] = []
    run: list[int] = []

    async def write(number: int) -> None:
        handed_over.append(number)
        await store.write(lambda _: run.append(number))

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(write, number)
    assert sorted(run) == list(range(50))
    assert run == handed_over


async def test_time_never_goes_back(store: Store, clock: VirtualClock) -> None:
    first = clock.now_us()
    assert store.now_us() == first
    clock.advance(s=5)
    assert await store.write(lambda tx: tx.now_us) == first + 5_000_000
    clock._now_us = first  # a wall clock that was set back
    assert store.now_us() == store.read(lambda tx: tx.now_us) == first + 5_000_000
    assert await store.write(lambda tx: tx.now_us) == first + 5_000_000


async def test_a_scrub_changes_nothing_that_is_there(store: Store) -> None:
    for app in ("kept", "gone"):
        await store.write(put(app))

    def erase(tx: Transaction) -> None:
        tx.execute("DELETE FROM merchants WHERE app_id = 'gone'")
        owe_scrub(tx)

    await store.write(erase)
    await store.scrub()
    await store.scrub()
    assert store.read(apps) == ["kept"]
    await store.write(put("after"))
    assert store.read(apps) == ["after", "kept"]


async def test_a_closed_store_refuses_writes(store: Store) -> None:
    await store.aclose()
    await store.aclose()
    with pytest.raises(ApiError) as refused:
        await store.write(put("a"))
    assert refused.value.code is ErrorCode.BUSY
