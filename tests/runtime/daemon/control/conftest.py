"""A control server on a socket in a folder of the test's own, with answers that a test can hold back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trio

from runtime import wire
from runtime.control import calling, frames, users
from runtime.control.calling import CALL, Call, Replied
from runtime.daemon.control import ControlServer, ControlSettings, serve_answers
from runtime.daemon.control.answers import Answer, Stream, by_name
from runtime.errors import Ending
from runtime.receipt import Receipt, Usage

PATIENCE_S = 20.0


class Playground:
    """What answers: `call` waits for `release` if its method says so; `ping` at once; `export_user` streams."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.ended = trio.Event()
        self.gate = trio.Event()
        self.sent = 0

    def answers(self) -> Any:
        return by_name(
            Answer(calling.PING, self.ping), Answer(CALL, self.call), Answer(users.EXPORT, self.stream),
            Answer(users.FIELDS, self.fault),
        )  # fmt: skip

    def ping(self, _: Any) -> calling.Pong:
        return calling.Pong(now_us=7)

    async def call(self, asked: Call) -> Replied:
        self.begun.append(asked.method)
        try:
            if asked.method.startswith("hold"):
                await self.gate.wait()
        except trio.Cancelled:
            self.cancelled.append(asked.method)
            raise
        finally:
            self.ended.set()
        return Replied(value=asked.params, receipt=receipt(asked.method))

    async def stream(self, asked: users.ExportUser, stream: Stream) -> users.Exported:
        for _ in range(int(asked.user)):
            await stream.send(users.Piece(data=bytes(100_000)))
            self.sent += 1
        return users.Exported(bytes=self.sent)

    async def fault(self, _: Any) -> Any:
        raise RuntimeError("a bug with a secret in it")


def receipt(method: str) -> Receipt:
    return Receipt(
        call_id="1", app_id="org.example.a", release="1.0", method=method, ending=Ending.COMPLETED, usage=Usage()
    )


class Raw:
    """A client that speaks in bytes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._reader = frames.FrameReader(frames.RESPONSE_BYTES_MAX)
        self._come: list[Any] = []

    async def send(self, *messages: bytes) -> None:
        await self.stream.send_all(b"".join(map(frames.frame, messages)))

    async def ask(self, msgid: int, method: str, params: Any = None) -> None:
        await self.send(wire.request(msgid, method, params or {}))

    async def receive(self) -> Any:
        """The next message, as plain values; None at the end."""
        with trio.fail_after(PATIENCE_S):
            while not self._come:
                try:
                    data = await self.stream.receive_some()
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                self._come += [msgpack.unpackb(message) for message in self._reader.feed(bytes(data))]
        return self._come.pop(0)

    async def refusal(self) -> str:
        """The code of the error that comes next: of a response, or why the connection is closed."""
        told = await self.receive()
        error = told[1 if told[0] == 1 else 2] if told[0] == 2 else told[2]
        return str(error["code"])


@contextlib.asynccontextmanager
async def raw(path: Path) -> AsyncIterator[Raw]:
    async with await trio.open_unix_socket(str(path)) as stream:
        yield Raw(stream)


Served = Callable[..., AbstractAsyncContextManager[ControlServer]]


@pytest.fixture
def playground() -> Playground:
    return Playground()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hostel.sock"


@pytest.fixture
def served(playground: Playground, path: Path) -> Served:
    @asynccontextmanager
    async def serve(answers: Any = None, **settings: Any) -> AsyncIterator[ControlServer]:
        chosen = ControlSettings(**{"socket": path, **settings})
        async with trio.open_nursery() as nursery:
            server: ControlServer = await nursery.start(
                partial(serve_answers, playground.answers() if answers is None else answers, chosen)
            )
            yield server
            playground.gate.set()
            await until(lambda: server.outstanding == 0)
            nursery.cancel_scope.cancel()

    return serve


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.001)
