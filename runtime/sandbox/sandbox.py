"""A sandbox: one fresh instance that handles one message, under its limits, from the first slice to its ending.

Here is what a call may use and when it is over; fiber.py is how C is driven, hostcalls.py what `hostel_v1` means.
It knows no broker: requests go to the `HostSide` it is given, as bytes.

CPU time is this thread's (cpu_clock.py) over the guest's slices, read once a slice boundary. Work done for the guest in
between (log lines, the WASI shim, reading requests, answering those that do not wait) runs on its bill, or a guest that
asks and never computes would cost nothing. What the host side does while the guest waits does not, as others run then
too: a turn of the event loop is charged for it. A guest that outlives its first slice is polled in another thread, so
that the trio thread serves everybody else.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import trio

from host_api.errors import ApiError
from runtime.errors import Ending
from runtime.limits import WASM_PAGE, Limits
from runtime.receipt import Usage
from runtime.sandbox import abi, wasi
from runtime.sandbox.binding import U32
from runtime.sandbox.cpu_clock import billed_ns, sleeps
from runtime.sandbox.fiber import Fiber, Over
from runtime.sandbox.hostcalls import HostCalls
from runtime.sandbox.pool import IMPORT_NUMBERS, Module
from runtime.sandbox.ticker import Ticker

T = TypeVar("T")

FIRST_SLICE_NS = 1_000_000
"""CPU time after which a guest is polled off the trio thread."""
SUSPENDED_NS = 20_000
"""Charged for each wait: what the event loop does for it at the least, where no clock could tell whose time it is."""
TURN_S = 0.005
"""How long a guest keeps such a thread before others get their turn."""

CALL = IMPORT_NUMBERS[abi.HOSTEL, "call"]
_HOSTEL = {IMPORT_NUMBERS[abi.HOSTEL, name]: name for name in abi.HOSTEL_IMPORTS}
_WASI = {IMPORT_NUMBERS[abi.WASI, name]: (wasi.FUNCTIONS[name], wasi.LAYOUTS[name]) for name in abi.WASI_IMPORTS}


class Deadline(Protocol):
    """The call's wall deadline; it may stand still (runtime.deadline.Deadline)."""

    def expired(self) -> bool: ...
    def scope(self) -> AbstractContextManager[trio.CancelScope, bool]:
        """Cancels what is awaited inside it when the deadline passes."""
        ...


