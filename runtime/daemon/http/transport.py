"""The byte stream under TLS: a crowd of connections that has news at once wakes up over several turns of the loop.

Why: clients that hang up all together, or all begin a handshake, would have one turn do the work of them all, and who
is honest waits for it. Without TLS it is connection.py that waits so, between two requests only.
"""

from __future__ import annotations

import trio

from runtime.reactor import Reactor


class Transport(trio.abc.HalfCloseableStream):
    """A socket whose reader takes its turn. One reader at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._reactor = Reactor.of_this_run()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self._reactor.news(self._stream.socket)
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self._reactor.closing(self._stream.socket)
        await self._stream.aclose()
