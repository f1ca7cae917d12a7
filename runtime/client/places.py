"""Where a host is: the address as it is written, and a socket that is connected to it."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import trio

from runtime.control.sockets import PATH_BYTES_MAX
from runtime.control.tls import Channel, PlainChannel, TlsChannel, TlsFailed, client_tls
from runtime.errors import ConnectionLost, UsageError

CONNECT_S = 10.0
_CURE_OF_TLS = (
    "a host there needs TLS 1.3 and a certificate of an authority that is trusted: name its PEM file with tls"
)
_CURE_OF_MODE = "its host lets in whom the file's owner and mode let in: [control] socket_mode and socket_group say who"
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
        raise _unreachable(address, f"TLS: {error}", _CURE_OF_TLS) from None
    except PermissionError as error:
        raise _unreachable(address, error.strerror or str(error), _CURE_OF_MODE) from None
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from None


def _unreachable(address: Path | str, why: str, cure: str = "hostel serve starts one") -> ConnectionLost:
    return ConnectionLost(
        f"no host answers at {address}: {why}; {cure}", code="unreachable",
        details={"address": str(address), "outcome": "none"},
    )  # fmt: skip


async def _local(path: Path) -> socket.socket:
    if (used := len(os.fsencode(path))) > PATH_BYTES_MAX:
        raise UsageError(
            f"the path of a socket has {PATH_BYTES_MAX} bytes at most, {path} has {used}: name a shorter one"
        )
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
    try:
        settings = tls if isinstance(tls, ssl.SSLContext) else client_tls(tls)
    except OSError as error:
        raise UsageError(f"tls: {tls} is no PEM file of authorities to trust: {error.strerror or error}") from None
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
        if not (data := sock.recv(_RECV_BYTES)):
            raise TlsFailed("the host closed the connection")
        channel.open(data)


def _plain(sock: trio.socket.SocketType) -> socket.socket:
    """The same socket for code that reads and writes by itself."""
    plain = socket.socket(sock.family, sock.type, fileno=os.dup(sock.fileno()))
    plain.setblocking(False)
    sock.close()
    return plain
