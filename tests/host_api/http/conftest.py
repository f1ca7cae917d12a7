"""A small world outside: TLS servers on loopback, names that lead to them, and a broker to fetch through."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
import trustme

from host_api.http.access import HttpAccess
from host_api.http.addresses import Address, is_public
from host_api.http.service import HttpService
from runtime import wire
from runtime.broker import Broker
from runtime.limits import Limits
from runtime.session import CallSession
from runtime.testing import SeededIds, VirtualClock, make_session

NAMES = ("shop.example", "other.example", "third.example")
"""Those that the servers' certificate is for, and that lead to loopback."""


class Visit:
    """One connection to a server: what it asked, and the stream to answer on."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self.head = b""
        self.body = b""

    async def read(self, *, body: bool) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += await self._more()
        self.head, _, self.body = received.partition(b"\r\n\r\n")
        while body and len(self.body) < int(self.header("content-length") or 0):
            self.body += await self._more()

    async def _more(self) -> bytes:
        data = bytes(await self.stream.receive_some(1 << 16))
        if not data:
            raise trio.BrokenResourceError
        return data

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n")[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        return dict(line.decode().split(": ", 1) for line in self.head.split(b"\r\n")[1:])  # type: ignore[misc]

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    async def gone(self) -> None:
        """Waits until the other side has closed."""
        try:
            while await self.stream.receive_some(1 << 16):
                pass
        except trio.BrokenResourceError:
            pass


Answer = Callable[[Visit], Awaitable[None]]


def answering(data: bytes) -> Answer:
    async def answer(visit: Visit) -> None:
        await visit.stream.send_all(data)

    return answer


def ok(body: bytes = b"hello", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirect(location: str, status: int = 302) -> bytes:
    return ok(b"", f"location: {location}", status=f"{status} Elsewhere")


class Server:
    """Answers every connection with `answer`, and keeps the visits."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer: Answer = answering(ok())
        self.reads_bodies = True
        self.visits: list[Visit] = []
        self.connections = 0
        self.closed = trio.Event()
        """Set when a connection has ended, from the server's side."""

    async def handle(self, stream: trio.SocketStream, tls: ssl.SSLContext) -> None:
        self.connections += 1
        secured = trio.SSLStream(stream, tls, server_side=True)
        visit = Visit(secured)
        try:
            await visit.read(body=self.reads_bodies)
            self.visits.append(visit)
            await self.answer(visit)
            await secured.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the tests are about what the other side makes of it
        finally:
            await trio.aclose_forcefully(secured)
            self.closed.set()


class World:
    """Servers, names, and a program that may fetch from `hosts`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._authority = trustme.CA()
        self._server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*NAMES).configure_cert(self._server_tls)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(self.tls)
        self.clock = VirtualClock()
        self.names: dict[str, list[Sequence[str]]] = {name: [["127.0.0.1"]] for name in NAMES}
        """Name → what the resolver answers, one after the other; the last for ever."""
        self.lookups: list[str] = []
        self.inside = {"127.0.0.1"}
        """Addresses that count as public here."""
        self.access: dict[str, Any] = {}
        self._service: HttpService | None = None

    # ---- outside -----------------------------------------------------------------------------------------------------
    async def server(self, answer: Answer | bytes | None = None) -> Server:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = Server(listener.socket.getsockname()[1])
        if answer is not None:
            server.answer = answering(answer) if isinstance(answer, bytes) else answer

        async def handle(stream: trio.SocketStream) -> None:
            await server.handle(stream, self._server_tls)

        self._nursery.start_soon(trio.serve_listeners, handle, [listener])
        return server

    async def resolve(self, host: str, *, app_id: str) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self.lookups.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def allow_address(self, address: Address) -> bool:
        return str(address) in self.inside or is_public(address)

    # ---- inside ------------------------------------------------------------------------------------------------------
    @property
    def service(self) -> HttpService:
        if self._service is None:
            given = {"resolver": self.resolve, "tls": self.tls, "allow_address": self.allow_address, **self.access}
            self._service = HttpService(access=HttpAccess(**given), clock=self.clock)
        return self._service

    def session(self, *hosts: str, app_id: str = "org.example.shop", **limits: int) -> CallSession:
        """Of a program that may fetch from these hosts."""
        return make_session(
            granted={"http": {"hosts": list(hosts)}}, app_id=app_id, limits=Limits().changed(limits),
            now=trio.current_time,
        )  # fmt: skip

    async def fetch(self, session: CallSession, url: str, **params: Any) -> tuple[Any, Any]:
        """(error, result), through the broker and the wire."""
        services = {bound.method.name: bound for bound in self.service.bound()}
        call = Broker(services, clock=self.clock, new_incident=SeededIds()).open(session)
        answer = call.answer(wire.request(1, "http.fetch", {"url": url, **params}))
        response = answer if isinstance(answer, bytes) else await answer  # type: ignore[misc]
        assert isinstance(response, bytes)
        return wire.parse_response(response, 1 << 20, 1)

    async def error(self, session: CallSession, url: str, **params: Any) -> dict[str, Any]:
        error, _ = await self.fetch(session, url, **params)
        assert error is not None
        return dict(error)

    async def result(self, session: CallSession, url: str, **params: Any) -> dict[str, Any]:
        error, result = await self.fetch(session, url, **params)
        assert error is None
        return dict(result)


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    return World(nursery)
