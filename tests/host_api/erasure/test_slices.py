"""Erasures and exports that are too long for one transaction: some rows at a time, and others have their turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api import audit
from host_api.erasure import export, rows, service
from host_api.erasure.user import BalanceLeft, under_way
from host_api.errors import ApiError, ErrorCode
from host_api.store import Transaction
from runtime.testing import VirtualClock
from tests.host_api.erasure.conftest import OTHER, SHOP, Site, opened
from tests.host_api.erasure.test_user import ALICE, BOB, everything, planted

AT_ONCE = 10


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "ROWS_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(export, "_ROWS_AT_ONCE", 2)


def told(site: Site, effect: str) -> list[dict[str, Any]]:
    records = [json.loads(row[0]) for row in site.store.read(lambda tx: tx.execute("SELECT record FROM audit"))]
    return [record for record in records if record["effect"] == effect]


def after_each_job(site: Site, then: Callable[[], object]) -> list[int]:
    """Run `then` after every write; how many there were."""
    real, jobs = site.store.write, [0]

    async def watched(job: Any) -> Any:
        result = await real(job)
        jobs[0] += 1
        then()
        return result

    site.store.write = watched  # type: ignore[method-assign]
    return jobs


# ---- users -----------------------------------------------------------------------------------------------------------
async def test_every_proof_holds_after_every_job(site: Site) -> None:
    await planted(site)
    jobs = after_each_job(site, lambda: findings.extend(site.findings()))
    findings: list[str] = []
    erased = await site.erasure.erase_user(ALICE, forfeit_balance=True)
    assert findings == []
    assert jobs[0] > 5
    after = everything(site.store)
    assert ALICE not in after and "planted-a-" not in after
    assert len(told(site, "user.erasing")) == jobs[0] - 1
    (last,) = told(site, "user.erased")
    assert last["rows"] + sum(record["rows"] for record in told(site, "user.erasing")) == erased.rows
    assert (erased.orders_closed, len(erased.forfeited)) == (4, 1)


async def test_no_job_is_longer_than_it_may_be(site: Site) -> None:
    """But the first, which takes the name off all orders."""
    for number in range(4 * AT_ONCE):
        await site.ask(site.session(ALICE), "storage.put", key=f"k{number}", value=number)
    await site.deposit(ALICE, 100_000)
    for _ in range(AT_ONCE):
        await site.pay(site.session(ALICE))
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    jobs = [record["rows"] for record in told(site, "user.erasing")] + [told(site, "user.erased")[0]["rows"]]
    assert len(jobs) > 10
    assert all(one <= AT_ONCE + 1 for one in jobs[1:])


async def test_values_are_deleted_by_their_length_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "VALUE_BYTES_AT_ONCE", 2_500)
    for number in range(5):
        await site.ask(site.session(ALICE), "storage.put", key=f"k{number}", value="x" * 1_000)
    await site.erasure.erase_user(ALICE)
    assert [record["rows"] for record in told(site, "user.erasing")] == [2, 2]
    assert [record["rows"] for record in told(site, "user.erased")] == [2]  # the last value, and what they used


async def test_many_open_orders_are_closed_before_the_name_goes(site: Site) -> None:
    for _ in range(2 * (AT_ONCE // 5) + 1):
        await site.order(site.session(ALICE))
    erased = await site.erasure.erase_user(ALICE)
    assert erased.orders_closed == 5
    assert [record["orders_closed"] for record in told(site, "user.erasing")][:2] == [2, 2]


async def test_a_balance_left_is_a_refusal_before_anything_is_closed(site: Site) -> None:
    await site.deposit(ALICE, 100)
    for _ in range(AT_ONCE):
        await site.order(site.session(ALICE))
    before = everything(site.store)
    with pytest.raises(BalanceLeft):
        await site.erasure.erase_user(ALICE)
    assert everything(site.store) == before


@pytest.mark.parametrize("at", range(3, 10))  # the first two close orders, and have taken nothing yet
async def test_what_a_crash_cut_short_is_finished_at_the_next_opening(tmp_path: Path, at: int) -> None:
    class Dead(Exception):
        """The process is."""

    state, jobs = tmp_path / "state", [0]

    def die() -> None:
        if jobs[0] == at:
            raise Dead

    async with opened(state, VirtualClock()) as site:
        await planted(site)
        jobs = after_each_job(site, die)
        with pytest.raises(Dead):
            await site.erasure.erase_user(ALICE, forfeit_balance=True)
        assert site.store.read(under_way) == [ALICE]
    async with opened(state, VirtualClock(), seed=9) as site:
        await site.erasure.finish()
        after = everything(site.store)
        assert ALICE not in after and "planted-a-" not in after
        assert after.count("planted-b-") > 20
        assert len(told(site, "user.erased")) == 1
        assert site.store.read(under_way) == []
        before = everything(site.store)
        await site.erasure.finish()
        assert everything(site.store) == before
    assert not any(b"planted-a-" in file.read_bytes() for file in state.rglob("*") if file.is_file())


async def test_done_again_it_goes_on_and_takes_what_came_since(site: Site) -> None:
    await planted(site)
    real, left = site.store.write, 3

    async def refused(job: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ApiError(ErrorCode.BUSY, "the disk is full")
        return await real(job)

    site.store.write = refused  # type: ignore[method-assign]
    with pytest.raises(ApiError):
        await site.erasure.erase_user(ALICE, forfeit_balance=True)
    site.store.write = real  # type: ignore[method-assign]
    await site.deposit(ALICE, 7)
    with pytest.raises(BalanceLeft):
        await site.erasure.erase_user(ALICE)
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    after = everything(site.store)
    assert ALICE not in after and "planted-a-" not in after


async def test_erased_twice_at_once_is_erased(site: Site) -> None:
    await planted(site)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(lambda: site.erasure.erase_user(ALICE, forfeit_balance=True))
    after = everything(site.store)
    assert ALICE not in after and "planted-a-" not in after
    assert len(told(site, "user.erased")) == 1


# ---- programs --------------------------------------------------------------------------------------------------------
async def test_every_proof_holds_after_every_job_of_a_programs(site: Site) -> None:
    for user, mark in ((ALICE, "planted-a-"), (BOB, "planted-b-")):
        await site.plant(user, mark)
    await site.plant(ALICE, "planted-other-", OTHER)
    jobs = after_each_job(site, lambda: findings.extend(site.findings()))
    findings: list[str] = []
    erased = await site.erasure.erase_program(SHOP)
    assert findings == []
    records = [record["rows"] for record in told(site, "program.erased")]
    assert sum(records) == erased
    assert len(records) > 5 and jobs[0] >= len(records)
    assert all(one <= 2 * AT_ONCE for one in records)
    after = everything(site.store)
    assert not any(f"planted-{who}-{said}" in after for who in "ab" for said in ("no-", "a basket", "back", "reason"))
    assert await site.erasure.erase_program(SHOP) == 0


# ---- exports ---------------------------------------------------------------------------------------------------------
async def test_an_export_in_many_reads_is_that_in_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await planted(site)
    for number in range(7):
        await site.ask(site.session(ALICE), "storage.put", key=f"k{number}", value="x" * 100)
    monkeypatch.setattr(export, "_BYTES_AT_ONCE", 250)
    in_many = await site.erasure.export_user(ALICE)
    monkeypatch.setattr(export, "_ROWS_AT_ONCE", 1_000)
    in_one = await site.erasure.export_user(ALICE)
    assert len(in_many["transfers"]) == len(in_one["transfers"]) > 6
    for found in (in_many, in_one):
        found["transfers"].sort(key=lambda transfer: transfer["seq"])
    assert in_many == in_one


async def test_others_have_their_turn_and_nothing_is_written_meanwhile(site: Site) -> None:
    await planted(site)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    jobs = after_each_job(site, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await site.erasure.export_user(ALICE)
        nursery.cancel_scope.cancel()
    assert turns > 20
    assert jobs == [1]  # the audit's


async def test_a_user_who_is_erased_while_they_are_exported_is_not_named_again(site: Site) -> None:
    await planted(site)
    real = site.store.write

    async def erased_before(job: Any) -> Any:
        site.store.write = real  # type: ignore[method-assign]
        await site.erasure.erase_user(ALICE, forfeit_balance=True)
        return await real(job)

    site.store.write = erased_before  # type: ignore[method-assign]
    await site.erasure.export_user(ALICE)
    assert ALICE not in everything(site.store)
    assert [record["subject"] for record in told(site, "user.exported")] == [""]


async def test_an_export_names_its_user_by_their_commitment(site: Site) -> None:
    await planted(site)
    await site.erasure.export_user(ALICE)

    def commitment(tx: Transaction) -> str:
        return audit.subject(tx, ALICE, lambda: b"")  # it has a salt already

    assert [record["subject"] for record in told(site, "user.exported")] == [await site.store.write(commitment)]
