"""What of the registry is in memory: programs in use, and no others; each call's snapshot as the store has it."""

from __future__ import annotations

import pytest
import trio

from host_api.errors import ApiError, ErrorCode
from host_api.releases import steps
from host_api.store import Store, open_store
from runtime.errors import NotInstalled
from runtime.limits import DeveloperLimits, Limits
from runtime.registry import Registry
from runtime.testing import VirtualClock
from tests.host_api.releases.conftest import Registry as Rows
from tests.host_api.releases.conftest import offer
from tests.runtime.ladder import APP, open_platform


def registry_of(store: Store, *, in_memory_max: int = 4) -> Registry:
    return Registry(store, limits=Limits(), developer_limits=DeveloperLimits(), in_memory_max=in_memory_max)


async def filled(store: Store, clock: VirtualClock, count: int, *, developer: str = "") -> None:
    rows = Rows(store, clock)
    for number in range(count):
        await rows.install(offer(1, f"org.example.m{number}", developer=developer, key="k" if developer else ""))


async def test_programs_not_called_for_the_longest_time_are_forgotten() -> None:
    clock = VirtualClock()
    async with open_store(None, clock) as store:
        await filled(store, clock, 10)
        registry = registry_of(store)
        first, _ = registry.find("org.example.m0")
        for number in (1, 2, 3, 1, 4, 5, 6):
            registry.find(f"org.example.m{number}")
        assert [program.app_id[-2:] for program in registry] == ["m1", "m4", "m5", "m6"]
        assert registry.find("org.example.m0")[0] is not first and len(registry) == 10
        with pytest.raises(NotInstalled):
            registry.find("org.example.none")


async def test_who_is_in_use_stays_until_nothing_of_it_would_be_lost() -> None:
    clock = VirtualClock()
    async with open_store(None, clock) as store:
        await filled(store, clock, 30)
        registry = registry_of(store)
        busy, _ = registry.find("org.example.m0")
        assert busy.admission.enter_now(store.now_us(), 65_536)
        for number in range(1, 15):
            registry.find(f"org.example.m{number}")
        assert registry.find("org.example.m0")[0] is busy and len(list(registry)) == 4
        busy.admission.leave(65_536, 1_000)
        for number in range(1, 15):
            registry.find(f"org.example.m{number}")
        assert registry.find("org.example.m0")[0] is busy, "its rate remembers the call"
        clock.advance(s=1)
        for number in range(1, 15):
            registry.find(f"org.example.m{number}")
        assert registry.find("org.example.m0")[0] is not busy


async def test_a_developers_share_is_kept_while_it_remembers_a_call() -> None:
    clock = VirtualClock()
    async with open_store(None, clock) as store:
        await filled(store, clock, 30, developer="ann")
        registry = registry_of(store)
        first, _ = registry.find("org.example.m0")
        shared = first.admission._shared
        assert shared is not None and first.admission.enter_now(store.now_us(), 65_536)
        first.admission.leave(65_536, 10_000_000)
        clock.advance(s=2)
        for number in range(1, 20):
            assert registry.find(f"org.example.m{number}")[0].admission._shared is shared
        assert shared.programs == len(list(registry)) == 4


async def test_memory_follows_the_store_and_keeps_what_did_not_change() -> None:
    clock = VirtualClock()
    async with open_store(None, clock) as store:
        await filled(store, clock, 1)
        rows, registry = Rows(store, clock), registry_of(store)
        program, release = registry.find("org.example.m0")
        await rows.do(steps.set_minimum, "org.example.m0", 1)
        registry.refresh("org.example.m0")
        assert registry.find("org.example.m0") == (program, release), "calls share one authority while nothing changes"
        await rows.do(steps.set_limits, "org.example.m0", {"calls_in_flight": 3})
        registry.refresh("org.example.m0")
        again, changed = registry.find("org.example.m0")
        assert again is program and changed is not release and changed.limits.calls_in_flight == 3


async def test_an_unknown_outcome_is_read_anew_for_each_call() -> None:
    """It may be written a moment later; memory must not go on with what was."""
    clock = VirtualClock()
    async with open_store(None, clock) as store:
        await filled(store, clock, 1)
        rows, registry = Rows(store, clock), registry_of(store)
        registry.find("org.example.m0")
        registry.doubt("org.example.m0")
        await rows.do(steps.set_limits, "org.example.m0", {"calls_in_flight": 3})
        assert registry.find("org.example.m0")[1].limits.calls_in_flight == 3
        registry.refresh("org.example.m0")
        await rows.do(steps.set_limits, "org.example.m0", {"calls_in_flight": 4})
        assert registry.find("org.example.m0")[1].limits.calls_in_flight == 3, "certain again, so from memory"


async def test_a_step_whose_outcome_is_unknown_is_doubted() -> None:
    async with open_platform() as platform:
        await platform.full(1)
        write = platform.host._changes._store.write

        class Late:
            """Writes, and says that nobody knows."""

            def __getattr__(self, name: str) -> object:
                return getattr(platform.host._store, name)

            async def write(self, job: object) -> object:
                await write(job)  # type: ignore[arg-type]
                raise ApiError(ErrorCode.UNKNOWN_OUTCOME, "no answer")

        platform.host._changes._store = Late()  # type: ignore[assignment]
        with pytest.raises(ApiError):
            await platform.host.releases.offline(APP)
        with pytest.raises(Exception, match="has no release"):
            await platform.says()


async def test_a_program_installed_while_it_leaves_is_another_one() -> None:
    async with open_platform() as platform:
        host = platform.host
        await platform.full(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.uninstall, APP)
            await trio.lowlevel.checkpoint()
        with pytest.raises(NotInstalled):
            await platform.says()
        await platform.full(2)
        assert await platform.says() == "v002" and host.statistics().programs == 1
