"""Every ending, brought about by a guest, with its receipt. What a limit does stands in test_limits_*.py."""

from __future__ import annotations

import struct

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import CallCancelled, Ending, GuestFailed, HostClosed, QuotaExceeded, wire
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import MEMORY, OK, ROOM, Script, module

INFO = wire.request(1, "session.info", {})
SLEEP = wire.request(1, "session.sleep", {"ms": 60_000})
SPIN = "(loop $on (br $on))"


# ---- failed, exited --------------------------------------------------------------------------------------------------
def answering(response: bytes) -> bytes:
    text = "".join(f"\\{byte:02x}" for byte in response)
    return module(f"(i64.const {2048 << 32 | len(response)})", more=f'(data (i32.const 2048) "{text}")')


async def test_failed_by_an_error_of_the_guests_own(site: Site) -> None:
    told = {"code": "no\x1b[2J\n", "message": "m" * 5_000, "more": [1]}
    ending, error, receipt = await site.end(answering(wire.error_response(1, told)))
    assert (ending, type(error), error.details["error"]) == (Ending.FAILED, GuestFailed, told)
    assert error.message.isprintable()
    assert len(error.message) < 300
    assert receipt.usage.message_out_bytes > 5_000


async def test_failed_where_there_is_no_room_for_the_message(site: Site) -> None:
    ending, error, _ = await site.end(module(alloc="(i32.const 0)"))
    assert (ending, error.details) == (Ending.FAILED, {"length": len(wire.request(1, "run", {}))})


async def test_exited_with_its_code(site: Site) -> None:
    ending, error, _ = await site.end(Script().step("proc_exit", 0xFFFF_FFFF))
    assert (ending, error.details) == (Ending.EXITED, {"exit_code": 0xFFFF_FFFF})
    ending, _, _ = await site.end(module(initialize="(call $proc_exit (i32.const 0))", imports=["proc_exit"]))
    assert ending is Ending.EXITED


# ---- trapped ---------------------------------------------------------------------------------------------------------
TRAPS = {
    "unreachable_code_reached": Script().step("unreachable"),
    "stack_overflow": Script().step("recurse"),
    "memory_out_of_bounds": Script().step("load", MEMORY),
    "integer_division_by_zero": Script().step("divide", 1, 0),
    "integer_overflow": Script().step("divide", 0x8000_0000, -1),
    "bad_conversion_to_integer": Script().step("truncate"),
    "bad_signature": Script().step("call_through_table", 0),
    "indirect_call_to_null": Script().step("call_through_table", 1),
    "table_out_of_bounds": Script().step("call_through_table", 2),
}


@pytest.mark.parametrize("trap", TRAPS)
async def test_trapped_and_told_which_trap(site: Site, trap: str) -> None:
    ending, error, receipt = await site.end(TRAPS[trap])
    assert (ending, error.details) == (Ending.TRAPPED, {"trap": trap})
    assert receipt.usage.cpu_us > 0
    assert receipt.usage.memory_bytes_peak == MEMORY


async def test_the_last_byte_of_memory_is_no_trap(site: Site) -> None:
    assert await site.run(Script().step("load", MEMORY - 1).step("memory_fill", MEMORY - 4, 9, 4)) == [0, 0]
    ending, _, _ = await site.end(Script().step("memory_fill", MEMORY - 4, 9, 5))
    assert ending is Ending.TRAPPED


@pytest.mark.parametrize("where", ["start", "initialize", "alloc", "handle"])
async def test_names_chosen_by_the_guest_are_nowhere_in_what_is_told(site: Site, where: str) -> None:
    name = "evil\\1b[2J\\0aINFO payment succeeded " + "x" * 20_000
    trap = f'(func $"{name}" (unreachable))'
    call = f'(call $"{name}")'
    match where:
        case "start" | "initialize":
            made = module(more=trap, **{where: call})
        case "alloc":
            made = module(more=trap, alloc=f"{call} (i32.const 8)")
        case _:
            made = module(f"{call} {OK}", more=trap)
    ending, error, _ = await site.end(made)
    assert (ending, error.message) == (Ending.TRAPPED, "the guest trapped: unreachable_code_reached")
    assert site.log.lines == []


