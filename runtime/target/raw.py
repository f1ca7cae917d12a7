"""Bytes of a case, sent as they are on a connection of their own.

What lives here: one exchange. What came back is told as messages, decoded and no more.
"""

from __future__ import annotations

import socket
from typing import Any, Final

import trio

from runtime import wire
from runtime.control.frames import RESPONSE_BYTES_MAX, FrameReader
from runtime.daemon.http.json_values import outgoing

SECONDS: Final = 5.0
RECV_BYTES: Final = 64 << 10


async def exchange(connection: socket.socket, data: bytes, messages: int | None) -> dict[str, Any]:
    """`messages`: how many to wait for; None: all that come until the host closes the connection."""
    connection.setblocking(False)
    reader, told, closed = FrameReader(RESPONSE_BYTES_MAX), list[Any](), False
    with trio.socket.from_stdlib_socket(connection) as channel, trio.move_on_after(SECONDS):
        await _send(channel, data)
        while not closed and (messages is None or len(told) < messages):
            try:
                piece = await channel.recv(RECV_BYTES)
            except OSError:
                piece = b""
            closed = not piece
            told += [outgoing(wire.decode_bounded_by_size(message)) for message in reader.feed(piece)]
    return {"messages": told, "closed": closed}


async def _send(channel: trio.socket.SocketType, data: bytes) -> None:
    """All of it, or as much as the host takes before it closes."""
    try:
        while data:
            data = data[await channel.send(data) :]
    except OSError:
        return
