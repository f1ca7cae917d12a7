"""docs/protocol.md §4.4: what call, post, wait and take do, seen from a guest."""

from __future__ import annotations

import pytest

from runtime import GuestProtocolError, wire
from tests.runtime.abi.conftest import Conformance
from tests.runtime.abi.guests import DONE, REQUESTS, ROOM, Guest, copy, note

USAGE = wire.request(7, "storage.usage", {})
INFO = wire.request(8, "session.info", {})
SPEAK = wire.notification("log.write", {"level": "info", "message": "said"})
PAGE = 1 << 16


def sleep(msgid: int, ms: int) -> bytes:
    return wire.request(msgid, "session.sleep", {"ms": ms})


def call(guest_request: str, capacity: int = 1024, into: int = ROOM) -> str:
    return f"(call $call {guest_request} (i32.const {into}) (i32.const {capacity}))"


def post(guest_request: str) -> str:
    return f"(call $post {guest_request})"


def wait(timeout_ms: int = -1, capacity: int = 1024, into: int = ROOM) -> str:
    return f"(call $wait (i32.const {into}) (i32.const {capacity}) (i32.const {timeout_ms}))"


def take(capacity: int = 1024, into: int = ROOM) -> str:
    return f"(call $take (i32.const {into}) (i32.const {capacity}))"


def asking(*requests: bytes) -> Guest:
    """A guest with these requests in memory; its body comes with `doing`."""
    return Guest(requests=requests)


def doing(guest: Guest, *steps: str) -> Guest:
    return Guest(requests=guest.requests, handle=" ".join((*steps, DONE)), memory=guest.memory)


# ---- call and take ---------------------------------------------------------------------------------------------------
async def test_call_gives_the_response_and_its_length(conformance: Conformance) -> None:
    guest = asking(USAGE)
    told = await conformance.run(doing(guest, note(0, call(guest.request(0))), copy(1, ROOM, 200)))
    (length,) = told.numbers(1)
    kind, msgid, error, result = told.response(1, length)
    assert (kind, msgid, error, result["keys"]) == (1, 7, None, 0)
    usage = told.reply.receipt.usage
    assert (usage.host_calls, usage.request_bytes, usage.response_bytes) == (1, len(USAGE), length)


async def test_what_does_not_fit_is_kept_whole_until_taken(conformance: Conformance) -> None:
    guest = asking(USAGE)
    told = await conformance.run(
        doing(
            guest,
            note(0, call(guest.request(0), capacity=10)),
            note(1, f"(i32.load8_u (i32.const {ROOM}))"),  # nothing was copied
            note(2, take(capacity=9)),
            note(3, take()),
            note(4, take()),
            copy(5, ROOM, 200),
        )
    )
    length, touched, too_small, taken, nothing = told.numbers(5)
    assert (touched, too_small, taken, nothing) == (0, length, length, -1)
    assert told.response(5, length)[1] == 7


async def test_a_response_exactly_as_long_as_the_room_fits(conformance: Conformance) -> None:
    guest = asking(sleep(9, 0))
    exact = len(wire.response(9, {}))
    steps = (note(0, call(guest.request(0), capacity=exact)), note(1, take()))
    assert (await conformance.run(doing(guest, *steps))).numbers(2) == (exact, -1)
    steps = (note(0, call(guest.request(0), capacity=exact - 1)), note(1, take()))
    assert (await conformance.run(doing(guest, *steps))).numbers(2) == (exact, exact)


@pytest.mark.parametrize("next_step", ["call", "wait"])
async def test_the_next_call_or_wait_drops_what_was_kept(conformance: Conformance, next_step: str) -> None:
    guest = asking(USAGE, sleep(9, 0))
    between = call(guest.request(1)) if next_step == "call" else wait(0)
    steps = (note(0, call(guest.request(0), capacity=0)), note(1, between), note(2, take()))
    length, _, kept = (await conformance.run(doing(guest, *steps))).numbers(3)
    assert (length > 0, kept) == (True, -1)


