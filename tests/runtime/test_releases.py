"""The ladder with real guests: who gets which release, at every step, through restarts and under load."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from host_api import audit
from host_api.releases.rollout import place
from runtime import BundleError, Ending, Host, HostBusy, NotInstalled, SignatureError, SigningKey, UsageError
from runtime.bundle import Keyring, TrustedKey
from runtime.bundle.rotation import rotation_message
from runtime.errors import CallRevoked, ProgramUnavailable
from runtime.program_changes import Quarantine
from tests.runtime.ladder import ANN, APP, BOB, Platform, open_platform, packed, signed, unsigned

USERS = [f"user-{number}" for number in range(400)]


@pytest.fixture(params=["memory", "file"])
async def platform(request: pytest.FixtureRequest, tmp_path: Path, artifacts: Path) -> AsyncIterator[Platform]:
    state = tmp_path / "state" if request.param == "file" else None
    async with open_platform(state, cache_dir=artifacts) as made:
        yield made


# ---- uploads ---------------------------------------------------------------------------------------------------------
async def test_an_upload_is_looked_at_before_anybody_gets_it(platform: Platform) -> None:
    await platform.upload(1)
    releases = platform.host.releases
    (waiting,) = releases.submitted()
    assert waiting == releases.show(APP, 1)
    report = waiting.report
    assert (report["signed_by"], report["developer"]) == (ANN.public_key.key_id, platform.developer)
    assert [asked["name"] for asked in report["capabilities"]] == ["storage", "payment", "http"]
    assert report["bytes"]["members"] == 2 and report["imports"] == [] and report["differences"] == {"to": 0}
    with pytest.raises(NotInstalled):
        await platform.says()
    await releases.reject(APP, 1, "The texts are in no language that people here read")
    assert releases.show(APP, 1).reason.startswith("The texts")
    with pytest.raises(UsageError) as refused:
        await releases.full(APP, 1)
    assert (refused.value.code, refused.value.details["allowed"]) == ("step_refused", [])


async def test_uploads_over_a_developers_count_are_not_even_compiled(platform: Platform) -> None:
    """Compilation is the dearest thing a stranger can ask for."""
    host = platform.host
    await host.developers.set_limits(platform.developer, {"uploads_pending": 1})
    await platform.upload(1)
    compiled = host._modules.compiled.total()
    with pytest.raises(UsageError) as refused:
        await platform.upload(2)
    assert refused.value.code == "uploads_pending"
    await platform.upload(1)
    assert compiled == host._modules.compiled.total()


async def test_a_developer_has_one_place_in_the_line_before_the_compiler() -> None:
    busy: list[str] = []
    async with open_platform() as platform, trio.open_nursery() as nursery:

        async def upload(code: int) -> None:
            try:
                await platform.upload(code, app_id=f"org.example.line{code}")
            except HostBusy as error:
                busy.append(error.message)

        for code in range(1, 5):
            nursery.start_soon(upload, code)
    assert len(busy) == 3
    assert "one after the other" in busy[0]


async def test_a_report_says_what_is_new(platform: Platform) -> None:
    await platform.full(1)
    hosts = {"hosts": ["evil.example"]}
    asked = [{"name": "http", "reason": "r", "constraints": hosts}, {"name": "user.phone", "reason": "r"}]
    await platform.upload(2, req_permissions=asked, program={"limits": {"cpu_us": 90_000}})
    report = platform.host.releases.show(APP, 2).report
    told = report["differences"]
    assert (told["to"], told["module"], told["new_capabilities"]) == (1, True, ["user.phone"])
    assert (told["gone_capabilities"], told["new_hosts"]) == (["payment", "storage"], ["evil.example"])
    assert (told["changed_constraints"], told["changed_limits"]) == (["http"], ["cpu_us"])
    assert report["limits"] == {"cpu_us": {"wanted": 90_000, "default": 50_000}}


async def test_only_a_developers_own_valid_key_uploads(platform: Platform) -> None:
    host, releases = platform.host, platform.host.releases
    bob = await host.developers.sign_up("Bob Ltd")
    for made, code in (
        (signed(1, by=BOB), "key_unknown"), (unsigned(1), "unsigned_bundle"),
    ):  # fmt: skip
        with pytest.raises(SignatureError) as refused:
            await releases.upload(platform.developer, made)
        assert refused.value.code == code
    await host.developers.add_key(bob.id, str(BOB.public_key))
    with pytest.raises(SignatureError) as refused:
        await releases.upload(platform.developer, signed(1, by=BOB))
    assert refused.value.code == "key_unknown"
    await platform.upload(1)
    with pytest.raises(UsageError) as other:
        await releases.upload(bob.id, signed(2, by=BOB))
    assert other.value.code == "other_developer"
    await host.developers.revoke_key(ANN.public_key.key_id, "stolen")
    for attempt in (releases.upload(platform.developer, signed(2)), host.install(signed(2))):
        with pytest.raises(SignatureError) as refused:
            await attempt
        assert refused.value.code == "key_revoked"
    assert host.developers.installed_by_key(ANN.public_key.key_id) == [(APP, 1, "submitted")]


async def test_bytes_that_are_no_bundle_are_refused_and_nothing_is_stored(platform: Platform) -> None:
    whole = packed(1)
    for data in (b"", whole[:-1], whole):
        with pytest.raises(BundleError):
            await platform.host.releases.upload(platform.developer, data)
    assert platform.host.releases.list(APP) == []


async def test_rotation_is_signed_by_both_keys(platform: Platform) -> None:
    developers, new = platform.host.developers, SigningKey.from_seed(bytes([9]) * 32)
    message = rotation_message(platform.developer, ANN.public_key, new.public_key)
    by_old, by_new = ANN._private.sign(message), new._private.sign(message)
    arguments = (platform.developer, ANN.public_key.key_id, str(new.public_key))
    for wrong in ((by_new, by_new), (by_old, by_old), (by_old, bytes(64)), (by_old[:63], by_new)):
        with pytest.raises(SignatureError) as refused:
            await developers.rotate_key(*arguments, *wrong)
        assert refused.value.code == "signature_invalid"
    key = await developers.rotate_key(*arguments, by_old, by_new)
    assert key.rotated_from == ANN.public_key.key_id
    await platform.host.releases.upload(platform.developer, signed(1, by=new))


async def test_a_key_of_small_order_is_nobodys(platform: Platform) -> None:
    for text in ("ed25519:" + "A" * 43, "ed25519:AQ" + "A" * 41, "rsa:1"):
        with pytest.raises(SignatureError):
            await platform.host.developers.add_key(platform.developer, text)


# ---- who gets it -----------------------------------------------------------------------------------------------------
async def test_the_ladder_from_nobody_to_everybody_and_back(platform: Platform) -> None:
    releases = platform.host.releases
    await platform.approve(1)
    with pytest.raises(ProgramUnavailable) as nobody:
        await platform.says("alice")
    assert (nobody.value.code, nobody.value.details["state"]) == ("program_unavailable", "not_released")
    await releases.trial(APP, 1, ["alice"])
    assert await platform.says("alice") == "v001"
    for user in ("bob", ""):
        with pytest.raises(ProgramUnavailable):
            await platform.says(user)
    await releases.full(APP, 1)
    await platform.approve(2)
    await releases.trial(APP, 2, ["alice"])
    assert [await platform.says(user) for user in ("alice", "bob", "")] == ["v002", "v001", "v001"]
    await releases.gray(APP, 2, 3_000)
    got = {user: await platform.says(user) for user in USERS}
    assert {user for user in USERS if got[user] == "v002"} == {user for user in USERS if place(APP, user) < 3_000}
    assert await platform.says("alice") == "v002" and await platform.says() == "v001"
    await releases.full(APP, 2)
    assert [await platform.says(user) for user in ("alice", "bob", "")] == ["v002"] * 3
    await releases.rollback(APP)
    assert [await platform.says(user) for user in ("alice", "bob", "")] == ["v001"] * 3
    await releases.offline(APP)
    with pytest.raises(ProgramUnavailable):
        await platform.says("alice")
    await releases.full(APP, 1)
    assert await platform.says("alice") == "v001"


async def test_all_of_it_is_there_after_a_restart(tmp_path: Path, artifacts: Path) -> None:
    state = tmp_path / "state"
    async with open_platform(state, cache_dir=artifacts) as platform:
        await platform.full(1, grant=["storage", "payment"])
        await platform.approve(2)
        await platform.host.releases.trial(APP, 2, ["alice"])
        await platform.host.revoke(APP, "payment")
        await platform.host.set_limits(APP, {"message_in_bytes": 64})
        before = platform.host.program(APP)
    async with open_platform(state, cache_dir=artifacts) as platform:
        host = platform.host
        assert host.program(APP) == before and host.statistics().programs == 1
        assert [await platform.says(user) for user in ("alice", "bob")] == ["v002", "v001"]
        held = host._registry.find(APP)[1].authority.grants()
        assert [grant.capability for grant in held] == ["storage"]
        assert host._registry.find(APP)[1].limits.message_in_bytes == 64
        await host.releases.rollback(APP)
        await host.uninstall(APP, erase=True)
    async with open_platform(state, cache_dir=artifacts) as platform:
        with pytest.raises(NotInstalled):
            await platform.says()
        assert platform.host.programs() == []


async def test_the_kill_switch_ends_what_runs_and_holds_through_a_restart(tmp_path: Path, artifacts: Path) -> None:
    state, ended = tmp_path / "state", []
    async with open_platform(state, cache_dir=artifacts) as platform:
        host = platform.host
        await platform.full(1, turns=-1, grant=["storage"])
        await host.set_limits(APP, {"cpu_us": 60_000_000, "cpu_burst_us": 60_000_000})

        async def spin() -> None:
            with pytest.raises(CallRevoked) as caught:
                await platform.says("alice")
            ended.append(caught.value.ending)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(spin)
            while not host.statistics().calls_in_flight:
                await trio.lowlevel.checkpoint()
            await host.releases.kill(APP, "it steals")
        assert ended == [Ending.REVOKED]
        await _stopped(platform, "killed")
    async with open_platform(state, cache_dir=artifacts) as platform:
        await _stopped(platform, "killed")
        await platform.host.releases.revive(APP)
        await platform.host.releases.quarantine(APP, "it killed three workers")
        await _stopped(platform, "quarantined")
        await platform.host.releases.revive(APP)
        await platform.full(2)
        assert await platform.says("alice") == "v002"


async def _stopped(platform: Platform, state: str) -> None:
    with pytest.raises(ProgramUnavailable) as refused:
        await platform.says("alice")
    assert refused.value.details["state"] == state


async def test_a_release_takes_over_under_load_without_a_failed_call(platform: Platform) -> None:
    """Every call gets one release whole; none fails, whichever step is taken meanwhile."""
    releases, seen, stop = platform.host.releases, Counter[str](), trio.Event()
    await platform.full(1)
    await platform.host.set_limits(
        APP, {"calls_per_s": 1_000_000, "calls_burst": 1_000_000, "cpu_us_per_s": 60_000_000}
    )

    async def caller(number: int) -> None:
        turn = 0
        while not stop.is_set():
            seen[await platform.says(USERS[(number * 7 + turn) % len(USERS)])] += 1
            turn += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(caller, number)
        await platform.approve(2)
        await platform.host.set_limits(
            APP, {"calls_per_s": 1_000_000, "calls_burst": 1_000_000, "cpu_us_per_s": 60_000_000}
        )
        for share in (1_000, 5_000):
            await releases.gray(APP, 2, share)
            await trio.sleep(0.05)
        await releases.full(APP, 2)
        await trio.sleep(0.05)
        began = trio.current_time()
        await releases.rollback(APP)
        assert trio.current_time() - began < 1
        seen.clear()
        await trio.sleep(0.05)
        stop.set()
    assert set(seen) <= {"v001", "v002"} and seen["v001"] > 0


async def test_a_call_keeps_its_release_to_its_end_and_loses_what_is_taken_away(platform: Platform) -> None:
    host = platform.host
    await platform.full(1, grant=["storage", "payment"])
    first = host._registry.find(APP)[1]
    await platform.full(2, grant=["storage"])
    second = host._registry.find(APP)[1]
    assert second.app.release_code == 2 and first.app.release_code == 1
    assert [grant.capability for grant in first.authority.grants()] == ["storage"]
    await host.set_grants(APP, {"storage": {"keys": ["a"]}})
    assert second.authority.grants().as_dict() == {"storage": {"keys": ["a"]}}
    await host.releases.rollback(APP)
    assert host.program(APP).grants == {"storage": {"keys": ["a"]}}


async def test_what_was_revoked_stays_revoked_whatever_release_comes_back(platform: Platform) -> None:
    host = platform.host
    await platform.full(1, grant=["storage", "payment"])
    await platform.full(2, grant=["storage", "payment"])
    await host.revoke(APP, "payment")
    await host.releases.rollback(APP)
    assert host.program(APP).grants == {"storage": {}}
    told = host._store.read(lambda tx: audit.records_after(tx, 0, 99))
    assert sum('"effect":"grant.revoked"' in record for _, record in told) == 1


# ---- the operator's short way ----------------------------------------------------------------------------------------
async def test_a_keyring_and_the_registry_know_one_developer(tmp_path: Path, artifacts: Path) -> None:
    keyring = Keyring([TrustedKey(public_key=ANN.public_key, owner="Ann of old")])
    async with Host.open(tmp_path / "state", keyring=keyring) as host:
        await host.install(signed(1))
        assert host.program(APP).owner == "Ann of old"
        ann = await host.developers.sign_up("Ann Ltd")
        await host.developers.add_key(ann.id, str(ANN.public_key))
        await host.install(signed(2))
        assert host.program(APP).owner == ann.id
    revoked = Keyring([TrustedKey(public_key=ANN.public_key, revoked=True)])
    async with Host.open(tmp_path / "state", keyring=revoked) as host:
        with pytest.raises(SignatureError) as refused:
            await host.install(signed(3))
        assert refused.value.code == "key_revoked"


async def test_programs_of_different_trust_are_of_different_groups(platform: Platform) -> None:
    host = platform.host
    await host.install(unsigned(1, app_id="org.example.unsigned"), allow_unsigned=True)
    await platform.full(1)

    def group(app: str = APP) -> str:
        return host._registry.find(app)[1].group

    assert (group("org.example.unsigned"), group()) == ("unreviewed", "reviewed")
    await host.developers.set_trust(platform.developer, "platform")
    assert group() == "platform"
    await host.install(signed(2), isolation="dedicated")
    assert group() == f"alone:{APP}"
    await host.install(signed(3))
    assert group() == f"alone:{APP}", "as it was"


async def test_assets_and_module_are_stored_once_for_a_template(platform: Platform) -> None:
    files = {"common/icon.png": b"icon", "pages/a.json": b"{}"}
    for number in range(5):
        await platform.host.install(signed(1, "same", app_id=f"org.example.m{number}", contents=files))
    counts = platform.host._store.read(
        lambda tx: [tx.execute(f"SELECT count(*) FROM {name}")[0][0] for name in ("modules", "assets", "asset_lists")]
    )
    assert counts == [1, 2, 2]
    assert [await platform.says(app=f"org.example.m{number}") for number in range(5)] == ["same"] * 5


async def test_a_module_whose_artifact_is_gone_is_compiled_from_the_store(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with open_platform(state) as platform:
        await platform.full(1)
    for artifact in (state / "artifacts").rglob("*"):
        if artifact.is_file():
            artifact.unlink()
    async with open_platform(state) as platform:
        assert await platform.says() == "v001"


async def test_a_program_that_an_executor_tells_of_is_quarantined(platform: Platform) -> None:
    await platform.full(1)
    host = platform.host
    async with trio.open_nursery() as nursery:
        told = Quarantine(nursery, lambda: "incident")
        told.changes = host._changes  # type: ignore[assignment]
        told(APP, "it killed three workers: " + "x" * 500)
        told("org.example.none", "not here any more")
    assert len(host.program(APP).quarantined) == 200
    await _stopped(platform, "quarantined")