async def test_a_data_segment_outside_the_memory_is_a_trap(site: Site) -> None:
    ending, error, _ = await site.end(module(more='(data (i32.const 65535) "ab")'))
    assert (ending, error.details) == (Ending.TRAPPED, {"trap": "memory_out_of_bounds"})


# ---- cpu_exceeded ----------------------------------------------------------------------------------------------------
ENDLESS: dict[str, Script | bytes] = {
    "in hostel_handle": module(f"{SPIN} {OK}"),
    "in the start function": module(start=SPIN),
    "in _initialize": module(initialize=SPIN),
    "in hostel_alloc": module(alloc=f"{SPIN} (i32.const 8)"),
    "in a recursion that returns": module(
        f"(loop $on (drop (call $fib (i32.const 20))) (br $on)) {OK}",
        more="(func $fib (param i32) (result i32) (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))"
        " (then (i32.const 1)) (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))"
        " (call $fib (i32.sub (local.get 0) (i32.const 2)))))))",
    ),
    "in host calls": Script().call(INFO).step("again", 0),
    "in posts and waits": Script().post(INFO).wait().step("again", 0),
    "in polls": Script().post(SLEEP).wait(0).step("again", 1),
    "in takes": Script().step("take", ROOM, 8).step("again", 0),
    "in the clock": Script().step("clock_time_get", 0, ROOM).step("again", 0),
    "in random bytes": Script().step("random_get", ROOM, 65_536).step("again", 0),
    "in standard output": Script().print(b"x" * 4_000).step("again", 0),
    "in sched_yield": Script().step("sched_yield").step("again", 0),
    "in memory.fill": Script().step("memory_fill", 0x20_0000, 1, MEMORY - 0x20_0000).step("again", 0),
    "in memory.grow that is refused": Script().step("memory_grow", 60_000).step("again", 0),
    "in table.fill": Script().step("table_grow", 9_000).step("table_fill", 0, 9_000).step("again", 1),
    "in bulk operations without a loop": module(
        "(local i32) (local.set 2 (i32.const 16777216))"
        + "(memory.fill (i32.const 0) (i32.const 0) (local.get 2))" * 5_000 + OK,
        memory="256",
    ),
}  # fmt: skip


@pytest.mark.parametrize("ticker", ["signal", "thread"])
@pytest.mark.parametrize("where", ENDLESS)
async def test_cpu_exceeded(opened: Opened, where: str, ticker: str) -> None:
    """Wherever the guest spends it. Bands, as CPU time is measured; the thread's tick may come late."""
    async with opened(ticker=ticker) as site:
        ending, error, receipt = await site.end(ENDLESS[where], cpu_us=10_000)
        assert (ending, error.details["limit"]) == (Ending.CPU_EXCEEDED, "cpu_us")
        assert 10_000 < receipt.usage.cpu_us < 110_000
        assert isinstance(error, QuotaExceeded)


# ---- deadline_exceeded -----------------------------------------------------------------------------------------------
_SLEEP_BY_POLL = struct.pack("<QB7xI4xQQH6x", 1, 0, 0, 10**18, 0, 0)


def late(where: str) -> Script | bytes:
    script = Script()
    match where:
        case "spinning":
            return script.step("spin", 0).step("again", 0)
        case "in a host call":
            return script.call(SLEEP)
        case "in wait":
            return script.post(SLEEP).wait()
        case "in poll_oneoff":
            return script.step("poll_oneoff", script.bring(_SLEEP_BY_POLL), ROOM, 1, ROOM)
        case _:
            return module(start=SPIN)