async def test_request_and_room_may_overlap(conformance: Conformance) -> None:
    guest = asking(USAGE)
    steps = (note(0, call(guest.request(0), into=REQUESTS)), copy(1, REQUESTS, 200))
    told = await conformance.run(doing(guest, *steps))
    assert told.response(1, told.numbers(1)[0])[1] == 7


# ---- post and wait ---------------------------------------------------------------------------------------------------
async def test_responses_come_in_order_of_completion(conformance: Conformance) -> None:
    guest = asking(sleep(1, 60), sleep(2, 5), INFO)
    steps = [note(at, post(guest.request(at))) for at in range(3)]
    for place in (3, 4, 5):
        steps += [wait(), "(drop)", note(place, f"(i32.load8_u (i32.const {ROOM + 2}))")]
    told = await conformance.run(doing(guest, *steps, note(6, wait())))
    assert told.numbers(7) == (0, 0, 0, 8, 2, 1, -1)
    assert told.reply.receipt.usage.unclaimed == 0


async def test_wait_polls_times_out_and_knows_when_nothing_is_outstanding(conformance: Conformance) -> None:
    guest = asking(sleep(1, 40))
    steps = (note(0, wait(0)), note(1, wait()), post(guest.request(0)), "(drop)")
    more = (note(2, wait(0)), note(3, wait(1)), note(4, wait(5_000)), note(5, wait()))
    told = await conformance.run(doing(guest, *steps, *more))
    assert told.numbers(6) == (-1, -1, -2, -2, len(wire.response(1, {})), -1)


async def test_call_is_answered_by_its_own_response_only(conformance: Conformance) -> None:
    guest = asking(INFO, sleep(9, 1))
    steps = (post(guest.request(0)), "(drop)", note(0, call(guest.request(1))), copy(1, ROOM, 60))
    told = await conformance.run(doing(guest, *steps, note(30, wait())))
    assert told.response(1, told.numbers(1)[0]) == [1, 9, None, {}]
    assert told.numbers(31)[30] > 0


async def test_a_notification_has_no_response(conformance: Conformance) -> None:
    guest = asking(SPEAK)
    told = await conformance.run(doing(guest, note(0, post(guest.request(0))), note(1, wait())))
    assert told.numbers(2) == (0, -1)
    assert conformance.log.lines == [("info", "said")]


async def test_what_is_under_way_when_the_guest_returns_finishes_and_is_counted(conformance: Conformance) -> None:
    put = wire.request(1, "storage.put", {"key": "late", "value": 1})
    guest = asking(sleep(9, 20), put)
    steps = (post(guest.request(0)), "(drop)", post(guest.request(1)), "(drop)")
    app = await conformance.install(doing(guest, *steps))
    usage = (await conformance.host.call(app, "run", user="alice")).receipt.usage
    assert (usage.unclaimed, usage.storage_delta_bytes > 0, usage.wall_us >= 20_000) == (2, True, True)


# ---- limits: the guest lives -----------------------------------------------------------------------------------------
async def test_host_calls_over_the_limit_are_refused_and_the_guest_lives(conformance: Conformance) -> None:
    guest = asking(sleep(9, 0))
    steps = (call(guest.request(0)), "(drop)", call(guest.request(0)), "(drop)")
    last = (note(0, call(guest.request(0))), copy(1, ROOM, 240))
    told = await conformance.run(doing(guest, *steps, *last), host_calls=2)
    error = told.response(1, told.numbers(1)[0])[2]
    assert (error["code"], error["details"]["limit"], error["details"]["value"]) == ("limit_exceeded", "host_calls", 2)
    assert told.reply.receipt.usage.denials == 1


@pytest.mark.parametrize(("over", "refused"), [(0, False), (1, True)])
async def test_a_request_over_its_size_is_refused_unread(conformance: Conformance, over: int, refused: bool) -> None:
    guest = asking(INFO + b"\x00" * 40)
    length = len(INFO) + over
    steps = (note(0, call(f"(i32.const {REQUESTS}) (i32.const {length})")), copy(1, ROOM, 250))
    told = await conformance.run(doing(guest, *steps), request_bytes=len(INFO))
    kind, msgid, error, _ = told.response(1, told.numbers(1)[0])
    assert (kind, msgid, error and error["details"]["limit"]) == (1, 8, "request_bytes" if refused else None)


