"""One side's sending end of the socket pair: frames gathered while a turn of the event loop runs, sent as one.

No task, lock or channel for a frame: as an instrument of the loop it sends right before the loop looks for I/O, or
when it is told to. Only where the socket is full does a task wait for room. The same on both sides.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio

from runtime.executor.frames import HEAD, SIZE

_pack = HEAD.pack


class Outbox(trio.abc.Instrument):
    """Opened in the trio thread (`add_instrument`); `close` before the socket is closed."""

    def __init__(self, link: socket.socket, nursery: trio.Nursery) -> None:
        self._link, self._nursery = link, nursery
        self._token = trio.lowlevel.current_trio_token()
        self._parts: list[bytes] = []
        self._unsent = b""
        self.backlog = 0
        """Bytes that the socket did not take yet, or was not offered."""
        self.sent_bytes = 0
        self.before_send: Callable[[], None] | None = None
        """Called each turn, for what is to be said once a turn."""
        self.open = True
        self._empty: trio.Event | None = None

    def send(self, kind: int, number: int, body: bytes = b"") -> None:
        self._parts.append(_pack(len(body), kind, number) + body)
        self.backlog += SIZE + len(body)

    def before_io_wait(self, timeout: float) -> None:
        """As an instrument of the loop."""
        self.end_turn()

    def end_turn(self) -> None:
        """To be called at the end of each turn of the loop."""
        if self.before_send is not None:
            self.before_send()
        self.flush()

    def flush(self) -> None:
        """Sends what was gathered. Starts nothing now: the loop may be about to sleep."""
        if self._parts and not self._unsent and not self._offer():
            self._token.run_sync_soon(self._wait_for_room)

    def _offer(self) -> bool:
        """Offers the socket all there is, once. False: it has no room for some of it."""
        if not self.open:
            self._parts.clear()
            return True
        parts, self._parts = self._parts, []
        data = b"".join((self._unsent, *parts)) if self._unsent or len(parts) != 1 else parts[0]
        self._unsent = b""
        try:
            sent = self._link.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # the other side is gone: who reads from it finds out
            self.close()
            return True
        self.sent_bytes += sent
        self.backlog -= sent
        if sent < len(data):
            self._unsent = data[sent:]
        elif self._empty is not None:
            self._token.run_sync_soon(self._empty.set)
            self._empty = None
        return sent == len(data)

    def _wait_for_room(self) -> None:
        if self.open and self._unsent:
            self._nursery.start_soon(self._drain)

    async def taken(self) -> None:
        """Until the socket has taken all there is, or the outbox is closed; a turn of the loop at least."""
        await trio.lowlevel.checkpoint()
        while self.open and self.backlog:
            if self._empty is None:
                self._empty = trio.Event()
            await self._empty.wait()

    async def _drain(self) -> None:
        while self.open and self._unsent:
            try:
                await trio.lowlevel.wait_writable(self._link)
            except trio.ClosedResourceError:
                return
            self._offer()

    def close(self) -> None:
        """Drops what was not sent. May be called again."""
        self.open, self.backlog, self._unsent = False, 0, b""
        self._parts.clear()
        if self._empty is not None:
            self._token.run_sync_soon(self._empty.set)
            self._empty = None