@pytest.mark.parametrize("where", ["spinning", "in a host call", "in wait", "in poll_oneoff", "in the start function"])
async def test_deadline_exceeded(site: Site, where: str) -> None:
    """Real milliseconds: where a guest spins there is a thread, so no virtual clock. The first call is not looked at
    for what it asked: in a worker the module is loaded within its time, which on a full machine may be all of it."""
    guest = late(where)
    script, module_of_its_own = (guest, None) if isinstance(guest, Script) else (Script(), guest)
    app = await site.install(module_of_its_own, wall_ms=15, cpu_us=10_000_000)
    asked, left = int(where in ("in a host call", "in wait")), int(where == "in wait")
    for is_warm in (False, True):
        ending, error, receipt = await site.end(script, app)
        assert ending is Ending.DEADLINE_EXCEEDED
        assert error.details == {"limit": "wall_ms", "value": 15, "unit": "ms"}
        assert receipt.usage.wall_us >= 15_000
        assert not is_warm or (receipt.usage.host_calls, receipt.usage.dropped) == (asked, left)


async def test_deadline_exceeded_while_all_slots_are_taken(opened: Opened) -> None:
    async with opened(slots=1) as site:
        app = await site.install()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.host.call, app, "run", Script().call(SLEEP).params())
            await wait_all_tasks_blocked()
            ending, _, receipt = await site.end(module(), wall_ms=15)
            assert (ending, receipt.usage.cpu_us, receipt.usage.memory_bytes_peak) == (Ending.DEADLINE_EXCEEDED, 0, 0)
            nursery.cancel_scope.cancel()
        assert (await site.host.call(await site.install(module()), "run")).value is None


# ---- protocol_violation ----------------------------------------------------------------------------------------------
EDGE = MEMORY - len(INFO)
BAD_RANGES = {
    "one byte over": (EDGE + 1, len(INFO)), "behind the end": (MEMORY, 1), "empty behind the end": (MEMORY + 1, 0),
    "negative": (-16, 16), "wrapping": (0xFFFF_FFF0, 0x20), "all of it": (0, 0xFFFF_FFFF),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD_RANGES)
@pytest.mark.parametrize("function", ["call, request", "call, room", "post", "wait", "take"])
async def test_a_range_outside_the_memory(site: Site, function: str, bad: str) -> None:
    pointer, length = BAD_RANGES[bad]
    script = Script()
    match function:
        case "call, request":
            script.step("call", pointer, length, ROOM, 4_096)
        case "call, room":
            script.step("call", script.bring(INFO), len(INFO), pointer, length)
        case "wait":
            script.step("wait", pointer, length, 0)
        case name:
            script.step(name, pointer, length)
    ending, error, receipt = await site.end(script)
    assert ending is Ending.PROTOCOL_VIOLATION
    assert error.details == {"pointer": pointer & 0xFFFF_FFFF, "length": length, "memory_bytes": MEMORY}
    assert receipt.usage.response_bytes == 0


async def test_a_range_up_to_the_last_byte(site: Site) -> None:
    script = Script()
    for at, byte in enumerate(INFO):
        script.step("store", EDGE + at, byte)
    script.step("call", EDGE, len(INFO), MEMORY - 400, 400).step("take", MEMORY, 0).step("wait", MEMORY, 0, 0)
    told = await site.run(script)
    assert (told[-3] > 0, told[-2:]) == (True, [-1, -1])


async def test_memory_that_grew_is_seen_at_once(site: Site) -> None:
    script = Script().step("memory_grow", 1).call(INFO, into=MEMORY, capacity=65_536).step("show_last", MEMORY)
    assert wire.decode((await site.run(script))[-1], 4_096)[:3] == [1, 1, None]


