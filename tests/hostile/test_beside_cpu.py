"""Attacks on time, with a neighbour who is answered meanwhile: guests that compute, wait, flood, recurse and come back.

Rows 1 to 13 of checklist.json. What each limit is to the byte is tested in the files of limits; here what counts is
that the attack ends as it must *and* that nobody beside it notices.
"""

from __future__ import annotations

import pytest
import trio

from benchmarks.measure import busy_threads
from runtime import CallEnded, Ending, HostBusy, wire
from runtime.limits import FUEL_MOST
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import MEMORY, OK, Script, bundle, module, scripted
from tests.hostile.neighbour import ROOMY, Neighbour
from tests.hostile.test_cycles import opened_now
from tests.hostile.test_endings import SPIN
from tests.hostile.test_program_calls import calling

INFO = wire.request(1, "session.info", {})
SLEEP = wire.request(9, "session.sleep", {"ms": 60_000})
SPINS = Script().step("spin", 0).step("again", 0)
SHORT = {**ROOMY, "cpu_us": 5_000}
COUNT = "(local.set 0 (i32.const 99999)) (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
"""Half a million instructions, in a function whose first local is an i32."""


# ---- 1-3: endless, wherever ------------------------------------------------------------------------------------------
ENDLESS = {
    "hostel_handle": module(f"{SPIN} {OK}"),
    "the start function": module(start=SPIN),
    "_initialize": module(initialize=SPIN),
    "hostel_alloc": module(alloc=f"{SPIN} (i32.const 8)"),
}


@pytest.mark.parametrize("where", ENDLESS)
async def test_a_loop_without_end(site: Site, neighbour: Neighbour, where: str) -> None:
    """By the clock, and by instructions: the same ending wherever it loops."""
    timed = await site.install(ENDLESS[where], **SHORT)
    counted = await site.install(ENDLESS[where], fuel=100_000, **ROOMY)

    async def attack() -> None:
        assert (await site.end(Script(), timed))[0] is Ending.CPU_EXCEEDED
        ending, _, receipt = await site.end(Script(), counted)
        assert (ending, receipt.usage.fuel) == (Ending.FUEL_EXHAUSTED, 100_001)

    await neighbour.beside(attack)


@pytest.mark.parametrize("where", ["start", "initialize", "alloc"])
async def test_a_trap_where_the_host_only_prepares(site: Site, neighbour: Neighbour, where: str) -> None:
    """What was computed before it is on the bill: nothing that the ABI calls is free."""
    local = "" if where == "alloc" else "(local i32) "
    app = await site.install(module(**{where: f"{local}{COUNT} (unreachable)"}), fuel=FUEL_MOST, **ROOMY)

    async def attack() -> None:
        ending, _, receipt = await site.end(Script(), app)
        assert (ending, receipt.usage.fuel > 300_000) == (Ending.TRAPPED, True)

    await neighbour.beside(attack)


# ---- 4-6: cheap things in masses -------------------------------------------------------------------------------------
MASSES = {
    "host calls": Script().call(INFO).step("again", 0),
    "posts": Script().post(INFO).wait().step("again", 0),
    "reads of the clock": Script().step("clock_time_get", 0, 0).step("again", 0),
    "a huge fill": Script().step("memory_fill", 0x20_0000, 1, MEMORY - 0x20_0000).step("again", 0),
    "tables": Script().step("table_grow", 9_000).step("table_fill", 0, 9_000).step("again", 1),
    "growing that is refused": Script().step("memory_grow", 60_000).step("table_grow", 1 << 30).step("again", 0),
}


@pytest.mark.parametrize("what", MASSES)
async def test_masses_of_what_is_cheap(site: Site, neighbour: Neighbour, what: str) -> None:
    """Each is paid for: the call is ended by its CPU time, or by its instructions, and nobody waits for it."""
    timed, counted = await site.install(**SHORT), await site.install(**{**ROOMY, "fuel": 300_000, "host_calls": 100})

    async def attack() -> None:
        assert (await site.end(MASSES[what], timed))[0] is Ending.CPU_EXCEEDED
        ending, _, receipt = await site.end(MASSES[what], counted)
        assert ending in (Ending.FUEL_EXHAUSTED, Ending.CPU_EXCEEDED)
        if what in ("host calls", "posts"):
            assert receipt.usage.denials == receipt.usage.host_calls - 100 > 0

    await neighbour.beside(attack)


async def test_a_host_call_that_does_not_come_back(site: Site, neighbour: Neighbour) -> None:
    """The deadline ends the wait; what was asked for before it is done, what was still open is counted."""
    app = await site.install(wall_ms=300, **ROOMY)
    put = wire.request(1, "storage.put", {"key": "k", "value": "done"})

    async def attack() -> None:
        for wait in (Script().ask(put).call(SLEEP), Script().ask(put).post(SLEEP).wait()):
            ending, _, receipt = await site.end(wait, app)
            assert (ending, receipt.usage.host_calls) == (Ending.DEADLINE_EXCEEDED, 2)
        assert (await site.ask(wire.request(1, "storage.get", {"key": "k"}), app))[3]["value"] == "done"

    await neighbour.beside(attack)


# ---- 7-10: the tick, the queue, and many calls -----------------------------------------------------------------------
async def test_a_loop_in_a_process_that_is_busy(site: Site, neighbour: Neighbour) -> None:
    """The tick needs no lock of Python's: what runs over is bounded by the tick, however busy other threads are."""
    app = await site.install(**SHORT)

    async def attack() -> None:
        ending, _, receipt = await site.end(SPINS, app)
        assert ending is Ending.CPU_EXCEEDED
        assert 5_000 < receipt.usage.cpu_us < 105_000

    with busy_threads(2):
        await neighbour.beside(attack)


