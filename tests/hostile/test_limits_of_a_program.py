"""Every limit of one program over all its calls: rates by a clock that is set, places and memory by calls that wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import App, HostBusy, ModuleError, wire
from runtime.limits import KIB
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import MEMORY, Script, module

WAIT = Script().call(wire.request(1, "session.sleep", {"ms": 60_000})).params()


@asynccontextmanager
async def waiting(site: Site, app: App, count: int) -> AsyncIterator[trio.Nursery]:
    """`count` calls that wait in their guests, or in the queue, until the block is left."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(site.host.call, app, "run", WAIT)
        await wait_all_tasks_blocked()
        yield nursery
        nursery.cancel_scope.cancel()


def counts(site: Site) -> tuple[int, int]:
    told = site.host.statistics()
    return told.calls_in_flight, told.calls_queued


# ---- rates -----------------------------------------------------------------------------------------------------------
async def test_limit_calls_burst(opened: Opened) -> None:
    async with opened(clock=VirtualClock()) as site:
        app = await site.install(module(), calls_burst=3, calls_per_s=1)
        for _ in range(3):
            await site.host.call(app, "run")
        with pytest.raises(HostBusy) as caught:
            await site.host.call(app, "run")
        assert (caught.value.code, caught.value.details["limit"]) == ("rate_limited", "calls_per_s")


async def test_limit_calls_per_s(opened: Opened) -> None:
    clock = VirtualClock()
    async with opened(clock=clock) as site:
        app = await site.install(module(), calls_burst=1, calls_per_s=4)
        await site.host.call(app, "run")
        clock.advance(us=249_999)
        with pytest.raises(HostBusy) as caught:
            await site.host.call(app, "run")
        assert (caught.value.retry_after_ms, caught.value.details["value"]) == (1, 4)
        clock.advance(us=1)
        await site.host.call(app, "run")


BURN = Script().step("spin", 5_000_000).params()


async def test_limit_cpu_burst_us(opened: Opened) -> None:
    async with opened(clock=VirtualClock()) as site:
        app = await site.install(cpu_us_per_s=1_000, cpu_burst_us=1_000)
        await site.host.call(app, "run", BURN)
        with pytest.raises(HostBusy):
            await site.host.call(app, "run", BURN)
        app = await site.install(cpu_us_per_s=1_000, cpu_burst_us=10_000_000)
        for _ in range(2):
            await site.host.call(app, "run", BURN)


async def test_limit_cpu_us_per_s(opened: Opened) -> None:
    """What a call used over the burst is waited for by the next one, to the microsecond of the average."""
    clock = VirtualClock()
    async with opened(clock=clock) as site:
        app = await site.install(cpu_us_per_s=1_000, cpu_burst_us=1_000)
        used = (await site.host.call(app, "run", BURN)).receipt.usage.cpu_us
        assert used > 1_000
        short = (used - 1_000 + 1) * 1_000  # µs until one µs may be used again, at 1,000 µs a second
        clock.advance(us=short - 1)
        with pytest.raises(HostBusy) as caught:
            await site.host.call(app, "run", BURN)
        assert (caught.value.code, caught.value.details["limit"]) == ("rate_limited", "cpu_us_per_s")
        clock.advance(us=1)
        await site.host.call(app, "run", BURN)


async def test_an_ended_call_is_charged_too(opened: Opened) -> None:
    """A guest that traps, or is ended, has used what it has used (CWA-2024-008, CWA-2025-004)."""
    async with opened(clock=VirtualClock()) as site:
        for ending in (Script().step("spin", 5_000_000).step("unreachable"), Script().step("spin", 0)):
            app = await site.install(cpu_us_per_s=1_000, cpu_burst_us=1_000, cpu_us=20_000)
            await site.end(ending, app)
            with pytest.raises(HostBusy):
                await site.end(ending, app)


# ---- places ----------------------------------------------------------------------------------------------------------
async def two_at_once(site: Site, app: App) -> None:
    async with waiting(site, app, 2):
        assert counts(site) == (2, 0)
    async with waiting(site, app, 3):
        assert counts(site) == (2, 1)


