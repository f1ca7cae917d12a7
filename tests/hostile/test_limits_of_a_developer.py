"""What all programs of one developer may use together: a real guest at the value, and one over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from runtime import HostBusy
from runtime.limits import DeveloperLimits
from runtime.worker_settings import WorkerSettings
from tests.runtime.ladder import Platform, open_platform, unsigned

APPS = ("org.example.one", "org.example.two")
MIB = 1 << 20


@pytest.fixture(params=["memory", "file"])
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    async with open_platform(tmp_path / "state" if request.param == "file" else None) as made:
        for app in APPS:
            await made.full(1, "same", app_id=app, turns=-1 if "spin" in app else 0)
        yield made


async def over(platform: Platform, app: str, limit: str, value: int) -> None:
    with pytest.raises(HostBusy) as refused:
        await platform.says(app=app)
    details = refused.value.details
    assert (refused.value.code, details["limit"], details["value"]) == ("rate_limited", limit, value)
    assert details["scope"] == "developer" and "developer" in refused.value.message
    assert refused.value.retry_after_ms is not None


async def test_calls_of_all_programs_are_counted_together(platform: Platform) -> None:
    await platform.host.developers.set_limits(platform.developer, {"calls_per_s": 1, "calls_burst": 4})
    for number in range(4):
        assert await platform.says(app=APPS[number % 2]) == "same"
    for app in APPS:
        await over(platform, app, "calls_per_s", 1)
    await platform.host.install(unsigned(1, app_id="org.example.nobodys"), allow_unsigned=True)
    assert await platform.says(app="org.example.nobodys") == "v001", "what nobody owns shares nothing"
    other = await platform.host.developers.sign_up("Bob Ltd")
    await platform.host.developers.set_limits(other.id, {"calls_burst": 1})
    await platform.host.developers.set_limits(platform.developer, {})
    assert await platform.says(app=APPS[0]) == "same"


async def test_cpu_time_of_all_programs_is_counted_together(platform: Platform) -> None:
    await platform.full(2, "same", app_id=APPS[0], turns=20_000_000)
    await platform.host.developers.set_limits(platform.developer, {"cpu_us_per_s": 1_000, "cpu_burst_us": 1_000})
    await platform.says(app=APPS[0])
    for app in APPS:
        await over(platform, app, "cpu_us_per_s", 1_000)


@pytest.mark.parametrize(
    "limits", [{"calls_in_flight": 2}, {"live_memory_bytes": 2 * MIB}], ids=lambda limits: next(iter(limits))
)
async def test_calls_and_memory_at_once_are_counted_together(limits: dict[str, int]) -> None:
    """Two fit, of any of the programs; a third waits in its own program's queue until one of the other ends."""
    ended: list[str] = []
    async with open_platform() as platform:
        for app in APPS:
            await platform.full(
                1, "same", app_id=app, pages=16, turns=60_000_000, program={"limits": {"memory_bytes": MIB}}
            )
        host = platform.host
        for app in APPS:
            await host.set_limits(app, {"cpu_us": 60_000_000, "cpu_burst_us": 3_600_000_000})
        await host.developers.set_limits(platform.developer, limits)

        async def call(app: str) -> None:
            await platform.says(app=app)
            ended.append(app)

        async with trio.open_nursery() as nursery:
            for app in (APPS[0], APPS[0], APPS[1]):
                nursery.start_soon(call, app)
            while not host.statistics().calls_queued:
                await trio.lowlevel.checkpoint()
            assert host.statistics().calls_in_flight == 2
        assert sorted(ended) == [APPS[0], APPS[0], APPS[1]]
        assert host.statistics().calls_queued == 0
        shared = host._registry.find(APPS[0])[0].admission._shared
        assert shared is not None and (shared.in_flight, shared.live_memory_bytes, shared.waiting) == (0, 0, {})


@pytest.mark.parametrize("workers", [None, WorkerSettings(count=1, slots=16, require="none")], ids=["here", "worker"])
async def test_idle_residents_are_memory_of_their_developer_and_make_way(workers: WorkerSettings | None) -> None:
    """Of whichever program: the one used least recently goes for a call that has no place, and no other."""
    async with open_platform(workers=workers) as platform:
        host, kept = platform.host, {"lifetime": "resident", "limits": {"memory_bytes": MIB}}
        for app in APPS:
            await platform.full(1, "same", app_id=app, pages=16, program=kept)
        await host.developers.set_limits(platform.developer, {"live_memory_bytes": 2 * MIB})
        shared = host._registry.find(APPS[0])[0].admission._shared
        assert shared is not None
        for user in ("alice", "bob"):
            assert await platform.says(user, APPS[0]) == "same"
        assert (shared.kept, shared.live_memory_bytes, host.statistics().sandboxes) == (2, 2 * MIB, 2)
        assert await platform.says("carol", APPS[1]) == "same"
        assert (shared.kept, shared.live_memory_bytes, host.statistics().sandboxes) == (2, 2 * MIB, 2)
        assert sorted(one.key for one in host._calls.residents._idle.values()) == [(APPS[0], "bob"), (APPS[1], "carol")]
        await host.uninstall(APPS[0])
        assert (shared.kept, shared.live_memory_bytes, host.statistics().sandboxes) == (1, MIB, 1)


async def test_uploads_are_bounded_by_the_developers_own_limits() -> None:
    async with open_platform(developer_limits=DeveloperLimits(uploads_pending=2, uploads_per_day=3)) as platform:
        for code in (1, 2):
            await platform.upload(code)
        with pytest.raises(Exception, match="uploads_pending is 2"):
            await platform.upload(3)
        await platform.host.releases.reject("org.example.small", 1, "No")
        await platform.upload(3)
        await platform.host.developers.set_limits(platform.developer, {"uploads_pending": 9})
        with pytest.raises(Exception, match="uploads_per_day is 3"):
            await platform.upload(4)
