"""Raw requests of the control protocol: whatever a case says is sent as it is, and whatever comes back is told.

What lives here: one connection. No method is known and nothing is checked: that is the host's to do, and the case's to
see.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

import trio

from runtime import wire
from runtime.control.frames import RESPONSE_BYTES_MAX, Closing, FrameReader, Item, cancel, frame, parse_answer

RECV_BYTES: Final = 256 << 10
Told = dict[str, Any]


class Asking:
    """`run` has to run all the while; it ends with the connection. Used from one trio thread."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = trio.socket.from_stdlib_socket(connection)
        self._reader = FrameReader(RESPONSE_BYTES_MAX)
        self._waiting: dict[int, tuple[trio.Event, Told]] = {}
        self._last = 0
        self._news = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        try:
            while data := await self._socket.recv(RECV_BYTES):
                for message in self._reader.feed(data):
                    self._take(parse_answer(message))
        except OSError as error:
            self._lose(str(error))
        else:
            self._lose("the host closed the connection")
        finally:
            self._socket.close()

    def begin(self, method: str, params: Mapping[str, Any]) -> int:
        """Sends a request; its number is what `end` and `give_up` take. Raises wire.Unencodable."""
        self._last += 1
        self._waiting[self._last] = trio.Event(), {}
        self._unsent += frame(wire.encode((wire.REQUEST, self._last, method, params)))
        return self._last

    _unsent = b""

    async def flush(self) -> None:
        """Sends what was begun."""
        data, self._unsent = self._unsent, b""
        while data:
            data = data[await self._socket.send(data) :]

    async def end(self, msgid: int) -> Told:
        """`result`, or `error`; with `items` where it streamed."""
        over, told = self._waiting[msgid]
        await over.wait()
        del self._waiting[msgid]
        return told

    async def told(self, msgid: int, items: int) -> None:
        """Waits until it has streamed so many items, or is over."""
        over, told = self._waiting[msgid]
        while len(told.get("items", ())) < items and not over.is_set():
            await self._news.park()

    def give_up(self, msgid: int) -> None:
        """Tells the host that nobody wants it any more; `end` gives what it says to that."""
        self._unsent += cancel(msgid)

    def _take(self, message: Any) -> None:
        match message:
            case Item(msgid, item) if msgid in self._waiting:
                self._waiting[msgid][1].setdefault("items", []).append(item)
                self._news.unpark_all()
            case Closing(error):
                self._lose(str(error))
            case _ if message.msgid in self._waiting:
                over, told = self._waiting[message.msgid]
                told |= {"result": message.result} if message.error is None else {"error": message.error}
                over.set()
                self._news.unpark_all()

    def _lose(self, why: str) -> None:
        for over, told in self._waiting.values():
            if not over.is_set():
                told["error"] = {"code": "connection_lost", "message": why, "details": {}, "retryable": False}
                over.set()
        self._news.unpark_all()
