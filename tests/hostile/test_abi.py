"""Corners of the four imports and the shim that a hostile guest looks for. How they are meant: tests/runtime/abi."""

from __future__ import annotations

import struct

import pytest
import trio

from runtime import Ending, wire
from runtime.limits import KIB
from tests.executor_choice import WORKERS
from tests.hostile.conftest import Site
from tests.hostile.guests import MEMORY, ROOM, Script

INFO = wire.request(1, "session.info", {})
EBADF, EINVAL = 8, 28


def sleep(msgid: int, ms: int) -> bytes:
    return wire.request(msgid, "session.sleep", {"ms": ms})


def shown(told: list[object]) -> list[object]:
    return [wire.decode(found, 4_096)[1] for found in told if isinstance(found, bytes)]


# ---- take and keep ---------------------------------------------------------------------------------------------------
async def test_a_kept_response_is_taken_once_and_dropped_by_the_next_call_or_wait(site: Site) -> None:
    script = Script().call(INFO, capacity=0).step("take", ROOM, 1).step("take", ROOM, 4_096).step("take", ROOM, 4_096)
    size, short, taken, again = await site.run(script)
    assert (short, taken, again) == (size, size, -1)
    for drop in ("call", "wait"):
        script = Script().call(INFO, capacity=0)
        script.call(INFO) if drop == "call" else script.wait(0)
        assert (await site.run(script.step("take", ROOM, 4_096)))[-1] == -1


async def test_a_response_counts_once_however_often_it_is_taken(site: Site) -> None:
    told, reply = await site.reply(Script().call(INFO, capacity=0).step("take", ROOM, 0).step("take", ROOM, 4_096))
    assert reply.receipt.usage.response_bytes == told[0]


# ---- post and wait ---------------------------------------------------------------------------------------------------
async def test_a_notification_that_ends_is_no_response(site: Site) -> None:
    """It neither wakes a wait for what is outstanding nor counts as that."""
    nap = wire.notification("session.sleep", {"ms": 1})
    told = await site.run(Script().post(nap).wait(0).post(nap).post(sleep(2, 20)).awaited().wait())
    assert (told[1], shown(told), told[-1]) == (-1, [2], -1)


async def test_notifications_under_way_count_as_posted(site: Site) -> None:
    """Else there would be no bound on them but the host calls."""
    nap = wire.notification("session.sleep", {"ms": 5})
    _, reply = await site.reply(Script().post(nap).post(nap).post(nap), posted=2)
    assert (reply.receipt.usage.denials, reply.receipt.usage.dropped) == (1, 0)


async def test_polling_lets_what_was_posted_go_on(site: Site) -> None:
    for _ in range(200 if WORKERS else 1):  # from another process the answer comes when that one gets a processor
        told = await site.run(Script().post(sleep(1, 0)).wait(0).wait(0).wait(0))
        if len(wire.response(1, {})) in told[1:]:
            return
    raise AssertionError("no poll ever saw it")


async def test_what_nobody_waited_for_is_counted(site: Site) -> None:
    script = Script().post(INFO).post(sleep(2, 1)).post(sleep(3, 60_000))
    _, reply = await site.reply(script, wall_ms=1_000)
    assert (reply.receipt.usage.unclaimed, reply.receipt.usage.dropped) == (2, 1)
    _, _, receipt = await site.end(Script().post(INFO).post(sleep(2, 60_000)).step("unreachable"))
    assert (receipt.usage.unclaimed, receipt.usage.dropped) == (1, 1)


async def test_what_others_do_while_posts_finish_is_not_billed(site: Site) -> None:
    """A guest that returned waits for its posts; the thread's time meanwhile is its neighbours'."""
    app, busy = await site.install(), await site.install(cpu_us=1_000_000, cpu_burst_us=10_000_000)
    used = []

    async def call() -> None:
        used.append((await site.reply(Script().post(sleep(1, 200)), app))[1].receipt.usage.cpu_us)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        while not site.host.statistics().calls_in_flight:
            await trio.lowlevel.checkpoint()
        while site.host.statistics().calls_in_flight:
            await site.run(Script().step("spin", 500_000), busy)
    assert used[0] < 20_000


async def test_wait_with_every_timeout(site: Site) -> None:
    for timeout in (-1, -2, 0x8000_0000, 0x7FFF_FFFF):
        told = await site.run(Script().post(sleep(5, 1)).step("wait", ROOM, 4_096, timeout))
        assert told[1] == len(wire.response(5, {}))
    assert (await site.run(Script().post(sleep(5, 60_000)).wait(1), wall_ms=50))[1] == -2


