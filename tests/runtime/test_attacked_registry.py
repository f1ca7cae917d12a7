"""Attacks on the registry: a switch that waiting calls outlive, a grant that a candidate keeps, names that others squat
on, keys that are revoked in the middle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.errors import ApiError, ErrorCode
from runtime import Host, SignatureError, UsageError
from runtime.errors import CallRevoked, ProgramUnavailable
from tests.runtime.ladder import ANN, APP, BOB, Platform, open_platform, signed, unsigned

SPINNING = {"cpu_us": 60_000_000, "cpu_burst_us": 60_000_000}


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with open_platform(tmp_path / "state") as made:
        yield made


# ---- the kill switch -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["queue", "mailbox"])
async def test_a_call_that_waits_when_its_program_is_killed_never_runs(platform: Platform, how: str) -> None:
    host, ended = platform.host, list[str]()
    program: Mapping[str, Any] = {"lifetime": "resident"} if how == "mailbox" else {}
    await platform.full(1, turns=-1, program=program)
    await host.set_limits(APP, SPINNING | ({} if how == "mailbox" else {"calls_in_flight": 1}))

    async def spin() -> None:
        try:
            await platform.says("alice")
        except (CallRevoked, ProgramUnavailable) as error:
            ended.append(error.code)

    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            for _ in range(4):
                nursery.start_soon(spin)
            while not _all_there(host, how, 4):
                await trio.lowlevel.checkpoint()
            await host.releases.kill(APP, "it steals")
            while len(ended) < 4:
                await trio.lowlevel.checkpoint()
    assert sorted(ended) == ["program_unavailable"] * 3 + ["revoked"]


def _all_there(host: Host, how: str, calls: int) -> bool:
    waiting = host.statistics().calls_queued
    if how == "mailbox":
        waiting = sum(len(one.mailbox) for one in host._calls.residents._ones.values())
    return host.statistics().calls_in_flight + waiting == calls


# ---- grants ----------------------------------------------------------------------------------------------------------
async def test_what_a_candidate_is_granted_no_more_is_gone_for_its_calls_in_flight(platform: Platform) -> None:
    host = platform.host
    await platform.approve(1, grant=["storage", "payment"])
    await host.releases.trial(APP, 1, ["alice"])
    only = host._registry.find(APP, "alice")[1]
    await host.set_grants(APP, ["storage"])
    assert only.authority.grants().as_dict() == {"storage": {}}, "no release is full yet"

    await host.releases.full(APP, 1)
    await platform.approve(2, grant=["storage", "payment"])
    await host.releases.trial(APP, 2, ["alice"])
    candidate, full = (host._registry.find(APP, user)[1] for user in ("alice", "bob"))
    await host.set_grants(APP, {"storage": {"keys": ["a"]}})
    assert candidate.authority.grants().as_dict() == {"storage": {"keys": ["a"]}}, "the full release never had payment"
    assert full.authority.grants().as_dict() == {"storage": {"keys": ["a"]}}


# ---- names and owners ------------------------------------------------------------------------------------------------
async def test_nobody_becomes_the_owner_of_an_installed_program_by_an_upload(platform: Platform) -> None:
    """Else they share its budget, and the operator can install it no more."""
    host = platform.host
    await host.install(unsigned(1), allow_unsigned=True)
    with pytest.raises(UsageError) as refused:
        await platform.upload(2)
    assert refused.value.code == "other_developer" and "operator" in refused.value.message
    assert host.program(APP).owner == ""
    await host.install(unsigned(2), allow_unsigned=True)


async def test_a_name_is_free_again_when_nothing_under_it_was_ever_approved(platform: Platform) -> None:
    host = platform.host
    await platform.upload(1)
    bob = await host.developers.sign_up("Bob Ltd")
    await host.developers.add_key(bob.id, str(BOB.public_key))
    with pytest.raises(UsageError) as refused:
        await host.releases.upload(bob.id, signed(2, by=BOB))
    assert refused.value.code == "other_developer"
    await host.releases.reject(APP, 1, "This is the name of Bob's program")
    await host.releases.upload(bob.id, signed(2, by=BOB))
    await host.releases.approve(APP, 2)
    await host.releases.reject(APP, 2, "On second thoughts")
    with pytest.raises(UsageError):
        await platform.upload(3)


async def test_the_platforms_own_workers_run_nothing_of_an_owner_before(platform: Platform) -> None:
    host = platform.host
    bob = await host.developers.sign_up("Bob Ltd")
    await host.developers.add_key(bob.id, str(BOB.public_key))
    await host.install(signed(1, by=BOB))
    await host.developers.set_trust(platform.developer, "platform")
    await host.install(signed(2, by=ANN), new_owner=True)
    assert host._registry.find(APP)[1].group == "platform"
    await host.releases.rollback(APP)
    assert host._registry.find(APP)[1].group == "reviewed"


# ---- keys ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", ["upload", "install"])
async def test_a_key_that_is_revoked_while_its_bundle_is_compiled_counts_for_nothing(
    platform: Platform, way: str
) -> None:
    host, raised = platform.host, list[SignatureError]()
    real = host._modules.take

    async def revoked_meanwhile(*arguments: Any) -> Any:
        await host.developers.revoke_key(ANN.public_key.key_id, "stolen")
        return await real(*arguments)

    host._modules.take = revoked_meanwhile  # type: ignore[assignment, method-assign]
    try:
        await (platform.upload(1) if way == "upload" else host.install(signed(1)))
    except SignatureError as error:
        raised.append(error)
    assert [error.code for error in raised] == ["key_revoked"]
    assert host.programs() == [] and host.releases.submitted() == []


# ---- the store's silence ---------------------------------------------------------------------------------------------
async def test_a_kill_of_which_nobody_knows_the_outcome_is_in_force_and_tried_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.full(1)
    assert await platform.says("alice") == "v001"
    host, store = platform.host, platform.host._store
    real = store.write

    async def silent(job: Any) -> Any:
        raise ApiError(ErrorCode.UNKNOWN_OUTCOME, "the store did not answer")

    monkeypatch.setattr(store, "write", silent)
    assert (await host.releases.kill(APP, "it steals")).unrecorded
    with pytest.raises(ProgramUnavailable):
        await platform.says("alice")
    monkeypatch.setattr(store, "write", real)
    with trio.fail_after(20):
        while host.program(APP).unrecorded:  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert host.program(APP).killed == "it steals"
    with pytest.raises(ProgramUnavailable):
        await platform.says("alice")