async def test_posted_over_the_limit_is_refused_and_the_guest_lives(conformance: Conformance) -> None:
    guest = asking(sleep(1, 30), sleep(2, 30), sleep(3, 30))
    steps = [note(at, post(guest.request(at))) for at in range(3)]
    told = await conformance.run(doing(guest, *steps, note(3, wait()), copy(4, ROOM, 200)), posted=2)
    posted = told.numbers(4)
    assert posted[:3] == (0, 0, 0)
    _, msgid, error, _ = told.response(4, posted[3])
    assert (msgid, error["code"], error["details"]["limit"]) == (3, "limit_exceeded", "posted")


async def test_a_response_over_its_size_is_an_error(conformance: Conformance) -> None:
    key = "k" * 256
    put = wire.request(1, "storage.put", {"key": key, "value": "v" * 600})
    get = wire.request(2, "storage.get", {"key": key})
    guest = asking(put, get)
    steps = (call(guest.request(0)), "(drop)", note(0, call(guest.request(1))), copy(1, ROOM, 240))
    told = await conformance.run(doing(guest, *steps), response_bytes=512)
    error = told.response(1, told.numbers(1)[0])[2]
    assert (error["code"], error["details"]["limit"], error["details"]["value"]) == (
        "limit_exceeded",
        "response_bytes",
        512,
    )


# ---- what ends the call ----------------------------------------------------------------------------------------------
OUTSIDE = [
    ("call", f"(i32.const {PAGE - 1}) (i32.const 2)", call),
    ("post", f"(i32.const {PAGE - 1}) (i32.const 2)", post),
    ("call_wraps", "(i32.const -1) (i32.const 2)", call),
    ("call_length", "(i32.const 0) (i32.const -1)", call),
]


@pytest.mark.parametrize(("where", "range_", "step"), OUTSIDE, ids=[name for name, _, _ in OUTSIDE])
async def test_a_request_outside_the_memory_ends_the_call(
    conformance: Conformance, where: str, range_: str, step: object
) -> None:
    assert callable(step)
    with pytest.raises(GuestProtocolError):
        await conformance.run(doing(asking(), step(range_), "(drop)"))


@pytest.mark.parametrize("name", ["call", "wait", "take"])
@pytest.mark.parametrize("fits", [True, False])
async def test_room_outside_the_memory_ends_the_call(conformance: Conformance, name: str, fits: bool) -> None:
    guest = asking(sleep(9, 0))
    capacity = 64 if fits else 65
    into = PAGE - 64
    step = {
        "call": call(guest.request(0), capacity, into), "wait": wait(0, capacity, into), "take": take(capacity, into),
    }[name]  # fmt: skip
    if fits:
        await conformance.run(doing(guest, step, "(drop)"))
        return
    with pytest.raises(GuestProtocolError, match="outside the memory"):
        await conformance.run(doing(guest, step, "(drop)"))


async def test_nothing_happens_where_the_room_is_outside_the_memory(conformance: Conformance) -> None:
    put = wire.request(1, "storage.put", {"key": "kept", "value": 1})
    with pytest.raises(GuestProtocolError) as caught:
        await conformance.run(doing(asking(put), call(asking(put).request(0), 64, PAGE), "(drop)"))
    assert caught.value.receipt is not None
    assert (caught.value.receipt.usage.storage_delta_bytes, caught.value.receipt.usage.host_calls) == (0, 0)


NO_REQUEST = {
    "empty": b"",
    "garbage": b"\xc1\xff",
    "a_response": wire.response(1, {}),
    "params_array": b"\x94\x00\x01\xa1x\x90",
    "envelope_key": wire.request(1, "session.info", {"$token": 1}),
    "trailing": INFO + b"\x00",
    "two_equal_keys": b"\x94\x00\x01\xacsession.info\x82\xa1a\x01\xa1a\x01",
}


