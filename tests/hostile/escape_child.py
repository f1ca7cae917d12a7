"""The processes of the escape drill, run by test_escape.py.

`worker` is made like an executor worker, jailed in its order, and runs a guest before it tries to get out; `table`
tries each attempt in a forked process of its own.

Usage: python -m tests.hostile.escape_child worker|table MODE WORK FD TARGET. MODE: free, errno or kill.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import trio

from runtime import jail
from runtime.limits import ModuleCaps
from runtime.sandbox.checks import check_module
from runtime.sandbox.fiber import Fiber
from runtime.sandbox.pool import Module, Pool
from runtime.sandbox.ticker import Ticker, open_ticker
from tests.hostile.escapes import ATTEMPTS, Held, Target

ANSWER = 42
"""What the host answers to the guest's call."""


def outcome_of(name: str, held: Held) -> str:
    try:
        ATTEMPTS[name](held)
    except OSError as error:
        return f"refused ({errno.errorcode.get(error.errno or 0, error.errno)})"
    return "WORKED"


# ---- a worker -------------------------------------------------------------------------------------------------------
class Link:
    """Length and bytes, both ways, over the one socket."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self._buffer = link, b""

    def send(self, told: object) -> None:
        data = json.dumps(told).encode()
        self.link.send(struct.pack("<I", len(data)) + data)

    async def receive(self) -> bytes:
        while len(self._buffer) < 4 or len(self._buffer) < 4 + struct.unpack_from("<I", self._buffer)[0]:
            try:
                data = self.link.recv(1 << 20)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.link)
                continue
            if not data:
                os._exit(0)
            self._buffer += data
        end = 4 + struct.unpack_from("<I", self._buffer)[0]
        found, self._buffer = self._buffer[4:end], self._buffer[end:]
        return found


async def worker(mode: str, descriptor: int, target: Target) -> None:
    """Inside trio; engine, ticker and link are there; then the jail; then bytes of guests, as a worker gets them."""
    pool = Pool(slots=8)
    ticker = open_ticker(pool.engine, "signal")
    link, held = Link(socket.socket(fileno=descriptor)), Held(target=target)
    link.link.setblocking(False)
    level = "free" if mode == "free" else str(jail.enter(deny="kill" if mode == "kill" else "errno"))
    wasm, artifact = await link.receive(), await link.receive()
    module = pool.load(artifact, check_module(wasm, ModuleCaps(), 1 << 24))
    link.send([level, guest(pool, ticker, module), spinner(pool, ticker, module)])
    while True:
        link.send(outcome_of((await link.receive()).decode(), held))


@contextmanager
def opened(pool: Pool, ticker: Ticker, module: Module) -> Iterator[Fiber]:
    """A fiber whose sandbox is begun, while the ticker ticks for it."""
    fiber = pool.take_place()
    ticker.enter()
    try:
        fiber.open(module.engine_at, module.pre_at, 1 << 24, 100)
        while not fiber.poll():
            pass
        fiber.finish()
        yield fiber
    finally:
        ticker.leave()
        ticker.rest()
        fiber.close()
        pool.give_place(fiber)


def guest(pool: Pool, ticker: Ticker, module: Module) -> int:
    """A call with one host call, through a fiber."""
    with opened(pool, ticker, module) as fiber:
        fiber.begin(b"hostel_handle", 0, 0)
        while not fiber.poll():
            if fiber.asked:
                fiber.answer(ANSWER)
        fiber.finish()
        return fiber.result


def spinner(pool: Pool, ticker: Ticker, module: Module) -> bool:
    """Whether the tick takes a turn away from a guest in an endless loop. If not, this never returns."""
    with opened(pool, ticker, module) as fiber:
        fiber.begin(b"hostel_alloc", 1)
        return not fiber.poll()


# ---- the table ------------------------------------------------------------------------------------------------------
def table(mode: str, work: str, target: Target) -> dict[str, str]:
    """Every attempt in a process of its own, whose parent is this one."""
    secret = ctypes.create_string_buffer(b"a secret")
    mine = replace(target, parent=os.getpid(), at=ctypes.addressof(secret))
    return {name: _alone(name, mode, work, mine) for name in ATTEMPTS}


def _alone(name: str, mode: str, work: str, target: Target) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        held = Held(target=target)
        if mode != "free":
            jail.enter(deny="kill" if mode == "kill" else "errno", work="compile" if work == "compile" else "run")
        os.write(writer, outcome_of(name, held).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    told = os.read(reader, 200).decode()
    os.close(reader)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return told or "WORKED"  # another program ran in its place


def main() -> None:
    which, mode, work, descriptor, told = sys.argv[1:]
    target = Target(**json.loads(told))
    if which == "worker":
        trio.run(worker, mode, int(descriptor), target)
    json.dump(table(mode, work, target), sys.stdout)


if __name__ == "__main__":
    main()
