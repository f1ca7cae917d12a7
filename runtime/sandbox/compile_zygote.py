"""The compile zygote: a small process that has imported everything, and forks one child for each compilation.

What lives here: the loop that forks, kills and reaps; what a child does is compile_child.py's, the host's end is
compile_link.py. It never reads a byte of a guest's, holds no secret and no descriptor of the host but its link, and has
one thread. It ends with the host: by the parent-death signal, or when the link closes; its children end with it.

The link carries one byte a job, with three sockets: data (order and module in, answer out), standard error, control.
A job whose control closes is killed. When its child has ended, `ENDED` is written there, whatever ended it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Final, NoReturn

import wasmtime

from runtime import jail
from runtime.sandbox.compile_child import compile_bytes, run
from runtime.sandbox.engine import compile_engine

ENDED: Final = struct.Struct("<iQQ")
"""Exit code (minus the signal), CPU time in µs, largest resident memory in bytes."""
SOCKETS: Final = 3
NOT_STARTED: Final = 70
"""Exit code told for a child that could not be forked: EX_SOFTWARE."""
_NICE: Final = 1
"""Calls that are being served go first; by no more, or on a full machine the wall limit would come before the CPU's."""
_FIRST_TO_GO: Final = "1000"
"""Where the machine runs out of memory, the kernel ends a compilation before anything else."""
_WARM: Final = b"\0asm\1\0\0\0" + bytes.fromhex("010401600000030201000a040102000b")
"""(module (func)): ours. Compiling it once makes all that a compilation makes only once."""


def main() -> NoReturn:
    """The whole process. One argument: the link's descriptor."""
    link = socket.socket(fileno=int(sys.argv[-1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the host decides
    with contextlib.suppress(OSError):
        os.nice(_NICE)
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    jail.step_down()
    engine = compile_engine()
    compile_bytes(_WARM, engine)
    gc.freeze()
    Zygote(link, engine).serve()
    os._exit(0)


class Zygote:
    """Children by pid, and the control socket of each."""

    def __init__(self, link: socket.socket, engine: wasmtime.Engine) -> None:
        self._link, self._engine = link, engine
        self._controls: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self._ended, wake = socket.socketpair()
        for end in (self._ended, wake):
            end.setblocking(False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a signal nobody has a function for wakes nobody
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for watched in (link, self._ended):
            self._poll.register(watched, select.POLLIN)

    def serve(self) -> None:
        """Until the host is gone."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            # In this order: a number that is closed may be given again to the next job.
            self._kill(ready)
            if self._ended.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._ended.recv(4_096)
                self._reap()
            if self._link.fileno() in ready and not self._take_job():
                return

    def _take_job(self) -> bool:
        told, descriptors, _, _ = socket.recv_fds(self._link, 1, SOCKETS)
        if told and len(descriptors) == SOCKETS:
            data, errors, control = descriptors
            self._fork(data, errors, socket.socket(fileno=control))
            descriptors = [data, errors]
        for descriptor in descriptors:
            os.close(descriptor)
        return bool(told)

    def _fork(self, data: int, errors: int, control: socket.socket) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            _tell(control, NOT_STARTED, 0, 0)
            return
        if pid == 0:
            _become_child(parent, data, errors, self._engine)
        self._controls[pid] = control
        self._poll.register(control, select.POLLIN)

    def _kill(self, ready: set[int]) -> None:
        """Jobs that the host let go of (or said something about, which is the same). Reaped like any other."""
        for pid, control in self._controls.items():
            if control.fileno() in ready:
                self._poll.unregister(control)
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._controls:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            control = self._controls.pop(pid)
            with contextlib.suppress(KeyError):
                self._poll.unregister(control)
            cpu_us = int((used.ru_utime + used.ru_stime) * 1e6)
            _tell(control, os.waitstatus_to_exitcode(status), cpu_us, used.ru_maxrss * 1_024)


def _tell(control: socket.socket, code: int, cpu_us: int, resident_bytes: int) -> None:
    with control, contextlib.suppress(OSError):
        control.send(ENDED.pack(code, cpu_us, resident_bytes))


def _become_child(parent: int, data: int, errors: int, engine: wasmtime.Engine) -> NoReturn:
    """In the forked process: nothing of the zygote's stays open, then compile_child's work, then the end."""
    code = 1
    try:
        jail.end_with(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for source, place in ((data, 0), (data, 1), (errors, 2)):
            os.dup2(source, place)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        run(engine)
        code = 0
    except BaseException as error:  # told to the host, which judges by the words and the code
        os.write(2, f"{type(error).__name__}: {error}".encode(errors="replace"))
    finally:
        os._exit(code)
