"""Daemons, forked one after the other from a process that has imported all they need: a start costs its workers only.

What lives here: that process, and the two ends of the channel to a daemon. It is forked before this process runs an
event loop, as a loop does not survive a fork.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

import msgspec
import trio

from runtime import jail
from runtime.control.sockets import default_socket
from runtime.errors import HostelError
from runtime.target.daemon import ADVANCE, DONE, GONE, NUMBER_BYTES, PAY_OUT, Order, serve

ORDER_BYTES_MAX: Final = 128 << 10
FAILED: Final = 70


class DaemonLost(Exception):
    """It did not start, or ended without being told to: what it wrote to standard error says why."""


class Forks:
    """Open it before any event loop runs, in a `with` block; no daemon outlives that."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            self._orders.close()
            _fork_for_ever(theirs)
        theirs.close()

    def __enter__(self) -> Forks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._orders.close()
        os.waitpid(self._pid, 0)

    async def start(self, order: Order) -> Daemon:
        """Returns when it is ready. Raises DaemonLost."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._orders, [msgspec.json.encode(order)], [theirs.fileno()])
        daemon = Daemon(ours, default_socket(Path(order.state)))
        await daemon.done()
        return daemon


class Daemon:
    """One that is ready. Used from one event loop at a time."""

    def __init__(self, channel: socket.socket, path: Path) -> None:
        channel.setblocking(False)
        self._channel = channel
        self.path = path
        """Its control socket."""

    def connect(self) -> socket.socket:
        """A connection of its own to its control socket. Raises OSError."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection

    @property
    def is_there(self) -> bool:
        """It has not ended."""
        try:
            return self._channel.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def advance(self, ms: int) -> None:
        """Moves its clock; what falls due is done then. Raises DaemonLost."""
        self._channel.send(ADVANCE + ms.to_bytes(NUMBER_BYTES, "big"))
        await self.done()

    async def pay_out(self, app_id: str, amount: int, currency: str) -> None:
        """So many minor units leave the program's merchant account. Raises DaemonLost: it could not, or is gone."""
        told = msgspec.json.encode((app_id, amount, currency))
        self._channel.send(PAY_OUT + len(told).to_bytes(NUMBER_BYTES, "big") + told)
        await self.done()

    async def done(self) -> None:
        """Until it says so. Raises DaemonLost."""
        if await self._heard() != DONE:
            self._channel.close()
            raise DaemonLost("the daemon ended without being told to")

    async def stop(self) -> None:
        """As SIGTERM does, and waits for its end."""
        self._channel.shutdown(socket.SHUT_WR)
        while await self._heard():
            pass
        self._channel.close()

    def kill(self) -> None:
        """It is gone, and what it kept is as it was."""
        if self.is_there:
            self._channel.send(GONE)
        self._channel.close()

    async def _heard(self) -> bytes:
        await trio.lowlevel.wait_readable(self._channel)
        try:
            return self._channel.recv(1)
        except ConnectionResetError:
            return b""


def _fork_for_ever(orders: socket.socket) -> NoReturn:
    """A child for each order, until nobody is there to order; then their channels end too."""
    jail.probe()  # remembered: each daemon would start a child to find the same
    gc.collect()
    gc.freeze()  # or each daemon's collector would look at all that was imported, and so copy its pages
    while True:
        told, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 1)
        _reap()
        if not told:
            os._exit(0)
        with socket.socket(fileno=descriptors[0]) as channel:
            if os.fork() == 0:
                orders.close()
                _become_daemon(msgspec.json.decode(told, type=Order), channel)


def _reap() -> None:
    """Those that have ended: whoever asked for one knows by its channel, and nobody waits for it."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become_daemon(order: Order, channel: socket.socket) -> NoReturn:
    code = FAILED
    try:
        serve(order, channel)
        code = 0
    except HostelError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
