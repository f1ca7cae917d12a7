"""The host's end of a compile zygote: start it, hand it a job, bring back how that ended, and leave nobody behind.

What lives here: processes and sockets. What an answer means is compiler.py's; the other end is compile_zygote.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import trio
import wasmtime

from runtime.limits import KIB
from runtime.sandbox.compile_zygote import ENDED

STDERR_MOST: Final = 64 * KIB
"""Bytes of a child's standard error that are kept."""
_PIECE: Final = 64 * KIB
_REAPED_S: Final = 10.0
"""How long the end of a killed child is waited for; giving back a gigabyte takes the kernel a while."""
_START: Final = "import sys; sys.path += sys.argv[1:-1]; from runtime.sandbox.compile_zygote import main; main()"
ROOTS: Final = tuple(str(Path(file).parents[up]) for file, up in ((__file__, 2), (wasmtime.__file__, 1)))
"""Where `runtime` and `wasmtime` are imported from, in a source tree as well as installed: all the zygote may see."""
_KEPT_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class ZygoteGone(Exception):
    """It ended before it told how a job ended: killed from outside, or it could not start."""


class Ended(NamedTuple):
    """How a child ended, and what it had to say; both texts bounded."""

    code: int
    """Exit code, or minus the number of the signal."""
    cpu_us: int
    resident_bytes: int
    """At its most."""
    out: bytes
    err: bytes


class ZygoteLink:
    """One zygote. Starts it; closed by its owner, in any thread. Jobs may overlap."""

    def __init__(self) -> None:
        """Raises OSError if it cannot be started. Takes a few ms; imports go on meanwhile.

        Not in a thread of a pool: the zygote ends when the thread that started it does (PR_SET_PDEATHSIG).
        """
        self._link, theirs = socket.socketpair()
        self._link.setblocking(False)
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _START, *ROOTS, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    pass_fds=[theirs.fileno()], env=environment, cwd="/", process_group=0,
                )  # fmt: skip
        except BaseException:
            self._link.close()
            raise

    async def run(self, told: bytes, most: int) -> Ended:
        """One child: `told` goes in, at most `most` bytes and one come out.

        Raises ZygoteGone, or OSError where no socket is to be had. Cancelling kills the child at once; it is reaped
        before this returns, however it returns.
        """
        data, errors, control = self._hand_over()
        out, err = bytearray(), bytearray()
        ended = None
        async with data, errors, control:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_feed, data, told)
                    nursery.start_soon(_collect, errors, err, STDERR_MOST)
                    await _collect(data, out, most)
                ended = await _ended(control)
            finally:
                if ended is None:
                    with trio.move_on_after(_REAPED_S, shield=True), contextlib.suppress(ZygoteGone, OSError):
                        control.socket.shutdown(socket.SHUT_WR)
                        await _ended(control)
        return Ended(*ended, bytes(out), bytes(err))

    def _hand_over(self) -> tuple[trio.SocketStream, trio.SocketStream, trio.SocketStream]:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            pairs = [socket.socketpair() for _ in range(3)]
            for mine, other in pairs:
                ours.enter_context(mine)
                theirs.enter_context(other)
            try:
                socket.send_fds(self._link, [b"c"], [other.fileno() for _, other in pairs])
            except OSError as error:
                raise ZygoteGone(f"the compile zygote does not take a job: {error}") from error
            ours.pop_all()
            first, second, third = (trio.SocketStream(trio.socket.from_stdlib_socket(mine)) for mine, _ in pairs)
            return first, second, third

    def close(self) -> bytes:
        """Kills it and reaps it; its children end with it. Gives the end of what it wrote to standard error."""
        self._link.close()
        self.process.kill()
        with self.process:
            return self.process.stderr.read()[-STDERR_MOST:] if self.process.stderr else b""


async def _ended(control: trio.SocketStream) -> tuple[int, int, int]:
    told = bytearray()
    await _collect(control, told, ENDED.size)
    if len(told) != ENDED.size:
        raise ZygoteGone("the compile zygote ended in the middle of a job")
    code, cpu_us, resident_bytes = ENDED.unpack(told)
    return code, cpu_us, resident_bytes


async def _feed(stream: trio.SocketStream, data: bytes) -> None:
    """A child that died before it read everything is no error here: its death says why."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(data)
        await stream.send_eof()


async def _collect(stream: trio.SocketStream, into: bytearray, most: int) -> None:
    """Reads to the end, so that the child is never blocked; keeps at most `most` bytes and one, which tells of more."""
    with contextlib.suppress(trio.BrokenResourceError):
        while piece := await stream.receive_some(_PIECE):
            into += piece[: most + 1 - len(into)]
