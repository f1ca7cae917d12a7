"""Clients that are out to hurt, on real sockets: whatever they do, an honest one is answered and memory is bounded."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anycorn
import anyio
import pytest
import trio

from runtime.daemon.http import HttpSettings
from tests.runtime.daemon.http.conftest import Answer, Door, open_door, read_answer

LONG = os.environ.get("HOSTEL_LONG") == "1"
IDLE = 10_000 if LONG else 2_000
CPU_S_MOST = 0.02
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nX"
)
"""With one byte too many: it ends the process of hypercorn's trio worker."""
QUICK = HttpSettings(port=0, head_s=0.2, body_s=0.2, idle_s=1.0, write_s=0.2)


@pytest.fixture
async def quick() -> AsyncIterator[Door]:
    """Its times are short."""
    async with open_door(QUICK) as door:
        yield door


async def is_well(door: Door, source: str = "127.0.0.1") -> bool:
    with trio.fail_after(10):
        return (await door.ask("GET", "/healthz", user=None, source=source)).json == {"alive": True}


async def sent(door: Door, data: bytes) -> list[Answer]:
    """All answers to these bytes, until the server closes, or has said nothing for a while."""
    answers: list[Answer] = []
    received = bytearray()
    async with await door.connect() as stream:
        try:
            await stream.send_all(data)
            with trio.move_on_after(0.5):
                while True:
                    answers.append(await read_answer(stream, received))
        except (EOFError, trio.BrokenResourceError):
            pass
    return answers


# ---- upgrades --------------------------------------------------------------------------------------------------------
async def test_the_crafted_websocket_upgrade_is_refused_and_kills_nothing(door: Door) -> None:
    for _ in range(3):
        (answer,) = await sent(door, UPGRADE)
        assert (answer.status, answer.code) == (400, "upgrade_refused")
    assert await is_well(door)


