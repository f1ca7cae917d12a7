"""Resident sandboxes: what one user's calls keep in memory, how long, and for nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import wasmtime
from trio.testing import wait_all_tasks_blocked

from runtime import App, CallEnded, Ending, HostBusy, wire
from runtime.limits import WASM_PAGE
from runtime.testing import VirtualClock
from runtime.worker_settings import WorkerSettings
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import bundle, imported

SLEEP = wire.request(1, "session.sleep", {"ms": 60_000})
NAP = wire.request(1, "session.sleep", {"ms": 1})
INFO = wire.request(1, "session.info", {})
RESPONSE_AT = 8_192
MEMORY = 4 * WASM_PAGE


def counter(request: bytes = NAP) -> bytes:
    """Counts its messages in memory and answers the number. By the first letter of the method it also: traps, spins,
    exits, lies (no response), grows to its limit, posts and never waits, or calls with that request and answers the
    response."""
    text = "".join(f"\\{byte:02x}" for byte in request)
    imports = " ".join(imported(*name) for name in (
        ("hostel_v1", "call"), ("hostel_v1", "post"), ("wasi_snapshot_preview1", "proc_exit"),
    ))  # fmt: skip
    return bytes(
        wasmtime.wat2wasm(f"""(module {imports}
      (memory (export "memory") 1 4)
      (data (i32.const 512) "\\94\\01\\01\\c0\\c0") (data (i32.const {RESPONSE_AT - 7}) "\\94\\01\\01\\c0\\c5")
      (data (i32.const 1024) "{text}")
      (func (export "hostel_alloc") (param i32) (result i32) (i32.const 4096))
      (func $is (param $at i32) (param $letter i32) (result i32)
        (i32.eq (i32.load8_u offset=4 (local.get $at)) (local.get $letter)))
      (func (export "hostel_handle") (param $at i32) (param $size i32) (result i64) (local $n i32)
        (i32.store8 (i32.const 516) (i32.add (i32.const 1)
          (select (i32.const 0) (i32.load8_u (i32.const 516)) (i32.eq (i32.load8_u (i32.const 516)) (i32.const 0xc0)))))
        (if (i32.eq (i32.load8_u offset=1 (local.get $at)) (i32.const 2)) (then (return (i64.const 0))))
        (if (call $is (local.get $at) (i32.const {ord("t")})) (then unreachable))
        (if (call $is (local.get $at) (i32.const {ord("s")})) (then (loop $on (br $on))))
        (if (call $is (local.get $at) (i32.const {ord("e")})) (then (call $proc_exit (i32.const 1))))
        (if (call $is (local.get $at) (i32.const {ord("l")})) (then (return (i64.const 0))))
        (if (call $is (local.get $at) (i32.const {ord("m")})) (then (return (i64.const 0x20000000003))))
        (if (call $is (local.get $at) (i32.const {ord("g")}))
          (then (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))))
        (if (call $is (local.get $at) (i32.const {ord("p")}))
          (then (drop (call $post (i32.const 1024) (i32.const {len(request)})))))
        (if (call $is (local.get $at) (i32.const {ord("c")}))
          (then
            (local.set $n (call $call (i32.const 1024) (i32.const {len(request)})
              (i32.const {RESPONSE_AT}) (i32.const 4096)))
            (i32.store8 (i32.const {RESPONSE_AT - 2}) (i32.shr_u (local.get $n) (i32.const 8)))
            (i32.store8 (i32.const {RESPONSE_AT - 1}) (local.get $n))
            (return (i64.or (i64.const {RESPONSE_AT - 7 << 32})
              (i64.extend_i32_u (i32.add (local.get $n) (i32.const 7)))))))
        (i64.const 0x20000000005)))""")
    )


@pytest.fixture(params=["in process", "worker"])
async def placed(request: pytest.FixtureRequest, opened: Opened) -> AsyncIterator[Site]:
    """In this process, and in a worker."""
    workers = None if request.param == "in process" else WorkerSettings(count=1, slots=16, require="none")
    async with opened(workers=workers) as made:
        yield made


async def install(
    site: Site, request: bytes = NAP, *, app_id: str = "org.example.resident", code: int = 1, **limits: int
) -> App:
    made = bundle(counter(request), app_id, code=code, lifetime="resident", events=True)
    return await site.host.install(made, grant=GRANT, limits=limits)


GRANT: dict[str, Any] = {"storage": {}, "program.call": {"programs": ["org.example.resident", "org.example.between"]}}


async def count(site: Site, app: App, user: str = "alice", method: str = "add") -> Any:
    return (await site.host.call(app, method, user=user)).value


# ---- what is kept ----------------------------------------------------------------------------------------------------
async def test_memory_is_kept_between_two_calls_of_one_user_and_not_between_users(placed: Site) -> None:
    app = await install(placed)
    assert [await count(placed, app) for _ in range(3)] == [1, 2, 3]
    assert await count(placed, app, "bob") == 1
    assert [await count(placed, app, user) for user in ("alice", "bob")] == [4, 2]


async def test_a_call_for_nobody_has_a_fresh_one(site: Site) -> None:
    app = await install(site)
    assert [await count(site, app, "") for _ in range(3)] == [1, 1, 1]


async def test_a_fresh_program_keeps_nothing(site: Site) -> None:
    app = await site.host.install(bundle(counter(), "org.example.fresh"))
    assert [await count(site, app) for _ in range(3)] == [1, 1, 1]


async def test_notifications_have_their_turn_too(placed: Site) -> None:
    app = await install(placed)
    for _ in range(3):
        await placed.host.notify(app, "event", user="alice")
    assert await count(placed, app) == 4


async def test_each_call_has_its_own_receipt_and_limits(placed: Site) -> None:
    app = await install(placed, host_calls=2, cpu_us=20_000)
    for _ in range(5):  # three calls' host calls together are over the limit of one
        receipt = (await placed.host.call(app, "call", user="alice")).receipt
        assert (receipt.ending, receipt.usage.host_calls, receipt.usage.denials) == (Ending.COMPLETED, 1, 0)
        assert 0 < receipt.usage.cpu_us < 20_000
    assert await count(placed, app) == 6


# ---- and when it is not ----------------------------------------------------------------------------------------------
async def test_a_call_that_is_refused_leaves_the_sandbox_as_it_was(placed: Site) -> None:
    """Or one user, by asking too often, would take the memory of all others."""
    app = await install(placed, calls_per_s=50, calls_burst=2)
    assert [await count(placed, app) for _ in range(2)] == [1, 2]
    with pytest.raises(HostBusy):
        for _ in range(20):
            await count(placed, app, "mallory")
    with pytest.raises(HostBusy):
        await count(placed, app)
    with trio.fail_after(10):
        while True:
            try:
                assert await count(placed, app) == 3
                break
            except HostBusy as error:
                await trio.sleep((error.retry_after_ms or 0) / 1_000)


@pytest.mark.parametrize(
    ("method", "ending"),
    [
        ("trap", Ending.TRAPPED), ("spin", Ending.CPU_EXCEEDED), ("exit", Ending.EXITED),
        ("lie", Ending.PROTOCOL_VIOLATION), ("malformed", Ending.PROTOCOL_VIOLATION),
    ],
)  # fmt: skip
async def test_a_call_that_ends_badly_takes_the_sandbox_with_it(placed: Site, method: str, ending: Ending) -> None:
    app = await install(placed, cpu_us=10_000)
    assert [await count(placed, app) for _ in range(2)] == [1, 2]
    with pytest.raises(CallEnded) as caught:
        await count(placed, app, method=method)
    assert caught.value.ending is ending
    assert await count(placed, app) == 1


async def test_over_the_deadline_or_cancelled(placed: Site) -> None:
    app = await install(placed, SLEEP, wall_ms=50)
    assert await count(placed, app) == 1
    with pytest.raises(CallEnded) as caught:
        await count(placed, app, method="call")
    assert caught.value.ending is Ending.DEADLINE_EXCEEDED
    assert await count(placed, app) == 1
    app = await install(placed, SLEEP)
    assert await count(placed, app) == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, placed, app, "alice", "call")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert await count(placed, app) == 1


async def test_a_new_release_finds_nothing(placed: Site) -> None:
    app = await install(placed)
    assert [await count(placed, app) for _ in range(2)] == [1, 2]
    app = await install(placed, code=2)
    assert [await count(placed, app) for _ in range(2)] == [1, 2]
    app = await install(placed, code=2, memory_bytes=2 * MEMORY)  # other limits are enough
    assert await count(placed, app) == 1


async def test_uninstalled_and_erased(site: Site) -> None:
    app = await install(site)
    assert await count(site, app) == 1
    await site.host.erase_user("alice")
    assert site.host.statistics().sandboxes == 0
    assert await count(site, app, "bob") == 1
    await site.host.uninstall(app)
    assert site.host.statistics().sandboxes == 0
    assert await count(site, await install(site), "bob") == 1


async def test_idle_at_the_value_and_before(opened: Opened) -> None:
    clock = VirtualClock()
    async with opened(clock=clock, resident_idle_s=60.0) as site:
        app = await install(site)
        assert await count(site, app) == 1
        clock.advance(us=59_999_999)
        assert await count(site, app) == 2
        clock.advance(s=60)
        assert await count(site, app) == 1


async def test_idle_ones_go_without_a_call(opened: Opened) -> None:
    async with opened(resident_idle_s=0.02) as site:
        app = await install(site)
        assert await count(site, app) == 1
        with trio.fail_after(10):
            while site.host.statistics().sandboxes:
                await trio.lowlevel.checkpoint()


# ---- one at a time ---------------------------------------------------------------------------------------------------
async def test_strictly_one_at_a_time_in_the_order_they_came(placed: Site) -> None:
    """Each waits for the host in the middle of its call; another one in the same store would be a fault of the host."""
    app = await install(placed, mailbox_calls=49)
    order: list[int] = []
    most = 0

    async def call(number: int) -> None:
        nonlocal most
        await count(placed, app, method="call")
        most = max(most, placed.host.statistics().calls_in_flight)
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(call, number)
            await trio.lowlevel.checkpoint()
    assert len(order) == 50 and most <= 1
    assert await count(placed, app) == 51


async def test_who_waits_is_told_that_the_program_is_gone(site: Site) -> None:
    app = await install(site, SLEEP)
    told: list[str] = []

    async def call() -> None:
        try:
            await count(site, app, method="call")
        except Exception as error:
            told.append(getattr(error, "code", repr(error)))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(call)
        await wait_all_tasks_blocked()
        await site.host.uninstall(app, end_calls=True)
    assert sorted(told) == ["not_installed", "not_installed", "revoked"]


# ---- programs that call programs -------------------------------------------------------------------------------------
def calling(app_id: str, method: str) -> bytes:
    return wire.request(1, "program.call", {"program": app_id, "method": method, "params": {}})


async def answer(site: Site, app: App, user: str = "alice") -> Any:
    return wire.decode((await site.host.call(app, "call", user=user)).value, 4_096)


async def test_a_chain_that_comes_back_is_refused(placed: Site) -> None:
    between = bundle(counter(calling("org.example.resident", "add")), "org.example.between")
    await placed.host.install(between, grant=GRANT)
    app = await install(placed, calling("org.example.between", "call"))
    inner = wire.decode((await answer(placed, app))[3]["value"], 4_096)
    assert (inner[2]["code"], inner[2]["details"]) == ("reentrant_call", {"program": "org.example.resident"})
    itself = await install(placed, calling("org.example.resident", "add"), code=2)
    assert (await answer(placed, itself))[2]["code"] == "reentrant_call"


async def test_a_call_inside_another_finds_its_users_sandbox_or_is_told_that_it_is_taken(placed: Site) -> None:
    app = await install(placed, SLEEP)
    caller = await placed.host.install(
        bundle(counter(calling("org.example.resident", "add")), "org.example.between"), grant=GRANT
    )
    assert await count(placed, app) == 1
    assert (await answer(placed, caller))[3] == {"value": 2}
    assert (await answer(placed, caller, "bob"))[3] == {"value": 1}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count, placed, app, "alice", "call")
        await wait_all_tasks_blocked()
        assert (await answer(placed, caller))[2]["code"] == "busy"
        nursery.cancel_scope.cancel()


# ---- how many, and hostile ones --------------------------------------------------------------------------------------
async def test_idle_ones_count_as_sandboxes_and_memory_and_make_way(site: Site) -> None:
    app = await install(site, sandboxes=2)
    for user in ("alice", "bob", "carol"):
        assert await count(site, app, user) == 1
    assert site.host.statistics().sandboxes == 2
    assert [await count(site, app, user) for user in ("bob", "carol", "alice")] == [2, 2, 1]
    app = await install(site, memory_bytes=MEMORY, live_memory_bytes=2 * MEMORY, code=2)
    for user in ("alice", "bob", "carol"):
        assert await count(site, app, user) == 1
    assert site.host.statistics().sandboxes == 2
    app = await install(site, memory_bytes=MEMORY, live_memory_bytes=2 * MEMORY - 1, code=3)
    for user in ("alice", "bob", "alice"):
        assert await count(site, app, user) == 1
    assert site.host.statistics().sandboxes == 1


async def test_a_quarter_of_the_slots_is_never_kept(opened: Opened) -> None:
    async with opened(slots=8) as site:
        app = await install(site)
        for number in range(20):
            assert await count(site, app, f"user{number}") == 1
        assert site.host.statistics().sandboxes == 6
        fresh = await site.host.install(bundle(counter(SLEEP), "org.example.fresh"))
        async with trio.open_nursery() as nursery:
            for _ in range(8):  # and those that are idle make way for fresh calls too
                nursery.start_soon(count, site, fresh, "alice", "call")
            await wait_all_tasks_blocked()
            assert site.host.statistics().sandboxes == 8
            nursery.cancel_scope.cancel()


async def test_one_that_grows_to_its_limit_stays_inside_it(placed: Site) -> None:
    app = await install(placed)
    for number in range(1, 4):
        reply = await placed.host.call(app, "grow", user="alice")
        assert (reply.value, reply.receipt.usage.memory_bytes_peak) == (number, MEMORY)
        assert reply.receipt.usage.memory_at_limit


async def test_posts_nobody_waits_for_end_with_their_call(placed: Site) -> None:
    app = await install(placed, INFO, posted=1)
    for number in range(1, 21):
        reply = await placed.host.call(app, "post", user="alice")
        assert (reply.value, reply.receipt.usage.unclaimed, reply.receipt.usage.denials) == (number, 1, 0)