# ---- log -------------------------------------------------------------------------------------------------------------
LINES = {
    b"\xff\xfe\n": ["\ufffd\ufffd"], b"a\x1b[2Jb\n": ["a\\x1b[2Jb"], b"a\rb\n": ["a\\rb"], b"\n": [""],
    b"a\x00b\n": ["a\\x00b"], "\u202egnp\n".encode(): ["\\u202egnp"], "\u2028\n".encode(): ["\\u2028"],
    b"no end": ["no end"], b"x" * 4_096: ["x" * 4_096], b"one\ntwo\n": ["one", "two"],
}  # fmt: skip


@pytest.mark.parametrize("text", LINES, ids=lambda text: ascii(text[:12]))
async def test_lines_of_standard_output_are_printable(site: Site, text: bytes) -> None:
    assert await site.run(Script().print(text)) == [0]
    assert [line for _, line in site.log.lines] == LINES[text]
    assert all(line.isprintable() for _, line in site.log.lines)


async def test_a_line_without_an_end_is_broken_and_bounded(site: Site) -> None:
    script = Script()
    for _ in range(5):
        script.print(b"x" * 4_000)
    await site.run(script)
    assert [len(line) for _, line in site.log.lines] == [4_096, 4_096, 4_096, 4_096, 3_616]


# ---- the shim's pointers and sizes -----------------------------------------------------------------------------------
def vectors(*ranges: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<II", *each) for each in ranges)


async def test_sizes_the_shim_refuses(site: Site) -> None:
    script = Script()
    many = script.bring(vectors(*[(ROOM, 1)] * 65))
    script.step("fd_write", 1, many, 65, ROOM).step("fd_write", 3, many, 1, ROOM).step("random_get", ROOM, 65_537)
    script.step("clock_time_get", 2, ROOM).step("poll_oneoff", many, ROOM, 0, ROOM).step(
        "poll_oneoff", many, ROOM, 65, ROOM
    )
    assert await site.run(script) == [EINVAL, EBADF, EINVAL, EINVAL, EINVAL, EINVAL]
    assert site.log.lines == []


@pytest.mark.parametrize("what", ["vectors", "a vector", "the count", "random", "clock", "subscriptions", "events"])
async def test_pointers_the_shim_refuses(site: Site, what: str) -> None:
    script = Script()
    one = script.bring(vectors((MEMORY - 4, 5) if what == "a vector" else (ROOM, 1)))
    match what:
        case "vectors":
            script.step("fd_write", 1, MEMORY - 4, 1, ROOM)
        case "a vector":
            script.step("fd_write", 1, one, 1, ROOM)
        case "the count":
            script.step("fd_write", 1, one, 1, MEMORY - 3)
        case "random":
            script.step("random_get", MEMORY - 8, 9)
        case "clock":
            script.step("clock_time_get", 0, MEMORY - 7)
        case "subscriptions":
            script.step("poll_oneoff", MEMORY - 47, ROOM, 1, ROOM)
        case _:
            script.step("poll_oneoff", one, MEMORY - 31, 1, ROOM)
    ending, _, _ = await site.end(script)
    assert ending is Ending.PROTOCOL_VIOLATION
    assert site.log.lines == []


async def test_random_bytes_differ_and_time_stands_still_between_resumes(site: Site) -> None:
    script = Script().step("random_get", ROOM, 32).step("random_get", ROOM + 32, 32).step("show", ROOM, 64)
    script.step("clock_time_get", 0, ROOM).step("spin", 3_000_000).step("clock_time_get", 1, ROOM + 8).call(
        sleep(1, 3), into=ROOM + 64
    ).step("clock_time_get", 0, ROOM + 16).step("show", ROOM, 24)
    told = await site.run(script)
    assert len({told[2][:32], told[2][32:], bytes(32)}) == 3
    first, same, later = struct.unpack("<3Q", told[-1])
    assert (first % 1_000_000, first, later - first >= 2_000_000) == (0, same, True)


async def test_a_storm_of_short_calls_is_cut_by_the_host_calls(site: Site) -> None:
    """Checklist 4: the price of a refused call is on the guest's own bill."""
    ending, _, receipt = await site.end(Script().call(INFO).step("again", 0), cpu_us=30_000)
    assert ending is Ending.CPU_EXCEEDED
    assert receipt.usage.denials == receipt.usage.host_calls - 256
    assert receipt.usage.response_bytes < 2_048 * KIB
