"""An executor worker: one thread, one event loop, many guests, in a jail, with one socket to the broker and no more.

What lives here: its life from start to end, modules and calls as the broker's frames tell. Whatever it knows of the
host came over that socket; it holds no secret and trusts the broker, never the other way round. The broker's side is
worker_link.py; one call's side in here is remote_host.py.

Order of the start: engine, ticker, the proof that a spinning guest is stopped; then the event loop's own descriptors
exist, and the jail is entered; then READY. Nothing is opened, imported or started after that.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import msgspec
import outcome
import trio

from runtime import jail
from runtime.errors import Ending, HostelError
from runtime.executor import frames
from runtime.executor.frames import Order, Ready
from runtime.executor.job import Resident
from runtime.executor.kept import KeptSandboxes
from runtime.executor.outbox import Outbox
from runtime.executor.remote_host import RemoteHost
from runtime.limits import Limits
from runtime.sandbox import binding
from runtime.sandbox.checks import ModuleFacts
from runtime.sandbox.fiber import Fiber, Over
from runtime.sandbox.pool import ArtifactRefused, Module, Pool
from runtime.sandbox.proof import prove
from runtime.sandbox.sandbox import QUANTUM_NS, Sandbox
from runtime.sandbox.ticker import Ticker, open_ticker
from runtime.sandbox.turns import Turns
from runtime.session import Holdings

LIMITS_KEPT: Final = 4_096
"""Distinct sets of limits, which are checked when they are made."""
ALONE_S: Final = 5.0
"""How long the thread of the proof may take to be gone."""
EXIT_FAILED: Final = 70
GARBAGE: Final = 20_000
"""Objects made and not freed before the collector looks at them: a call leaves none, 64 at once hold thousands."""


class _Job(NamedTuple):
    host: RemoteHost
    module: Module
    program: str
    message: bytes
    notification: bool
    resident: Resident | None


class _MarkedFiber(Fiber):
    """Leaves the number of its call on the board whenever it runs: should the process die, that one was on the CPU."""

    __slots__ = ("board", "number")

    def __init__(self, board: memoryview) -> None:
        super().__init__()
        self.board, self.number = board, 0

    def poll(self) -> bool:
        self.board[0] = self.number
        return binding.poll_held(self.future)  # type: ignore[no-any-return]

    def poll_free(self) -> bool:
        self.board[0] = self.number
        return binding.poll_free(self.future)  # type: ignore[no-any-return]


class Worker:
    """The calls and modules of one process."""

    def __init__(self, pool: Pool, ticker: Ticker, outbox: Outbox, board: memoryview, nursery: trio.Nursery) -> None:
        self._pool, self._ticker, self._outbox, self._board, self._nursery = pool, ticker, outbox, board, nursery
        self._modules: dict[int, Module] = {}
        self._arriving: dict[int, tuple[ModuleFacts, int, bytearray]] = {}
        self._calls: dict[int, RemoteHost] = {}
        self._idle_fibers: list[_MarkedFiber] = []
        self._kept: KeptSandboxes[_MarkedFiber] = KeptSandboxes(pool.slots, self._close)
        self._idle_tasks: list[trio.lowlevel.Task] = []
        self._limits: dict[bytes, Limits] = {}
        self._holdings: dict[str, tuple[Holdings, int]] = {}
        self.turns = Turns(places=1, quantum_ns=QUANTUM_NS)
        self._clock_ahead_us = 0

    # ---- frames ------------------------------------------------------------------------------------------------------
    def take(self, kind: int, number: int, body: bytes) -> None:
        """One frame of the broker's."""
        if kind == frames.REPLY:
            if host := self._calls.get(number):
                host.replied(body)
        elif kind == frames.START:
            self._start(number, body)
        elif act := self._rare.get(kind):
            act(self, number, body)
        else:
            raise frames.Violation(f"a frame of kind {kind}")

    def _start(self, number: int, body: bytes) -> None:
        ref, now_us, flags, limits_packed, name_length = frames.START_HEAD.unpack_from(body)
        at = frames.START_HEAD.size
        program = body[at : at + name_length].decode()
        at += name_length
        resident = None
        if flags & frames.RESIDENT:
            before, after, user_length = frames.RESIDENT_HEAD.unpack_from(body, at)
            at += frames.RESIDENT_HEAD.size
            resident = Resident(body[at : at + user_length].decode(), before, after)
            at += user_length
        message = body[at:]
        module = self._modules.get(ref)
        if module is None:  # it did not load: the broker was told
            return
        if module.reads_clock:
            self._clock_ahead_us = now_us - time.time_ns() // 1_000
        held, calls = self._holdings.get(program) or (Holdings(), 0)
        self._holdings[program] = held, calls + 1
        host = RemoteHost(
            number, self._limits_of(limits_packed), held, self._outbox.send, message_bytes=len(message)
        )  # fmt: skip
        self._calls[number] = host
        job = _Job(host, module, program, message, bool(flags & frames.NOTIFICATION), resident)
        if self._idle_tasks:
            trio.lowlevel.reschedule(self._idle_tasks.pop(), outcome.Value(job))
        else:
            self._nursery.start_soon(self._lane, job)

    def _limits_of(self, packed: bytes) -> Limits:
        if (limits := self._limits.get(packed)) is None:
            if len(self._limits) >= LIMITS_KEPT:
                self._limits.clear()
            limits = Limits(**dict(zip(frames.LIMIT_NAMES, frames.LIMITS.unpack(packed), strict=True)))
            self._limits[packed] = limits
        return limits

    def _module(self, number: int, body: bytes) -> None:
        (length,) = frames.MODULE_HEAD.unpack_from(body)
        facts = msgspec.json.decode(body[frames.MODULE_HEAD.size :], type=ModuleFacts)
        self._arriving[number] = facts, length, bytearray()

    def _piece(self, number: int, body: bytes) -> None:
        facts, length, artifact = self._arriving[number]
        artifact += body
        if len(artifact) < length:
            return
        del self._arriving[number]
        try:
            self._modules[number] = self._pool.load(bytes(artifact), facts)
        except ArtifactRefused as error:
            self._outbox.send(frames.UNLOADABLE, number, error.message.encode()[: frames.TEXT_BYTES])

    def _unload(self, number: int, body: bytes) -> None:
        self._arriving.pop(number, None)
        self._modules.pop(number, None)

    def _budget(self, number: int, body: bytes) -> None:
        if host := self._calls.get(number):
            host.budget(body)

    def _cut(self, number: int, body: bytes) -> None:
        if host := self._calls.get(number):
            host.cut()

    def _ping(self, number: int, body: bytes) -> None:
        self._outbox.send(frames.PONG, number, frames.PONG_BODY.pack(len(self._calls)))

    def _forget(self, number: int, body: bytes) -> None:
        program, _, user = body.decode().partition("\0")
        self._kept.forget(program, user)

    def _stop(self, number: int, body: bytes) -> None:
        os._exit(0)

    _rare: Final[dict[int, Callable[[Worker, int, bytes], None]]] = {
        frames.MODULE: _module, frames.PIECE: _piece, frames.UNLOAD: _unload, frames.BUDGET: _budget,
        frames.CUT: _cut, frames.PING: _ping, frames.STOP: _stop,
        frames.FORGET: _forget,
    }  # fmt: skip

    # ---- calls -------------------------------------------------------------------------------------------------------
    async def _lane(self, job: _Job) -> None:
        """A task that runs one call after the other: starting one costs more than waking one."""
        me = trio.lowlevel.current_task()
        while True:
            await self._run(job)
            self._idle_tasks.append(me)
            job = await trio.lowlevel.wait_task_rescheduled(_never)

    async def _run(self, job: _Job) -> None:
        host, module, program, message, notification, resident = job
        fiber = kept = self._kept.take(program, resident)
        if fiber is None:
            if len(self._calls) + len(self._kept) > self._pool.slots:
                self._kept.drop_oldest()
            fiber = self._idle_fibers.pop() if self._idle_fibers else _MarkedFiber(self._board)
        fiber.number = host.number
        share = self.turns.of(program)
        sandbox = Sandbox(fiber, module, host.limits, host, host.usage, self._ticker, share, None, self._now_us)
        ending, rest = Ending.COMPLETED, b""
        try:
            rest = await sandbox.handle(message, notification=notification, kept=kept is not None)
        except Over as over:
            ending, rest = over.ending, _told(over.detail, over.details)
        except Exception as error:  # a bug of ours: the call is over, the worker is not
            ending, rest = Ending.INTERNAL, _told(trace_of(error), {})
        finally:
            sandbox.close()
            if resident is not None and ending is Ending.COMPLETED:
                self._kept.keep(program, resident, fiber)
            else:
                self._close(fiber)
        del self._calls[host.number]
        held, calls = self._holdings[program]
        if calls == 1:
            del self._holdings[program]
        else:
            self._holdings[program] = held, calls - 1
        usage = host.usage
        head = frames.DONE_HEAD.pack(
            frames.ENDING_INDEX[ending], usage.memory_at_limit, usage.cpu_us + host.charged_us,
            usage.memory_bytes_peak, usage.response_bytes, host.refused, usage.denials, usage.unclaimed,
            usage.dropped,
        )  # fmt: skip
        self._outbox.send(frames.DONE, host.number, head + rest)

    def _close(self, fiber: _MarkedFiber) -> None:
        fiber.close()
        self._idle_fibers.append(fiber)

    def _now_us(self) -> int:
        return time.time_ns() // 1_000 + self._clock_ahead_us


