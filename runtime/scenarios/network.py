"""What is outside: the hosts that a scenario's programs reach, answered by its entries over real TLS in this process.

What lives here: one entry, which entry answers a request, and a network behind `HttpAccess` whose connections are
socket pairs. Everything before and after the socket is the host's own: the checks of URLs, grants and addresses, TLS
with its certificates, the reading of answers, redirects and limits.
"""

from __future__ import annotations

import dataclasses
import http
import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from host_api.http import url
from host_api.http.access import HttpAccess
from host_api.http.addresses import Address
from host_api.http.redirects import Request
from host_api.http.url import UrlRefused
from runtime.scenarios.certificates import Authority
from runtime.scenarios.reading import At

ENTRIES_MOST: Final = 200
BODY_CHARS_MOST: Final = 256 * 1024
TIMES_MOST: Final = 1_000_000
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
FAILS: Final = ("unreachable", "timeout")
HOSTS_MOST: Final = 1 << 16
UNMATCHED_MOST: Final = 20
_RECEIVE: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that is outside."""

    url: str
    """`*` at its end stands for any rest."""
    method: str = ""
    """'' for any."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    fail: str = ""
    times: int = 0
    """How often it answers before the next match is looked for; 0: for ever."""

    def answers(self, request: Request) -> bool:
        """Whether it is about that request."""
        if self.method not in ("", request.method):
            return False
        asked = str(request.url)
        return asked.startswith(self.url[:-1]) if self.url.endswith("*") else asked == self.url


def read_entry(at: At) -> Entry:
    """Raises ScenarioError."""
    head = at.keys("url", "method", "status", "headers", "json", "body", "fail", "times", needed=("url",))
    if "json" in head and "body" in head:
        raise head["body"].wrong("stands beside json", "keep one of them")
    if "fail" in head and (more := head.keys() & {"status", "headers", "json", "body"}):
        raise head["fail"].wrong(f"stands beside {', '.join(sorted(more))}", "what fails gives no answer")
    headers = {name: each.text(1_000) for name, each in head["headers"].items(32)} if "headers" in head else {}
    for name, text in headers.items():
        if not (name.isascii() and name.replace("-", "").isalnum() and text.isascii() and text.isprintable()):
            raise head["headers"].below(name).wrong("no header", "write letters, digits and -, and printable ASCII")
    body = head["body"].text(BODY_CHARS_MOST) if "body" in head else ""
    if "json" in head:
        body = json.dumps(head["json"].value, ensure_ascii=False)
        headers = {"content-type": "application/json", **headers}
    return Entry(
        url=_url(head["url"]),
        method=head["method"].one_of(METHODS) if "method" in head else "",
        status=head["status"].whole(200, 599) if "status" in head else 200,
        headers=headers,
        body=body,
        fail=head["fail"].one_of(FAILS) if "fail" in head else "",
        times=head["times"].whole(1, TIMES_MOST) if "times" in head else 0,
    )


def _url(at: At) -> str:
    text = at.text(2_000)
    try:
        parsed = url.parse(text.removesuffix("*"))
    except UrlRefused as refused:
        raise at.wrong(str(refused), 'write "https://carrier.example/v1/track/*"') from None
    return str(parsed) + ("*" if text.endswith("*") else "")


class FakeNetwork:
    """The network of one scenario; `access` is what a host is opened with. Used from the trio thread."""

    def __init__(self, entries: Sequence[Entry], nursery: trio.Nursery) -> None:
        """`nursery`: where the other side of each connection runs; it is cancelled with it."""
        self.entries = list(entries)
        self.unmatched: list[str] = []
        """Requests that no entry was about, UNMATCHED_MOST at most: `GET https://…`."""
        self._nursery = nursery
        self._authority = Authority()
        self._addresses: dict[str, str] = {}
        self.access = HttpAccess(resolver=self._resolve, tls=self._authority.client_tls(), connect=self._connect)

    def add(self, entries: Sequence[Entry]) -> None:
        """Before those that are there."""
        self.entries = [*entries, *self.entries][:ENTRIES_MOST]

    async def _resolve(self, host: str, *, app_id: str) -> Sequence[str]:
        """Every name has an address of its own, public by the host's own rules. Nothing is ever sent to one."""
        await trio.lowlevel.checkpoint()
        if host not in self._addresses and len(self._addresses) >= HOSTS_MOST:
            raise OSError("too many names")
        number = len(self._addresses)
        return [self._addresses.setdefault(host, f"8.8.{number >> 8}.{number & 255}")]

    async def _connect(self, request: Request, addresses: Sequence[Address]) -> trio.socket.SocketType:
        await trio.lowlevel.checkpoint()
        entry = self._taken(request)
        if entry is None:
            if len(self.unmatched) < UNMATCHED_MOST:
                self.unmatched.append(f"{request.method} {request.url}")
            raise OSError("no entry of the scenario is about it")
        if entry.fail == "timeout":
            raise trio.TooSlowError
        if entry.fail:
            raise OSError("unreachable, as the scenario says")
        ours, theirs = trio.socket.socketpair()
        self._nursery.start_soon(self._serve, theirs, request.url.origin.host, entry)
        return ours

    def _taken(self, request: Request) -> Entry | None:
        """The first that is about it, one time less."""
        for at, entry in enumerate(self.entries):
            if entry.answers(request):
                if entry.times == 1:
                    del self.entries[at]
                elif entry.times:
                    self.entries[at] = dataclasses.replace(entry, times=entry.times - 1)
                return entry
        return None

    async def _serve(self, connection: trio.socket.SocketType, host: str, entry: Entry) -> None:
        """The other side of one connection."""
        stream = trio.SSLStream(trio.SocketStream(connection), self._authority.server_tls(host), server_side=True)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
            try:
                is_head = await _read_request(stream)
                await stream.send_all(_answered(entry, is_head=is_head))
                await stream.aclose()
            finally:
                connection.close()


async def _read_request(stream: trio.SSLStream[trio.SocketStream]) -> bool:
    """All of it; whether it asks for the head alone."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += await _more(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields.get(b"content-length", b"0")) - len(body)
    while left > 0:
        left -= len(await _more(stream))
    return head.startswith(b"HEAD ")


async def _more(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    data = bytes(await stream.receive_some(_RECEIVE))
    if not data:
        raise trio.BrokenResourceError
    return data


def _answered(entry: Entry, *, is_head: bool) -> bytes:
    body = entry.body.encode()
    known = {status.value: status.phrase for status in http.HTTPStatus}
    fields = {"content-length": str(len(body)), **entry.headers}
    lines = [f"HTTP/1.1 {entry.status} {known.get(entry.status, 'Answer')}", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if is_head or entry.status in (204, 304) else body)


def as_dict(entry: Entry) -> dict[str, Any]:
    """Plain values, as `of_dict` takes them."""
    return dataclasses.asdict(entry)


def of_dict(told: Mapping[str, Any]) -> Entry:
    return Entry(**told)
