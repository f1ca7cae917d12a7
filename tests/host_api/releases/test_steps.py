"""The steps as they are written down: who gets which release after each, and one audit record in its transaction."""

from __future__ import annotations

from typing import Any

import pytest

from host_api.releases import developers, records, steps, uploads
from host_api.releases.rollout import TRIAL_USERS_MAX
from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import Given, ProgramStatus, Status
from tests.host_api.releases.conftest import APP, NOTHING, Registry, key_of, offer

KEY = key_of(1, "").key_id


async def approved(registry: Registry, *codes: int) -> None:
    """Uploaded by one developer, and approved."""
    found = registry.read(developers.listed, "", 1)
    ann = found[0] if found else await registry.developer("Ann", 1)
    for code in codes:
        await registry.submit(offer(code, developer=ann.id, key=KEY))
        await registry.do(steps.approve, APP, code, NOTHING)


async def ladder(registry: Registry, *codes: int) -> None:
    """Each approved and full, in this order."""
    for code in codes:
        await approved(registry, code)
        await registry.do(steps.full, APP, code)


async def refused(registry: Registry, job: Any, *arguments: Any) -> RegistryRefused:
    before, told = everything(registry), len(registry.told())
    with pytest.raises(RegistryRefused) as caught:
        await registry.do(job, *arguments)
    assert (everything(registry), len(registry.told())) == (before, told), "a refusal changes nothing"
    return caught.value


def everything(registry: Registry) -> tuple[Any, ...]:
    rows = [registry.store.read(lambda tx, t=t: tx.execute(f"SELECT * FROM {t} ORDER BY 1, 2"))
            for t in ("programs", "releases", "trial_users")]  # type: ignore[misc]  # fmt: skip
    return tuple(tuple(each) for each in rows)


def statuses(registry: Registry) -> dict[int, str]:
    return {one.code: one.status.value for one in registry.read(records.releases_of, APP, 0, 100)}


def program(registry: Registry) -> ProgramStatus:
    return registry.read(records.status, APP)


async def test_the_whole_ladder_each_step_told_once(registry: Registry) -> None:
    await approved(registry, 1)
    before = len(registry.told())
    for job, more in (
        (steps.trial, (["bob", "alice", "bob"],)), (steps.gray, (500,)), (steps.gray, (2_500,)), (steps.full, ()),
    ):  # fmt: skip
        await registry.do(job, APP, 1, *more)
    await registry.do(steps.offline, APP)
    await registry.do(steps.full, APP, 1)
    told = [one["effect"] for one in registry.told()[before:]]
    assert told == [
        "release.trial", "release.gray", "release.gray", "release.full", "program.offline", "release.full",
    ]  # fmt: skip
    assert statuses(registry) == {1: "full"}


async def test_a_candidate_is_beside_the_full_release(registry: Registry) -> None:
    await ladder(registry, 1)
    await approved(registry, 2)
    await registry.do(steps.trial, APP, 2, ["alice"])
    await registry.do(steps.gray, APP, 2, 500)
    now = program(registry)
    assert (now.current_code, now.candidate_code, now.stage, now.share, now.trial_users) == (1, 2, "gray", 500, 1)
    assert statuses(registry) == {1: "full", 2: "gray"}
    await registry.do(steps.full, APP, 2)
    now = program(registry)
    assert (now.current_code, now.candidate_code, now.stage, now.share, now.trial_users) == (2, 0, "", 0, 0)
    assert statuses(registry) == {1: "superseded", 2: "full"}


async def test_another_candidate_takes_the_place_of_the_first(registry: Registry) -> None:
    await ladder(registry, 1)
    await approved(registry, 2, 3)
    await registry.do(steps.trial, APP, 2, ["alice"])
    await registry.do(steps.gray, APP, 3, 10)
    assert statuses(registry) == {1: "full", 2: "approved", 3: "gray"}
    assert program(registry).trial_users == 0
    await registry.do(steps.full, APP, 2)
    assert statuses(registry) == {1: "superseded", 2: "full", 3: "gray"}, "it is above the one that is full now"
    await registry.do(steps.full, APP, 3)
    assert statuses(registry) == {1: "superseded", 2: "superseded", 3: "full"}


