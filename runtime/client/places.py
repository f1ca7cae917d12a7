"""Where a host is: the address as it is written, and a socket that is connected to it."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import trio

from runtime.control.tls import Channel, PlainChannel, TlsChannel, TlsFailed, client_tls
from runtime.errors import ConnectionLost, UsageError

CONNECT_S = 10.0
_RECV_BYTES = 64 << 10


async def connect(address: Path | str, tls: ssl.SSLContext | Path | None) -> tuple[socket.socket, Channel]:
    """A connection to a Unix socket's path (a Path, or a text with a `/`), or to `host:port` with TLS; `tls` as in
    `Client.connect`. Raises ConnectionLost: nothing answers there, or it is not whom its certificate should name."""
    try:
        with trio.fail_after(CONNECT_S):
            if isinstance(address, Path) or "/" in address:
                return await _local(Path(address)), PlainChannel()
            return await _remote(address, tls)
    except trio.TooSlowError:
        raise _unreachable(address, f"no answer within {CONNECT_S:g} s") from None
    except TlsFailed as error:
        raise _unreachable(address, f"TLS: {error}") from None
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from None


def _unreachable(address: Path | str, why: str) -> ConnectionLost:
    return ConnectionLost(
        f"no host answers at {address}: {why}; hostel serve starts one", code="unreachable",
        details={"address": str(address), "outcome": "none"},
    )  # fmt: skip


async def _local(path: Path) -> socket.socket:
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.connect(str(path))
    except BaseException:
        sock.close()
        raise
    return _plain(sock)


async def _remote(address: str, tls: ssl.SSLContext | Path | None) -> tuple[socket.socket, Channel]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise UsageError(f"{address!r} is no address: write a socket's path with a /, or host:port")
    host = host.removeprefix("[").removesuffix("]")
    settings = tls if isinstance(tls, ssl.SSLContext) else client_tls(tls)
    stream = await trio.open_tcp_stream(host, int(port))
    sock = _plain(stream.socket)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    channel = TlsChannel(settings, host)
    try:
        await _shake_hands(sock, channel)
    except BaseException:
        sock.close()
        raise
    return sock, channel


async def _shake_hands(sock: socket.socket, channel: TlsChannel) -> None:
    """Nothing of the host's own comes before the client's first word."""
    channel.open(b"")
    while True:
        data = channel.seal(b"")
        while data:
            await trio.lowlevel.wait_writable(sock)
            data = data[sock.send(data) :]
        if channel.ready:
            return
        await trio.lowlevel.wait_readable(sock)
        channel.open(sock.recv(_RECV_BYTES))


def _plain(sock: trio.socket.SocketType) -> socket.socket:
    """The same socket for code that reads and writes by itself."""
    plain = socket.socket(sock.family, sock.type, fileno=os.dup(sock.fileno()))
    plain.setblocking(False)
    sock.close()
    return plain
