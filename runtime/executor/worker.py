"""The calls and modules of one worker process, as the broker's frames tell.

What lives here: what each frame of the broker means, and a call from its START to its DONE. How frames come, and how
the process starts and is jailed, is worker_process.py's; one call's host side is remote_host.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
import outcome
import trio

from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.job import Resident
from runtime.executor.kept import KeptSandboxes
from runtime.executor.outbox import Outbox
from runtime.executor.remote_host import RemoteHost
from runtime.executor.strand import BY_HAND, Strand, Strands
from runtime.limits import Limits
from runtime.sandbox import binding, wasi
from runtime.sandbox.checks import ModuleFacts
from runtime.sandbox.fiber import Fiber, Over
from runtime.sandbox.pool import ArtifactRefused, Module, Pool
from runtime.sandbox.sandbox import QUANTUM_NS, Sandbox
from runtime.sandbox.script import scripted
from runtime.sandbox.ticker import Ticker
from runtime.sandbox.turns import Turns
from runtime.session import Holdings

_PROGRAM_AT: Final = frames.START_HEAD.size
LIMITS_KEPT: Final = 4_096
"""Distinct sets of limits, which are checked when they are made."""
WARM_MOST: Final = 512
"""While there are more calls than this, slots that get free keep no memory: or it would stay taken after a crowd."""


class _Held(Holdings):
    """Memory held for one program, as long as it has calls."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0


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
        self._arriving: dict[int, tuple[ModuleFacts | int, int, bytearray]] = {}
        """Facts of an artifact, or the number of the module that a script runs on; the length, and what has come."""
        self._calls: dict[int, RemoteHost] = {}
        self._idle_fibers: list[_MarkedFiber] = []
        self._kept: KeptSandboxes[_MarkedFiber] = KeptSandboxes(pool.slots, self._close)
        self._idle_tasks: list[trio.lowlevel.Task] = []
        self._limits: dict[bytes, Limits] = {}
        self._holdings: dict[str, _Held] = {}
        self.turns = Turns(places=1, quantum_ns=QUANTUM_NS)
        self.strands = Strands(self._to_task)
        self.in_tasks = 0
        """Calls that need the event loop just now."""
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
        at = _PROGRAM_AT + name_length
        program = body[_PROGRAM_AT:at].decode()
        module = self._modules.get(ref)
        if module is None:  # it did not load: the broker was told
            return
        resident, seed = None, b""
        if flags & frames.RESIDENT:
            before, after, user_length = frames.RESIDENT_HEAD.unpack_from(body, at)
            at += frames.RESIDENT_HEAD.size
            resident = Resident(body[at : at + user_length].decode(), before, after)
            at += user_length
        if flags & frames.SEEDED:
            seed = body[at : at + frames.SEED_BYTES]
            at += frames.SEED_BYTES
        message = body[at:]
        if module.reads_clock:
            self._clock_ahead_us = now_us - time.time_ns() // 1_000
        if (held := self._holdings.get(program)) is None:
            held = self._holdings[program] = _Held()
        held.calls += 1
        limits = self._limits.get(limits_packed) or self._fresh_limits(limits_packed)
        host = self._calls[number] = RemoteHost(number, limits, held, self._outbox.send, len(message))
        call = self._run(host, module, program, message, flags, resident, seed, now_us)
        if module.posts:
            self.in_tasks += 1
            self._nursery.start_soon(self._posting, call)
        else:
            host.strand = strand = Strand(call, self.strands)
            strand.go()

    def _fresh_limits(self, packed: bytes) -> Limits:
        if len(self._limits) >= LIMITS_KEPT:
            self._limits.clear()
        limits = Limits(**dict(zip(frames.LIMIT_NAMES, frames.LIMITS.unpack(packed), strict=True)))
        self._limits[packed] = limits
        return limits

    def _module(self, number: int, body: bytes) -> None:
        length, engine = frames.MODULE_HEAD.unpack_from(body)
        of = engine or msgspec.json.decode(body[frames.MODULE_HEAD.size :], type=ModuleFacts)
        self._arriving[number] = of, length, bytearray()

    def _piece(self, number: int, body: bytes) -> None:
        of, length, arrived = self._arriving[number]
        arrived += body
        if len(arrived) < length:
            return
        del self._arriving[number]
        try:
            self._modules[number] = self._made(of, arrived)
        except ArtifactRefused as error:
            self._outbox.send(frames.UNLOADABLE, number, error.message.encode()[: frames.TEXT_BYTES])

    def _made(self, of: ModuleFacts | int, arrived: bytearray) -> Module:
        if not isinstance(of, int):
            return self._pool.load(arrived, of)
        if (engine := self._modules.get(of)) is None:
            raise ArtifactRefused("the module that the script runs on did not load", code="internal")
        return scripted(engine, bytes(arrived))

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
    async def _lane(self, strand: Strand) -> None:
        """A task that takes on one call after the other, each as far as it needs one: starting one costs more than
        waking one."""
        me = trio.lowlevel.current_task()
        while True:
            await strand.in_task()
            self.in_tasks -= 1
            self._idle_tasks.append(me)
            strand = await trio.lowlevel.wait_task_rescheduled(_never)

    def _to_task(self, strand: Strand) -> None:
        self.in_tasks += 1
        if self._idle_tasks:
            trio.lowlevel.reschedule(self._idle_tasks.pop(), outcome.Value(strand))
        else:
            self._nursery.start_soon(self._lane, strand)

    async def _posting(self, call: Coroutine[Any, Any, None]) -> None:
        """A call that may post is a task all the time."""
        await call
        self.in_tasks -= 1

    async def _run(
        self, host: RemoteHost, module: Module, program: str, message: bytes, flags: int, resident: Resident | None,
        seed: bytes, at_us: int,
    ) -> None:  # fmt: skip
        kept = None if resident is None else self._kept.take(program, resident)
        fiber = kept or self._place()
        fiber.number = host.number
        sandbox = Sandbox(
            fiber, module, host.limits, host, host.usage, self._ticker, self.turns.of(program), None,
            (lambda: at_us) if seed else self._now_us, self.strands.loop if module.posts else BY_HAND,
        )  # fmt: skip
        if seed:
            sandbox.random = wasi.seeded(seed)
        ending, rest = Ending.COMPLETED, b""
        try:
            if flags & frames.TRIAL:
                rest = await sandbox.try_script()
            else:
                notification = bool(flags & frames.NOTIFICATION)
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
        self._over(host, program, ending, rest)

    def _place(self) -> _MarkedFiber:
        """For a fresh sandbox: one that another call left, or one more as long as there are slots."""
        if self._idle_fibers:
            return self._idle_fibers.pop()
        if len(self._calls) + len(self._kept) > self._pool.slots and self._kept.drop_oldest():
            return self._idle_fibers.pop()
        return _MarkedFiber(self._board)

    def _over(self, host: RemoteHost, program: str, ending: Ending, rest: bytes) -> None:
        del self._calls[host.number]
        held = self._holdings[program]
        held.calls -= 1
        if not held.calls:
            del self._holdings[program]
        usage = host.usage
        head = frames.DONE_HEAD.pack(
            frames.ENDING_INDEX[ending], usage.memory_at_limit, usage.cpu_us + host.charged_us,
            usage.fuel, usage.memory_bytes_peak, usage.response_bytes, host.refused, usage.denials, usage.unclaimed,
            usage.dropped,
        )  # fmt: skip
        self._outbox.send(frames.DONE, host.number, head + rest)

    def _close(self, fiber: _MarkedFiber) -> None:
        memory_at = fiber.base
        fiber.close()
        if len(self._calls) > WARM_MOST and memory_at:
            self._pool.cool(memory_at)
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
