"""Who may begin a call now: rates, calls at once, memory of live sandboxes, and the queue. One `Admission` a program.

What lives here: the arithmetic of rates (pure) and the bounded first-come-first-served queue. A call that does not fit
now waits in the queue; one that does not fit there is refused at once with `HostBusy` and when to try again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import trio

from runtime.errors import HostBusy, HostelError
from runtime.limits import Limits
from runtime.session import Holdings


class Rate:
    """`per_s` units a second on average, `burst` at once: the generic cell rate algorithm (ITU-T I.371), in whole
    numbers.

    Kept is when everything taken so far will have been earned, in µs times `per_s`; the clock is the caller's.
    """

    __slots__ = ("_burst", "_earned_at", "_per_s")

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s, self._burst = per_s, burst * 1_000_000
        self._earned_at = 0

    def change(self, per_s: int, burst: int) -> None:
        """Other numbers from now on; what was used stays used."""
        self._earned_at = self._earned_at * per_s // self._per_s
        self._per_s, self._burst = per_s, burst * 1_000_000

    def ready_in_us(self, now_us: int) -> int:
        """0 if one unit may be taken now, else the time until then."""
        missing = self._earned_at + 1_000_000 - now_us * self._per_s - self._burst
        return 0 if missing <= 0 else -(-missing // self._per_s)

    def is_half_left(self, now_us: int) -> bool:
        """At least half of what may be taken at once is there."""
        return self._earned_at + self._burst // 2 <= now_us * self._per_s + self._burst

    def take(self, units: int, now_us: int) -> None:
        """May take more than there is: what was used is used, and is waited for by who comes next."""
        now = now_us * self._per_s
        earned_at = self._earned_at
        self._earned_at = (earned_at if earned_at > now else now) + units * 1_000_000


@dataclass(slots=True, eq=False)
class _Waiter:
    memory_bytes: int
    admitted: trio.Event
    refused: HostelError | None = None


class Admission:
    """One program's calls. Every `enter` that returned is followed by one `leave`."""

    def __init__(self, limits: Limits, holdings: Holdings) -> None:
        self._limits, self._holdings = limits, holdings
        self._calls = Rate(limits.calls_per_s, limits.calls_burst)
        self._cpu = Rate(limits.cpu_us_per_s, limits.cpu_burst_us)
        self._now_us = 0
        self._queue: deque[_Waiter] = deque()
        self._closed: HostelError | None = None
        self.in_flight = 0
        self.live_memory_bytes = 0

    @property
    def queued(self) -> int:
        return len(self._queue)

    def enter_now(self, now_us: int, memory_bytes: int) -> bool:
        """Takes a place if there is one; False: `wait` in the queue. Raises HostBusy if the program is over a rate,
        and what it was closed with."""
        if self._closed is not None:
            raise self._closed
        if ready_us := self._calls.ready_in_us(now_us):
            raise self._over_rate("calls_per_s", ready_us)
        if ready_us := self._cpu.ready_in_us(now_us):
            raise self._over_rate("cpu_us_per_s", ready_us)
        self._calls.take(1, now_us)
        self._now_us = now_us
        if self._queue or not self._fits(memory_bytes):
            return False
        self._take(memory_bytes)
        return True

    def enter_at_once(self, now_us: int, memory_bytes: int) -> bool:
        """As `enter_now`, for a call that another program makes, which must not wait, nor use up what the program's own
        callers may: it has half of both bursts. False: nothing was taken."""
        if self._queue or not self._fits(memory_bytes):
            return False
        if not (self._calls.is_half_left(now_us) and self._cpu.is_half_left(now_us)):
            return False
        return self.enter_now(now_us, memory_bytes)

    async def wait(self, memory_bytes: int, message_bytes: int) -> None:
        """Waits for a place; first come, first served. Cancelled while waiting, nothing is taken.

        Raises HostBusy if the queue is full or the program's held memory is, or what `close` was given meanwhile.
        """
        limits = self._limits
        if len(self._queue) >= limits.calls_queued:
            raise HostBusy(
                f"{len(self._queue)} calls wait already; calls_queued is {limits.calls_queued}: try again later",
                code="queue_full", retry_after_ms=100,
                details={"limit": "calls_queued", "value": limits.calls_queued, "used": len(self._queue)},
            )  # fmt: skip
        if not self._holdings.hold(message_bytes, limits.held_bytes):
            raise HostBusy(
                f"a message of {message_bytes} bytes does not fit: the program's queued messages and untaken responses"
                f" hold {self._holdings.held_bytes} bytes and held_bytes is {limits.held_bytes}",
                code="overloaded", retry_after_ms=100,
                details={"limit": "held_bytes", "value": limits.held_bytes, "used": self._holdings.held_bytes},
            )  # fmt: skip
        waiter = _Waiter(memory_bytes, trio.Event())
        self._queue.append(waiter)
        try:
            await waiter.admitted.wait()
        except trio.Cancelled:
            if waiter.admitted.is_set() and waiter.refused is None:
                self.leave(memory_bytes, 0)
            elif waiter in self._queue:
                self._queue.remove(waiter)
            raise
        finally:
            self._holdings.release(message_bytes)
        if waiter.refused is not None:
            raise waiter.refused

    def leave(self, memory_bytes: int, cpu_us: int) -> None:
        """Gives the place back, charges the CPU time (as of the last `enter_now`), and lets in who fits now."""
        self.in_flight -= 1
        self.live_memory_bytes -= memory_bytes
        self._cpu.take(cpu_us, self._now_us)
        if self._queue:
            self._admit()

    def set_limits(self, limits: Limits) -> None:
        """A new release's limits, for calls from now on; who waits stays in the queue."""
        self._limits = limits
        self._calls.change(limits.calls_per_s, limits.calls_burst)
        self._cpu.change(limits.cpu_us_per_s, limits.cpu_burst_us)
        self._admit()

    def close(self, error: HostelError) -> None:
        """Refuses who waits and who comes, with that error. Calls in flight go on."""
        self._closed = error
        while self._queue:
            waiter = self._queue.popleft()
            waiter.refused = error
            waiter.admitted.set()

    def _admit(self) -> None:
        while self._queue and self._fits(self._queue[0].memory_bytes):
            waiter = self._queue.popleft()
            self._take(waiter.memory_bytes)
            waiter.admitted.set()

    def _fits(self, memory_bytes: int) -> bool:
        limits = self._limits
        if not self.in_flight:  # install saw to it that one fits; who waited since before new limits came goes alone
            return True
        return (
            self.in_flight < limits.calls_in_flight
            and self.in_flight < limits.sandboxes
            and self.live_memory_bytes + memory_bytes <= limits.live_memory_bytes
        )

    def _take(self, memory_bytes: int) -> None:
        self.in_flight += 1
        self.live_memory_bytes += memory_bytes

    def _over_rate(self, limit: str, ready_us: int) -> HostBusy:
        value = getattr(self._limits, limit)
        what = "calls" if limit == "calls_per_s" else "µs of CPU time"
        return HostBusy(
            f"the program is over {limit} = {value} {what} a second; try again in {-(-ready_us // 1_000)} ms",
            code="rate_limited", retry_after_ms=-(-ready_us // 1_000), details={"limit": limit, "value": value},
        )  # fmt: skip