async def test_a_version_goes_down_by_a_rollback_only(registry: Registry) -> None:
    await approved(registry, 1, 2, 3)
    await registry.do(steps.full, APP, 2)
    for job, more in ((steps.trial, (["alice"],)), (steps.gray, (1,)), (steps.full, ())):
        assert (await refused(registry, job, APP, 1, *more)).code == "version_goes_down"
    await registry.do(steps.full, APP, 3)
    await registry.do(steps.rollback, APP)
    assert statuses(registry) == {1: "approved", 2: "full", 3: "rolled_back"}
    assert (await refused(registry, steps.rollback, APP)).code == "nothing_to_roll_back_to"
    await registry.do(steps.gray, APP, 3, 100)
    await registry.do(steps.full, APP, 3)
    assert statuses(registry) == {1: "approved", 2: "superseded", 3: "full"}


async def test_a_rollback_goes_back_through_what_was_full_last_first(registry: Registry) -> None:
    await ladder(registry, 1, 2, 3)
    seen = []
    for _ in range(2):
        seen.append((await registry.do(steps.rollback, APP)).current_code)
    assert seen == [2, 1]
    assert statuses(registry) == {1: "full", 2: "rolled_back", 3: "rolled_back"}


async def test_a_rollback_withdraws_a_candidate_first(registry: Registry) -> None:
    await ladder(registry, 1, 2)
    await approved(registry, 3)
    await registry.do(steps.gray, APP, 3, 5_000)
    assert (await registry.do(steps.rollback, APP)).current_code == 2
    assert statuses(registry) == {1: "superseded", 2: "full", 3: "approved"}
    assert (await registry.do(steps.rollback, APP)).current_code == 1


async def test_offline_takes_everything_off_and_a_rollback_goes_behind_it(registry: Registry) -> None:
    await ladder(registry, 1, 2)
    await approved(registry, 3)
    await registry.do(steps.trial, APP, 3, ["alice"])
    assert (await registry.do(steps.offline, APP)).offline
    assert statuses(registry) == {1: "superseded", 2: "offline", 3: "approved"}
    assert (await refused(registry, steps.offline, APP)).code == "step_refused"
    now = await registry.do(steps.rollback, APP)
    assert (now.offline, now.current_code) == (False, 1)
    assert statuses(registry) == {1: "full", 2: "rolled_back", 3: "approved"}


async def test_offline_of_a_first_candidate_withdraws_it(registry: Registry) -> None:
    await approved(registry, 1)
    assert (await refused(registry, steps.offline, APP)).code == "step_refused"
    await registry.do(steps.trial, APP, 1, ["alice"])
    assert not (await registry.do(steps.offline, APP)).offline
    assert statuses(registry) == {1: "approved"}


async def test_nothing_below_the_minimum_ever_runs_again(registry: Registry) -> None:
    await ladder(registry, 1, 2, 3)
    for code in (4, -1):
        assert (await refused(registry, steps.set_minimum, APP, code)).code == "minimum_refused"
    await registry.do(steps.set_minimum, APP, 2)
    await registry.do(steps.rollback, APP)
    assert (await refused(registry, steps.rollback, APP)).code == "below_minimum"
    await registry.do(steps.set_minimum, APP, 1)
    assert (await registry.do(steps.rollback, APP)).current_code == 1


async def test_the_kill_switch_and_quarantine_leave_all_else_as_it_is(registry: Registry) -> None:
    await ladder(registry, 1)
    before = program(registry)
    assert (await refused(registry, steps.revive, APP)).code == "step_refused"
    for job, field in ((steps.kill, "killed"), (steps.quarantine, "quarantined")):
        assert (await refused(registry, job, APP, "")).code == "text_refused"
        assert getattr(await registry.do(job, APP, "it steals"), field) == "it steals"
    after = await registry.do(steps.revive, APP)
    changed = {name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)}
    assert changed == {"changed_us"}
    assert [one["effect"] for one in registry.told()[-3:]] == [
        "program.killed",
        "program.quarantined",
        "program.revived",
    ]


