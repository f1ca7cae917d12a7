"""How things are timed: quantiles, rounds that alternate between the cases, and company that keeps a processor busy.

A machine drifts by a third within minutes. So cases that are compared are run in turn, round after round, and what is
told is the median over the rounds of each round's figure.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import trio

One = Callable[[int], Awaitable[Any]]
"""Does the thing once; the number tells the times apart."""

REST_S = 0.002
"""Between two cases: long enough for the loop to sleep, so that the last case's ticker stands still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything one run does."""

    rounds: int
    calls: int
    """Of a cheap thing, a round."""
    spins: int
    """Of a thing that takes milliseconds, a round."""
    programs: int
    suspended: int
    kills: int
    """Hosts killed in the middle of their work."""
    installed: int = 20_000
    """Programs in a large registry."""


FULL = Scale(rounds=7, calls=3_000, spins=30, programs=200, suspended=1_500, kills=50, installed=1_000_000)
QUICK = Scale(rounds=3, calls=1_000, spins=15, programs=200, suspended=1_500, kills=10)
TINY = Scale(rounds=1, calls=4, spins=2, programs=3, suspended=8, kills=1, installed=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One case in one round, or the medians over several."""

    p50_us: float
    p99_us: float
    max_us: float
    per_s: float
    cpu_us: float
    """CPU time of the whole process for each: hardly touched by what else the machine does."""
    cpu_p99_us: float = 0.0
    """Of this thread, for one that is done by a single task: what is over the bar by this is slow by itself, and not
    because a processor was away. 0 where several tasks take turns."""
    calm_p99_us: float = 0.0
    """Of those during which the kernel never took the processor from this thread for another: wall time with all that
    it waits for by itself, and nothing of what else the machine does. 0 as above."""


def quantile(values: Sequence[float], q: float) -> float:
    """The value that a share `q` of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


async def timed(one: One, count: int, *, tasks: int = 1, before: One | None = None) -> Timing:
    """Does it `count` times, by `tasks` tasks at once. Several take turns: each lets the others go on after every one.

    `before` is done before each by a single task, its time not counted in the quantiles.
    """
    took: list[float] = []
    own: list[float] = []
    calm: list[float] = []
    clock, thread_clock = time.perf_counter, time.thread_time

    async def alone() -> None:
        for number in range(count):
            if before is not None:
                await before(number)
            displaced = _displaced()
            own_began, began = thread_clock(), clock()
            await one(number)
            took.append(clock() - began)
            own.append(thread_clock() - own_began)
            if _displaced() == displaced:
                calm.append(took[-1])

    async def in_company(first: int) -> None:
        for number in range(first, count, tasks):
            began = clock()
            await one(number)
            took.append(clock() - began)
            await trio.lowlevel.checkpoint()

    cpu, began = time.process_time(), clock()
    if tasks == 1:
        await alone()
    else:
        async with trio.open_nursery() as nursery:
            for first in range(tasks):
                nursery.start_soon(in_company, first)
    wall, cpu = clock() - began, time.process_time() - cpu
    return Timing(
        p50_us=quantile(took, 0.5) * 1e6, p99_us=quantile(took, 0.99) * 1e6, max_us=max(took) * 1e6,
        per_s=count / wall, cpu_us=cpu / count * 1e6, cpu_p99_us=quantile(own, 0.99) * 1e6 if own else 0.0,
        calm_p99_us=quantile(calm, 0.99) * 1e6 if calm else 0.0,
    )  # fmt: skip


def _displaced() -> int:
    """How often this thread had to leave a processor that it wanted to keep."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


async def interleaved(cases: Mapping[str, Callable[[], Awaitable[Timing]]], rounds: int) -> dict[str, Timing]:
    """Every case once a round, after one unmeasured round."""
    found: dict[str, list[Timing]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            await trio.sleep(REST_S)
            timing = await case()
            if number:
                found[name].append(timing)
    return {name: medians(timings) for name, timings in found.items()}


def medians(timings: Sequence[Timing]) -> Timing:
    return Timing(**{name: median(getattr(timing, name) for timing in timings) for name in Timing.__slots__})


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    """Python threads of this process that always want the GIL."""
    stop = threading.Event()

    def burn() -> None:
        while not stop.is_set():
            sum(range(1_000))

    threads = [threading.Thread(target=burn) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Other processes that always want a processor."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()
