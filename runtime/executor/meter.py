"""How much of a stretch of time was this thread's own CPU time.

The clock for that is a system call: it is read once for all frames of a read, and again only after a stretch that
seemed long.
"""

from __future__ import annotations

from time import perf_counter_ns, thread_time_ns


class Meter:
    """`start`ed before the first stretch."""

    __slots__ = ("_cpu_ns", "_wall_ns")

    def start(self) -> None:
        self._cpu_ns, self._wall_ns = thread_time_ns(), perf_counter_ns()

    def spent_us(self, wall_ns: int) -> int:
        """Of the last `wall_ns`: what was used since the start, less all other time since then."""
        used, passed = thread_time_ns() - self._cpu_ns, perf_counter_ns() - self._wall_ns
        self.start()
        return max(0, min(wall_ns, used - (passed - wall_ns))) // 1_000