async def test_a_review_ends_with_a_reason_that_the_developer_reads(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    await registry.submit(offer(developer=ann.id, key=KEY))
    assert (await refused(registry, steps.reject, APP, 1, "")).code == "text_refused"
    assert (await registry.do(steps.reject, APP, 1, "No privacy text")).reason == "No privacy text"
    assert (await refused(registry, steps.approve, APP, 1, NOTHING)).code == "step_refused"
    assert (await refused(registry, steps.full, APP, 1)).code == "step_refused"
    assert (await refused(registry, steps.reject, APP, 2, "x")).code == "release_unknown"


async def test_what_a_revoked_key_signed_goes_no_further_and_stays_where_it_is(registry: Registry) -> None:
    await ladder(registry, 1)
    await approved(registry, 2)
    await registry.do(steps.gray, APP, 2, 10)
    ann = registry.read(developers.listed, "", 1)[0]
    await registry.submit(offer(3, developer=ann.id, key=KEY))
    await registry.do(developers.revoke_key, KEY, "stolen")
    for job, code, more in (
        (steps.approve, 3, (NOTHING,)), (steps.gray, 2, (20,)), (steps.full, 2, ()), (steps.trial, 2, (["a"],)),
    ):  # fmt: skip
        assert (await refused(registry, job, APP, code, *more)).code == "key_revoked"
    assert statuses(registry) == {1: "full", 2: "gray", 3: "submitted"}
    assert (await registry.do(steps.rollback, APP)).candidate_code == 0


@pytest.mark.parametrize(
    ("users", "taken"),
    [
        (["a"], True), ([f"u{n}" for n in range(TRIAL_USERS_MAX)], True),
        ([f"u{n}" for n in range(TRIAL_USERS_MAX + 1)], False), ([], False), ([""], False), (["x" * 256], True),
        (["x" * 257], False), (["erased:1"], False),
    ],
)  # fmt: skip
async def test_a_trial_has_named_users(registry: Registry, users: list[str], taken: bool) -> None:
    await approved(registry, 1)
    if taken:
        await registry.do(steps.trial, APP, 1, users)
        assert program(registry).trial_users == len(users)
    else:
        assert (await refused(registry, steps.trial, APP, 1, users)).code == "trial_users"


@pytest.mark.parametrize(("share", "taken"), [(0, True), (10_000, True), (10_001, False), (-1, False), (True, False)])
async def test_a_share_is_of_ten_thousand(registry: Registry, share: int, taken: bool) -> None:
    await approved(registry, 1)
    if taken:
        assert (await registry.do(steps.gray, APP, 1, share)).status is Status.GRAY
    else:
        assert (await refused(registry, steps.gray, APP, 1, share)).code == "share_refused"


async def test_grants_and_limits_are_set_on_all_that_may_run_and_taken_away_from_all(registry: Registry) -> None:
    await ladder(registry, 1, 2)
    ann = registry.read(developers.listed, "", 1)[0]
    await registry.submit(offer(3, developer=ann.id, key=KEY))
    given = {"storage": {}, "payment": {"amount_max": 5}}
    assert (await registry.do(steps.set_grants, APP, given)).grants == given
    assert (await registry.do(steps.set_limits, APP, {"cpu_us": 9_000})).limits == {"cpu_us": 9_000}
    await registry.do(steps.take_away, APP, ["payment", "http"])
    for code, grants in ((1, {"storage": {}}), (2, {"storage": {}}), (3, {})):
        assert registry.read(records.get_release, APP, code).grants == grants
    assert (await registry.do(steps.rollback, APP)).grants == {"storage": {}}
    assert registry.told()[-2]["effect"] == "grant.revoked"


async def test_what_a_release_may_do_is_as_the_store_has_it_now(registry: Registry) -> None:
    """For a prompt that outlived its process: by the release that its user gets, and nothing while it is stopped."""
    await ladder(registry, 1)
    await registry.do(steps.set_grants, APP, {"storage": {}})
    ann = registry.read(developers.listed, "", 1)[0]
    await registry.submit(offer(2, developer=ann.id, key=KEY))
    await registry.do(steps.approve, APP, 2, Given(grants={"payment": {}}, limits={}, config=b"\x80", payee="Shop"))
    await registry.do(steps.trial, APP, 2, ["alice"])

    def may(user: str) -> list[str]:
        found = registry.read(records.authority, APP, user)
        return [] if found is None else [grant.capability for grant in found.grants()]

    assert (may("alice"), may("bob"), may("")) == (["payment"], ["storage"], ["storage"])
    await registry.do(steps.kill, APP, "why")
    assert may("alice") == may("bob") == []
    assert registry.read(records.authority, "org.example.none", "alice") is None


async def test_a_program_that_is_not_here_is_refused_by_every_step(registry: Registry) -> None:
    for job, more in (
        (steps.offline, ()), (steps.rollback, ()), (steps.set_minimum, (0,)), (steps.kill, ("x",)), (steps.revive, ()),
        (steps.quarantine, ("x",)), (steps.set_grants, ({},)), (steps.set_limits, ({},)),
    ):  # fmt: skip
        assert (await refused(registry, job, APP, *more)).code == "not_installed"
    ann = await registry.developer("Ann", 1)
    await registry.do(uploads.submit, offer(developer=ann.id, key=KEY), per_day=1, pending=1)
    assert (await refused(registry, steps.full, APP, 1)).code == "step_refused"