async def test_limit_calls_in_flight(site: Site) -> None:
    await two_at_once(site, await site.install(calls_in_flight=2))


async def test_limit_sandboxes(site: Site) -> None:
    await two_at_once(site, await site.install(sandboxes=2))


async def test_limit_live_memory_bytes(site: Site) -> None:
    app = await site.install(memory_bytes=MEMORY, live_memory_bytes=2 * MEMORY)
    async with waiting(site, app, 2):
        assert counts(site) == (2, 0)
    app = await site.install(memory_bytes=MEMORY, live_memory_bytes=2 * MEMORY - 1)
    async with waiting(site, app, 2):
        assert counts(site) == (1, 1)
    app = await site.install(memory_bytes=MEMORY, live_memory_bytes=MEMORY)
    async with waiting(site, app, 1):
        assert counts(site) == (1, 0)
    with pytest.raises(ModuleError) as caught:  # it would wait in the queue for ever
        await site.install(memory_bytes=MEMORY, live_memory_bytes=MEMORY - 1)
    assert caught.value.details["limit"] == "live_memory_bytes"


async def test_limit_calls_queued(site: Site) -> None:
    app = await site.install(calls_in_flight=1, calls_queued=2)
    async with waiting(site, app, 3):
        assert counts(site) == (1, 2)
        with pytest.raises(HostBusy) as caught:
            await site.host.call(app, "run", WAIT)
        assert (caught.value.code, caught.value.details["used"]) == ("queue_full", 2)


async def test_limit_held_bytes(site: Site) -> None:
    """Queued messages, to the byte. Responses that are not taken: tests of posted requests."""
    app = await site.install(calls_in_flight=1, held_bytes=64 * KIB)
    overhead = len(wire.request(1, "run", {"s": bytes(1_000)})) - 1_000
    half = {"s": bytes(32 * KIB - overhead)}
    async with waiting(site, app, 1) as nursery:
        for _ in range(2):
            nursery.start_soon(site.host.call, app, "run", half)
        await wait_all_tasks_blocked()
        assert counts(site) == (1, 2)
        with pytest.raises(HostBusy) as caught:
            await site.host.call(app, "run", {})
        assert (caught.value.code, caught.value.details["used"]) == ("overloaded", 64 * KIB)


async def test_responses_not_taken_are_on_the_programs_account(site: Site) -> None:
    """Two hold what there is; the third large one is refused, and the guest lives. What was kept is let go."""
    app = await site.install(held_bytes=64 * KIB)
    await site.ask(wire.request(1, "storage.put", {"key": "large", "value": bytes(30_000)}), app)
    get = [wire.request(msgid, "storage.get", {"key": "large"}) for msgid in (1, 2, 3)]
    script = Script().post(get[0]).post(get[1]).post(get[2]).awaited().awaited().awaited()
    told = await site.run(script, app)
    codes = [
        (found := wire.decode(shown, 64 * KIB))[2] and found[2]["code"] for shown in told if isinstance(shown, bytes)
    ]
    assert codes == [None, None, "limit_exceeded"]
    kept = Script().post(get[0]).post(get[1]).call(get[2], capacity=10).step("take", 0, 0)
    told, reply = await site.reply(kept, app)
    assert told[2] < 1_024  # the error, which took the place of 30,000 bytes
    assert (told[3], reply.receipt.usage.unclaimed) == (told[2], 2)


async def test_a_small_response_is_kept_whatever_the_program_holds(site: Site) -> None:
    """It may tell of an effect that a refusal would deny."""
    app = await site.install(held_bytes=64 * KIB)
    put = {"key": "large", "value": bytes(32_700)}
    get = [wire.request(msgid, "storage.get", {"key": "large"}) for msgid in (1, 2)]
    await site.ask(wire.request(1, "storage.put", put), app)
    script = Script().post(get[0]).post(get[1]).post(wire.request(3, "storage.put", {"key": "small", "value": 1}))
    told = await site.run(script.awaited().awaited().awaited(), app)
    assert wire.decode(told[-1], 4096)[:3] == [1, 3, None]
