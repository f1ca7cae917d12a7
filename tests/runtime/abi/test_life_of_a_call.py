"""docs/protocol.md §4.5: from a fresh sandbox to an ending, and what every limit does on the way."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from runtime import (
    CallEnded,
    Ending,
    GuestExited,
    GuestFailed,
    GuestProtocolError,
    GuestTrapped,
    MessageTooLarge,
    QuotaExceeded,
    wire,
)
from tests.runtime.abi.conftest import Conformance
from tests.runtime.abi.guests import DONE, INBOX_BYTES, RECORD, REQUESTS, ROOM, Guest, copy, note

FOREVER = "(loop $again (br $again))"
INFO = wire.request(8, "session.info", {})
CALL_INFO = f"(call $call (i32.const {REQUESTS}) (i32.const {len(INFO)}) (i32.const {ROOM}) (i32.const 1024))"


def answering(content: bytes) -> Guest:
    """Answers these bytes, whatever it is asked."""
    return Guest(requests=(content,), handle=f"(i64.const {REQUESTS << 32 | len(content)})")


async def ended(conformance: Conformance, guest: Guest, **limits: int) -> CallEnded:
    with pytest.raises(CallEnded) as caught:
        await conformance.run(guest, None, **limits)
    assert caught.value.receipt is not None
    assert caught.value.receipt.ending is caught.value.ending
    return caught.value


# ---- steps -----------------------------------------------------------------------------------------------------------
async def test_every_call_has_a_fresh_sandbox(conformance: Conformance) -> None:
    count = f"(i32.store (i32.const {RECORD}) (i32.add (i32.load (i32.const {RECORD})) (i32.const 1)))"
    app = await conformance.install(Guest(handle=f"{count} {DONE}"))
    for _ in range(3):
        reply = await conformance.host.call(app, "run")
        assert reply.value[:4] == b"\1\0\0\0"


async def test_start_then_initialize_then_alloc_then_handle(conformance: Conformance) -> None:
    """Each step writes ten times what it found, plus its own number."""

    def step(number: int) -> str:
        found = f"(i32.mul (i32.load (i32.const {RECORD})) (i32.const 10))"
        return f"(i32.store (i32.const {RECORD}) (i32.add {found} (i32.const {number})))"

    guest = Guest(
        start=step(1),
        initialize=step(2),
        alloc=f"{step(3)} (i32.const {ROOM})",
        handle=f"{step(4)} {DONE}",
        inbox=False,
    )
    assert (await conformance.run(guest)).numbers(1) == (1234,)


@pytest.mark.parametrize(("over", "way"), [(0, 0), (1, 1)], ids=["inbox", "alloc"])
async def test_a_message_that_fits_the_inbox_needs_no_alloc(conformance: Conformance, over: int, way: int) -> None:
    alloc = f"(i32.store (i32.const {RECORD}) (i32.const 1)) (i32.const {ROOM})"
    params = {"text": ""}
    params["text"] = "x" * (INBOX_BYTES - len(wire.request(1, "run", {"text": "x" * 300})) + 300 + over)
    assert len(wire.request(1, "run", params)) == INBOX_BYTES + over
    guest = Guest(alloc=alloc, handle=f"{note(1, '(local.get $size)')} {DONE}")
    assert (await conformance.run(guest, params)).numbers(2) == (way, INBOX_BYTES + over)


async def test_no_room_for_a_message_is_a_failure_of_the_guest(conformance: Conformance) -> None:
    over = await ended(conformance, Guest(alloc="(i32.const 0)", inbox=False))
    assert (type(over), over.ending) == (GuestFailed, Ending.FAILED)


async def test_room_outside_the_memory_is_a_violation(conformance: Conformance) -> None:
    assert (await ended(conformance, Guest(alloc="(i32.const 65535)", inbox=False))).ending is Ending.PROTOCOL_VIOLATION


@pytest.mark.parametrize("where", ["start", "initialize", "alloc"])
async def test_hostel_imports_before_handle_are_a_violation(conformance: Conformance, where: str) -> None:
    step = f"{CALL_INFO} {'(drop) (i32.const 8192)' if where == 'alloc' else '(drop)'}"
    guest: dict[str, Any] = {where: step}
    over = await ended(conformance, Guest(requests=(INFO,), inbox=False, **guest))
    assert over.ending is Ending.PROTOCOL_VIOLATION
    assert over.receipt is not None and over.receipt.usage.host_calls == 0


# ---- answers ---------------------------------------------------------------------------------------------------------
async def test_a_result_is_the_replys_value(conformance: Conformance) -> None:
    assert (await conformance.run(answering(wire.response(1, {"ok": [1, 2]})))).reply.value == {"ok": [1, 2]}


async def test_an_error_is_a_failed_call(conformance: Conformance) -> None:
    error = {"code": "sold_out", "message": "no apples", "details": {"left": 0}}
    over = await ended(conformance, answering(wire.error_response(1, error)))
    assert (type(over), over.ending, over.details["error"]) == (GuestFailed, Ending.FAILED, error)


@pytest.mark.parametrize("over", [0, 1])
async def test_a_guests_own_error_may_be_as_long_as_its_message(conformance: Conformance, over: int) -> None:
    error = {"code": "c" * 1_000, "message": "m" * 2_000}
    answer = wire.error_response(1, error)
    call = await ended(conformance, answering(answer), message_out_bytes=len(answer) - over)
    if over:
        assert (type(call), call.ending) == (GuestProtocolError, Ending.PROTOCOL_VIOLATION)
    else:
        assert (type(call), call.details["error"]) == (GuestFailed, error)
        assert str(call).endswith(f"{'c' * 64}: {'m' * 160}")


NO_RESPONSE = {
    "empty": b"",
    "garbage": b"\xc1",
    "a_request": wire.request(1, "x", {}),
    "another_msgid": wire.response(2, None),
    "error_and_result": b"\x94\x01\x01\x82\xa4code\xa1c\xa7message\xa1m\x01",
    "error_without_code": wire.error_response(1, {"message": "m"}),
    "trailing": wire.response(1, None) + b"\xc0",
}


@pytest.mark.parametrize("which", NO_RESPONSE)
async def test_what_is_no_response_is_a_violation(conformance: Conformance, which: str) -> None:
    over = await ended(conformance, answering(NO_RESPONSE[which]))
    assert (type(over), over.ending) == (GuestProtocolError, Ending.PROTOCOL_VIOLATION)


async def test_a_response_outside_the_memory_is_a_violation(conformance: Conformance) -> None:
    guest = Guest(handle=f"(i64.const {65535 << 32 | 2})")
    assert (await ended(conformance, guest)).ending is Ending.PROTOCOL_VIOLATION


async def test_a_response_at_its_limit_and_one_over(conformance: Conformance) -> None:
    content = wire.response(1, "x" * 100)
    assert (await conformance.run(answering(content), message_out_bytes=len(content))).reply.value == "x" * 100
    over = await ended(conformance, answering(content), message_out_bytes=len(content) - 1)
    assert (over.ending, over.details["limit"]) == (Ending.PROTOCOL_VIOLATION, "message_out_bytes")


@pytest.mark.parametrize(("returned", "right"), [("(i64.const 0)", True), (DONE, False)])
async def test_a_notification_is_answered_with_0(conformance: Conformance, returned: str, right: bool) -> None:
    app = await conformance.install(Guest(handle=returned))
    if right:
        assert (await conformance.host.notify(app, "run")).ending is Ending.COMPLETED
        return
    with pytest.raises(GuestProtocolError):
        await conformance.host.notify(app, "run")


# ---- limits ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("where", ["start", "initialize", "alloc", "handle"])
async def test_cpu_time_is_limited_wherever_the_guest_runs(conformance: Conformance, where: str) -> None:
    step = FOREVER + {"alloc": "(i32.const 0)", "handle": DONE}.get(where, "")
    guest: dict[str, Any] = {where: step}
    over = await ended(conformance, Guest(inbox=False, **guest), cpu_us=5_000)
    assert (type(over), over.ending, over.details["limit"]) == (QuotaExceeded, Ending.CPU_EXCEEDED, "cpu_us")
    assert over.receipt is not None and 5_000 < over.receipt.usage.cpu_us < 50_000


async def test_waiting_is_no_cpu_time(conformance: Conformance) -> None:
    guest = Guest(requests=(wire.request(9, "session.sleep", {"ms": 30}),))
    call = f"(call $call {guest.request(0)} (i32.const {ROOM}) (i32.const 64)) (drop)"
    told = await conformance.run(Guest(requests=guest.requests, handle=f"{call} {DONE}"), cpu_us=10_000)
    assert told.reply.receipt.usage.wall_us >= 30_000


@pytest.mark.parametrize("where", ["computing", "in_a_host_call", "in_wait"])
async def test_the_deadline_ends_the_call_wherever_it_is(conformance: Conformance, where: str) -> None:
    guest = Guest(requests=(wire.request(9, "session.sleep", {"ms": 60_000}),))
    step = {
        "computing": FOREVER,
        "in_a_host_call": f"(call $call {guest.request(0)} (i32.const {ROOM}) (i32.const 64)) (drop)",
        "in_wait": f"(call $post {guest.request(0)}) (drop)"
        f" (call $wait (i32.const {ROOM}) (i32.const 64) (i32.const -1)) (drop)",
    }[where]
    over = await ended(
        conformance, Guest(requests=guest.requests, handle=f"{step} {DONE}"), wall_ms=40, cpu_us=10_000_000
    )
    assert (over.ending, over.details["limit"]) == (Ending.DEADLINE_EXCEEDED, "wall_ms")


async def test_a_refused_grow_is_minus_one_and_told_in_the_receipt(conformance: Conformance) -> None:
    grow = [note(at, "(memory.grow (i32.const 1))") for at in range(3)]
    told = await conformance.run(Guest(handle=" ".join((*grow, DONE)), memory="1 9"), memory_bytes=3 << 16)
    assert told.numbers(3) == (1, 2, -1)
    usage = told.reply.receipt.usage
    assert (usage.memory_bytes_peak, usage.memory_at_limit) == (3 << 16, True)


async def test_tables_are_limited_too(conformance: Conformance) -> None:
    grow = [note(at, "(table.grow $t (ref.null func) (i32.const 1))") for at in range(2)]
    guest = Guest(handle=" ".join((*grow, DONE)), more="(table $t 4 100 funcref)")
    assert (await conformance.run(guest, table_elements=5)).numbers(2) == (4, -1)


TRAPS = {
    "unreachable": "(unreachable)",
    "outside_the_memory": "(drop (i32.load (i32.const -4)))",
    "division_by_zero": "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
    "stack": "(drop (call $handle (i32.const 0) (i32.const 0)))",
}


@pytest.mark.parametrize("which", TRAPS)
async def test_a_trap_ends_the_call_and_nothing_else(conformance: Conformance, which: str) -> None:
    deep = "(func $handle (param i32 i32) (result i64) (call $handle (i32.const 0) (i32.const 0)))"
    over = await ended(conformance, Guest(handle=f"{TRAPS[which]} {DONE}", more=deep))
    assert (type(over), over.ending) == (GuestTrapped, Ending.TRAPPED)
    await conformance.run(Guest())


async def test_proc_exit_ends_the_call(conformance: Conformance) -> None:
    over = await ended(conformance, Guest(handle=f"(call $proc_exit (i32.const 3)) {DONE}", wasi=("proc_exit",)))
    assert (type(over), over.ending, over.details["exit_code"]) == (GuestExited, Ending.EXITED, 3)


async def test_cancelled_the_guest_is_gone_and_its_place_free(conformance: Conformance) -> None:
    app = await conformance.install(Guest(handle=f"{FOREVER} {DONE}"), limits={"cpu_us": 60_000_000, "wall_ms": 60_000})
    with trio.move_on_after(0.02) as scope:
        await conformance.host.call(app, "run")
    assert scope.cancelled_caught
    statistics = conformance.host.statistics()
    assert (statistics.calls_in_flight, statistics.sandboxes) == (0, 0)


async def test_what_was_handed_to_the_store_survives_the_call(conformance: Conformance) -> None:
    put = wire.request(1, "storage.put", {"key": "k", "value": 1})
    get = wire.request(2, "storage.get", {"key": "k"})
    body = f"(call $call (i32.const {REQUESTS}) (i32.const {len(put)}) (i32.const {ROOM}) (i32.const 64)) (drop)"
    ask = f"(call $call (i32.const {REQUESTS + len(put)}) (i32.const {len(get)}) (i32.const {ROOM}) (i32.const 64))"
    last = "(i32.load8_u (i32.sub (i32.add (local.get $pointer) (local.get $size)) (i32.const 1)))"
    guest = Guest(
        requests=(put, get),
        handle=f"(if (i32.eq {last} (i32.const 1)) (then {body} (unreachable)))"
        f" {note(0, ask)} {copy(1, ROOM, 64)} {DONE}",
    )
    app = await conformance.install(guest)
    with pytest.raises(GuestTrapped):
        await conformance.host.call(app, "run", {"put": 1}, user="alice")
    reply = await conformance.host.call(app, "run", {"put": 0}, user="alice")
    found = wire.decode(reply.value[4 : 4 + reply.value[0]], 256)[3]
    assert (found["found"], found["value"]) == (True, 1)


# ---- receipts --------------------------------------------------------------------------------------------------------
ENDED = {
    Ending.FAILED: answering(wire.error_response(1, {"code": "c", "message": "m"})),
    Ending.EXITED: Guest(handle=f"(call $proc_exit (i32.const 0)) {DONE}", wasi=("proc_exit",)),
    Ending.TRAPPED: Guest(handle="(unreachable)"),
    Ending.CPU_EXCEEDED: Guest(handle=f"{FOREVER} {DONE}"),
    Ending.PROTOCOL_VIOLATION: answering(b""),
}


@pytest.mark.parametrize("ending", ENDED)
async def test_every_ending_comes_with_its_receipt(conformance: Conformance, ending: Ending) -> None:
    over = await ended(conformance, ENDED[ending], cpu_us=5_000)
    assert over.receipt is not None
    usage = over.receipt.usage
    assert (over.receipt.ending, over.receipt.method, over.exit_code > 10) == (ending, "run", True)
    assert 0 < usage.cpu_us <= usage.wall_us
    assert (usage.message_in_bytes, usage.memory_bytes_peak) == (len(wire.request(1, "run", {})), 1 << 16)


async def test_a_message_at_its_limit_and_one_over(conformance: Conformance) -> None:
    app = await conformance.install(Guest(), limits={"message_in_bytes": 100})
    fits = "x" * (100 - len(wire.request(1, "run", {"text": "x" * 40})) + 40)
    reply = await conformance.host.call(app, "run", {"text": fits})
    assert reply.receipt.usage.message_in_bytes == 100
    with pytest.raises(MessageTooLarge) as caught:
        await conformance.host.call(app, "run", {"text": fits + "x"})
    assert (caught.value.details["limit"], hasattr(caught.value, "receipt")) == ("message_in_bytes", False)


async def test_a_call_waits_for_a_sandbox_at_most_to_its_deadline(conformance: Conformance) -> None:
    """The host of these tests has eight."""
    request = wire.request(9, "session.sleep", {"ms": 60_000})
    sleep = f"(call $call (i32.const {REQUESTS}) (i32.const {len(request)}) (i32.const {ROOM}) (i32.const 64)) (drop)"
    sleeper = await conformance.install(Guest(requests=(request,), handle=f"{sleep} {DONE}"))
    quick = await conformance.install(Guest(), limits={"wall_ms": 30})
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(conformance.host.call, sleeper, "run")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(QuotaExceeded) as caught:
            await conformance.host.call(quick, "run")
        assert caught.value.ending is Ending.DEADLINE_EXCEEDED
        nursery.cancel_scope.cancel()
    assert (await conformance.host.call(quick, "run")).receipt.ending is Ending.COMPLETED
