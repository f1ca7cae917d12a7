"""A door: a real host, a real server on a loopback port, and a client of a few lines that sends what it is told.

What lives here: opening it, and HTTP as seen by a client. What must not live here: expectations.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from runtime import Bundle, Host, HostSettings, Money, pack
from runtime.daemon.http import HttpSettings, serve
from runtime.testing import VirtualClock

SHOP = Path(__file__).parents[4] / "sample_programs" / "grocery_delivery" / "bundle"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error."""
        return str(self.json["error"]["code"])


@dataclass(slots=True)
class Door:
    """One server. `ready` and `metrics` are what it is told to say."""

    host: Host
    clock: VirtualClock
    port: int = 0
    is_ready: bool = True
    metrics: bytes = b"hostel_calls_total 1\n"
    tls: ssl.SSLContext | None = None
    app_id: str = "org.example.grocery"

    def token(self, user: str = "alice", **options: Any) -> str:
        return self.host.front_end.issue_token(user, **options)

    async def connect(self, source: str = "127.0.0.1") -> trio.abc.Stream:
        stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", self.port, local_address=source)
        if self.tls is not None:
            stream = trio.SSLStream(stream, self.tls, server_hostname="127.0.0.1", https_compatible=True)
        return stream

    async def ask(
        self, method: str, path: str, body: Any = None, *, user: str | None = "alice", token: str | None = None,
        headers: Mapping[str, str] | None = None, source: str = "127.0.0.1",
    ) -> Answer:  # fmt: skip
        """One request on a connection of its own. `body`: bytes as they are, else JSON."""
        given = {"host": "door.example"}
        if method == "POST":
            given["content-type"] = "application/json"
        if token is not None or user is not None:
            given["authorization"] = f"Bearer {token or self.token(user or '')}"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if data or method == "POST":
            given["content-length"] = str(len(data))
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in {**given, **(headers or {})}.items())]
        async with await self.connect(source) as stream:
            await stream.send_all("\r\n".join((*lines, "", "")).encode() + data)
            return await read_answer(stream, has_body=method != "HEAD")

    async def call(self, method: str, params: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", f"/v1/programs/{self.app_id}/call/{method}", params or {}, **options)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, at most 10 seconds."""
    with trio.fail_after(10):
        while not holds():
            await trio.testing.wait_all_tasks_blocked(0.001)


async def read_answer(
    stream: trio.abc.ReceiveStream, received: bytearray | None = None, *, has_body: bool = True
) -> Answer:
    """The next answer; what comes after it stays in `received`. EOFError where the server closed before its end."""
    received = bytearray() if received is None else received

    async def more() -> None:
        piece = await stream.receive_some(65_536)
        if not piece:
            raise EOFError(bytes(received))
        received.extend(piece)

    with trio.fail_after(20):
        while b"\r\n\r\n" not in received:
            await more()
        first, *lines = bytes(received).partition(b"\r\n\r\n")[0].decode().split("\r\n")
        del received[: received.index(b"\r\n\r\n") + 4]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", "0")) if has_body else 0
        while len(received) < size:
            await more()
    body = bytes(received[:size])
    del received[:size]
    return Answer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def open_door(
    settings: HttpSettings | None = None, *, host_settings: HostSettings | None = None,
    tls: ssl.SSLContext | None = None, **options: Any,
) -> AsyncIterator[Door]:  # fmt: skip
    """`options` are those of `Host.open`."""
    clock = VirtualClock()
    host_settings = host_settings or HostSettings(allow_unsigned=True)
    async with Host.open(settings=host_settings, clock=clock, **options) as host, trio.open_nursery() as nursery:
        door = Door(host, clock, tls=tls)
        (url,) = await nursery.start(
            partial(
                serve, host, settings or HttpSettings(port=0), metrics=lambda: door.metrics,
                ready=lambda: door.is_ready,
            )
        )  # fmt: skip
        door.port = int(url.rpartition(":")[2])
        try:
            yield door
        finally:
            nursery.cancel_scope.cancel()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """With nothing installed."""
    async with open_door() as opened:
        yield opened


@pytest.fixture
async def shop(artifacts: Path) -> AsyncIterator[Door]:
    """With the grocery shop, and alice who has money."""
    async with open_door(host_settings=HostSettings(cache_dir=artifacts, allow_unsigned=True)) as opened:
        await opened.host.install(Bundle.from_bytes(pack(SHOP)), grant=["storage", "payment"])
        await opened.host.deposit("alice", Money(amount=100_000, currency="CNY"))
        yield opened