async def test_a_call_that_is_over_time_ends_no_other(site: Site, neighbour: Neighbour) -> None:
    """One engine, one tick: a guest with time left computes through the ends of others, and gets its result."""
    hasty, patient = await site.install(**{**ROOMY, "cpu_us": 1_000}), await site.install(cpu_us=60_000_000, **ROOMY)
    told: list[object] = []

    async def compute() -> None:
        told.append(await site.run(Script().step("spin", 3_000_000), patient))

    async def attack() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(compute)
            for _ in range(3):
                assert (await site.end(SPINS, hasty))[0] is Ending.CPU_EXCEEDED

    await neighbour.beside(attack, times=3)
    assert told == [[0]] * len(told) and len(told) >= 3


async def test_a_program_that_fills_its_queue(site: Site, neighbour: Neighbour) -> None:
    """Its own line is full, and says so at once; who stood in it is not billed for standing."""
    app = await site.install(calls_in_flight=1, calls_queued=2, wall_ms=40, **ROOMY)
    ends: list[CallEnded] = []

    async def sleep() -> None:
        ends.append((await site.end(Script().call(SLEEP), app))[1])

    async def attack() -> None:
        ends.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(sleep)
            while site.host._registry.find(app)[0].admission.queued < 2:
                await trio.lowlevel.checkpoint()
            with pytest.raises(HostBusy) as caught:
                await site.host.call(app, "run", user="alice")
            assert caught.value.code == "queue_full"
        assert {error.ending for error in ends} == {Ending.DEADLINE_EXCEEDED}
        assert all(error.receipt and error.receipt.usage.cpu_us < 10_000 for error in ends)

    await neighbour.beside(attack)


async def test_many_calls_with_a_deadline(site: Site, neighbour: Neighbour) -> None:
    """Neither thread nor descriptor for each of them; that no tick runs on afterwards the site looks at."""
    app = await site.install(**ROOMY)
    await neighbour.beside(lambda: site.run(Script(), app))
    before = opened_now()

    async def attack() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(site.run, Script().ask(INFO), app)

    await neighbour.beside(attack, times=12)
    assert all(now <= then for now, then in zip(opened_now(), before, strict=True))


# ---- 11-13: ends that cost, depth, coming back -----------------------------------------------------------------------
async def test_work_that_ends_in_a_trap(site: Site, neighbour: Neighbour) -> None:
    """Ended, trapped or gone: what was used is in the receipt and off the budget."""
    app = await site.install(fuel=FUEL_MOST, **ROOMY)

    async def attack() -> None:
        for last, ending in (("unreachable", Ending.TRAPPED), ("proc_exit", Ending.EXITED)):
            told, _, receipt = await site.end(Script().step("spin", 100_000).ask(INFO).step(last, 1), app)
            assert (told, receipt.usage.host_calls) == (ending, 1)
            assert receipt.usage.fuel > 300_000
            assert receipt.usage.cpu_us > 0

    await neighbour.beside(attack)


async def test_programs_that_call_each_other_round_and_round(site: Site, neighbour: Neighbour) -> None:
    """A chain ends at its depth, and all of it is paid from the first one's budget."""
    grant = {"program.call": {"programs": ["org.example.ring"]}}
    roomy = {**ROOMY, "cpu_us": 5_000_000}
    ring = await site.host.install(bundle(scripted(), "org.example.ring"), grant=grant, limits=roomy)
    outer, poor = [await site.install(grant=grant, **{**roomy, "cpu_us": most}) for most in (5_000_000, 20_000)]
    chain = Script()
    for _ in range(12):
        chain = Script().ask(calling(ring, chain))

    async def attack() -> None:
        _, reply = await site.reply(chain, outer)
        answers, depth = chain.responses(reply.value), 0
        while answers[0][2] is None:
            answers, depth = chain.responses(answers[0][3]["value"]), depth + 1
        assert (answers[0][2]["code"], answers[0][2]["details"]["limit"]) == ("limit_exceeded", "call_depth")
        assert depth == site.host._registry.find(outer)[1].limits.call_depth
        assert reply.receipt.usage.host_calls == depth + 1
        _, reply = await site.reply(Script().ask(calling(ring, SPINS)), poor)
        assert reply.receipt.usage.called_cpu_us > 9_000, "half of what its caller had left of 20,000"
        assert reply.receipt.usage.denials == 1

    await neighbour.beside(attack)


async def test_a_program_that_comes_back_for_a_new_budget(opened: Opened) -> None:
    """Its CPU time is used up: neither another call nor another release of it has any, until time has passed."""
    async with opened(clock=VirtualClock()) as site:
        neighbour = await Neighbour.on(site)
        limits = {"cpu_us_per_s": 1_000, "cpu_burst_us": 1_000, "cpu_us": 5_000}
        code = 1
        app = await site.host.install(bundle(scripted(), "org.example.again"), limits=limits)
        assert (await site.end(SPINS, app))[0] is Ending.CPU_EXCEEDED

        async def attack() -> None:
            nonlocal code
            code += 1
            app = await site.host.install(bundle(scripted(), "org.example.again", code=code), limits=limits)
            with pytest.raises(HostBusy) as caught:
                await site.host.call(app, "run", SPINS.params(), user="alice")
            assert caught.value.details["limit"] == "cpu_us_per_s"

        await neighbour.beside(attack)
