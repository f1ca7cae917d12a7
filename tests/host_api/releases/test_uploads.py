"""Uploads and installs: who may, how many, under which version codes; and what is stored once."""

from __future__ import annotations

import pytest

from host_api.ownership import NotOwner, owner_of
from host_api.releases import contents, records, removal, steps
from host_api.releases.transitions import RegistryRefused
from host_api.releases.upload_counts import DAY_US
from host_api.releases.uploads import KEPT_MAX
from host_api.releases.values import Status
from tests.host_api.releases.conftest import APP, FACTS, NOTHING, Registry, asset, key_of, offer

KEY = key_of(1, "").key_id


async def refusal(registry: Registry, made: object, **options: int) -> RegistryRefused:
    with pytest.raises(RegistryRefused) as caught:
        await registry.submit(made, **options)  # type: ignore[arg-type]
    return caught.value


async def test_an_upload_waits_with_its_report_and_the_same_again_is_the_same(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    made = offer(developer=ann.id, key=KEY)
    first = await registry.submit(made)
    assert (first.status, first.report, first.developer, first.signed_by) == (Status.SUBMITTED, {"n": 1}, ann.id, KEY)
    assert await registry.submit(made) == first
    assert registry.read(records.submitted, 10) == [first]
    assert [one["effect"] for one in registry.told()].count("release.uploaded") == 1
    assert registry.rows("programs") == 0, "nobody can call what nobody approved"


async def test_a_version_code_is_used_once(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    await registry.submit(offer(5, developer=ann.id, key=KEY))
    for code, identity in ((5, "0" * 64), (4, "1" * 64)):
        found = await refusal(registry, offer(code, developer=ann.id, key=KEY, identity=identity))
        assert (found.code, found.details["highest"]) == ("version_taken", 5)
    await registry.do(steps.reject, APP, 5, "No")
    assert (await refusal(registry, offer(5, developer=ann.id, key=KEY, identity="2" * 64))).code == "version_taken"
    await registry.submit(offer(6, developer=ann.id, key=KEY))


async def test_an_id_is_the_developers_while_an_upload_waits_and_for_ever_after_an_approval(registry: Registry) -> None:
    ann, bob = await registry.developer("Ann", 1), await registry.developer("Bob", 2)
    of_bob = offer(2, developer=bob.id, key=key_of(2, "").key_id, wasm=b"bob")
    await registry.submit(offer(3, developer=ann.id, key=KEY, wasm=b"ann"))
    with pytest.raises(NotOwner):
        await registry.submit(of_bob)
    await registry.do(steps.reject, APP, 3, "This is Bob's name")
    assert registry.read(owner_of, APP) == ""
    await registry.submit(of_bob)
    assert registry.rows("releases") == registry.rows("modules") == 1, "what was rejected is gone"
    await registry.do(steps.approve, APP, 2, NOTHING)
    assert registry.read(owner_of, APP) == bob.id
    await registry.do(steps.reject, APP, 2, "On second thoughts")
    with pytest.raises(NotOwner):
        await registry.submit(offer(4, developer=ann.id, key=KEY))


async def test_what_an_owner_before_uploaded_is_approved_no_more(registry: Registry) -> None:
    ann, bob = await registry.developer("Ann", 1), await registry.developer("Bob", 2)
    await registry.install(offer(1, developer=ann.id, key=KEY))
    await registry.submit(offer(9, developer=ann.id, key=KEY))
    await registry.install(offer(2, developer=bob.id, key=key_of(2, "").key_id), new_owner=True)
    with pytest.raises(NotOwner):
        await registry.do(steps.approve, APP, 9, NOTHING)


@pytest.mark.parametrize("most", [1, 3])
async def test_so_many_wait_at_once(registry: Registry, most: int) -> None:
    ann = await registry.developer("Ann", 1)
    for code in range(1, most + 1):
        await registry.submit(offer(code, developer=ann.id, key=KEY), pending=most)
    found = await refusal(registry, offer(most + 1, developer=ann.id, key=KEY), pending=most)
    assert (found.code, found.details["value"], found.details["used"]) == ("uploads_pending", most, most)
    await registry.do(steps.reject, APP, 1, "No")
    await registry.submit(offer(most + 1, developer=ann.id, key=KEY), pending=most)


async def test_so_many_a_day(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    for code in (1, 2):
        await registry.submit(offer(code, developer=ann.id, key=KEY), per_day=2)
    for wait_us, taken in ((DAY_US - 5, False), (5, True)):
        registry.clock.advance(us=wait_us)
        if taken:
            await registry.submit(offer(3, developer=ann.id, key=KEY), per_day=2)
        else:
            found = await refusal(registry, offer(3, developer=ann.id, key=KEY), per_day=2)
            assert (found.code, found.details["used"]) == ("uploads_per_day", 2)


async def test_an_install_is_full_at_once_and_follows_the_one_before(registry: Registry) -> None:
    await registry.install(offer(1))
    await registry.install(offer(2))
    await registry.install(offer(2, identity="0" * 64))
    found = {one.code: one.status for one in registry.read(records.releases_of, APP, 0, 9)}
    assert found == {1: Status.SUPERSEDED, 2: Status.FULL}
    with pytest.raises(RegistryRefused) as caught:
        await registry.install(offer(1))
    assert caught.value.code == "version_goes_down"
    assert (await registry.do(steps.rollback, APP)).current_code == 1
    assert {one["effect"] for one in registry.told()} == {"program.installed", "release.rolled_back"}


async def test_an_install_passes_a_candidate_by(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    await registry.install(offer(1, developer=ann.id, key=KEY))
    await registry.submit(offer(3, developer=ann.id, key=KEY))
    await registry.do(steps.approve, APP, 3, NOTHING)
    await registry.do(steps.trial, APP, 3, ["alice"])
    for code, candidate in ((2, 3), (3, 0), (4, 0)):
        await registry.install(offer(code, developer=ann.id, key=KEY))
        now = registry.read(records.status, APP)
        assert (now.current_code, now.candidate_code, now.trial_users) == (code, candidate, int(candidate > 0))


async def test_a_template_is_stored_once_for_all_who_have_it(registry: Registry) -> None:
    icon, page = asset("common/icon.png", b"icon"), asset("pages/a", b"page")
    for number in range(50):
        await registry.install(offer(1, f"org.example.m{number}", assets=(icon, page)))
    assert [registry.rows(name) for name in ("releases", "modules", "assets", "asset_lists")] == [50, 1, 2, 2]
    await registry.install(offer(2, "org.example.m0", assets=(icon,), wasm=b"\0asm2"))
    assert [registry.rows(name) for name in ("modules", "assets", "asset_lists")] == [2, 2, 3]
    module = registry.read(records.get_release, "org.example.m0", 2).module_sha256
    assert registry.read(contents.module, module) == b"\0asm2"


async def test_what_no_release_has_goes_with_the_last_that_had_it(registry: Registry) -> None:
    icon = asset("common/icon.png", b"icon")
    await registry.install(offer(1, assets=(icon,)))
    await registry.install(offer(2, assets=(icon,), wasm=b"\0asm2"))
    await registry.install(offer(1, "org.example.taxi", wasm=b"\0asm2"))
    assert await registry.do(removal.leave, APP)
    while await registry.do(removal.remove_some, APP):
        pass
    assert await registry.do(removal.forget, APP)
    assert not await registry.do(removal.leave, APP)
    left = {name: registry.rows(name) for name in ("programs", "releases", "modules", "assets", "asset_lists")}
    assert left == {"programs": 1, "releases": 1, "modules": 1, "assets": 0, "asset_lists": 0}
    assert registry.told()[-1]["effect"] == "program.uninstalled"


async def test_a_program_that_leaves_is_not_there_and_can_be_installed_anew(registry: Registry) -> None:
    await registry.install(offer(7))
    await registry.do(removal.leave, APP)
    with pytest.raises(RegistryRefused) as caught:
        await registry.do(steps.kill, APP, "why")
    assert caught.value.code == "not_installed"
    await registry.install(offer(1))
    assert not await registry.do(removal.remove_some, APP)
    assert not await registry.do(removal.forget, APP)
    assert registry.read(records.status, APP).current_code == 1
    assert [one.code for one in registry.read(records.releases_of, APP, 0, 9)] == [1]


async def test_old_releases_go_and_what_can_be_gone_back_to_last_stays(registry: Registry) -> None:
    for code in range(1, KEPT_MAX + 6):
        await registry.install(offer(code, wasm=b"\0asm%d" % code))
    kept = [one.code for one in registry.read(records.releases_of, APP, 0, 100)]
    assert kept == list(range(6, KEPT_MAX + 6)) and registry.rows("modules") == KEPT_MAX
    assert (await registry.do(steps.rollback, APP)).current_code == KEPT_MAX + 4


async def test_the_registrys_lists_go_on_after_a_key(registry: Registry) -> None:
    for number in range(5):
        await registry.install(offer(1, f"org.example.m{number}"))
    first = registry.read(records.statuses, "", 2)
    then = registry.read(records.statuses, first[-1].app_id, 9)
    assert [one.app_id for one in (*first, *then)] == [f"org.example.m{number}" for number in range(5)]


async def test_events_are_for_programs_whose_releases_all_take_them(registry: Registry) -> None:
    takes = {"facts": type(FACTS)(**{**{n: getattr(FACTS, n) for n in FACTS.__struct_fields__}, "takes_events": True})}
    await registry.install(offer(1))
    assert not registry.read(records.takes_events, APP)
    await registry.install(offer(2, **takes))
    assert registry.read(records.takes_events, APP)
    for job, arguments, expected in (
        (steps.kill, ("why",), False), (steps.revive, (), True), (steps.offline, (), False),
    ):  # fmt: skip
        await registry.do(job, APP, *arguments)
        assert registry.read(records.takes_events, APP) is expected
    assert not registry.read(records.takes_events, "org.example.none")
