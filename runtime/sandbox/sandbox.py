"""A sandbox: an instance that handles one message, under its limits, from the first slice to its ending.

Here is what a call may use and when it is over; fiber.py is how C is driven, hostcalls.py what `hostel_v1` means.
It knows no broker: requests go to the `HostSide` it is given, as bytes.

CPU time is this thread's (cpu_clock.py) over the guest's slices, read once a slice boundary. Work done for the guest in
between (log lines, the WASI shim, reading requests, answering those that do not wait) runs on its bill, or a guest that
asks and never computes would cost nothing. What the host side does while the guest waits does not, as others run then
too: a turn of the event loop is charged for it.

A guest whose program has used up its share waits for its turn (turns.py) before it runs: at its beginning, after a
tick, after a wait. Where there are threads for it, a guest that outlives its first slice is polled there, so that the
trio thread serves everybody else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from runtime.errors import Ending
from runtime.limits import FUEL_MOST, WASM_PAGE, Limits
from runtime.receipt import Usage
from runtime.sandbox import abi, wasi
from runtime.sandbox.binding import U32
from runtime.sandbox.cpu_clock import billed_ns, sleeps
from runtime.sandbox.fiber import Fiber, Over
from runtime.sandbox.host_side import HostSide
from runtime.sandbox.hostcalls import HostCalls
from runtime.sandbox.loop import Loop
from runtime.sandbox.over_limits import over_cpu, over_deadline, over_fuel
from runtime.sandbox.pool import IMPORT_NUMBERS, Module
from runtime.sandbox.script import load
from runtime.sandbox.ticker import Ticker
from runtime.sandbox.turns import Share, Turn, Turns

T = TypeVar("T")

FIRST_SLICE_NS = 1_000_000
"""CPU time after which a guest is polled off the trio thread."""
YOUNG_NS = 400_000
"""Half a tick. A guest that has used less since it last went on goes on after one: it struck while others ran."""
SUSPENDED_NS = 20_000
"""Charged for each wait: what the event loop does for it at the least, where no clock could tell whose time it is."""
QUANTUM_NS = 1_000_000
"""CPU time that a program gets in the trio thread before others have their turn: about one slice."""
TURN_S = 0.005
"""How long a guest keeps such a thread before others get their turn."""
THREAD_QUANTUM_NS = 5_000_000
"""CPU time that a program gets there: about one such turn."""

CALL, POST = (IMPORT_NUMBERS[abi.HOSTEL, name] for name in ("call", "post"))
_HOSTEL = {IMPORT_NUMBERS[abi.HOSTEL, name]: name for name in abi.HOSTEL_IMPORTS}
_WASI = {IMPORT_NUMBERS[abi.WASI, name]: (wasi.FUNCTIONS[name], wasi.LAYOUTS[name]) for name in abi.WASI_IMPORTS}


class Sandbox:
    """One message in one instance, fresh or kept. `handle` is called once; `close` always, at any point."""

    __slots__ = ("_began", "_calls", "_cpu_limit_ns", "_cpu_ns", "_fuel", "_loop", "_now_us", "_share", "_slice",
                 "_threads", "_ticker", "_turn", "fiber", "handling", "host", "limits", "loading", "module", "random",
                 "resumed_us", "usage")  # fmt: skip

    def __init__(
        self, fiber: Fiber, module: Module, limits: Limits, host: HostSide, usage: Usage, ticker: Ticker, share: Share,
        threads: Turns | None, now_us: Callable[[], int], loop: Loop,
    ) -> None:  # fmt: skip
        """`usage` is counted up as the call goes on. `share`: of the trio thread, from `Turns.of`; closed with the
        sandbox. `threads`: turns of those that poll guests that run long; None: this is the only thread."""
        self.fiber, self.module, self.limits, self.host, self.usage = fiber, module, limits, host, usage
        self.handling = self.loading = False
        """`hostel_handle` runs, which may ask for everything; its script is loaded, which may ask for nothing."""
        self.resumed_us = 0
        """The guest's clock: µs since 1970, as of when it last went on."""
        self.random: Callable[[int], bytes] = os.urandom
        """What the guest draws from."""
        self._ticker, self._share, self._threads, self._now_us, self._loop = ticker, share, threads, now_us, loop
        self._turn: Turn | None = None
        self._cpu_ns, self._cpu_limit_ns = 0, limits.cpu_us * 1_000
        self._fuel = (limits.fuel or FUEL_MOST) + 1 if module.metered else 0
        self._began = 0
        self._calls = HostCalls(self)
        self._slice = fiber.poll_free if ticker.needs_gil else fiber.poll

    async def handle(self, message: bytes, *, notification: bool = False, kept: bool = False) -> bytes:
        """The guest's answer (b"" to a notification). Raises Over for every other ending, trio.Cancelled if
        cancelled. `kept`: the fiber's store is that of a call that completed, to be used as it is."""
        fiber, module, share = self.fiber, self.module, self._share
        if share.credit_ns <= 0 and not share.goes_on():
            await self._next_pass()
        self._began = billed_ns()
        if module.reads_clock:
            self.resumed_us = self._now_us()
        self._ticker.enter()
        try:
            if kept:
                fiber.next_message(self._fuel)
            else:
                await self._instantiate()
            pointer = module.inbox_at
            if len(message) > module.inbox_size:
                pointer = await self.allocate(len(message))
            fiber.write(pointer, message)
            self.handling = True
            fiber.begin(b"hostel_handle", pointer, len(message))
            if not await self.run():
                await self._calls.run_with_posts(self.run)
            return self._response(fiber.result, notification)
        finally:
            self._ticker.leave()
            self.bill()
            self._give_turn()

    async def try_script(self) -> bytes:
        """Loads the module's script and no more: b"", or why it does not load (script.py). Raises as `handle`."""
        self._began = billed_ns()
        self._ticker.enter()
        try:
            return await self._instantiate()
        finally:
            self._ticker.leave()
            self.bill()
            self._give_turn()

    async def _instantiate(self) -> bytes:
        """What the module's script says of its loading; b"" where there is none."""
        fiber, module, limits = self.fiber, self.module, self.limits
        fiber.open(module.engine_at, module.pre_at, limits.memory_bytes, limits.table_elements, self._fuel)
        if not self._slice():
            await self._go_on()
        self._finish()
        fiber.find_memory(module.memory_bytes_min)
        if module.has_initialize:
            fiber.begin(b"_initialize", results=0)
            await self.run()
        return b"" if module.script is None else await load(self, module.script)

    def close(self) -> None:
        """Measures what is left to measure, and drops what of the call is under way. The store stays, for `Fiber.close`
        or another message. Once, and last."""
        usage, fiber = self.usage, self.fiber
        usage.cpu_us = self._cpu_ns // 1_000
        if self._fuel:
            usage.fuel = self._fuel - fiber.fuel_left() if fiber.store else 0
        fiber.drop()
        size, module = fiber.grown(), self.module
        usage.memory_bytes_peak = size
        usage.memory_at_limit = size + WASM_PAGE > self.limits.memory_bytes or (
            module.memory_bytes_min < size and size + WASM_PAGE > module.memory_bytes_max
        )
        self._calls.close()
        del self._calls  # it knows this one too: the module would stay until the collector came by
        self._share.close()

    async def allocate(self, length: int) -> int:
        """Where in its memory the guest has room for so many bytes. Raises Over (`failed`): it has none."""
        self.fiber.begin(b"hostel_alloc", length)
        await self.run()
        if pointer := self.fiber.result & U32:
            return pointer
        raise Over(Ending.FAILED, f"the guest has no room for a message of {length} bytes", length=length)

    def _response(self, packed: int, notification: bool) -> bytes:
        pointer, length = packed >> 32, packed & U32
        if notification:
            if packed:
                raise Over(Ending.PROTOCOL_VIOLATION, "hostel_handle must return 0 for a notification")
            return b""
        if length > self.limits.message_out_bytes:
            raise Over(
                Ending.PROTOCOL_VIOLATION,
                f"a response of {length} bytes is over message_out_bytes = {self.limits.message_out_bytes}",
                limit="message_out_bytes", value=self.limits.message_out_bytes, used=length, unit="bytes",
            )  # fmt: skip
        return self.fiber.read(pointer, length)

    # ---- slices ------------------------------------------------------------------------------------------------------
    async def run(self) -> bool:
        """The fiber's current future to its end: slices, ticks, and imports answered in this very task. False: it posts
        for the first time, which goes on inside `run_with_posts`: what that costs is for who does, not for who may."""
        if (self.fiber.asked or not self._slice()) and not await self._go_on():
            return False
        self._finish()
        return True

    async def _go_on(self) -> bool:
        """After a slice that was not the last; as `run`."""
        fiber, share, done = self.fiber, self._share, False
        while not done:
            spent_ns = self.bill()
            if self._cpu_ns > self._cpu_limit_ns:
                raise over_cpu(self.limits, self._cpu_ns // 1_000 + self.usage.called_cpu_us)
            asked = fiber.asked
            if self._fuel and asked:
                self._check_fuel()
            if asked == CALL:
                await self._calls.call()
            elif asked == POST and self.handling and not self._calls.may_post:
                return False
            elif asked:
                await self._import(asked)
            # Ticks are noticed in loops and function calls: a guest that asks in a straight line meets none.
            if (asked or spent_ns < YOUNG_NS) and (share.credit_ns > 0 or share.goes_on()):
                done = self._slice()
            else:
                done = await self._preempted()
        return True

    def _finish(self) -> None:
        """After the last slice of a future."""
        if self._fuel:
            self._check_fuel()
        self.fiber.finish()

    def _check_fuel(self) -> None:
        """It was given one more than it may use: at the end of that it is over, wherever the count was looked at."""
        if not self.fiber.fuel_left():
            raise over_fuel(self._fuel)

    def bill(self) -> int:
        """What was used since the last bill, ns."""
        now = billed_ns()
        spent = now - self._began
        self._began = now
        self._cpu_ns += spent
        self._share.credit_ns -= spent
        return spent

    def resumed(self) -> None:
        """After others ran: the guest's bill goes on from here."""
        self._began = billed_ns()
        self._budget()
        self.read_clock()

    def _budget(self) -> None:
        """What it has lent to programs it called is not its own to use, and what they used is gone."""
        self._cpu_limit_ns = (self.limits.cpu_us - self.usage.called_cpu_us) * 1_000

    def read_clock(self) -> None:
        """The guest's own clock moves on with each answer."""
        if self.module.reads_clock:
            self.resumed_us = self._now_us()

    async def _preempted(self) -> bool:
        """A tick took the guest's turn: others first, then go on; here while it is young, then in another thread."""
        self._in_time()
        await self._loop.enter()
        try:
            if self._threads is not None and self._cpu_ns >= FIRST_SLICE_NS:
                self._give_turn()
                done = await self._elsewhere(self._threads)
                if not self._share.goes_on():
                    await self._take_turn()
                return done
            await self._take_turn()
        finally:
            self._began = billed_ns()
            self._budget()
        self._in_time()  # others had theirs meanwhile
        return self._slice()

    def _in_time(self) -> None:
        if self.host.deadline.expired():
            raise over_deadline(self.limits)

    async def _take_turn(self) -> None:
        if self._turn is None:
            self._turn = Turn(self._share)
        await self._in_turn(self._turn)

    async def _in_turn(self, turn: Turn) -> None:
        """Waits for it, at most to the deadline: a full host is no reason to be late."""
        with self.host.deadline.scope():
            await turn.take()
            await turn.after_news()
            return
        raise over_deadline(self.limits)

    async def _next_pass(self) -> None:
        """Where nobody else wants it, those that the loop had no time for go on together: a turn is a pass for each."""
        share, again = self._share, False
        while not share.goes_on():
            if share.turns.is_wanted_beside(share):
                await self._loop.enter()
                await self._take_turn()
                return
            await self._loop.next_pass(share, again)
            again = True

    def _give_turn(self) -> None:
        if self._turn is not None:
            self._turn.give()

    async def _elsewhere(self, threads: Turns) -> bool:
        """Turns in other threads, until there is something to do in this one."""
        share = threads.of(self._share.program)
        turn, worker = Turn(share), trio.CapacityLimiter(1)
        try:
            with self._ticker.elsewhere():
                while True:
                    await self._in_turn(turn)
                    used = self._cpu_ns
                    try:
                        done = await trio.to_thread.run_sync(self._slices, limiter=worker)
                    finally:
                        share.credit_ns -= self._cpu_ns - used
                    if done or self.fiber.asked or self._cpu_ns > self._cpu_limit_ns:
                        return done
        finally:
            turn.give()
            share.close()

    def _slices(self) -> bool:
        """One turn in a thread of its own, without the GIL."""
        fiber, until = self.fiber, time.monotonic() + TURN_S
        with self._ticker.here() as tick_next:
            while True:
                trio.from_thread.check_cancelled()
                tick_next()
                began, slept = billed_ns(), sleeps()
                done = fiber.poll_free()
                self._cpu_ns += billed_ns() - began
                self._ticker.gil_is_scarce = sleeps() - slept > 1
                if done or fiber.asked or self._cpu_ns > self._cpu_limit_ns or time.monotonic() > until:
                    return done

    # ---- imports but hostel_v1.call, which `_go_on` deals with itself ------------------------------------------------
    async def _import(self, number: int) -> None:
        if name := _HOSTEL.get(number):
            await self._calls.other(name)
            return
        function, layout = _WASI[number]
        if not self.fiber.base or self.loading:
            where = "while a script was loaded" if self.loading else "from the start function"
            raise Over(Ending.PROTOCOL_VIOLATION, f"an import was called {where}")
        errno = function(self, *self.fiber.arguments(layout))
        if not isinstance(errno, int):
            await self._loop.enter()
            errno = await self.waiting(errno)
        self.fiber.answer(errno)

    async def waiting(self, awaited: Awaitable[T]) -> T:
        """Awaits what the host side does for the guest, at most to the deadline. The tick stands still; SUSPENDED_NS
        are billed, however long it takes."""
        self.bill()
        self._suspend()
        try:
            with self.host.deadline.scope():
                answer = await awaited
                if not self._share.goes_on():
                    await self._next_pass()
                return answer
            raise over_deadline(self.limits)
        finally:
            self._ticker.enter()
            self.resumed()

    async def waiting_elsewhere(self, awaited: Awaitable[T]) -> T:
        """As `waiting`, for what ends by itself when the deadline passes. What ran since the last bill is not on it:
        that was no more than to copy a small request, and SUSPENDED_NS are more."""
        self._suspend()
        try:
            answer = await awaited
            share = self._share
            if share.credit_ns <= 0 and not share.goes_on():
                await self._next_pass()
            return answer
        finally:
            self._ticker.enter()
            self.resumed()

    def _suspend(self) -> None:
        self._cpu_ns += SUSPENDED_NS
        self._share.credit_ns -= SUSPENDED_NS
        self.usage.cpu_us = self._cpu_ns // 1_000
        if self._turn is not None:
            self._turn.give()
        self._ticker.leave()

    async def returned(self, ended: Awaitable[None]) -> None:
        """Awaits the end of what the guest left behind; what others do meanwhile is not on its bill."""
        self.bill()
        self._give_turn()
        self._ticker.leave()
        try:
            with trio.CancelScope(shield=True):
                await ended
        finally:
            self._ticker.enter()
            self.resumed()
