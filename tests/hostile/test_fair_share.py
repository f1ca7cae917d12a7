"""CPU time is shared between programs, not between their guests: in process, in one thread alone, and in a worker.

Guests that spin are real; what each program had is what its receipts say. The executor is driven as a host drives it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import inf
from typing import Any

import pytest
import trio
import wasmtime

from runtime.deadline import Deadline
from runtime.errors import Ending
from runtime.executor.in_process import InProcessExecutor
from runtime.executor.job import Job, Outcome
from runtime.executor.worker_pool import open_workers
from runtime.limits import Limits, ModuleCaps
from runtime.receipt import Usage
from runtime.sandbox.checks import check_module
from runtime.sandbox.engine import compile_engine
from runtime.settings import HostSettings
from runtime.worker_settings import WorkerSettings
from tests.hostile.guests import module

SPIN = module("(loop $on (br $on)) (i64.const 0)")
QUICK = module()
ASKS = module(
    "(local $left i32) (loop $again (drop (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
    " (local.set $left (i32.const 200000))"
    " (loop $on (br_if $on (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) (br $again)) (i64.const 0)",
    imports=("call",),
)
"""Waits for the host, computes for less than a slice, and again."""
ENOUGH_US = 1_000_000
"""CPU time of the one program that is compared."""
LIMITS = Limits(cpu_us=600_000_000, wall_ms=3_600_000, host_calls=1_000_000)


class Side:
    """A host that answers every request with nothing, a turn of the loop later."""

    def __init__(self) -> None:
        self.deadline = Deadline(wall_s=inf)

    def answer(self, request: bytes) -> Any:
        return self._answered()

    async def _answered(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    def refuse(self, request: bytes, error: Exception) -> bytes | None:
        raise AssertionError("these guests ask for nothing")

    def refused_elsewhere(self, count: int) -> None:
        raise AssertionError("these guests ask for nothing")

    def log(self, stream: int, data: bytes) -> None: ...

    def hold(self, size: int) -> bool:
        return True

    def release(self, size: int) -> None: ...


class Place:
    """An executor with programs on it."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._modules: dict[bytes, Any] = {}

    def load(self, wasm: bytes) -> Any:
        facts = check_module(wasm, ModuleCaps(), LIMITS.memory_bytes)
        return self._executor.load(bytes(wasmtime.Module(compile_engine(), wasm).serialize()), facts)

    async def run(self, program: str, loaded: Any, side: Side | None = None, **limits: int) -> tuple[Outcome, Usage]:
        usage = Usage()
        job = Job(
            program=program, group="unreviewed", module=loaded, message=b"", limits=LIMITS.changed(limits),
            notification=False,
        )  # fmt: skip
        return await self._executor.run(job, side or Side(), usage), usage

    async def beside(self, wasm: bytes, guests: int) -> tuple[int, int]:
        """CPU time that one spinning guest of B had, and all of A's guests meanwhile."""
        one, many = self.load(SPIN), self.load(wasm)
        sides, used = [Side() for _ in range(guests)], []

        async def spin(side: Side) -> None:
            _, usage = await self.run("a", many, side)
            used.append(usage.cpu_us)

        async with trio.open_nursery() as nursery:
            for side in sides:
                nursery.start_soon(spin, side)
            outcome, usage = await self.run("b", one, cpu_us=ENOUGH_US)
            assert outcome.ending is Ending.CPU_EXCEEDED
            for side in sides:
                side.deadline.cut()
        return usage.cpu_us, sum(used)


Opened = Callable[[], AbstractAsyncContextManager[Place]]


def _in_this_process(threads: int) -> Opened:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Place]:
        executor = InProcessExecutor(
            settings=HostSettings(slots=128), now_us=lambda: 0, new_id=lambda: "incident", threads=threads
        )
        try:
            yield Place(executor)
        finally:
            executor.close()

    return opened


