"""Requests that are read in a thread, over real sockets: what waits for it is bounded, and in order."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from runtime import wire
from runtime.control import frames
from runtime.daemon.control import connection
from runtime.limits import MIB
from tests.runtime.daemon.control.conftest import PATIENCE_S, Served, raw, until


async def test_what_waits_to_be_read_counts_as_held(
    served: Served, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large messages are read one at a time: what waits for that is the host's memory, of all clients together."""
    real, goes_on = connection.parse_large, threading.Event()

    def parse_large(pieces: frames.Pieces, bytes_max: int) -> object:
        assert goes_on.wait(PATIENCE_S)
        return real(pieces, bytes_max)

    monkeypatch.setattr(connection, "parse_large", parse_large)
    large = wire.request(1, "ping", {"a": bytes(2 * MIB)})
    async with served(buffered_bytes=5 * MIB) as server, raw(path) as first, raw(path) as second, raw(path) as third:
        await first.send(large)
        await second.send(large)
        try:
            await until(lambda: server.buffered > 4 * MIB)
            with suppress(trio.BrokenResourceError):  # its rest finds the connection closed
                await third.send(large)
            await until(lambda: len(server.peers) == 2)
        finally:
            goes_on.set()
        assert [await one.refusal() for one in (first, second)] == ["invalid_params"] * 2
        await until(lambda: server.buffered == 0)


async def test_what_comes_behind_one_is_answered_after_it(served: Served, path: Path) -> None:
    """In one piece on the socket: the rest of what was received waits with it, a half message too."""
    large, last = wire.request(1, "ping", {"a": bytes(2 * MIB)}), frames.frame(wire.request(3, "ping", {}))
    async with served(), raw(path) as client:
        behind = frames.frame(wire.request(2, "ping", {})) + last[:5]
        await client.stream.send_all(frames.frame(large) + behind)
        assert [(await client.receive())[1] for _ in range(2)] == [1, 2]
        await client.stream.send_all(last[5:])
        assert (await client.receive())[1] == 3


async def test_a_large_message_that_is_no_request_ends_the_connection(served: Served, path: Path) -> None:
    async with served(), raw(path) as client, raw(path) as honest:
        await client.send(wire.encode([0, 1, "ping", bytes(2 * MIB)]))
        assert await client.refusal() == "protocol_violation"
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1
