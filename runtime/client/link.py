"""One connection to a host: requests out, their answers back to whoever waits for them.

How it reads and writes: one `recv` and one joined `send` a wake-up. A request costs no task: who asks is parked, and
woken with the answer. What lives here knows no method; client.py names them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import trio

from runtime import wire
from runtime.control.failures import from_map
from runtime.control.frames import (
    RESPONSE_BYTES_MAX,
    Closing,
    FrameReader,
    Item,
    Response,
    Violation,
    cancel,
    frame,
    parse_answer,
)
from runtime.control.method import ControlMethod, ControlParams, Result
from runtime.control.tls import Channel, TlsFailed
from runtime.errors import ConnectionLost, HostelError, UsageError

RECV_BYTES: Final = 256 << 10
UNSENT_BYTES_MAX: Final = 4 << 20
"""Requests wait to be sent while there is more."""
R = TypeVar("R", bound=Result)
OnItem = Callable[[Any], None]
_NOTHING: Final = memoryview(b"")


class _Waiting:
    """A request whose answer is awaited."""

    __slots__ = ("error", "method", "on_item", "result", "task")

    def __init__(self, method: ControlMethod[Any, Any], on_item: OnItem | None) -> None:
        self.method = method
        self.on_item = on_item
        self.task: trio.lowlevel.Task | None = None
        self.error: Exception | None = None
        self.result: Any = None


class Link:
    """Requests over one socket. Used from the trio thread it was made in; `run` has to run all the while."""

    def __init__(self, sock: socket.socket, channel: Channel) -> None:
        self._socket, self._channel = sock, channel
        self._reader = FrameReader(RESPONSE_BYTES_MAX)
        self._waiting: dict[int, _Waiting] = {}
        self._last_msgid = 0
        self._out: list[bytes] = []
        self._unsent = _NOTHING
        self._out_bytes = 0
        self._sender: trio.lowlevel.Task | None = None
        self._room: trio.Event | None = None
        self._why: str | None = None
        self.refused: Exception | None = None
        """What the host said before it closed the connection."""

    # ---- asking ------------------------------------------------------------------------------------------------------
    async def request(self, method: ControlMethod[Any, R], params: ControlParams, on_item: OnItem | None = None) -> R:
        """The method's result. `on_item` takes the items of a stream, in place: it is short, and what it raises ends
        the request.

        Cancelled, the host is told that nobody waits any more. Raises what the host answered; ConnectionLost, whose
        `details["outcome"]` tells whether it may have happened.
        """
        while self._pending > UNSENT_BYTES_MAX and self._why is None:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()
        if self._why is not None:
            raise lost(self._why, "none")
        msgid = self._next_msgid()
        waiting = self._waiting[msgid] = _Waiting(method, on_item)
        try:
            self._send(frame(wire.encode((wire.REQUEST, msgid, method.name, params))))
        except wire.Unencodable as error:
            del self._waiting[msgid]
            raise UsageError(f"the parameters cannot be sent: {error}") from None

        def give_up(_: Any) -> trio.lowlevel.Abort:
            waiting.task = None
            if self._waiting.pop(msgid, None) is not None and self._why is None:
                self._send(cancel(msgid))
            return trio.lowlevel.Abort.SUCCEEDED

        waiting.task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(give_up)
        if waiting.error is not None:
            raise waiting.error
        return _converted(method, waiting.result)

    def _next_msgid(self) -> int:
        while True:
            self._last_msgid = (self._last_msgid + 1) & wire.MSGID_MAX
            if self._last_msgid not in self._waiting:
                return self._last_msgid

    # ---- sending -----------------------------------------------------------------------------------------------------
    def _send(self, framed: bytes) -> None:
        """At once where nothing else is under way; else with what others add in this turn."""
        self._out.append(framed)
        self._out_bytes += len(framed)
        if self._sender is None:
            return  # it is sending, or about to
        if len(self._waiting) <= 1:
            self._flush()
            if not self._unsent:
                return
        task, self._sender = self._sender, None
        trio.lowlevel.reschedule(task)

    def _flush(self) -> None:
        """Send what there is, as far as it goes at once. A broken connection is for the reader to find: there may be a
        word in it why."""
        data = memoryview(self._channel.seal(b"".join(self._out)))
        self._out.clear()
        self._out_bytes = 0
        try:
            self._unsent = data[self._socket.send(data) :]
        except BlockingIOError:
            self._unsent = data
        except OSError:
            self._unsent = _NOTHING

    async def send_for_ever(self) -> None:
        """What `_send` leaves."""
        while self._why is None:
            if not self._out and not self._unsent:
                self._sender = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._unpark)
            try:
                while self._unsent and self._why is None:  # its socket may be closed by now
                    await trio.lowlevel.wait_writable(self._socket)
                    self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                self._unsent = _NOTHING
            if self._why is None and self._out:
                self._flush()
            if self._room is not None and self._pending <= UNSENT_BYTES_MAX:
                self._room.set()
                self._room = None

    @property
    def _pending(self) -> int:
        return self._out_bytes + len(self._unsent)

    def _unpark(self, _: Any) -> trio.lowlevel.Abort:
        self._sender = None
        return trio.lowlevel.Abort.SUCCEEDED

    # ---- reading -----------------------------------------------------------------------------------------------------
    async def read_for_ever(self) -> None:
        """Until the connection is over."""
        try:
            while self._why is None:
                try:
                    data = self._socket.recv(RECV_BYTES)
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(self._socket)
                    continue
                if not data:
                    self.lose("the host closed the connection")
                    return
                for message in self._reader.feed(self._channel.open(data)):
                    self._take(message)
                await trio.lowlevel.checkpoint()
        except (OSError, trio.ClosedResourceError, TlsFailed) as error:
            self.lose(str(error) or type(error).__name__)
        except (Violation, msgspec.ValidationError) as error:
            self.lose(f"what the host sent is no answer: {error}")

    def _take(self, message: bytes) -> None:
        told = parse_answer(message)
        if isinstance(told, Closing):
            self.refused = from_map(told.error)
            self.lose(str(self.refused))
            return
        waiting = self._waiting.get(told.msgid)
        if waiting is None:
            return  # nobody waits any more
        if isinstance(told, Response):
            error = None if told.error is None else from_map(told.error)
            self._finish(told.msgid, error, told.result)
            return
        try:
            self._hand_over(waiting, told)
        except Exception as error:
            self._finish(told.msgid, error)
            self._send(cancel(told.msgid))

    def _hand_over(self, waiting: _Waiting, told: Item) -> None:
        if waiting.on_item is not None and waiting.method.stream is not None:
            waiting.on_item(msgspec.convert(told.item, waiting.method.stream))

    def _finish(self, msgid: int, error: Exception | None, result: Any = None) -> None:
        waiting = self._waiting.pop(msgid)
        waiting.error, waiting.result = error, result
        if waiting.task is not None:
            task, waiting.task = waiting.task, None
            trio.lowlevel.reschedule(task)

    # ---- the end -----------------------------------------------------------------------------------------------------
    def lose(self, why: str) -> None:
        """The connection is over: whoever waits is told. May be called again."""
        if self._why is not None:
            return
        self._why = why
        for msgid, waiting in list(self._waiting.items()):
            self._finish(msgid, lost(why, "unknown" if waiting.method.effect else "none"))
        if self._room is not None:
            self._room.set()
        if self._sender is not None:
            task, self._sender = self._sender, None
            trio.lowlevel.reschedule(task)
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


def lost(why: str, outcome: str) -> ConnectionLost:
    cure = ": it may have happened; look before trying again" if outcome == "unknown" else ""
    return ConnectionLost(f"the connection to the host is lost ({why}){cure}", details={"outcome": outcome})


def _converted(method: ControlMethod[Any, R], result: Any) -> R:
    try:
        return msgspec.convert(result, method.result)
    except msgspec.ValidationError as error:
        raise HostelError(
            f"the host's answer to {method.name} is not understood: {error}", code="answer_unknown"
        ) from None