@asynccontextmanager
async def _in_a_worker() -> AsyncIterator[Place]:
    settings = WorkerSettings(count=1, slots=128, require="none")
    async with open_workers(settings, now_us=lambda: 0, new_id=lambda: "incident") as executor:
        yield Place(executor)


PLACEMENTS = {"in process": _in_this_process(2), "one thread": _in_this_process(0), "worker": _in_a_worker}


@pytest.fixture(params=PLACEMENTS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with PLACEMENTS[request.param]() as made:
        yield made


@asynccontextmanager
async def passing() -> AsyncIterator[list[None]]:
    """One more for each pass of the loop."""
    passes: list[None] = []

    async def count() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            passes.append(None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        yield passes
        nursery.cancel_scope.cancel()


async def test_one_guest_beside_64_of_another_program_has_half(place: Place) -> None:
    one, many = await place.beside(SPIN, 64)
    print(f"\nB had {one / (one + many):.3f} of the CPU time")
    assert 0.45 <= one / (one + many) <= 0.55


async def test_guests_that_wait_for_the_host_have_no_more() -> None:
    """A tick seldom meets them, and each time they come back it could be ahead of others. In one thread: in process
    theirs is the trio thread while B is in another."""
    async with PLACEMENTS["one thread"]() as place:
        one, many = await place.beside(ASKS, 64)
    print(f"\nB had {one / (one + many):.3f} of the CPU time")
    assert 0.45 <= one / (one + many) <= 0.55


async def test_a_guest_that_asks_in_a_straight_line_does_not_keep_the_loop() -> None:
    """Ticks are noticed in loops and at function calls only, and what is answered at once waits for nobody."""
    async with PLACEMENTS["one thread"]() as place:
        straight = place.load(
            module(
                "(drop (call $random_get (i32.const 0) (i32.const 65536)))" * 1_000 + "(i64.const 0)",
                imports=("random_get",), memory="2",
            )
        )  # fmt: skip
        async with passing() as passes:
            outcome, usage = await place.run("a", straight)
            assert outcome.ending is Ending.COMPLETED
            assert len(passes) >= usage.cpu_us / 20_000


async def test_a_deadline_is_not_late_because_others_have_their_turn() -> None:
    async with PLACEMENTS["one thread"]() as place:
        spins, side = place.load(SPIN), Side()
        async with trio.open_nursery() as nursery, passing() as passes:
            for _ in range(64):
                nursery.start_soon(place.run, "a", spins)
            ended = trio.Event()

            async def cut() -> None:
                outcome, _ = await place.run("a", spins, side)
                assert outcome.ending is Ending.DEADLINE_EXCEEDED
                ended.set()

            nursery.start_soon(cut)
            while len(passes) < 100:
                await trio.lowlevel.checkpoint()
            side.deadline.cut()
            await ended.wait()
            assert len(passes) < 110
            nursery.cancel_scope.cancel()


async def test_a_program_that_has_just_come_does_not_wait_for_all_guests_of_another() -> None:
    """One thread; 64 guests spin. A call of another program takes a slice or two, not 64: the loop is watched too."""
    async with PLACEMENTS["one thread"]() as place:
        spins, quick = place.load(SPIN), place.load(QUICK)
        passes = 0

        async def count() -> None:
            nonlocal passes
            while True:
                await trio.lowlevel.checkpoint()
                passes += 1

        async with trio.open_nursery() as nursery:
            for _ in range(64):
                nursery.start_soon(place.run, "a", spins)
            nursery.start_soon(count)
            for _ in range(70):  # each of them has had its first slice
                await trio.lowlevel.checkpoint()
            for _ in range(20):
                before = passes
                outcome, _ = await place.run("b", quick)
                assert outcome.ending is Ending.COMPLETED
                assert passes - before <= 3
            before, began = passes, time.thread_time()
            while passes < before + 100:
                await trio.lowlevel.checkpoint()
            assert time.thread_time() - began < 100 * 0.05  # no pass is long: what it takes is this thread's CPU time
            nursery.cancel_scope.cancel()
