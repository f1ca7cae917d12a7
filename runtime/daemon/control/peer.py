"""One connection on its socket: the thin shell around connection.py.

How it reads and writes: one `recv` and one joined `send` for all that came, without waking a task (reactor.py). An
idle connection is one parked task and no buffer. Answers that come while nobody reads are sent by the server, for all
of them at the end of a turn (server.py); a task for writing exists only while a client takes nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Final

import trio

from runtime.control.frames import Request, Violation
from runtime.control.method import Role
from runtime.control.tls import Channel, TlsFailed
from runtime.daemon.control.connection import Connection, Unread
from runtime.errors import ControlError
from runtime.log import logger
from runtime.reactor import Reactor

if TYPE_CHECKING:
    from runtime.daemon.control.running import Running
    from runtime.daemon.control.server import ControlServer

_log = logger("control")
RECV_BYTES: Final = 64 << 10
BEHIND_BYTES: Final = 1 << 20
"""A client that has more than this to fetch is not read from, and no stream of its goes on."""
SERVE_S: Final = 0.001
"""What one client asked for is begun for so long, before others have their turn."""
_NOTHING: Final = memoryview(b"")


class WrongToken(Exception):
    """Raised while a connection's bytes are looked at; `answer` says so, when its time has come."""

    def __init__(self, answer: Callable[[], None]) -> None:
        super().__init__()
        self.answer = answer