def _never(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


def _told(detail: str, details: dict[str, object]) -> bytes:
    """A text and numbers, inside TEXT_BYTES."""
    told = msgspec.json.encode((detail[: frames.TEXT_BYTES // 4], details))
    return told if len(told) <= frames.TEXT_BYTES else msgspec.json.encode((detail[: frames.TEXT_BYTES // 4], {}))


def trace_of(error: BaseException) -> str:
    """An error and where it was raised. Not by `traceback`, which reads source files: nothing can be opened here."""
    at: TracebackType | None = error.__traceback__
    places = []
    while at is not None:
        places.append(f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}")
        at = at.tb_next
    return f"{type(error).__name__}: {ascii(str(error))[:200]} at {' '.join(places[-12:])}"


# ---- the process -----------------------------------------------------------------------------------------------------
def main() -> None:
    """The whole process: `socket's descriptor, board's descriptor, Order as JSON` are its arguments."""
    link_fd, board_fd, told = sys.argv[-3:]
    order = msgspec.json.decode(told, type=Order)
    try:
        link = socket.socket(fileno=int(link_fd))
        link.setblocking(False)
        board = mmap.mmap(int(board_fd), mmap.PAGESIZE)
        os.close(int(board_fd))
        os.nice(order.nice)
        trio.run(partial(_serve, link, memoryview(board).cast("I"), order))
    except HostelError as error:
        _end(error.message)
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        _end(trace_of(error))


def _end(why: str) -> None:
    """Nothing to tidy: the kernel takes all of it, and an engine that is freed in order could still be interrupted."""
    os.write(2, why.encode(errors="replace")[: frames.TEXT_BYTES])
    os._exit(EXIT_FAILED)


async def _serve(link: socket.socket, board: memoryview, order: Order) -> None:
    pool = Pool(slots=order.slots, keep_resident_bytes=order.keep_resident_bytes)
    ticker = open_ticker(pool.engine, order.ticker)
    prove(pool, ticker)
    trio.lowlevel.add_instrument(ticker)
    level = _jailed() if order.jailed else jail.Level.named("none")
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    async with trio.open_nursery() as nursery:
        outbox = Outbox(link, nursery)
        trio.lowlevel.add_instrument(outbox)
        worker = Worker(pool, ticker, outbox, board, nursery)
        trio.lowlevel.add_instrument(worker.turns)
        ready = Ready(ticker=ticker.kind, level=str(level), missing=level.missing)
        outbox.send(frames.READY, 0, msgspec.json.encode(ready))
        inbox = _Inbox(link, worker)
        worker.turns.is_news = inbox.is_news
        await _read(link, inbox)
        os._exit(0)  # the broker is gone


def _jailed() -> jail.Level:
    """From here on nothing new is opened or started."""
    until, threads = time.monotonic() + ALONE_S, Path("/proc/self/task")
    while len(list(threads.iterdir())) > 1 and time.monotonic() < until:
        time.sleep(0.001)  # the thread of the proof has been joined, and the kernel may still know it
    return jail.enter()


class _Inbox:
    """The broker's frames as they come: read by the reader's task, and by a guest that is about to keep the loop."""

    def __init__(self, link: socket.socket, worker: Worker) -> None:
        self._link, self._worker = link, worker
        self._splitter = frames.Splitter(_any_length)
        self._room = bytearray(frames.RECEIVE_BYTES)
        self._view = memoryview(self._room)
        self._is_news = False

    def take(self) -> int:
        """What has come, at most the room; the count of bytes, 0 at the end. Raises BlockingIOError."""
        count = self._link.recv_into(self._room)
        for kind, number, body in self._splitter.feed(bytes(self._view[:count])):
            self._worker.take(kind, number, body)
        self._is_news = True
        return count

    def is_news(self) -> bool:
        """Something has come since this was asked before: `Turns.is_news`."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            self.take()
        news, self._is_news = self._is_news, False
        return news


async def _read(link: socket.socket, inbox: _Inbox) -> None:
    """Ends with the broker. A read that fills the room is followed by another one at once; else guests run."""
    while True:
        try:
            count = inbox.take()
        except BlockingIOError:
            await trio.lowlevel.wait_readable(link)
            continue
        except ConnectionResetError:
            return
        if not count:
            return
        if count < frames.RECEIVE_BYTES:
            await trio.lowlevel.wait_readable(link)


def _any_length(kind: int, number: int) -> int:
    return 1 << 32
