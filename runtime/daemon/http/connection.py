"""One connection, from its first byte to its last: whole requests in, answers out, and never a wait without an end.

What lives here: the reading of whole requests within their limits, times of waiting, and what a refused client is
told. The ASGI server behind (anycorn) takes this for its byte stream: it is given one whole request at a time, written
anew by head.py, so nothing that is half there, or malformed, reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Any, Final

import anyio
import anyio.abc
import trio

from runtime.daemon.http.crowd import Crowd, Visitor
from runtime.daemon.http.head import END, Head, malformed, read_head
from runtime.daemon.http.refusal import Refused, error_body, over
from runtime.daemon.http.settings import HttpSettings
from runtime.reactor import Reactor

PIECES_MAX: Final = 64
"""A request comes in at most so many pieces, and one more for each KiB: a byte a packet is no way to send one, and
costs the host as much as it wants to."""
_RECEIVE_BYTES: Final = 64 << 10
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET: Final = pack("ii", 1, 0)
"""SO_LINGER: closing throws away what was not sent, instead of leaving it with the kernel for minutes."""
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 1 << 20
"""Read over after a refusal, so that the client gets to read it: closing on unread bytes would take it back."""


class _NoSocket:
    """Stands for the socket where the ASGI server asks for one: it must not write past the connection (sendfile)."""

    family = 0

    def getpeername(self) -> tuple[str, ...]:
        return ()

    getsockname = getpeername


class Connection(anyio.abc.ByteStream):
    """Wraps an accepted stream, TLS and all. Whoever makes it calls `aclose`, which makes its visitor leave."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        socket: trio.SocketStream,
        *,
        settings: HttpSettings,
        crowd: Crowd,
        visitor: Visitor,
    ) -> None:
        """`socket`: what `stream` runs on, or is."""
        self._stream = stream
        self._socket = socket
        self._settings = settings
        self._crowd = crowd
        self._visitor = visitor
        self._reactor = Reactor.of_this_run()
        self._received = bytearray()
        self._pieces = 0
        self._whole: bytes | None = None
        self._has_left = False
        self._answered = trio.Event()
        self._watch: trio.CancelScope | None = None
        self.served = trio.CancelScope()
        """What the ASGI server runs in. Cancelled when no request will come and none is being answered: it would wait
        for its own time of keeping alive."""

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {anyio.abc.SocketAttribute.raw_socket: _NoSocket}

    # ---- requests ----------------------------------------------------------------------------------------------------
    async def has_request(self) -> bool:
        """Wait for the next request and keep it for `receive`. False: the client is gone, was sent away or refused."""
        scope = self._visitor.scope = trio.CancelScope()
        try:
            with scope:
                self._whole = await self._read_request()
        except Refused as refused:
            await self._refuse(refused)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._visitor.scope = None
        return self._whole is not None

    async def receive(self, max_bytes: int = _RECEIVE_BYTES) -> bytes:
        """The next whole request, once the one before is answered. Raises EndOfStream when there will be none, also
        while one is being answered: whose client has left needs no answer."""
        if self._whole is None and self._visitor.is_answered and not await self._is_answered():
            self._has_left = True
            raise anyio.EndOfStream
        if self._whole is None and not await self.has_request():
            self.served.cancel()
            raise anyio.EndOfStream
        request, self._whole = self._whole or b"", None
        return request

    def answered(self) -> None:
        """The request is dealt with, or given up: the client may send the next one."""
        self._crowd.end(self._visitor)
        self._crowd.hold(self._visitor, len(self._received))
        self._answered.set()
        if self._watch is not None:
            self._watch.cancel()
        if self._has_left:
            self.served.cancel()

    async def _read_request(self) -> bytes | None:
        """Raises Refused, trio's errors of streams; None where the client leaves or says nothing."""
        if self._visitor.is_gone:
            return None
        self._pieces = 0
        if not self._received:
            with trio.move_on_after(self._settings.idle_s):
                if self._stream is self._socket:  # else there may be more in what was deciphered
                    await self._reactor.news(self._socket.socket)
                await self._more()
            if not self._received:
                return None
        head = await self._read_head()
        if head is None:
            return None
        body = await self._read_body(head)
        if body is None:
            return None
        if not self._crowd.begin(self._visitor):
            raise Refused(
                "overloaded", f"{self._settings.requests} requests are being answered (requests)", retry_after_ms=1_000
            )
        self._answered = trio.Event()
        return head.data + body

    async def _read_head(self) -> Head | None:
        searched = 0
        with trio.move_on_after(self._settings.head_s):
            while True:
                at = self._received.find(END, searched, self._settings.head_bytes + len(END))
                if at >= 0:
                    head = bytes(self._received[:at])
                    del self._received[: at + len(END)]
                    return read_head(head, self._settings)
                if len(self._received) >= self._settings.head_bytes + len(END):
                    used = len(self._received)
                    raise over(
                        "head_bytes", self._settings.head_bytes, used, "bytes of head, or more,", "head_too_large"
                    )
                searched = max(0, len(self._received) - len(END) + 1)
                if not await self._more():
                    return None
        raise _too_slow("head_s", self._settings.head_s)

    async def _read_body(self, head: Head) -> bytes | None:
        size = head.body_bytes
        with trio.move_on_after(self._settings.body_s):
            if head.asks_to_go_on and len(self._received) < size:
                await self._stream.send_all(_GO_ON)
            while len(self._received) < size:
                if not await self._more():
                    return None
            body = bytes(self._received[:size])
            del self._received[:size]
            return body
        raise _too_slow("body_s", self._settings.body_s)

    async def _more(self) -> bool:
        """Some more bytes; False at the end of all. Raises Refused."""
        self._pieces += 1
        if self._pieces > PIECES_MAX + (len(self._received) >> 10):
            raise malformed(f"it comes in too many pieces: {PIECES_MAX}, and one for each KiB, are taken")
        piece = await self._stream.receive_some(_RECEIVE_BYTES)
        if piece and not self._crowd.hold(self._visitor, len(piece)):
            raise Refused("overloaded", "too much is being received (held_bytes)", retry_after_ms=1_000)
        self._received += piece
        return bool(piece)

    async def _is_answered(self) -> bool:
        """Wait until it is; False if the client leaves before. What it sends meanwhile is kept, at most one piece: then
        it is listened to no more until the answer is out."""
        while not self._answered.is_set():
            piece: bytes | bytearray = b""
            with trio.CancelScope() as self._watch, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                piece = await self._stream.receive_some(_RECEIVE_BYTES)
            left, self._watch = not self._watch.cancelled_caught and not piece, None
            if left and not self._answered.is_set():
                return False
            if piece:
                self._received += piece
                await self._answered.wait()
        return True

    # ---- answers -----------------------------------------------------------------------------------------------------
    async def send(self, item: bytes) -> None:
        """Raises BrokenResourceError: the client is gone, or does not take it in time."""
        with trio.move_on_after(self._settings.write_s):
            try:
                await self._stream.send_all(item)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise anyio.BrokenResourceError from None
            return
        with suppress(OSError):
            self._socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._tell_reader()
        await trio.aclose_forcefully(self._stream)
        raise anyio.BrokenResourceError

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.SocketStream):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it, in a second at most; who waits in `receive` gets EndOfStream. May be called again."""
        self._crowd.leave(self._visitor)
        self._answered.set()
        self._tell_reader()
        with trio.move_on_after(_LINGER_S, shield=True), suppress(trio.BrokenResourceError):
            await self._stream.aclose()

    def _tell_reader(self) -> None:
        """Who waits for the next request: the socket is about to be closed."""
        if self._stream is self._socket:
            self._reactor.closing(self._socket.socket)

    async def _refuse(self, refused: Refused) -> None:
        """Say why, and read over what is on its way, for a moment."""
        body, again = error_body(refused.as_dict()), refused.retry_after_ms
        status = HTTPStatus(refused.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
            f"x-content-type-options: nosniff\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
            + ("" if again is None else f"retry-after: {-(-again // 1_000)}\r\n")
        )
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(_LINGER_S):
            await self._stream.send_all(head.encode("ascii") + b"\r\n" + body)
            await self.send_eof()
            left = _LINGER_BYTES
            while left > 0 and (piece := await self._stream.receive_some(_RECEIVE_BYTES)):
                left -= len(piece)


def _too_slow(limit: str, seconds: float) -> Refused:
    return Refused(
        "request_timeout",
        f"the request did not come within {limit} = {seconds} s",
        details={"limit": limit, "value": seconds, "unit": "seconds"},
    )