class Peer:
    """A client that is connected. Closed once, by `close`; its task ends soon after."""

    __slots__ = (
        "_active_at", "_behind_bytes", "_blocked_at", "_buffered", "_frame_at", "_is_at_end", "_reactor", "_requests",
        "_room", "_server", "_socket", "_unread", "_unsent", "channel", "connection", "dirty", "endless", "name",
        "streams", "who",
    )  # fmt: skip

    def __init__(
        self, server: ControlServer, sock: socket.socket, channel: Channel, role: Role | None, name: str
    ) -> None:
        self._server = server
        self._socket = sock
        self.channel = channel
        self.connection = Connection(server.settings, role)
        self.name = self.who = name
        """For the log, and for the audit: `uid 1000`; `token` and its name once one was shown."""
        self.dirty = False
        """The server is to send what is there."""
        self.streams = 0
        self.endless: set[Running] = set()
        """Requests under way that would never be answered by themselves."""
        self._behind_bytes = min(server.settings.outbox_bytes // 2, BEHIND_BYTES)
        self._reactor = Reactor.of_this_run()
        self._requests: Iterator[Request | Unread | None] = iter(())
        """What was asked for and not begun yet."""
        self._unread: Unread | None = None
        """What was asked for and has to be read first; then the others."""
        self._is_at_end = False
        self._unsent = _NOTHING
        self._room: trio.Event | None = None
        self._buffered = 0
        self._active_at = self._frame_at = self._blocked_at = trio.current_time()

    # ---- reading -----------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Reads until the connection is over. Raises nothing but Cancelled."""
        try:
            while not self.connection.closed:
                await self._reactor.read(self._socket, self._take, RECV_BYTES)
                if self._is_at_end:
                    break
                while not self.connection.closed:
                    await self.room()
                    await self._read_large()
                    async with self._server.one_by_one:
                        if self._serve():
                            break
        except (OSError, trio.ClosedResourceError, TlsFailed):
            pass  # the client is gone, or was closed here meanwhile
        except Violation as violation:
            self.close(ControlError(violation.reason, code="protocol_violation"))
        except WrongToken as wrong:
            await trio.sleep(self._server.settings.token_delay_s)
            wrong.answer()
            self.flush()
        except Exception as error:  # a bug of ours: of this connection alone
            _log.error("a connection failed", client=self.name, exc_info=error)
        finally:
            self.close()

    def _take(self, data: bytes) -> bool:
        """What came; True: more may. False: it waits for room, by a client that asks for more than it takes, or for its
        next turn, or it is over. Raises Violation, WrongToken, TlsFailed."""
        if not data:
            self._is_at_end = True
            return False
        now, connection = trio.current_time(), self.connection
        if connection.role is not None:  # a stranger's time runs from the connection's begin
            self._active_at = now
        had = connection.held
        self._requests = connection.receive(self.channel.open(data))
        goes_on = self._serve()
        if not had or connection.held < had:
            self._frame_at = now
        return goes_on

    def _serve(self) -> bool:
        """What it asked for, as long as it takes the answers, and for SERVE_S. False: there may be more of it, or it is
        over."""
        server, connection, until = self._server, self.connection, perf_counter() + SERVE_S
        for request in self._requests:
            if isinstance(request, Unread):
                self._unread = request
                self.wake()
                return False
            if request is not None:
                server.dispatch(self, request)
            if self.behind:
                self.flush()
                if self.behind:
                    return False
            if connection.closed:
                return False
            if perf_counter() > until:
                self.wake()
                return False
        self.wake()
        return not connection.closed

    async def _read_large(self) -> None:
        """What is read beside the loop, one at a time of all clients. Raises Violation, WrongToken."""
        if self._unread is not None:
            asked = await trio.to_thread.run_sync(self._unread.read, limiter=self._server.reading)
            self._unread = None
            if not self.connection.closed and (request := self.connection.taken(asked)) is not None:
                self._server.dispatch(self, request)

    # ---- writing -----------------------------------------------------------------------------------------------------
    def wake(self) -> None:
        """There is something to send: it will be, with what others add in this turn."""
        self._server.wake(self)

    def flush(self) -> None:
        """Send what there is, as far as the client takes it. A client that takes too little is closed."""
        if self.connection.closed:
            return
        if not self._unsent:
            self._send(self.channel.seal(self.connection.take()))
        self._account()
        if self.unfetched > self._server.settings.outbox_bytes and self._unsent:
            self.close(_slow(self._server.settings.outbox_bytes))

    def settle(self) -> bool:
        """As `flush`, for what was woken up for. True: it woke or started somebody."""
        was_awaited, self.dirty = self._room is not None, False
        self.flush()
        return was_awaited or len(self._unsent) > 0 or self.connection.closed

    def _send(self, data: bytes) -> None:
        if not data:
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._blocked_at = trio.current_time()
            self._server.nursery.start_soon(self._send_rest, name="control writer")

    async def _send_rest(self) -> None:
        """As long as there is more than the socket takes at once."""
        try:
            while self._unsent and not self.connection.closed:
                await trio.lowlevel.wait_writable(self._socket)
                sent = self._socket.send(self._unsent)
                self._blocked_at = trio.current_time()
                self._unsent = self._unsent[sent:] or memoryview(self.channel.seal(self.connection.take()))
                self._account()
        except BlockingIOError:
            self._server.nursery.start_soon(self._send_rest, name="control writer")
        except (OSError, trio.ClosedResourceError):
            self.close()

    @property
    def unfetched(self) -> int:
        """Bytes of answers that the client has not taken."""
        return len(self._unsent) + self.connection.out_bytes

    @property
    def behind(self) -> bool:
        """The client does not keep up with what it asked for."""
        return self.unfetched > self._behind_bytes

    async def room(self) -> None:
        """Waits until the client has taken most of what there is: for who sends many items."""
        if self.behind:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()
        else:
            await trio.lowlevel.checkpoint()

    # ---- bounds ------------------------------------------------------------------------------------------------------
    def _account(self) -> None:
        """What this connection makes the host hold, counted with that of all others; who waits for room is woken."""
        if self._room is not None and not self.behind:
            self._room.set()
            self._room = None
        held = self.connection.held + self.unfetched + (0 if self._unread is None else self._unread.size)
        if held != self._buffered:
            server = self._server
            server.buffered += held - self._buffered
            self._buffered = held
            if server.buffered > server.settings.buffered_bytes and not self.connection.closed:
                self.close(ControlError("the host holds too much for its clients", code="overloaded"))

    def check(self, now: float) -> None:
        """Closes a connection whose time for something is over."""
        settings, connection = self._server.settings, self.connection
        if connection.role is None and now - self._active_at > settings.hello_s:
            self.close(ControlError(f"no token within hello_s = {settings.hello_s}", code="access_denied"))
        elif connection.held and now - self._frame_at > settings.frame_s:
            self.close(ControlError(f"a frame did not come whole within frame_s = {settings.frame_s}", code="too_slow"))
        elif self._unsent and now - self._blocked_at > settings.write_s:
            self.close(_slow(settings.outbox_bytes))
        elif not connection.outstanding and now - self._active_at > settings.idle_s:
            self.close(ControlError(f"nothing was asked for idle_s = {settings.idle_s}", code="idle"))

    def close(self, why: ControlError | None = None) -> None:
        """The connection is over: what it asked for is stopped soon. `why` is told if the client takes it at once. May
        be called again."""
        if self.connection.closed:
            return
        if why is not None and not self._unsent:
            self.connection.say_closing(why)
        self._server.stop(self.connection.close())
        if why is not None and not self._unsent:
            try:
                self._socket.send(self.channel.seal(self.connection.take()))
            except OSError:
                self._unsent = _NOTHING
        if self._room is not None:
            self._room.set()
        self.connection.take()
        self._unsent = _NOTHING
        self._server.buffered -= self._buffered
        self._reactor.closing(self._socket)
        self._socket.close()
        self._server.gone(self, why)


def _slow(limit: int) -> ControlError:
    return ControlError(
        f"answers were not fetched: outbox_bytes is {limit}", code="slow_reader",
        details={"limit": "outbox_bytes", "value": limit},
    )  # fmt: skip
