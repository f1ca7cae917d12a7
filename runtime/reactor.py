"""Sockets that are read at the end of a turn of trio's loop, before it looks for I/O itself.

Why: a task that waits for its socket costs a turn of the loop for each piece of news, which is as much as a call. Here
the loop's own descriptor and these sockets are waited for together, once there was news and until there is a lull; what
comes is read and dealt with right there, and no task wakes up. The loop goes on as soon as it has something to do, and
in a lull it is the loop that waits for the sockets, as for any other.

It needs four things of trio that have no public name (`_Loop`). Where they are missing, and in guest mode, where the
loop is somebody else's, `read` waits as any task does: slower, otherwise the same.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any, Final

import outcome
import trio

from runtime.log import logger

_log = logger("reactor")
READ_BYTES: Final = 256 << 10
"""So much is read from one socket before others have their turn."""
LULL_S: Final = 0.001
"""After news the loop does not go on for so long, if no more comes. Deadlines set meanwhile are as late at most."""
TURN_S: Final = 0.002
"""How long news is dealt with before the loop goes on, though more came."""
GATHER_S: Final = 0.0003
"""How long what comes is dealt with before the ends of the turn: each time something is sent wakes who gets it."""
_AT_ONCE: Final = 64
"""Descriptors asked of one epoll at a time: the rest keep until the next."""

Sock = socket.socket | trio.socket.SocketType
Take = Callable[[bytes], bool]
"""Deals with what was read, b"" at the end of the stream; True: it goes on with what comes next."""


class _Loop:
    """What is needed of the loop that runs. Raises AttributeError where this trio is built otherwise."""

    def __init__(self) -> None:
        runner: Any = trio._core._run.GLOBAL_RUN_CONTEXT.runner
        self.fd: int = runner.io_manager._epoll.fileno()
        self.runnable = runner.runq
        self.wake: Callable[[], None] = runner.io_manager.force_wakeup
        if runner.is_guest:
            raise AttributeError("in guest mode the loop waits elsewhere")


class _Reader:
    """A task that waits in `Reactor.read`, or, without `take`, in `Reactor.news`."""

    __slots__ = ("among", "bytes_most", "sock", "take", "task")

    def __init__(self, sock: Sock, take: Take | None, bytes_most: int, among: select.epoll) -> None:
        self.sock, self.take, self.bytes_most, self.among = sock, take, bytes_most, among
        self.task = trio.lowlevel.current_task()


class Reactor(trio.abc.Instrument):
    """One of each run of trio: `with Reactor.used()`, and inside of it `Reactor.of_this_run()`. Everything is called
    in the trio thread.

    It has to be the last of the loop's instruments that do something at the end of a turn; what else is to be done
    there is given to `at_turns_end`.
    """

    def __init__(self) -> None:
        self._readers: dict[int, _Reader] = {}
        self._late: dict[int, None] = {}
        """Descriptors with news for which a turn had no time: the first of the next."""
        self._ends: list[Callable[[], object]] = []
        self._room = bytearray(READ_BYTES)
        self._view = memoryview(self._room)
        self._users = 0
        self._token: trio.lowlevel.RunVarToken[Reactor] | None = None
        self.is_awake = False
        """There was news, and no lull since."""
        self.wakings = 0
        """How often there was news after a lull."""
        self._woken = trio.Event()
        self._loop: _Loop | None = None
        with suppress(AttributeError):
            self._loop = _Loop()
            self._sockets, self._news, self._crowd = select.epoll(), select.epoll(), select.epoll()
            self._news.register(self._loop.fd, select.EPOLLIN)
            self._news.register(self._crowd.fileno(), select.EPOLLIN)
            self._watcher = trio.lowlevel.spawn_system_task(self._watch, name="reactor")
        trio.lowlevel.add_instrument(self)

    @staticmethod
    def of_this_run() -> Reactor:
        try:
            return _OF_RUN.get()
        except LookupError:
            reactor = Reactor()
            reactor._token = _OF_RUN.set(reactor)
            return reactor

    @staticmethod
    @contextmanager
    def used() -> Iterator[Reactor]:
        """That of this run, which is there at least as long as this is; nothing of it is left afterwards."""
        reactor = Reactor.of_this_run()
        reactor._users += 1
        try:
            yield reactor
        finally:
            reactor._users -= 1
            if not reactor._users:
                reactor._close()

    def _close(self) -> None:
        trio.lowlevel.remove_instrument(self)
        if self._token is not None:
            _OF_RUN.reset(self._token)
        if self._loop is not None:
            self._loop = None
            if self.is_awake:
                trio.lowlevel.reschedule(self._watcher, outcome.Error(trio.ClosedResourceError()))
            else:
                trio.lowlevel.notify_closing(self._sockets.fileno())
            self._sockets.close()
            self._news.close()
            self._crowd.close()

    @property
    def is_direct(self) -> bool:
        """It reads by itself; False: the tasks do, each when it is woken up."""
        return self._loop is not None

    def read_by_tasks(self) -> None:
        """From now on, before anybody reads."""
        self._loop = None

    def at_turns_end(self, call: Callable[[], object]) -> None:
        """Calls it at the end of each turn, until `not_at_turns_end`. What it raises is logged, and nobody else is
        told. What it schedules may run only when the loop wakes up next."""
        self._ends.append(call)

    def not_at_turns_end(self, call: Callable[[], object]) -> None:
        self._ends.remove(call)

    async def woken(self) -> None:
        """Returns once there is news: at once where there was no lull since. Where tasks read by themselves, never."""
        if not self.is_awake:
            await self._woken.wait()

    # ---- reading -----------------------------------------------------------------------------------------------------
    async def read(self, sock: socket.socket, take: Take, bytes_most: int = READ_BYTES, *, first: bool = False) -> None:
        """Reads what comes, at most `bytes_most` at once, and calls `take` with it until that is not True. Raises what
        `take` raised, ClosedResourceError after `closing`. One reader a socket; when cancelled, nothing is lost.
        `first`: it is looked at in each turn, however large the crowd is that has news; for few."""
        if self._loop is None:
            await self._read_by_task(sock, take, bytes_most)
        else:
            await self._park(sock, take, bytes_most, self._news if first else self._crowd)

    async def news(self, sock: Sock) -> None:
        """Waits until there is something to read, or the end of the stream. Of a crowd that waits, some tasks wake up
        each turn, however many have news. Otherwise as `read`."""
        if self._loop is None:
            await trio.lowlevel.wait_readable(sock)
        else:
            await self._park(sock, None, 0, self._crowd)

    async def _park(self, sock: Sock, take: Take | None, bytes_most: int, among: select.epoll) -> None:
        fd = sock.fileno()
        if fd < 0:
            raise trio.ClosedResourceError
        if fd in self._readers:
            raise trio.BusyResourceError("somebody reads from this socket already")
        self._readers[fd] = _Reader(sock, take, bytes_most, among)
        among.register(fd, select.EPOLLIN)
        self._sockets.register(fd, select.EPOLLIN)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._forget(fd)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _read_by_task(self, sock: socket.socket, take: Take, bytes_most: int) -> None:
        while True:
            await trio.lowlevel.wait_readable(sock)
            if (data := self._received(sock, bytes_most)) is not None and not take(data):
                return

    def closing(self, sock: Sock) -> None:
        """Before the socket is closed: who waits for it in trio, or here, is told."""
        trio.lowlevel.notify_closing(sock)
        if (reader := self._readers.get(sock.fileno())) is not None and reader.sock is sock:
            self._wake(reader, outcome.Error(trio.ClosedResourceError("another task closed this socket")))

    def _received(self, sock: socket.socket, bytes_most: int) -> bytes | None:
        """None: there is nothing."""
        try:
            count = sock.recv_into(self._room, bytes_most)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return bytes(self._view[:count])

    def _forget(self, fd: int) -> _Reader:
        reader = self._readers.pop(fd)
        reader.among.unregister(fd)
        self._sockets.unregister(fd)
        self._late.pop(fd, None)
        return reader

    def _wake(self, reader: _Reader, with_what: outcome.Outcome[None]) -> None:
        self._forget(reader.sock.fileno())
        trio.lowlevel.reschedule(reader.task, with_what)

    # ---- the end of a turn -------------------------------------------------------------------------------------------
    async def _watch(self) -> None:
        """Has the loop wait for the sockets, from a lull to the next news."""
        with suppress(trio.ClosedResourceError, ValueError):  # the latter from a descriptor that is closed already
            while True:
                await trio.lowlevel.wait_readable(self._sockets.fileno())
                self.is_awake = True
                self.wakings += 1
                self._woken.set()
                self._woken = trio.Event()
                await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    def before_io_wait(self, timeout: float) -> None:
        """Called by trio, which is about to wait for up to `timeout`."""
        self._end_turn()
        loop = self._loop
        if loop is not None and self.is_awake:
            self._stay(loop, 0 if loop.runnable else timeout)
        if loop is not None and timeout and loop.runnable:
            loop.wake()

    def _end_turn(self) -> None:
        """Whatever one raises: trio takes an instrument that raises out, and everybody would wait for ever."""
        for end in self._ends:
            try:
                end()
            except Exception as error:  # a bug of ours
                _log.error("the end of a turn failed", exc_info=error)

    def _stay(self, loop: _Loop, timeout: float) -> None:
        """Waits for news and deals with it, until the loop has something to do or there is a lull."""
        poll, until = self._news.poll, perf_counter() + TURN_S
        while found := poll(min(timeout, LULL_S), _AT_ONCE):
            gathers_until = perf_counter() + GATHER_S
            while not (has_loop := self._deal_with(found, loop.fd, until)) and not loop.runnable:
                if perf_counter() > gathers_until or not (found := poll(0, _AT_ONCE)):
                    break
            self._end_turn()
            if has_loop or loop.runnable:
                return
            if perf_counter() > until:
                loop.wake()
                return
        if timeout:
            self.is_awake = False
            trio.lowlevel.reschedule(self._watcher)

    def _deal_with(self, found: list[tuple[int, int]], loop_fd: int, until: float) -> bool:
        """Whether the loop has news. Of the crowd one socket is dealt with at the least, and those that were late come
        first."""
        has_loop, late = False, self._late
        for fd, _ in found:
            if fd == loop_fd:
                has_loop = True
            elif (reader := self._readers.get(fd)) is not None:
                self._deal(reader)
            elif fd == self._crowd.fileno():
                for each, _ in self._crowd.poll(0, _AT_ONCE):
                    late[each] = None
        while late:
            fd = next(iter(late))
            del late[fd]
            if (reader := self._readers.get(fd)) is not None:
                self._deal(reader)
            if perf_counter() > until:
                break
        return has_loop

    def _deal(self, reader: _Reader) -> None:
        if reader.take is None or not isinstance(reader.sock, socket.socket):
            self._wake(reader, outcome.Value(None))
            return
        if (data := self._received(reader.sock, reader.bytes_most)) is None:
            return
        try:
            goes_on = reader.take(data)
        except BaseException as error:
            ended: outcome.Outcome[None] = outcome.Error(error)
        else:
            if goes_on:
                return
            ended = outcome.Value(None)
        if self._readers.get(reader.sock.fileno()) is reader:
            self._wake(reader, ended)


_OF_RUN: Final[trio.lowlevel.RunVar[Reactor]] = trio.lowlevel.RunVar("hostel reactor")