@pytest.mark.parametrize("name", ["call", "post"])
@pytest.mark.parametrize("which", NO_REQUEST)
async def test_bytes_that_are_no_request_end_the_call(conformance: Conformance, which: str, name: str) -> None:
    guest = asking(NO_REQUEST[which])
    step = {"call": call, "post": post}[name](guest.request(0))
    with pytest.raises(GuestProtocolError):
        await conformance.run(doing(guest, step, "(drop)"))


async def test_a_notification_with_call_ends_the_call(conformance: Conformance) -> None:
    guest = asking(SPEAK)
    with pytest.raises(GuestProtocolError, match="notification"):
        await conformance.run(doing(guest, call(guest.request(0)), "(drop)"))


@pytest.mark.parametrize("first", [sleep(5, 1_000), wire.request(5, "session.info", {})], ids=["under way", "complete"])
async def test_an_outstanding_msgid_used_again_ends_the_call(conformance: Conformance, first: bytes) -> None:
    guest = asking(first, wire.request(5, "session.info", {}))
    steps = (post(guest.request(0)), "(drop)", call(guest.request(1)), "(drop)")
    with pytest.raises(GuestProtocolError, match="outstanding"):
        await conformance.run(doing(guest, *steps))


async def test_a_msgid_may_be_used_again_after_its_response(conformance: Conformance) -> None:
    guest = asking(sleep(5, 1))
    steps = (call(guest.request(0)), "(drop)", post(guest.request(0)), "(drop)", wait(), "(drop)")
    told = await conformance.run(doing(guest, *steps, note(0, call(guest.request(0)))))
    assert told.numbers(1) == (len(wire.response(5, {})),)


@pytest.mark.parametrize("waited", [0, 1])
async def test_refusals_that_nobody_waits_for_at_the_limit_and_one_less(conformance: Conformance, waited: int) -> None:
    """256 in all; where one of them is waited for, the guest lives."""
    guest = asking(sleep(1, 1_000))
    count = f"(local.set $n (i32.add (local.get $n) (i32.const 1))) {post(guest.request(0))} (drop)"
    loop = f"(local $n i32) (loop $on {count} (br_if $on (i32.lt_u (local.get $n) (i32.const 255))))"
    steps = (loop, f"{wait()} (drop)" * waited, post(guest.request(0)), "(drop)")
    if waited:
        assert (
            await conformance.run(doing(guest, *steps), posted=0, host_calls=1_000)
        ).reply.receipt.usage.unclaimed == 255
        return
    with pytest.raises(GuestProtocolError):
        await conformance.run(doing(guest, *steps), posted=0, host_calls=1_000)


async def test_a_guest_that_goes_on_posting_over_the_limit_is_over(conformance: Conformance) -> None:
    guest = asking(sleep(1, 1_000))
    spin = f"(loop $again {post(guest.request(0))} (drop) (br $again))"
    with pytest.raises(GuestProtocolError) as caught:
        await conformance.run(doing(guest, spin), posted=0, host_calls=10_000)
    assert caught.value.details["limit"] == "posted"


async def test_a_response_there_is_no_room_to_hold_is_refused_and_the_guest_lives(conformance: Conformance) -> None:
    key = "k" * 64
    put = wire.request(1, "storage.put", {"key": key, "value": "v" * 30_000})
    guest = asking(put, *(wire.request(msgid, "storage.get", {"key": key}) for msgid in (2, 3, 4)))
    steps = (call(guest.request(0)), "(drop)", *(f"{post(guest.request(at))} (drop)" for at in (1, 2, 3)))
    waits = (f"{wait()} (drop)", f"{wait()} (drop)", note(0, wait()), copy(1, ROOM, 240))
    told = await conformance.run(doing(Guest(requests=guest.requests), *steps, *waits), held_bytes=1 << 16)
    error = told.response(1, told.numbers(1)[0])[2]
    assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "held_bytes")
    assert told.reply.receipt.usage.denials == 1
