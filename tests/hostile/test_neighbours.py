"""While one program misbehaves, others are served; what thousands of them leave behind is nothing."""

from __future__ import annotations

import gc
from functools import partial

import pytest
import trio

from runtime import CallEnded, Ending, HostBusy, wire
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import ROOM, Script, module
from tests.hostile.test_cycles import ENDLESS, resident_kib

INFO = wire.request(1, "session.info", {})
MISDEEDS = {
    "spins": Script().step("spin", 0).step("again", 0),
    "floods": Script().post(INFO).call(INFO).step("again", 0),
    "traps": Script().step("unreachable"),
    "logs": Script().print(b"x" * 4_000).step("again", 0),
    "writes": Script().call(wire.request(1, "storage.put", {"key": "k", "value": bytes(100_000)})).step("again", 0),
    "takes memory": Script().step("memory_grow", 200).step("memory_fill", 0x20_0000, 1, 200 << 16).step("again", 1),
    "exits": Script().step("proc_exit", 1),
    "lies": Script().step("call", -1, -1, -1, -1),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_neighbour_is_served_meanwhile(stored: Site, misdeed: str) -> None:
    bad, good = await stored.install(cpu_us=30_000, host_calls=1_000_000), await stored.install()
    ended: list[Ending] = []

    async def misbehave() -> None:
        while True:
            try:
                await stored.host.call(bad, "run", MISDEEDS[misdeed].params(), user="mallory")
            except CallEnded as error:
                ended.append(error.ending)
            except HostBusy as busy:  # over its rates, which are the usual ones
                await trio.sleep((busy.retry_after_ms or 1) / 1_000)

    put = wire.request(1, "storage.put", {"key": "k", "value": 1})
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(misbehave)
        served = 0
        while len(ended) < 4 or served < 10:
            assert (await stored.ask(put, good))[2] is None
            served += 1
        nursery.cancel_scope.cancel()
    assert Ending.COMPLETED not in ended


async def test_a_long_guest_does_not_hold_the_event_loop(site: Site) -> None:
    """Steps of another task are counted, not time: a loop that was held would let it make a few."""
    app = await site.install(cpu_us=100_000)
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            await trio.lowlevel.checkpoint()
            steps += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        ending, _, _ = await site.end(Script().step("spin", 0).step("again", 0), app)
        nursery.cancel_scope.cancel()
    assert ending is Ending.CPU_EXCEEDED
    assert steps > 100


async def test_slots_go_round_in_turn(opened: Opened) -> None:
    """One slot, many programs: who came first is served first, though newcomers keep coming."""
    async with opened(slots=1) as site:
        apps = [await site.install(module()) for _ in range(5)]
        order: list[int] = []

        async def call(number: int) -> None:
            await site.host.call(apps[number], "run")
            order.append(number)

        sleeper = await site.install()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(site.ask, wire.request(1, "session.sleep", {"ms": 5}), sleeper))
            while not site.host.statistics().sandboxes:
                await trio.lowlevel.checkpoint()
            for number in range(5):
                nursery.start_soon(call, number)
                await trio.testing.wait_all_tasks_blocked(0.0)
        assert order == [0, 1, 2, 3, 4]


# ---- many, and gone --------------------------------------------------------------------------------------------------
USERS = 1_500


@pytest.mark.slow
async def test_calls_of_1500_users_wait_for_a_person_and_are_all_cancelled(opened: Opened) -> None:
    """Twice, as memory the allocator keeps after the first time is no leak; slots keep nothing resident here."""
    async with opened(slots=USERS + 100, keep_resident_bytes=0) as site:
        site.cashier.hold()
        raised = {"calls_in_flight": USERS, "sandboxes": USERS, "live_memory_bytes": 1 << 40}
        app = await site.install(**{**ENDLESS, "wall_ms": 120_000}, **raised)
        orders = [await _order(site, app, f"user{number}") for number in range(USERS)]
        resident = []
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for number, order_id in enumerate(orders):
                    nursery.start_soon(_ask_to_pay, site, app, f"user{number}", order_id)
                while site.host.statistics().prompts_open < USERS:
                    await trio.lowlevel.checkpoint()
                assert site.host.statistics().sandboxes == USERS
                nursery.cancel_scope.cancel()
            while site.host.statistics().prompts_open:
                await trio.lowlevel.checkpoint()
            site.nothing_left()
            gc.collect()
            resident.append(resident_kib())
        print(f"\n{USERS} suspended, cancelled: {resident} KiB resident after each round")
        # A store in memory keeps the round's 1,500 orders with their events and audit records: about 6 MiB.
    assert resident[1] - resident[0] < 16_384


async def _order(site: Site, app: object, user: str) -> str:
    params = {"key": user, "out_trade_no": user, "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    return str((await site.ask(wire.request(1, "payment.create", params), app, user=user))[3]["order_id"])  # type: ignore[arg-type]


async def _ask_to_pay(site: Site, app: object, user: str, order_id: str) -> None:
    request = wire.request(1, "payment.request", {"order_id": order_id, "wait_ms": 600_000})
    await site.host.call(app, "run", Script().call(request).params(), user=user)  # type: ignore[arg-type]


# ---- what a call leaves for the next ---------------------------------------------------------------------------------
async def test_the_next_call_sees_nothing_of_the_one_before(opened: Opened) -> None:
    """Memory, globals and table, in the very same slot: also after a trap, and for another program."""

    def secret() -> Script:
        script = Script().step("memory_grow", 3).step("memory_fill", ROOM, 0xAA, 4_096)
        script.step("memory_fill", 40 << 16, 0xAA, 4_096).step("global_add", 7).step("table_grow", 4)
        return script.step("table_set", 1).step("table_set", 5)

    look = Script().step("global_add", 0).step("show", ROOM, 4_096).step("memory_grow", 3).step("show", 40 << 16, 4_096)
    look.step("table_taken", 0).step("table_taken", 1).step("table_grow", 4).step("table_taken", 5)
    async with opened(slots=1) as site:
        apps = [await site.install(), await site.install()]
        for app in (apps[0], apps[1], apps[0]):
            await site.run(secret(), apps[0])
            await site.end(secret().step("unreachable"), apps[0])
            told = await site.run(look, app)
            assert told == [0, bytes(4_096), 40, bytes(4_096), 1, 0, 2, 0]


async def test_initialize_runs_once_a_call(site: Site) -> None:
    made = module(
        "(local.get $pointer) (drop) (i32.store8 (i32.const 516) (global.get $runs)) (i64.const 0x20000000005)",
        initialize="(global.set $runs (i32.add (global.get $runs) (i32.const 1)))",
        more="(global $runs (mut i32) (i32.const 0))",
    )
    app = await site.install(made)
    for _ in range(3):
        assert (await site.host.call(app, "run")).value == 1
