"""Memory of sandboxes that are suspended in a host call. In a process of its own (`python -m benchmarks.suspended N`),
so that memory which another benchmark left behind is not taken for room."""

from __future__ import annotations

import gc
import json
import sys
from functools import partial

import trio
import trio.testing

from benchmarks import guests
from benchmarks.measure import Scale, resident_bytes
from benchmarks.report import Row
from runtime import App, Host

_WAIT = {"ms": 60_000}


async def rows(scale: Scale) -> list[Row]:
    done = await trio.run_process(
        [sys.executable, "-m", "benchmarks.suspended", str(scale.suspended)], capture_stdout=True
    )
    first, again, idle = json.loads(done.stdout)
    subject = f"{scale.suspended} sandboxes suspended in a host call, default settings"
    row = partial(Row, subject=subject)
    return [
        row(what="each, the first time", value=first / 1024, unit="KiB", bar=32),
        row(what="each, when their slots are used again", value=again / 1024, unit="KiB"),
        row(what="kept by each idle slot afterwards", value=idle / 1024, unit="KiB"),
    ]


async def _measure(count: int) -> list[float]:
    """Bytes for each: suspended, suspended again, and after that nothing."""
    many = {"calls_in_flight": count, "sandboxes": count, "live_memory_bytes": 1 << 40, "cpu_us": 10_000_000}
    async with guests.open_host(slots=count) as host:
        app = await guests.install(host, "forward", guests.forward(), limits=many)
        await host.call(app, "session.info")
        gc.collect()
        gc.freeze()
        before = resident_bytes()
        first, again = [await _suspended(host, app, count) for _ in range(2)]
        return [(held - before) / count for held in (first, again, resident_bytes())]


async def _suspended(host: Host, app: App, count: int) -> int:
    """Resident bytes while all of them wait."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(host.call, app, "session.sleep", _WAIT)
        while host.statistics().sandboxes < count:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        held = resident_bytes()
        nursery.cancel_scope.cancel()
    return held


if __name__ == "__main__":
    print(json.dumps(trio.run(_measure, int(sys.argv[1]))))