async def test_the_crafted_websocket_upgrade_does_not_kill_the_server_behind_either() -> None:
    """anycorn alone, without the connection that refuses upgrades before it: the second line holds too."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    config = anycorn.Config()
    config.bind, config.errorlog = ["127.0.0.1:0"], None
    async with trio.open_nursery() as nursery:
        stop = anyio.Event()
        (url,) = await nursery.start(partial(anycorn.serve, app, config, shutdown_trigger=stop.wait))
        for data in (UPGRADE, UPGRADE, GET + b"\r\n"):
            async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
                await stream.send_all(data)
                with trio.fail_after(10):
                    first = await stream.receive_some(4_096)
        assert first.startswith(b"HTTP/1.1 200")
        stop.set()


# ---- bytes -----------------------------------------------------------------------------------------------------------
SMUGGLED = b"GET /v1/none HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"\x16\x03\x01\x02\x00\x01" + bytes(300) + b"\r\n\r\n", [400]),
        (b"\x00" * 9_000, [431]),
        (b"GET /" + b"a" * 8_200, [431]),
        (GET + b"a: " + b"b" * 8_200, [431]),
        (GET + b"a: b\r\n" * 64 + b"\r\n", [431]),
        (GET + b"\r\n" + b"garbage\r\n\r\n", [200, 400]),
        (GET + b"\r\n" + SMUGGLED, [200, 404]),
        (b"\r\n\r\n" + GET + b"\r\n", [400]),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, [411]),
        (GET + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + SMUGGLED, [411]),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 70_000 + b"\r\n", [411]),
        (GET + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED, [400]),
        (GET + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, [400]),
        (GET + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, [400]),
        (GET + b"Content-Length: 0\r\nContent-Length: 35\r\n\r\n" + SMUGGLED, [400]),
        (GET + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, [200]),
        (GET + b"Content-Length: 99999999\r\n\r\n", [413]),
        (b"POST /v1/none HTTP/1.1\r\nHost: x\r\nContent-Length: 524288\r\n\r\n" + bytes(524_288), [404]),
        (b"POST /v1/none HTTP/1.1\r\nHost: x\r\nContent-Length: 524289\r\n\r\n" + bytes(524_289), [413]),
    ],
)
async def test_each_trick_gets_its_answers_and_no_more(door: Door, data: bytes, statuses: list[int]) -> None:
    assert [answer.status for answer in await sent(door, data)] == statuses
    assert await is_well(door)


async def test_random_bytes(door: Door) -> None:
    chance = random.Random(1)
    for _ in range(60):
        data = chance.randbytes(chance.randrange(1, 3_000))
        if chance.random() < 0.5:
            data = GET + data.replace(b"\n", b"\r\n") + b"\r\n\r\n"
        stream = await door.connect()
        with suppress(trio.BrokenResourceError):
            await stream.send_all(data)
        await trio.aclose_forcefully(stream)
    assert await is_well(door)


@pytest.mark.parametrize(
    "data",
    [
        GET + b"a:" + b" " * 8_100 + b"\0\r\n\r\n",
        GET + b"a:" + b" \t" * 4_050 + b"\0\r\n\r\n",
        GET + b"a:" + b"x " * 4_050 + b"\0\r\n\r\n",
        GET + b"a:" + b"x " * 4_050 + b"\r\n\r\n",
        GET + b"a:" + b" " * 8_100 + b"\r\n\r\n",
        GET + b"a:b\r\n" * 1_600 + b"\r\n",
        GET + b" \r\n" * 2_600 + b"\r\n",
        b"GET /" + b"%41" * 2_700 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"a: b\r\n" * 62 + b"\r\n",
    ],
)
async def test_no_request_costs_more_than_a_moment(door: Door, data: bytes) -> None:
    """h11 takes a second for the first of them, were it 16 KB: docs/decisions/0014. Client and server together."""
    assert await is_well(door)

    async def cost() -> float:
        began = time.thread_time()
        async with await door.connect() as stream:
            await stream.send_all(data)
            await read_answer(stream)
        return time.thread_time() - began

    assert min([await cost() for _ in range(3)]) < CPU_S_MOST


# ---- time ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "limit"),
    [(GET, "head_s"), (GET + b"Content-Length: 10\r\n\r\n12345", "body_s")],
)
async def test_who_stops_in_the_middle_is_told_so(quick: Door, data: bytes, limit: str) -> None:
    async with await quick.connect() as stream:
        await stream.send_all(data)
        answer = await read_answer(stream)
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert answer.json["error"]["details"]["limit"] == limit
        with trio.fail_after(10):
            assert not await stream.receive_some(1)


async def test_who_says_nothing_is_closed(quick: Door) -> None:
    async with await quick.connect() as silent, await quick.connect() as once:
        await once.send_all(GET + b"\r\n")
        await read_answer(once)
        with trio.fail_after(10):
            assert not await silent.receive_some(1)
            assert not await once.receive_some(1)


async def test_a_byte_a_packet_is_no_way_to_send_a_request(door: Door) -> None:
    async with await door.connect() as stream:
        with trio.fail_after(20):
            for byte in GET + b"a: " + b"b" * 60:
                await stream.send_all(bytes([byte]))
                await trio.testing.wait_all_tasks_blocked(0.0005)
            answer = await read_answer(stream)
    assert (answer.status, answer.code) == (400, "request_malformed")
    assert "pieces" in answer.json["error"]["message"]


async def test_who_does_not_read_is_cut(quick: Door) -> None:
    """Answers that nobody takes fill what the kernel holds for both; then the clock runs."""
    stream = await quick.connect()
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    with trio.fail_after(30), pytest.raises(trio.BrokenResourceError):
        while True:
            await stream.send_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    await stream.aclose()
    assert await is_well(quick)


# ---- too many --------------------------------------------------------------------------------------------------------
def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_idle_connections_make_room_for_honest_ones(door: Door) -> None:
    settings = HttpSettings()
    before = open_files()
    idle: list[trio.abc.Stream] = []
    try:
        for count in range(IDLE):
            idle.append(await door.connect(f"127.0.1.{count % 20 + 1}"))
            if count % 500 == 499:
                assert await is_well(door) and await is_well(door, "127.0.1.1")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert open_files() - before - IDLE <= settings.connections + 10
        assert await is_well(door)
    finally:
        for stream in idle:
            await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("start", [b"", GET, GET + b"Content-Length: 100000\r\n\r\n" + bytes(50_000)])
async def test_an_address_has_its_share(start: bytes) -> None:
    """Slow heads and slow bodies too: the oldest of that address goes, others are left alone."""
    async with open_door(HttpSettings(port=0, connections_per_address=4)) as door:
        other = await door.connect("127.0.0.9")
        mine = [await door.connect("127.0.0.8") for _ in range(4)]
        for stream in mine:
            await stream.send_all(start)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await is_well(door, "127.0.0.8")
        with trio.fail_after(10):
            assert await _end_of(mine[0])
        await other.send_all(GET + b"\r\n")
        assert (await read_answer(other)).status == 200
        for stream in (*mine, other):
            await trio.aclose_forcefully(stream)


async def _end_of(stream: trio.abc.Stream) -> bool:
    try:
        return not await stream.receive_some(1)
    except trio.BrokenResourceError:
        return True


async def test_bodies_that_never_end_hold_a_bounded_sum() -> None:
    settings = HttpSettings(port=0, held_bytes=4 << 20, body_bytes=1 << 20)
    async with open_door(settings) as door:
        slow = []
        for _ in range(8):
            stream = await door.connect()
            await stream.send_all(GET + b"Content-Length: 1048576\r\n\r\n")
            await _quietly(partial(stream.send_all, bytes((1 << 20) - 1)))
            slow.append(stream)
        await trio.testing.wait_all_tasks_blocked(0.05)
        answer = await door.ask("POST", "/v1/none", bytes(1 << 20), user=None)
        assert (answer.status, answer.code) == (404, "not_found")
        for stream in slow:
            await trio.aclose_forcefully(stream)


async def _quietly(work: Callable[[], Any]) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await work()
