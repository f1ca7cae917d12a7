"""Faults of the host's own while it answers: they end one request, or one connection, and no other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime.control import calling, frames, users
from runtime.control.calling import CALL
from runtime.daemon.control import ControlSettings, serve_answers
from runtime.daemon.control.answers import Answer, by_name
from runtime.errors import UsageError
from tests.runtime.daemon.control.conftest import Playground, Served, raw

NO_TEXT = "\udc80"
"""What the name of a file may have in it, and no message."""


async def told_too_much(_: Any) -> Any:
    raise UsageError(f"no such folder: {NO_TEXT}", details={"path": NO_TEXT})


@pytest.mark.parametrize("waits", [True, False])
async def test_an_error_that_no_message_can_hold_is_an_incident(
    served: Served, playground: Playground, path: Path, waits: bool
) -> None:
    def at_once(_: Any) -> Any:
        raise UsageError(NO_TEXT)

    answer = Answer(users.FIELDS, told_too_much) if waits else Answer(calling.PING, at_once)
    async with served({**playground.answers(), **by_name(answer)}) as server, raw(path) as client, raw(path) as other:
        await client.ask(1, answer.method.name, {"user": "u", "names": []} if waits else {})
        _, msgid, error, _ = await client.receive()
        assert (msgid, set(error["details"])) == (1, {"incident"})
        await other.ask(2, "call", {"app": "org.example.a", "method": "m"})
        assert (await other.receive())[1] == 2
        assert (server.outstanding, len(server.peers)) == (0, 2)


async def test_what_fails_while_its_bytes_are_looked_at_ends_one_connection(playground: Playground, path: Path) -> None:
    """Here it is a call that cannot be given up."""

    def begin(params: calling.Call, done: Any) -> Any:
        return lambda: 1 // 0

    settings = ControlSettings(socket=path)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_answers, playground.answers(), settings, begin_call=begin))
        async with raw(path) as client, raw(path) as other:
            await client.ask(1, CALL.name, {"app": "org.example.a", "method": "m"})
            await client.stream.send_all(frames.cancel(1))
            assert await client.receive() is None
            await other.ask(2, "ping")
            assert (await other.receive())[3] == {"now_us": 7}
        nursery.cancel_scope.cancel()
