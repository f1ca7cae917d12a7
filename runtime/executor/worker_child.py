"""A worker's process, from the broker's side: started, watched from outside, ended, and nothing of it left.

What lives here: the process, its socket, its standard error, the board, and what /proc tells of it. What is said over
the socket is worker_link.py's.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import mmap
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import trio

from runtime.errors import StartupError
from runtime.executor.frames import TEXT_BYTES, Order
from runtime.limits import KIB
from runtime.reactor import Reactor

_START: Final = "import sys; sys.path += sys.argv[1:-3]; from runtime.executor.worker_process import main; main()"
_NEEDED: Final = ("runtime", "host_api", "wasmtime", "trio", "msgspec", "attr", "outcome", "sniffio",
                  "sortedcontainers", "idna", "structlog", "exceptiongroup")  # fmt: skip
_KEPT_ENVIRONMENT: Final = ("LD_LIBRARY_PATH",)
_SOCKET_BYTES: Final = 1024 * KIB
_TOLD_MOST: Final = 1024 * KIB
"""Of standard error, that is read while a worker lives."""
_PAGE: Final = mmap.PAGESIZE


@functools.cache
def _roots() -> tuple[str, ...]:
    """Where the packages that a worker imports lie: all it may see until it is jailed."""
    found = (importlib.util.find_spec(name) for name in _NEEDED)
    return tuple(dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in found if spec and spec.origin))


class WorkerChild:
    """One process. `start` in the thread that runs trio, which it is bound to: it dies with that thread."""

    def __init__(self, process: subprocess.Popen[bytes], link: socket.socket, board: mmap.mmap) -> None:
        if process.stderr is None:
            raise RuntimeError("a pipe was asked for")
        self.link = link
        self.killed = False
        """By this side."""
        self._process, self._board = process, board
        self._stderr = process.stderr
        self._told, self._told_bytes = b"", 0
        self._pidfd = os.pidfd_open(process.pid)
        self._files: dict[str, int] = {}
        try:
            self._open_files()
        except OSError:
            self._close_files()
            raise

    def _open_files(self) -> None:
        """Before it is jailed: where /proc shows processes to their owner only (hidepid), one that nobody may trace is
        not found any more afterwards, by its parent neither."""
        for name in ("statm", "schedstat", "stat"):
            self._files[name] = os.open(f"/proc/{self.pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)

    def _close_files(self) -> None:
        for descriptor in (self._pidfd, *self._files.values()):
            os.close(descriptor)
        self._files.clear()

    @classmethod
    def start(cls, order: Order) -> WorkerChild:
        """A process that has just begun; READY comes over its link. Raises StartupError.

        Starts it in this very thread, for the few milliseconds that takes: the kernel ends it with the thread that did.
        """
        if not sys.platform.startswith("linux"):
            raise StartupError("workers run on Linux only; elsewhere programs run in process")
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undone:
            try:
                pair = socket.socketpair()
                undone.enter_context(pair[0])
                link_fd = theirs.enter_context(pair[1]).fileno()
                board_fd = os.memfd_create("hostel-board", os.MFD_CLOEXEC)
                theirs.callback(os.close, board_fd)
                os.ftruncate(board_fd, _PAGE)
                board = undone.enter_context(mmap.mmap(board_fd, _PAGE))
                for end in pair:
                    end.setblocking(False)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _START, *_roots(), str(link_fd), str(board_fd),
                     msgspec.json.encode(order).decode()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/",
                    env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
                    pass_fds=(link_fd, board_fd), process_group=0,  # in a session of its own niceness means little
                )  # fmt: skip
                undone.enter_context(process)
                undone.callback(process.kill)
                child = cls(process, pair[0], board)
            except OSError as error:
                raise StartupError(f"a worker cannot be started: {error}") from error
            undone.pop_all()
            return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def marked(self) -> int:
        """The number of the call that was last on its CPU; only as true as the worker is."""
        return int.from_bytes(self._board[:4], sys.byteorder)

    def resident_bytes(self) -> int:
        """Its memory in RAM; 0 when it is gone."""
        return self._number("statm", 1) * _PAGE

    def waited_s(self) -> float:
        """How long it has waited for a processor that others had, in all."""
        return self._number("schedstat", 1) / 1e9

    @property
    def is_stopped(self) -> bool:
        """By a signal or a debugger; it does not run until somebody lets it."""
        return self._read("stat").rpartition(b") ")[2][:1] in (b"T", b"t")

    def _number(self, name: str, field: int) -> int:
        fields = self._read(name).split()
        return int(fields[field]) if len(fields) > field else 0

    def _read(self, name: str) -> bytes:
        """b"" when it is gone."""
        try:
            return os.pread(self._files[name], _PAGE, 0)
        except (OSError, KeyError):
            return b""

    # ---- its end -----------------------------------------------------------------------------------------------------
    def kill(self) -> None:
        """At once. The process stays known until it is reaped, so this meets no other."""
        self.killed = True
        self._process.kill()

    async def gone(self) -> None:
        """Waits until it has ended; it is not reaped yet."""
        await trio.lowlevel.wait_readable(self._pidfd)

    async def ended(self) -> str:
        """Waits until it is over and reaped, and tells how."""
        await self.gone()
        code = self._process.wait()
        self._read_told()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
            return f"killed by signal {-code}"
        return f"ended with {code}"

    @property
    def ended_by_outside(self) -> bool:
        """Somebody who is not this host killed or stopped it."""
        outside = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        return not self.killed and -(self._process.returncode or 0) in outside

    @property
    def broke_out(self) -> bool:
        """It asked the kernel for what its jail forbids: whoever did that can write on the board too, and would not
        leave their own mark there."""
        return -(self._process.returncode or 0) == signal.SIGSYS

    @property
    def told(self) -> str:
        """The end of what it wrote to standard error, printable."""
        return ascii(self._told[-TEXT_BYTES:].decode("latin-1"))[1:-1]

    async def read_stderr(self) -> None:
        """A task of its own, so that the pipe never fills; keeps the end. One that writes on and on is left to wait."""
        with contextlib.suppress(trio.ClosedResourceError, ValueError):
            while self._told_bytes < _TOLD_MOST:
                await trio.lowlevel.wait_readable(self._stderr)
                if not self._read_told():
                    return

    def _read_told(self) -> bool:
        if self._stderr.closed:
            return False
        os.set_blocking(self._stderr.fileno(), False)
        data = self._stderr.read(64 * KIB)
        if data:
            self._told_bytes += len(data)
            self._told = (self._told + data)[-TEXT_BYTES:]
        return bool(data)

    def close(self) -> None:
        """After `ended`: its descriptors."""
        Reactor.of_this_run().closing(self.link)
        trio.lowlevel.notify_closing(self._stderr)
        self.link.close()
        self._stderr.close()
        self._close_files()
        self._board.close()
