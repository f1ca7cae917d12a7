"""Who may begin a call now: rates, calls at once, memory of live sandboxes, and the queue. One `Admission` a program,
one `Shared` for all programs of a developer.

What lives here: the arithmetic of rates (pure) and the bounded first-come-first-served queue. A call that does not fit
now waits in the queue; one that does not fit there is refused at once with `HostBusy` and when to try again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import trio

from runtime.errors import HostBusy, HostelError
from runtime.limits import DeveloperLimits, Limits, specs
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

    def change(self, per_s: int, burst: int, now_us: int) -> None:
        """Other numbers from then on; units that were used stay used, and come back at the new rate."""
        self._earned_at = max(0, self._earned_at - now_us * self._per_s) + now_us * per_s
        self._per_s, self._burst = per_s, burst * 1_000_000

    def ready_in_us(self, now_us: int) -> int:
        """0 if one unit may be taken now, else the time until then."""
        missing = self._earned_at + 1_000_000 - now_us * self._per_s - self._burst
        return 0 if missing <= 0 else -(-missing // self._per_s)

    def is_over_half(self, now_us: int) -> bool:
        """More than half of what may be taken at once is there: where half of a burst is taken, it is not."""
        return self._earned_at + self._burst // 2 < now_us * self._per_s + self._burst

    def is_full(self, now_us: int) -> bool:
        """Nothing of what was taken is missing any more: to forget it changes nothing."""
        return self._earned_at <= now_us * self._per_s

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


class Shared:
    """What the programs of one developer use together. Their calls wait in the programs' own queues; whenever one ends,
    those who wait are asked in the order in which they began to."""

    def __init__(self, developer: str, limits: DeveloperLimits) -> None:
        self.developer, self.limits = developer, limits
        self.calls = Rate(limits.calls_per_s, limits.calls_burst)
        self.cpu = Rate(limits.cpu_us_per_s, limits.cpu_burst_us)
        self.now_us = 0
        """Of the last call that came."""
        self.programs = 0
        """Those in memory."""
        self.in_flight = 0
        self.live_memory_bytes = 0
        self.kept = 0
        """Resident sandboxes of theirs that are idle; their memory counts as live."""
        self.waiting: dict[Admission, None] = {}

    def set_limits(self, limits: DeveloperLimits) -> None:
        """From now on; what was used stays used."""
        if limits == self.limits:
            return
        self.limits = limits
        self.calls.change(limits.calls_per_s, limits.calls_burst, self.now_us)
        self.cpu.change(limits.cpu_us_per_s, limits.cpu_burst_us, self.now_us)
        self.admit()

    def fits(self, memory_bytes: int) -> bool:
        limits = self.limits
        if not self.in_flight and not self.kept:  # one call fits always, or it would wait for ever
            return True
        return (
            self.in_flight < limits.calls_in_flight
            and self.live_memory_bytes + memory_bytes <= limits.live_memory_bytes
        )

    def add(self, calls: int, memory_bytes: int) -> None:
        """Calls that began; below 0: that ended."""
        self.in_flight += calls
        self.live_memory_bytes += memory_bytes

    def admit(self) -> None:
        """Lets in who waits and fits now, one call of each program in turn."""
        took = True
        while took and self.in_flight < self.limits.calls_in_flight:
            took = False
            for admission in list(self.waiting):
                if admission.admit(at_most=1):
                    took = True
                    if admission in self.waiting:  # it waits on, at the end of the line
                        del self.waiting[admission]
                        self.waiting[admission] = None

    def is_idle(self, now_us: int) -> bool:
        return not self.in_flight and self.calls.is_full(now_us) and self.cpu.is_full(now_us)


class Admission:
    """One program's calls. Every `enter` that returned is followed by one `leave`."""

    def __init__(self, limits: Limits, holdings: Holdings, shared: Shared | None = None) -> None:
        """`shared`: with the other programs of its developer; None for a program that nobody owns."""
        self._limits, self._holdings, self._shared = limits, holdings, shared
        if shared is not None:
            shared.programs += 1
        self.calls = Rate(limits.calls_per_s, limits.calls_burst)
        self.cpu = Rate(limits.cpu_us_per_s, limits.cpu_burst_us)
        self.now_us = 0
        """Of the last `enter_now`; µs since 1970."""
        self._queue: deque[_Waiter] = deque()
        self._closed: HostelError | None = None
        self.in_flight = 0
        self.live_memory_bytes = 0
        self.kept = 0
        """Resident sandboxes that are idle; their memory counts as live."""

    @property
    def queued(self) -> int:
        return len(self._queue)

    def has_place(self, memory_bytes: int) -> bool:
        """`enter_now` would not give False."""
        return not self._queue and self._fits(memory_bytes)

    def enter_now(self, now_us: int, memory_bytes: int) -> bool:
        """Takes a place if there is one; False: `wait` in the queue. Raises HostBusy if the program is over a rate,
        and what it was closed with."""
        if self._closed is not None:
            raise self._closed
        if ready_us := self.calls.ready_in_us(now_us):
            raise _over_rate(self._limits, "calls_per_s", ready_us)
        if ready_us := self.cpu.ready_in_us(now_us):
            raise _over_rate(self._limits, "cpu_us_per_s", ready_us)
        if (shared := self._shared) is not None:
            if ready_us := shared.calls.ready_in_us(now_us):
                raise _over_rate(shared.limits, "calls_per_s", ready_us)
            if ready_us := shared.cpu.ready_in_us(now_us):
                raise _over_rate(shared.limits, "cpu_us_per_s", ready_us)
            shared.calls.take(1, now_us)
            shared.now_us = now_us
        self.calls.take(1, now_us)
        self.now_us = now_us
        if self._queue or not self._fits(memory_bytes):
            return False
        self._take(memory_bytes)
        return True

    def enter_at_once(self, now_us: int, memory_bytes: int) -> bool:
        """As `enter_now`, for a call that another program makes, which must not wait, nor use up what the program's own
        callers may: it has half of both bursts, of one call that call. False: nothing was taken."""
        if self._queue or not self._fits(memory_bytes):
            return False
        for rates in (self, self._shared):
            if rates is not None and not (rates.calls.is_over_half(now_us) and rates.cpu.is_over_half(now_us)):
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
        if self._shared is not None:
            self._shared.waiting.setdefault(self)
        try:
            await waiter.admitted.wait()
        except trio.Cancelled:
            if waiter.admitted.is_set() and waiter.refused is None:
                self.leave(memory_bytes, 0)
            elif waiter in self._queue:
                self._queue.remove(waiter)
                self.admit()  # behind it there may be who fits
            raise
        finally:
            self._holdings.release(message_bytes)
        if waiter.refused is not None:
            raise waiter.refused

    def leave(self, memory_bytes: int, cpu_us: int) -> None:
        """Gives the place back, charges the CPU time (as of the last `enter_now`), and lets in who fits now."""
        self.in_flight -= 1
        self.live_memory_bytes -= memory_bytes
        self.cpu.take(cpu_us, self.now_us)
        shared = self._shared
        if shared is not None:
            shared.add(-1, -memory_bytes)
            shared.cpu.take(cpu_us, shared.now_us)
        if shared is not None and shared.waiting:
            shared.admit()
        if self._queue:
            self.admit()

    def keep(self, memory_bytes: int) -> None:
        """A sandbox stays alive without a call in it."""
        self._keep(1, memory_bytes)

    def unkeep(self, memory_bytes: int) -> None:
        """It has a call in it again, or is gone."""
        self._keep(-1, -memory_bytes)
        if self._shared is not None and self._shared.waiting:
            self._shared.admit()

    def _keep(self, count: int, memory_bytes: int) -> None:
        self.kept += count
        self.live_memory_bytes += memory_bytes
        if self._shared is not None:
            self._shared.kept += count
            self._shared.live_memory_bytes += memory_bytes

    @property
    def some_idle(self) -> bool:
        """There are such sandboxes, of this program or another one of its developer: they make way for calls."""
        return self.kept > 0 or (self._shared is not None and self._shared.kept > 0)

    def may_keep(self, memory_bytes: int) -> bool:
        """Such a sandbox has a place, and no call of the developer's waits for it."""
        return self.has_place(memory_bytes) and (self._shared is None or not self._shared.waiting)

    def makes_way_for(self, other: Admission, memory_bytes: int) -> bool:
        """Its idle sandboxes are what another program of the same developer has no place for."""
        shared = self._shared
        return shared is not None and shared is other._shared and shared.kept > 0 and not shared.fits(memory_bytes)

    def set_limits(self, limits: Limits) -> None:
        """A new release's limits, for calls from now on; who waits stays in the queue."""
        if limits is self._limits:
            return
        self._limits = limits
        self.calls.change(limits.calls_per_s, limits.calls_burst, self.now_us)
        self.cpu.change(limits.cpu_us_per_s, limits.cpu_burst_us, self.now_us)
        self.admit()

    def share(self, shared: Shared | None) -> None:
        """With the programs of another developer from now on; the calls in flight count there."""
        before = self._shared
        if shared is before:
            return
        for which, sign in ((before, -1), (shared, 1)):
            if which is not None:
                which.programs += sign
                which.add(sign * self.in_flight, sign * self.live_memory_bytes)
                which.kept += sign * self.kept
        if before is not None:
            before.waiting.pop(self, None)
        self._shared = shared
        if shared is not None and self._queue:
            shared.waiting.setdefault(self)
        self.admit()

    def is_idle(self, now_us: int) -> bool:
        """No call runs or waits, and no rate remembers one: its own, and its developer's where it is the last that
        knows of it."""
        if self.in_flight or self.kept or self._queue or self._holdings.held_bytes:
            return False
        if not (self.calls.is_full(now_us) and self.cpu.is_full(now_us)):
            return False
        return self._shared is None or self._shared.programs > 1 or self._shared.is_idle(now_us)

    def close(self, error: HostelError) -> None:
        """Refuses who waits and who comes, with that error. Calls in flight go on."""
        self._closed = error
        while self._queue:
            waiter = self._queue.popleft()
            waiter.refused = error
            waiter.admitted.set()
        self.admit()

    def admit(self, at_most: int | None = None) -> int:
        """Lets in who waits and fits now, first come, first served; how many."""
        admitted = 0
        while self._queue and admitted != at_most and self._fits(self._queue[0].memory_bytes):
            waiter = self._queue.popleft()
            self._take(waiter.memory_bytes)
            waiter.admitted.set()
            admitted += 1
        if not self._queue and self._shared is not None:
            self._shared.waiting.pop(self, None)
        return admitted

    def _fits(self, memory_bytes: int) -> bool:
        limits = self._limits
        if self._shared is not None and not self._shared.fits(memory_bytes):
            return False
        if not self.in_flight and not self.kept:  # one fits always; who waited since before new limits goes alone
            return True
        return (
            self.in_flight < limits.calls_in_flight
            and self.in_flight + self.kept < limits.sandboxes
            and self.live_memory_bytes + memory_bytes <= limits.live_memory_bytes
        )

    def _take(self, memory_bytes: int) -> None:
        self.in_flight += 1
        self.live_memory_bytes += memory_bytes
        if self._shared is not None:
            self._shared.add(1, memory_bytes)


def _over_rate(limits: Limits | DeveloperLimits, limit: str, ready_us: int) -> HostBusy:
    value, scope = getattr(limits, limit), specs(type(limits))[limit].scope
    what = "calls" if limit == "calls_per_s" else "µs of CPU time"
    whose = "the program is" if scope == "program" else "the programs of its developer are together"
    return HostBusy(
        f"{whose} over {limit} = {value} {what} a second; try again in {-(-ready_us // 1_000)} ms",
        code="rate_limited", retry_after_ms=-(-ready_us // 1_000),
        details={"limit": limit, "value": value, "scope": scope},
    )  # fmt: skip
