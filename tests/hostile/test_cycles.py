"""Calls that end badly, over and over: memory, descriptors and threads of the process stay where they were.

HOSTEL_LONG=1 (make soak) runs the long form and prints its figures.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from collections import Counter
from pathlib import Path

import pytest

from runtime import CallEnded, Ending
from tests.hostile.conftest import Opened
from tests.hostile.guests import ROOM, Script

LONG = os.environ.get("HOSTEL_LONG") == "1"
CYCLES = 100_000 if LONG else 3_000
GROWN_MOST_KIB = 4_096
THREADS_OF_GUESTS = 2
"""So many threads guests may run in that outlived their first slice, as one does on a busy machine; the next ones use
them again, and idle ones end by themselves."""
ENDLESS = {
    "calls_per_s": 10_000_000,
    "calls_burst": 10_000_000,
    "cpu_us_per_s": 64_000_000,
    "cpu_burst_us": 3_600_000_000,
}
"""Rates out of the way."""

BAD = [
    Script().step("unreachable"),
    Script().step("load", 0xFFFF_FFFF),
    Script().step("proc_exit", 3),
    Script().step("call", 0xFFFF_FFFF, 1, ROOM, 8),
    Script().step("give", ROOM, 8),
    Script().step("memory_grow", 100).step("table_grow", 5_000).step("unreachable"),
    Script().step("recurse"),
]


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1_024


def opened_now() -> tuple[int, int]:
    """Descriptors and threads."""
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.slow
async def test_sandboxes_that_end_badly_leave_nothing_behind(opened: Opened) -> None:
    async with opened() as site:
        app = await site.install(**ENDLESS)
        messages = [script.params() for script in BAD]
        endings: Counter[Ending] = Counter()

        async def cycles(count: int) -> None:
            for number in range(count):
                try:
                    await site.host.call(app, "run", messages[number % len(messages)])
                except CallEnded as error:
                    endings[error.ending] += 1

        await cycles(CYCLES // 4)
        gc.collect()
        before, held = resident_kib(), opened_now()
        began = time.perf_counter()
        await cycles(CYCLES)
        took = time.perf_counter() - began
        gc.collect()
        after = resident_kib()
        print(f"\n{CYCLES} cycles in {took:.1f} s: {before} → {after} KiB resident; {endings}")
        assert after - before < GROWN_MOST_KIB
        descriptors, threads = opened_now()
        assert descriptors <= held[0]
        assert threads <= held[1] + THREADS_OF_GUESTS
        assert set(endings) == {Ending.TRAPPED, Ending.EXITED, Ending.PROTOCOL_VIOLATION}
        assert sum(endings.values()) == CYCLES + CYCLES // 4