NO_REQUESTS = {
    "nothing": b"", "nil": b"\xc0", "no array": wire.encode({"method": "session.info"}),
    "a response": wire.response(1, {}), "five members": wire.encode([0, 1, "session.info", {}, {}]),
    "a msgid below 0": wire.encode([0, -1, "session.info", {}]),
    "params no map": wire.encode([0, 1, "session.info", []]),
    "envelope": wire.encode([0, 1, "session.info", {"$token": "x"}]), "trailing bytes": INFO + b"\xc0",
    "cut": INFO[:-1], "an array of 4 billion": b"\xdd\xff\xff\xff\xff",
    "equal keys": b"\x94\x00\x01\xa1m\x82\xa1a\xc0\xa1a\xc0",
    "too deep": b"\x94\x00\x01\xa1m\x81\xa1a" + b"\x91" * 40 + b"\xc0",
    "an extension": b"\x94\x00\x01\xa1m\x81\xa1a\xc7\x00\x01",
}  # fmt: skip


@pytest.mark.parametrize("bad", NO_REQUESTS)
@pytest.mark.parametrize("way", ["call", "post"])
async def test_what_is_no_request(site: Site, bad: str, way: str) -> None:
    script = Script()
    script.call(NO_REQUESTS[bad]) if way == "call" else script.post(NO_REQUESTS[bad])
    ending, error, receipt = await site.end(script)
    assert (ending, receipt.usage.host_calls) == (Ending.PROTOCOL_VIOLATION, 1)
    assert error.message.startswith("the guest sent no valid request: ")


async def test_a_msgid_that_is_outstanding(site: Site) -> None:
    ending, error, receipt = await site.end(Script().post(SLEEP).call(INFO))
    assert (ending, receipt.usage.dropped) == (Ending.PROTOCOL_VIOLATION, 1)
    assert "msgid" in error.message


NO_RESPONSES = {
    "nothing": "(i64.const 0)", "bytes of nothing": f"(i64.const {ROOM << 32 | 8})",
    "outside the memory": "(i64.const 0x0001000000000001)", "wrapping": "(i64.const -1)",
}  # fmt: skip


@pytest.mark.parametrize("bad", NO_RESPONSES)
async def test_what_is_no_response(site: Site, bad: str) -> None:
    ending, _, _ = await site.end(module(NO_RESPONSES[bad], memory="1"), message_out_bytes=1 << 20)
    assert ending is Ending.PROTOCOL_VIOLATION


@pytest.mark.parametrize(
    "response", [wire.response(2, None), wire.request(1, "run", {}), wire.encode([1, 1, {"code": "x"}, None]),
                 wire.encode([1, 1, {"code": "x", "message": "y"}, 5]), wire.response(1, {}) + b"\0"], ids=ascii,
)  # fmt: skip
async def test_a_response_that_is_none_to_this_request(site: Site, response: bytes) -> None:
    ending, _, receipt = await site.end(answering(response))
    assert (ending, receipt.usage.message_out_bytes) == (Ending.PROTOCOL_VIOLATION, len(response))


async def test_an_answer_to_a_notification(site: Site) -> None:
    app = await site.install(module())
    with pytest.raises(Exception, match="must return 0") as caught:
        await site.host.notify(app, "run")
    assert caught.value.ending is Ending.PROTOCOL_VIOLATION  # type: ignore[attr-defined]
    app = await site.install(module("(i64.const 0)"))
    assert (await site.host.notify(app, "run")).ending is Ending.COMPLETED


async def test_a_notification_through_call(site: Site) -> None:
    say = wire.notification("log.write", {"level": "info", "message": "said"})
    ending, error, _ = await site.end(Script().call(say))
    assert (ending, "use post" in error.message) == (Ending.PROTOCOL_VIOLATION, True)


@pytest.mark.parametrize("where", ["start", "initialize", "alloc"])
@pytest.mark.parametrize("name", ["call", "post", "wait", "take"])
async def test_hostel_v1_before_hostel_handle(site: Site, where: str, name: str) -> None:
    operands = {"call": 4, "post": 2, "wait": 3, "take": 2}[name]
    use = f"(drop (call ${name} {'(i32.const 0) ' * operands}))"
    body = f"{use} (i32.const 8)" if where == "alloc" else use
    ending, error, receipt = await site.end(module(imports=[name], **{where: body}))
    assert (ending, "before hostel_handle" in error.message) == (Ending.PROTOCOL_VIOLATION, True)
    assert receipt.usage.host_calls == 0


