"""A tick that strikes soon after a guest went on does not take its turn (decision 0019), and changes nothing else: it
is billed, stopped over its CPU time, and its program has no more than its share. Ticks are given by hand, so each
strikes right when a guest goes on."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
import trio
import wasmtime

from runtime.deadline import Deadline
from runtime.errors import Ending
from runtime.limits import MIB, Limits, ModuleCaps
from runtime.receipt import Usage
from runtime.sandbox import binding
from runtime.sandbox.checks import check_module
from runtime.sandbox.engine import compile_engine
from runtime.sandbox.fiber import Fiber, Over
from runtime.sandbox.loop import Loop
from runtime.sandbox.pool import Module, Pool
from runtime.sandbox.sandbox import QUANTUM_NS, Sandbox
from runtime.sandbox.ticker import Ticker
from runtime.sandbox.turns import Turns
from tests.hostile.guests import OK, module

LIMITS = Limits(cpu_us=60_000_000, memory_bytes=32 * MIB, host_calls=100_000)
CAPS = ModuleCaps().changed({"body_bytes": 1 * MIB})
ASK = "(drop (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
BRIEFLY = "(local.set 2 (i32.const 10)) (loop $l (br_if $l (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))"
"""A tick is noticed in here."""
LONG = "(i32.const 72) (f64.add (f64.load (i32.const 64)) (f64.const 2))" + "f64.sqrt " * 400_000 + "f64.store "
"""Far more than half a tick, and no tick is noticed in here: each root waits for the one before it, and there is no
loop, no call and nothing that works on much memory, before which wasmtime 48 looks for one."""


class ByHand(Ticker):
    """Ticks when it is told to."""

    kind, needs_gil = "by hand", False

    def strike(self) -> None:
        binding.increment_epoch(self.engine_at)

    def _arm(self, on: bool) -> None: ...

    def close(self) -> None: ...


class Answering:
    """A host that answers at once; a tick strikes while it does."""

    def __init__(self, strike: Callable[[], None]) -> None:
        self.deadline = Deadline(wall_s=inf)
        self._strike = strike

    def answer(self, request: bytes) -> bytes:
        self._strike()
        return b""

    def refuse(self, request: bytes, error: Exception) -> bytes | None:
        raise AssertionError("these guests stay inside their limits")

    def log(self, stream: int, data: bytes) -> None: ...

    def hold(self, size: int) -> bool:
        return True

    def release(self, size: int) -> None: ...


class Site:
    """One thread, and programs that take turns in it."""

    def __init__(self, quantum_ns: int) -> None:
        self._pool = Pool(slots=4)
        self._ticker = ByHand(self._pool.engine)
        self._turns = Turns(places=1, quantum_ns=quantum_ns)

    def load(self, wasm: bytes) -> Module:
        facts = check_module(wasm, CAPS, LIMITS.memory_bytes)
        return self._pool.load(bytes(wasmtime.Module(compile_engine(), wasm).serialize()), facts)

    async def run(self, program: str, loaded: Module, **limits: int) -> tuple[Ending, Usage]:
        fiber, usage, host = Fiber(), Usage(), Answering(self._ticker.strike)
        sandbox = Sandbox(fiber, loaded, LIMITS.changed(limits), host, usage, self._ticker,  # type: ignore[arg-type]
                          self._turns.of(program), None, lambda: 0, Loop())  # fmt: skip
        ending = Ending.COMPLETED
        try:
            await sandbox.handle(b"")
        except Over as over:
            ending = over.ending
        finally:
            sandbox.close()
            fiber.close()
        return ending, usage


class Passes(trio.abc.Instrument):
    """Those of the loop, counted: how often a guest that is alone lost its turn."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


def asking(body: str, memory: str = "1") -> bytes:
    return module(f"(local i32) {body} {OK}", imports=("call",), memory=memory)


@pytest.mark.parametrize(("then", "turns_lost"), [(BRIEFLY, 0), (LONG + BRIEFLY, 1)], ids=["young", "not young"])
async def test_a_tick_takes_the_turn_of_a_guest_unless_it_has_just_gone_on(then: str, turns_lost: int) -> None:
    site = Site(quantum_ns=10**12)
    loaded = site.load(asking(ASK + then))
    await site.run("a", loaded)  # so that what is young is not made old by what a first call costs
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    ending, _ = await site.run("a", loaded)
    assert (ending, passes.count) == (Ending.COMPLETED, turns_lost)


async def test_one_that_is_young_at_every_tick_is_stopped_over_its_cpu_time() -> None:
    site = Site(quantum_ns=10**12)
    ending, usage = await site.run("a", site.load(asking(f"(loop $on {ASK} {BRIEFLY} (br $on))")), cpu_us=20_000)
    assert (ending, usage.cpu_us > 20_000, usage.host_calls > 10) == (Ending.CPU_EXCEEDED, True, True)


async def test_one_that_is_young_at_every_tick_has_its_share_and_no_more() -> None:
    """Another program that comes meanwhile does not wait until it is over."""
    site, order = Site(quantum_ns=QUANTUM_NS), list[str]()
    young, quick = site.load(asking(f"(loop $on {ASK} {BRIEFLY} (br $on))")), site.load(module())

    async def run(program: str, loaded: Module) -> None:
        order.append(program)
        ending, _ = await site.run(program, loaded, cpu_us=50_000)
        order.append(f"{program} {ending}")

    async with trio.open_nursery() as nursery:  # which starts it when this task first lets others run
        nursery.start_soon(run, "quick", quick)
        await run("young", young)
    assert order == ["young", "quick", "quick completed", "young cpu_exceeded"]
