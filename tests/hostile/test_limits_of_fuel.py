"""Fuel, met by a real guest at its value and one over: the same count each time, beside preemption and suspension."""

from __future__ import annotations

import pytest

from runtime import Ending, Host, HostSettings, jail, wire
from runtime.limits import FUEL_MOST, Limits
from runtime.offers import effective_limits
from runtime.worker_settings import WorkerSettings
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import OK, Script, bundle, module, scripted

INFO = wire.request(1, "session.info", {})
LONG = 3_000_000
"""Turns of a loop, over several ticks."""


async def used(site: Site, script: Script) -> int:
    _, reply = await site.reply(script, fuel=FUEL_MOST, cpu_us=10_000_000)
    return reply.receipt.usage.fuel


@pytest.mark.parametrize(
    "script",
    [Script(), Script().step("spin", LONG), Script().ask(INFO), Script().step("spin", 7).ask(INFO).step("spin", LONG)],
    ids=["nothing", "preempted", "suspended", "both"],
)
async def test_limit_fuel(site: Site, script: Script) -> None:
    needed = await used(site, script)
    for _ in range(2):
        _, reply = await site.reply(script, fuel=needed, cpu_us=10_000_000)
        assert reply.receipt.usage.fuel == needed
    ending, error, receipt = await site.end(script, fuel=needed - 1, cpu_us=10_000_000)
    assert ending is Ending.FUEL_EXHAUSTED
    assert error.details == {"limit": "fuel", "value": needed - 1, "used": needed, "unit": "instructions"}
    assert receipt.usage.fuel == needed


async def test_a_guest_that_spins_is_stopped_by_its_fuel(site: Site) -> None:
    ending, _, receipt = await site.end(Script().step("spin", 0), fuel=1_000_000, cpu_us=60_000_000)
    assert (ending, receipt.usage.fuel) == (Ending.FUEL_EXHAUSTED, 1_000_001)


async def test_it_asks_for_nothing_once_its_fuel_is_used_up(site: Site) -> None:
    """Also in a straight line, where no loop and no function looks at the count."""
    asked = Script().ask(INFO)
    needed = await used(site, asked)
    calls = [(await site.end(asked, fuel=fuel))[2].usage.host_calls for fuel in range(1, needed, 12)]
    assert calls == sorted(calls)
    assert (calls[0], calls[-1]) == (0, 1)


@pytest.mark.parametrize("what", ["start", "initialize"])
async def test_start_functions_use_it_too(site: Site, what: str) -> None:
    spinning = {what: "(loop (br 0))"}
    ending, _, _ = await site.end(module(OK, **spinning), fuel=10_000, cpu_us=60_000_000)
    assert ending is Ending.FUEL_EXHAUSTED


async def test_a_nan_is_the_canonical_one(site: Site) -> None:
    more = '(data (i32.const 512) "\\94\\01\\01\\c0\\c4\\04") (data (i32.const 600) "\\01\\00\\c0\\ff")'
    handle = """(i32.store (i32.const 518) (i32.reinterpret_f32 (f32.add (f32.load (i32.const 600)) (f32.const 1))))
      (i64.const 2199023255562)"""
    made = {}
    for fuel in (0, FUEL_MOST):
        app = await site.install(module(handle, more=more), fuel=fuel)
        made[fuel] = (await site.host.call(app, "run")).value
    assert made[FUEL_MOST] == bytes.fromhex("0000c07f")
    assert made[0] != made[FUEL_MOST], "on this processor both engines make the same NaN: the test proves nothing"


async def test_where_it_is_off_nothing_is_counted(site: Site) -> None:
    _, reply = await site.reply(Script().step("spin", 1_000))
    assert reply.receipt.usage.fuel == 0


async def test_one_program_counts_it_beside_another_that_does_not(opened: Opened) -> None:
    """The same module, compiled twice: each keeps to its own engine, whoever was first."""
    async with opened() as site:
        plain, metered = await site.install(), await site.install(fuel=1_000_000)
        for _ in range(2):
            _, reply = await site.reply(Script().ask(INFO), plain)
            _, other = await site.reply(Script().ask(INFO), metered)
            assert reply.receipt.usage.fuel == 0 < other.receipt.usage.fuel


async def test_each_message_of_a_resident_sandbox_has_its_own(opened: Opened) -> None:
    async with opened() as site:
        made = bundle(scripted(), "org.example.resident", lifetime="resident")
        app = await site.host.install(made, grant=(), limits={"fuel": 10_000_000})
        counts = [(await site.reply(Script().step("spin", 100), app))[1].receipt.usage.fuel for _ in range(3)]
        assert counts[1] == counts[2] > 0


def test_a_manifest_asks_for_less_of_it_and_never_for_none() -> None:
    on = Limits(fuel=1_000)
    assert effective_limits({"fuel": 10}, on, {}).fuel == 10
    assert effective_limits({"fuel": 5_000}, on, {}).fuel == 1_000
    assert effective_limits({"fuel": 0}, on, {}).fuel == 1_000
    assert effective_limits({"fuel": 10}, Limits(), {}).fuel == 0
    assert effective_limits({}, Limits(), {"fuel": 7}).fuel == 7


async def test_a_jailed_worker_counts_as_this_process_does() -> None:
    """Where a module's data cannot be mapped it is copied, which counts."""
    data = f'(data (i32.const 65536) "{"d" * 70_000}")'
    counted = set()
    for workers in (None, WorkerSettings(count=1, slots=4, require=str(jail.probe()))):  # type: ignore[arg-type]
        async with Host.open(settings=HostSettings(slots=4, allow_unsigned=True, workers=workers)) as host:
            app = await host.install(bundle(module(OK, memory="4", more=data)), limits={"fuel": FUEL_MOST})
            counted.add((await host.call(app, "run")).receipt.usage.fuel)
    assert len(counted) == 1
