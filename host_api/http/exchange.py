"""One request on a connection of its own: connect to a checked address, TLS for the name, send, receive, close.

The connection goes to the very address that was checked; only certificate and SNI are about the name. There is no pool,
no proxy and no setting from the environment. Whatever happens, the socket is closed when `exchange` is left: by an
error, a limit, a time limit of the caller's, or a cancellation.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from host_api.http.access import Connect
from host_api.http.addresses import Address
from host_api.http.redirects import Request
from host_api.http.response import Malformed, ResponseReader

ADDRESSES_TRIED_MAX: Final = 4
CONNECT_SECONDS: Final = 3.0
"""For one address; then the next is tried."""
RECEIVE_BYTES: Final = 16 << 10
_BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})


class Broken(Exception):
    """The other side could not be reached, or broke off. The message names no address."""


@dataclass(slots=True)
class Progress:
    """How far a fetch has come, for whoever has to say what became of it."""

    phase: str = "resolve"
    """resolve, connect, tls, send, receive."""
    effect: bool = False
    """A request that may have an effect has begun to leave."""


async def exchange(
    request: Request,
    addresses: Sequence[Address],
    *,
    tls: ssl.SSLContext,
    body_max: int,
    progress: Progress,
    before_sending: Callable[[], None],
    connect: Connect | None = None,
) -> ResponseReader:
    """The whole response. `before_sending` is called right before the first byte leaves; what it raises stops that.

    Raises Broken, Malformed, ApiError (LIMIT_EXCEEDED).
    """
    progress.phase = "connect"
    try:
        connection = await (connect or _connected)(request, addresses)
    except OSError:
        raise Broken("no connection") from None
    try:
        progress.phase = "tls"
        # Not https_compatible: where a body ends with the connection, it must be the server that ended it.
        stream = trio.SSLStream(trio.SocketStream(connection), tls, server_hostname=request.url.origin.host)
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            fault = error.__cause__
            certificate = isinstance(fault, ssl.SSLCertVerificationError)
            raise Broken("no valid certificate for this host" if certificate else "no TLS connection") from None
        before_sending()
        progress.phase = "send"
        with suppress(trio.BrokenResourceError):  # it may have answered before it read everything
            await stream.send_all(written(request))
        progress.phase = "receive"
        return await _received(stream, ResponseReader(to_head=request.method == "HEAD", body_max=body_max))
    finally:
        connection.close()


async def _connected(request: Request, addresses: Sequence[Address]) -> trio.socket.SocketType:
    """The first of a few that answers, the two families by turns."""
    ranked = sorted(enumerate(addresses), key=lambda one: sum(a.version == one[1].version for a in addresses[: one[0]]))
    for _, address in ranked[:ADDRESSES_TRIED_MAX]:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connected = False
        try:
            connection = trio.socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        try:
            with trio.move_on_after(CONNECT_SECONDS):
                await connection.connect((str(address), request.url.origin.port))
                connected = True
        except OSError:
            pass
        finally:
            if not connected:
                connection.close()
        if connected:
            return connection
    raise OSError("no address answered")


async def _received(stream: trio.SSLStream[trio.SocketStream], reader: ResponseReader) -> ResponseReader:
    while not reader.done:
        try:
            data = bytes(await stream.receive_some(RECEIVE_BYTES))
        except trio.BrokenResourceError:
            raise Malformed("the answer breaks off") from None
        reader.feed(data)
    return reader


def written(request: Request) -> bytes:
    """The request's bytes. Its parts are checked already: there is no line break in any of them."""
    fields = [("host", str(request.url.origin)), *request.fields, ("connection", "close")]
    if request.body or request.method in _BODY_METHODS:
        fields.append(("content-length", str(len(request.body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{request.method} {request.url.target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + request.body