class HostSide(Protocol):
    """The other end of a guest's requests: the broker's record of this call."""

    @property
    def deadline(self) -> Deadline: ...
    def answer(self, request: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The response; None for a notification. Raises MalformedMessage if the bytes are no request."""
        ...

    def refuse(self, request: bytes, error: ApiError) -> bytes | None:
        """The response that says no, for a request that never reaches the broker. `request` may be its first bytes
        only."""
        ...

    def log(self, stream: int, data: bytes) -> None: ...
    def hold(self, size: int) -> bool:
        """Room for a response kept for the guest; False when its program holds too much already."""
        ...

    def release(self, size: int) -> None: ...


class Sandbox:
    """One message in one fresh instance. `handle` is called once; `close` always, and is right at any point."""

    __slots__ = ("_began", "_calls", "_cpu_limit_ns", "_cpu_ns", "_now_us", "_slice", "_threads", "_ticker", "fiber",
                 "handling", "host", "limits", "module", "resumed_us", "usage")  # fmt: skip

    def __init__(
        self,
        fiber: Fiber,
        module: Module,
        limits: Limits,
        host: HostSide,
        usage: Usage,
        ticker: Ticker,
        threads: trio.CapacityLimiter | None,
        now_us: Callable[[], int],
    ) -> None:
        self.fiber, self.module, self.limits, self.host, self.usage = fiber, module, limits, host, usage
        self.handling = False
        self.resumed_us = 0
        self._ticker, self._threads, self._now_us = ticker, threads, now_us
        self._cpu_ns, self._cpu_limit_ns = 0, limits.cpu_us * 1_000
        self._began = 0
        self._calls = HostCalls(self)
        self._slice = fiber.poll_free if ticker.needs_gil else fiber.poll

    async def handle(self, message: bytes, *, notification: bool = False) -> bytes:
        """The guest's answer (b"" to a notification). Raises Over for every other ending, trio.Cancelled if
        cancelled."""
        fiber, module, limits = self.fiber, self.module, self.limits
        self._began = billed_ns()
        if module.reads_clock:
            self.resumed_us = self._now_us()
        self._ticker.enter()
        try:
            fiber.open(module.engine_at, module.pre_at, limits.memory_bytes, limits.table_elements)
            await self._run()
            fiber.find_memory(module.memory_bytes_min)
            if module.has_initialize:
                fiber.begin(b"_initialize", results=0)
                await self._run()
            pointer = module.inbox_at
            if len(message) > module.inbox_size:
                pointer = await self._allocate(len(message))
            fiber.write(pointer, message)
            self.handling = True
            fiber.begin(b"hostel_handle", pointer, len(message))
            if module.posts:
                await self._calls.run_with_posts(self._run)
            else:
                await self._run()
            return self._response(fiber.result, notification)
        finally:
            self._ticker.leave()
            self.bill()

    def close(self) -> None:
        """Measures what is left to measure, then drops the guest."""
        usage, fiber = self.usage, self.fiber
        usage.cpu_us = self._cpu_ns // 1_000
        fiber.drop()
        size, module = fiber.grown(), self.module
        usage.memory_bytes_peak = size
        usage.memory_at_limit = size + WASM_PAGE > self.limits.memory_bytes or (
            module.memory_bytes_min < size and size + WASM_PAGE > module.memory_bytes_max
        )
        self._calls.close()
        fiber.close()

    async def _allocate(self, length: int) -> int:
        self.fiber.begin(b"hostel_alloc", length)
        await self._run()
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
    async def _run(self) -> None:
        """The fiber's current future to its end: slices, ticks, and imports answered in this very task."""
        fiber = self.fiber
        done = self._slice()
        while not done:
            self.bill()
            if self._cpu_ns > self._cpu_limit_ns:
                raise self._over_cpu()
            asked = fiber.asked
            if asked == CALL:
                await self._calls.call()
                done = self._slice()
            elif asked:
                await self._import(asked)
                done = self._slice()
            else:
                done = await self._preempted()
        fiber.finish()

    def bill(self) -> None:
        now = billed_ns()
        self._cpu_ns += now - self._began
        self._began = now

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

    def _over_cpu(self) -> Over:
        used = self._cpu_ns // 1_000 + self.usage.called_cpu_us
        return Over(
            Ending.CPU_EXCEEDED, f"{used} µs of CPU time are over cpu_us = {self.limits.cpu_us}",
            limit="cpu_us", value=self.limits.cpu_us, used=used, unit="µs",
        )  # fmt: skip

    async def _preempted(self) -> bool:
        """A tick took the guest's turn: others first, then go on; here while it is young, then in another thread."""
        if self.host.deadline.expired():
            raise over_deadline(self.limits)
        try:
            if self._threads is not None and self._cpu_ns >= FIRST_SLICE_NS:
                return await self._elsewhere(self._threads)
            await trio.lowlevel.checkpoint()
        finally:
            self._began = billed_ns()
            self._budget()
        return self._slice()

    async def _elsewhere(self, threads: trio.CapacityLimiter) -> bool:
        with self._ticker.elsewhere():
            return await trio.to_thread.run_sync(self._turn, limiter=threads)

    def _turn(self) -> bool:
        """Slices in a thread of its own, without the GIL. Ends when there is something to do in the trio thread."""
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

    # ---- imports but hostel_v1.call, which has its place in _run -----------------------------------------------------
    async def _import(self, number: int) -> None:
        if name := _HOSTEL.get(number):
            await self._calls.other(name)
            return
        function, layout = _WASI[number]
        if not self.fiber.base:
            raise Over(Ending.PROTOCOL_VIOLATION, "an import was called from the start function")
        errno = function(self, *layout.unpack(self.fiber.arguments))
        if not isinstance(errno, int):
            errno = await self.waiting(errno)
        self.fiber.answer(errno)

    async def waiting(self, awaited: Awaitable[T]) -> T:
        """Awaits what the host side does for the guest, at most to the deadline. The tick stands still; SUSPENDED_NS
        are billed, however long it takes."""
        self.bill()
        self._cpu_ns += SUSPENDED_NS
        self.usage.cpu_us = self._cpu_ns // 1_000
        self._ticker.leave()
        try:
            with self.host.deadline.scope():
                return await awaited
            raise over_deadline(self.limits)
        finally:
            self._ticker.enter()
            self.resumed()

    async def returned(self, ended: Awaitable[None]) -> None:
        """Awaits the end of what the guest left behind; what others do meanwhile is not on its bill."""
        self.bill()
        self._ticker.leave()
        try:
            with trio.CancelScope(shield=True):
                await ended
        finally:
            self._ticker.enter()
            self.resumed()


def over_deadline(limits: Limits) -> Over:
    return Over(
        Ending.DEADLINE_EXCEEDED, f"the call is over its deadline of wall_ms = {limits.wall_ms}",
        limit="wall_ms", value=limits.wall_ms, unit="ms",
    )  # fmt: skip
