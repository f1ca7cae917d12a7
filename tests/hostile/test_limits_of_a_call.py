"""Every limit of one call, met by a real guest at its value and one over. `test_every_limit.py` counts them."""

from __future__ import annotations

from time import thread_time_ns
from typing import Any

import pytest
import trio
import trio.testing

from runtime import CallEnded, Ending, MessageTooLarge, ModuleError, Reply, wire
from runtime.limits import MIB, WASM_PAGE
from runtime.sandbox.sandbox import SUSPENDED_NS
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import MEMORY, PAGES, ROOM, Script, bundle, module
from tests.hostile.test_javascript import script

INFO = wire.request(1, "session.info", {})


def sleep(ms: int, msgid: int = 1) -> bytes:
    return wire.request(msgid, "session.sleep", {"ms": ms})


def refused(response: list[Any], limit: str, value: int, used: int) -> None:
    code, details = response[2]["code"], response[2]["details"]
    assert (code, details["limit"], details["value"], details["used"]) == ("limit_exceeded", limit, value, used)


async def test_limit_cpu_us(site: Site) -> None:
    """Bands, as CPU time is measured: a loop that needs a quarter of the budget ends, one of four times is ended."""
    loop = Script().step("spin", 20_000_000)
    _, reply = await site.reply(loop)
    needed = reply.receipt.usage.cpu_us
    assert (await site.run(loop, cpu_us=4 * needed)) == [0]
    ending, error, receipt = await site.end(loop, cpu_us=max(1_000, needed // 4))
    assert ending is Ending.CPU_EXCEEDED
    assert error.details["limit"] == "cpu_us"
    assert error.details["value"] < error.details["used"] <= receipt.usage.cpu_us + 1
    assert receipt.usage.cpu_us < needed


LONG_WAY = b"\x94\x00\xcc\x01\xacsession.info\x81\xa1a\xdc\x0f\xc0" + bytes(0xFC0)
"""A request that is looked through element by element: its msgid is not in the shortest form."""


async def test_a_guest_that_only_asks_pays_for_what_it_asks(site: Site) -> None:
    """What is answered at once is worked for in its own thread: on its bill, but for the host's part of a call."""
    script = Script()
    request = script.bring(LONG_WAY)
    for _ in range(100):
        script.step("call", request, len(LONG_WAY), ROOM, 4_096)
    app = await site.install(cpu_us=10_000_000)
    began = thread_time_ns()
    told, reply = await site.reply(script, app)
    spent_us = (thread_time_ns() - began) // 1_000
    assert min(told) > 0
    assert reply.receipt.usage.denials == 100
    assert reply.receipt.usage.cpu_us > spent_us // 2


async def test_waits_without_end_or_length_are_paid_for(site: Site) -> None:
    """They are no host calls, and each takes a turn of the event loop."""
    script = Script()
    subscription = script.bring(bytes(48))  # a clock, 0 ns from now
    for _ in range(200):
        script.step("poll_oneoff", subscription, ROOM, 1, ROOM + 64)
    script.post(sleep(5, 60_000))
    for _ in range(200):
        script.wait(0)
    _, reply = await site.reply(script, wall_ms=2_000)
    assert reply.receipt.usage.cpu_us >= 400 * SUSPENDED_NS // 1_000


async def test_neighbours_at_once_are_not_on_the_bill(site: Site) -> None:
    """All bills together are no more than the time there was: the end of a guest that may post is a turn of theirs."""
    app = await site.install()
    used: list[int] = []

    async def call() -> None:
        used.append((await site.reply(Script(), app))[1].receipt.usage.cpu_us)

    began = thread_time_ns()
    async with trio.open_nursery() as nursery:
        for _ in range(32):
            nursery.start_soon(call)
    assert sum(used) <= (thread_time_ns() - began) // 1_000


async def test_one_write_of_many_lines_is_a_short_one(site: Site) -> None:
    """Thousands of lines at once would hold the event loop for all of them."""
    written = (await site.reply(Script().print(b"\n" * 4_096).step("load", ROOM)))[0][1]
    assert written == 64
    assert [line for _, line in site.log.lines] == [""] * 64


async def test_limit_wall_ms(site: Site) -> None:
    """Real time, a few ms of it: the deadline is trio's, and the compiling child is no matter of a virtual clock."""
    assert (await site.ask(sleep(1), wall_ms=5_000))[2:] == [None, {}]
    ending, error, receipt = await site.end(Script().call(sleep(60_000)), wall_ms=20)
    assert ending is Ending.DEADLINE_EXCEEDED
    assert (error.details["limit"], error.details["value"]) == ("wall_ms", 20)
    assert receipt.usage.wall_us >= 20_000


async def test_limit_prompt_wait_ms(site: Site, mock_clock: trio.testing.MockClock) -> None:
    """The wait for a person ends there, whatever the guest asks for; the wall deadline stands still meanwhile."""
    create = {"key": "k", "out_trade_no": "1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    app = await site.install(prompt_wait_ms=60_000, wall_ms=10_000, cpu_us=10_000_000)
    site.cashier.hold()
    order = (await site.ask(wire.request(1, "payment.create", create), app))[3]["order_id"]
    ask = wire.request(2, "payment.request", {"order_id": order, "wait_ms": 600_000})
    done: list[tuple[list[Any], Reply]] = []

    async def guest() -> None:
        """What is left of its 10 s is looked at while it computes."""
        done.append(await site.reply(Script().ask(ask).step("spin", 10_000_000), app))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        while not site.host.prompts.pending():
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.05)
        mock_clock.jump(59.999)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not done
        mock_clock.jump(0.001)
        for _ in range(2_000):  # each a real 10 ms at the least: the clock stands still, and so would a timeout
            await trio.testing.wait_all_tasks_blocked(0.01)
            if done:
                break
        nursery.cancel_scope.cancel()
    ((told, reply),) = done
    assert wire.decode(told[1], 4096)[3]["status"] == "confirming"
    assert reply.receipt.usage.asked_us == 60_000_000
    site.cashier.release()


async def test_the_wall_deadline_goes_on_when_the_person_has_answered(
    site: Site, mock_clock: trio.testing.MockClock
) -> None:
    """It is not as far away any more as it was while they could have taken longer."""
    create = {"key": "k", "out_trade_no": "1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    app = await site.install(prompt_wait_ms=600_000, wall_ms=10_000)
    order = (await site.ask(wire.request(1, "payment.create", create), app))[3]["order_id"]
    ask = wire.request(2, "payment.request", {"order_id": order, "wait_ms": 600_000})
    endings: list[Ending] = []

    async def guest() -> None:
        endings.append((await site.end(Script().ask(ask).call(sleep(60_000)), app))[0])

    site.cashier.hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        while not site.host.prompts.pending():
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.05)  # until it stands still
        mock_clock.jump(11)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert endings == []
        site.cashier.release()
        for _ in range(1_000):  # each a real 10 ms at the least, and ten times that of the clock
            await trio.testing.wait_all_tasks_blocked(0.01)
            if endings:
                break
            mock_clock.jump(0.1)
        nursery.cancel_scope.cancel()
    assert endings == [Ending.DEADLINE_EXCEEDED]


async def test_limit_memory_bytes(site: Site) -> None:
    grow = Script().step("memory_grow", 2)
    told, reply = await site.reply(grow, memory_bytes=MEMORY + 3 * WASM_PAGE)
    assert (told, reply.receipt.usage.memory_at_limit) == ([PAGES], False)
    told, reply = await site.reply(grow, memory_bytes=MEMORY + 2 * WASM_PAGE)
    assert (told, reply.receipt.usage.memory_at_limit) == ([PAGES], True)
    assert reply.receipt.usage.memory_bytes_peak == MEMORY + 2 * WASM_PAGE
    told, reply = await site.reply(grow.step("memory_grow", 1), memory_bytes=MEMORY + 2 * WASM_PAGE)
    assert (told, reply.receipt.usage.memory_at_limit) == ([PAGES, -1], True)
    with pytest.raises(ModuleError) as caught:
        await site.install(memory_bytes=MEMORY - WASM_PAGE)
    assert (caught.value.details["limit"], caught.value.details["found"]) == ("memory_bytes", MEMORY)


async def test_limit_script_memory_bytes(site: Site) -> None:
    """What a script may allocate beside the engine's own memory, at once; more is an error that it can catch."""
    source = "export default { run: ({ bytes }) => new Uint8Array(bytes).length };"
    app = await site.host.install(script(source), limits={"script_memory_bytes": 8 * MIB})
    assert (await site.host.call(app, "run", {"bytes": 4 * MIB})).receipt.usage.memory_bytes_peak <= 8 * MIB
    with pytest.raises(CallEnded) as caught:
        await site.host.call(app, "run", {"bytes": 8 * MIB})
    assert caught.value.ending is Ending.FAILED and "out of memory" in caught.value.message


async def test_limit_table_elements(site: Site) -> None:
    assert await site.run(Script().step("table_grow", 3).step("table_grow", 1), table_elements=5) == [2, -1]
    assert await site.run(Script().step("table_grow", 0), table_elements=2) == [2]
    with pytest.raises(ModuleError) as caught:
        await site.install(table_elements=1)
    assert (caught.value.details["limit"], caught.value.details["found"]) == ("table_elements", 2)


async def test_limit_message_in_bytes(site: Site) -> None:
    params = Script().step("spin", 1).params()
    size = len(wire.request(1, "run", params))
    app = await site.install(message_in_bytes=size)
    assert (await site.host.call(app, "run", params)).receipt.usage.message_in_bytes == size
    with pytest.raises(MessageTooLarge) as caught:
        await site.host.call(app, "run", Script().step("spin", 1).step("spin", 1).params())
    assert (caught.value.details["limit"], caught.value.details["value"]) == ("message_in_bytes", size)
    with pytest.raises(MessageTooLarge):
        await site.host.notify(app, "run", {"s": bytes(size)})


async def test_limit_message_out_bytes(site: Site) -> None:
    _, reply = await site.reply(Script().step("show", ROOM, 100), message_out_bytes=113)
    assert reply.receipt.usage.message_out_bytes == 113
    ending, error, _ = await site.end(Script().step("show", ROOM, 101), message_out_bytes=113)
    assert ending is Ending.PROTOCOL_VIOLATION
    assert (error.details["limit"], error.details["used"]) == ("message_out_bytes", 114)


async def test_a_claimed_response_of_four_gigabytes_is_not_even_copied(site: Site) -> None:
    ending, error, _ = await site.end(Script().step("give", ROOM, 0xFFFF_FFFF))
    assert (ending, error.details["used"]) == (Ending.PROTOCOL_VIOLATION, 0xFFFF_FFFF)


@pytest.mark.parametrize("way", ["call", "post"])
async def test_limit_request_bytes(site: Site, way: str) -> None:
    fits, over = (wire.request(1, "log.write", {"level": "info", "message": "x" * size}) for size in (100, 101))
    for request in (fits, over):
        script = Script().ask(request) if way == "call" else Script().post(request).awaited()
        told = await site.run(script, request_bytes=len(fits))
        response = wire.decode(next(shown for shown in told if isinstance(shown, bytes)), 4096)
        if request is fits:
            assert response[2:] == [None, {}]
        else:
            refused(response, "request_bytes", len(fits), len(over))
    assert site.log.lines == [("info", "x" * 100)]


async def test_limit_response_bytes(site: Site) -> None:
    app = await site.install(response_bytes=4_096)
    for key, size in (("fits", 4_096), ("over", 4_097)):
        overhead = len(wire.response(1, {"found": True, "value": bytes(4_000), "version": 1})) - 4_000
        put = wire.request(1, "storage.put", {"key": key, "value": bytes(size - overhead)})
        assert (await site.ask(put, app))[2] is None
        response = await site.ask(wire.request(1, "storage.get", {"key": key}), app)
        if key == "fits":
            assert len(wire.encode(response)) == size
        else:
            refused(response, "response_bytes", 4_096, 4_097)


@pytest.mark.parametrize("way", ["standard output", "log.write"])
async def test_limit_log_bytes(site: Site, way: str) -> None:
    def script(size: int) -> Script:
        if way == "log.write":
            return Script().call(wire.request(1, "log.write", {"level": "info", "message": "x" * size}))
        return Script().print(b"x" * size + b"\n")

    _, reply = await site.reply(script(99), log_bytes=100)
    assert (reply.receipt.usage.log_bytes, reply.receipt.usage.log_cut) == (100, False)
    assert site.log.lines == [("info", "x" * 99)]
    _, reply = await site.reply(script(100), log_bytes=100)
    assert (reply.receipt.usage.log_bytes, reply.receipt.usage.log_cut) == (100, True)
    assert site.log.lines[1:] == [("info", "x" * 100), ("warning", "[log cut at 100 bytes]")]


async def test_a_flood_of_log_lines_is_cut_once(site: Site) -> None:
    script = Script()
    script.print(b"\n" * 4_096).step("again", 0)
    ending, _, receipt = await site.end(script, log_bytes=10, cpu_us=5_000)
    assert (ending, receipt.usage.log_bytes, len(site.log.lines)) == (Ending.CPU_EXCEEDED, 10, 11)


async def test_limit_host_calls(site: Site) -> None:
    script = Script().ask(INFO).ask(INFO).ask(INFO).post(INFO).awaited()
    told, reply = await site.reply(script, host_calls=2)
    responses = [wire.decode(shown, 4096) for shown in told if isinstance(shown, bytes)]
    assert [response[2] is None for response in responses] == [True, True, False, False]
    refused(responses[2], "host_calls", 2, 3)
    refused(responses[3], "host_calls", 2, 4)
    assert (reply.receipt.usage.host_calls, reply.receipt.usage.denials) == (4, 2)


async def test_limit_posted(site: Site) -> None:
    script = Script().post(sleep(1, 1)).post(sleep(1, 2)).post(sleep(1, 3))
    script.awaited().awaited().awaited().post(sleep(1, 4)).awaited()
    told, reply = await site.reply(script, posted=2)
    responses = {(found := wire.decode(shown, 4096))[1]: found for shown in told if isinstance(shown, bytes)}
    refused(responses[3], "posted", 2, 3)
    assert [responses[msgid][2] for msgid in (1, 2, 4)] == [None, None, None]
    assert (reply.receipt.usage.denials, reply.receipt.usage.unclaimed) == (1, 0)


async def test_a_limit_wanted_by_a_manifest_only_ever_lowers(opened: Opened) -> None:
    async with opened() as site:
        app = await site.host.install(bundle(module(), limits={"cpu_us": 600_000_000, "host_calls": 3}))
        limits = site.host._registry.find(app)[1].limits
        assert (limits.cpu_us, limits.host_calls) == (50_000, 3)
