"""What a client can make the host do in one turn of its loop: floods, and crowds that go at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import trio

from runtime import wire
from runtime.control import calling
from runtime.control.frames import cancel, frame
from runtime.daemon.control import ControlServer, ControlSettings
from runtime.daemon.control.answers import Answer, by_name
from runtime.daemon.control.peer import SERVE_S
from runtime.daemon.control.server import AT_ONCE
from tests.runtime.daemon.control.conftest import Playground, Served, raw, until

FLOOD = 40
CALL = {"app": "org.example.a", "method": "hold"}


class Turns:
    """Counts the turns of the loop, by a task that runs in each. It may run first in one and last in the next: two
    turns may look like one."""

    def __init__(self) -> None:
        self.now = 0
        self.seen: Counter[int] = Counter()

    def note(self, *_: object) -> None:
        self.seen[self.now] += 1

    @staticmethod
    @asynccontextmanager
    async def counted() -> AsyncIterator[Turns]:
        turns = Turns()

        async def count() -> None:
            while True:
                turns.now += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            yield turns
            nursery.cancel_scope.cancel()


def spin(seconds: float) -> None:
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


async def test_what_one_client_asks_for_at_once_is_begun_over_several_turns(served: Served, path: Path) -> None:
    async with Turns.counted() as turns:

        def slow(_: Any) -> calling.Pong:
            turns.note()
            spin(SERVE_S)
            return calling.Pong(now_us=7)

        async with served(by_name(Answer(calling.PING, slow))), raw(path) as client:
            await client.send(*(wire.request(n, "ping", {}) for n in range(FLOOD)))
            assert [(await client.receive())[1] for _ in range(FLOOD)] == list(range(FLOOD))
        assert len(turns.seen) >= FLOOD // 2


async def test_an_honest_client_is_answered_in_the_middle_of_a_flood(served: Served, path: Path) -> None:
    """Of many clients at once, each of which may have its part of a turn."""
    answered: list[int] = []

    def slow(_: Any) -> calling.Pong:
        answered.append(1)
        spin(SERVE_S)
        return calling.Pong(now_us=7)

    async with served(by_name(Answer(calling.PING, slow))), raw(path) as client, trio.open_nursery() as nursery:
        gate = trio.Event()

        async def flood() -> None:
            async with raw(path) as one:
                await one.send(*(wire.request(n, "ping", {}) for n in range(FLOOD)))
                for _ in range(FLOOD):
                    await one.receive()
                    gate.set()

        for _ in range(8):
            nursery.start_soon(flood)
        await gate.wait()
        await client.ask(1, "hello")
        assert (await client.receive())[1] == 1
        assert len(answered) < 8 * FLOOD // 2


async def test_what_is_no_request_takes_turns_too(served: Served, path: Path) -> None:
    """$cancel, and requests beyond `outstanding`: a client has work done for them as for others."""
    stops: list[int] = []
    async with Turns.counted() as turns, served() as server, raw(path) as client:
        await client.ask(1, "call", CALL)
        await until(lambda: server.outstanding == 1)
        (peer,) = server.peers

        def stop() -> None:
            turns.note()
            stops.append(1)
            spin(SERVE_S)

        peer.connection.stoppable(1, stop)
        await client.stream.send_all(cancel(1) * FLOOD)
        await until(lambda: len(stops) == FLOOD)
        assert len(turns.seen) >= FLOOD // 2


async def test_what_a_client_that_goes_had_asked_for_is_stopped_over_several_turns(
    served: Served, path: Path, playground: Playground
) -> None:
    many = 10 * AT_ONCE
    async with Turns.counted() as turns, served() as server:
        async with raw(path) as client:
            await client.stream.send_all(b"".join(frame(wire.request(n, "call", CALL)) for n in range(many)))
            await until(lambda: len(playground.begun) == many)
            (peer,) = server.peers
            for n in range(many):
                peer.connection.stoppable(n, turns.note)
        await until(lambda: turns.seen.total() == many)
        assert max(turns.seen.values()) <= 2 * AT_ONCE


async def test_a_crowd_whose_time_is_over_goes_over_several_turns(served: Served) -> None:
    class Idle:
        def check(self, now: float) -> None:
            turns.note()

    many = 10 * AT_ONCE
    async with Turns.counted() as turns, trio.open_nursery() as nursery:
        server = ControlServer(settings=ControlSettings(hello_s=0.05), nursery=nursery, answers={})
        server.peers |= {Idle() for _ in range(many)}  # type: ignore[misc]
        nursery.start_soon(server.sweep)
        await until(lambda: turns.seen.total() >= many)
        assert max(turns.seen.values()) <= 2 * AT_ONCE
        nursery.cancel_scope.cancel()


async def test_a_connection_that_cannot_be_sent_to_is_nobody_elses_loss(served: Served, path: Path) -> None:
    """A bug of ours in one connection, at the end of a turn."""
    async with served() as server, raw(path) as client, raw(path) as honest:
        await until(lambda: len(server.peers) == 2)
        peer = next(iter(server.peers))

        class Broken:
            def open(self, data: bytes) -> bytes:
                return data

            def seal(self, data: bytes) -> bytes:
                raise LookupError("a bug")

        peer.channel = Broken()  # type: ignore[assignment]
        await client.ask(2, "ping")
        await honest.ask(2, "ping")
        assert sorted([await client.receive() is None, await honest.receive() is None]) == [False, True]