# ---- cancelled, internal ---------------------------------------------------------------------------------------------
async def test_cancelled_by_a_host_that_closes(opened: Opened) -> None:
    """Calls in flight end with a receipt, those that wait in the queue are refused."""
    ended: list[Exception] = []

    async def call(site: Site, app: object, script: Script) -> None:
        try:
            await site.host.call(app, "run", script.params())  # type: ignore[arg-type]
        except (CallCancelled, HostClosed) as error:
            ended.append(error)

    async with trio.open_nursery() as nursery, opened(drain_s=0.0) as site:
        app = await site.install(calls_in_flight=3, cpu_us=60_000_000)
        for script in (
            Script().call(SLEEP),
            Script().post(SLEEP).wait(),
            Script().step("spin", 0).step("again", 0),
        ):
            nursery.start_soon(call, site, app, script)
        nursery.start_soon(call, site, app, Script().call(SLEEP))
        while site.host.statistics().calls_in_flight < 3:
            await trio.lowlevel.checkpoint()
        await site.host._calls.drain(0.0)
    refused = [error for error in ended if isinstance(error, HostClosed)]
    assert (len(ended), len(refused)) == (4, 1)
    for error in ended:
        if isinstance(error, CallCancelled):
            assert error.receipt is not None
            assert error.receipt.ending is Ending.CANCELLED


async def test_a_host_whose_block_is_cancelled_ends_its_calls(opened: Opened) -> None:
    """At once, and before the ticker goes: a guest that spins could not be stopped after it."""
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with opened(drain_s=60.0) as site:
                app = await site.install(cpu_us=60_000_000)
                nursery.start_soon(_ends, site, app, Script().step("spin", 0).step("again", 0), CallCancelled)
                while not site.host.statistics().calls_in_flight:
                    await trio.lowlevel.checkpoint()
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught


async def _ends(site: Site, app: object, script: Script, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await site.host.call(app, "run", script.params())  # type: ignore[arg-type]


async def test_internal_is_told_by_an_incident_and_the_guest_lives(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that raises is a fault of ours, not the guest's."""

    def broken(*_: object) -> None:
        raise OSError("no such secret")

    async with opened(log_sink=broken) as site:
        say = wire.request(1, "log.write", {"level": "info", "message": "said"})
        responses = Script().ask(say).ask(INFO)
        app = await site.install()
        shown = responses.responses((await site.host.call(app, "run", responses.params())).value)
        assert (shown[0][2]["code"], shown[1][2]) == ("internal", None)
        incident = shown[0][2]["details"]["incident"]
        assert "secret" not in str(shown)
        assert incident in caplog.text
        assert "no such secret" in caplog.text


async def test_internal_is_the_ending_where_the_sandbox_itself_fails(opened: Opened) -> None:
    """Standard output reaches a sink that raises from inside the sandbox: the call is over, the host is not."""

    def broken(*_: object) -> None:
        raise OSError("no such secret")

    async with opened(log_sink=broken) as site:
        ending, error, _ = await site.end(Script().print(b"said\n"))
        assert (ending, set(error.details)) == (Ending.INTERNAL, {"incident"})
        assert "secret" not in error.message
        assert (await site.host.call(await site.install(module()), "run")).value is None


async def test_a_sink_that_raises_when_a_call_is_over_keeps_no_place(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """A line without its end is written when the call is over."""

    def broken(*_: object) -> None:
        raise OSError("no room")

    async with opened(log_sink=broken) as site:
        app = await site.install(calls_in_flight=1)
        for _ in range(2):
            await site.run(Script().print(b"said"), app)
        assert "no room" in caplog.text
