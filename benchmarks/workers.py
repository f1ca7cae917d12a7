"""The same call as in_process, in a jailed worker process: the host is this process, so its own CPU time and the
worker's are told apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import guests
from benchmarks.measure import One, Scale, Timing, interleaved, timed
from benchmarks.report import Row
from runtime import App, Host
from runtime.worker_settings import WorkerSettings

SUBJECT = "jailed worker: fresh sandbox, full checks, one host call, no client"
AT_ONCE = (1, 16, 64)
WORKERS = 1


@dataclass(slots=True)
class Split:
    """CPU time of the workers over several runs, µs a call."""

    runs: list[float]

    @property
    def worker_us(self) -> float:
        return median(self.runs)


def get(host: Host, app: App) -> One:
    return lambda _: host.call(app, "storage.get", {"key": "k"}, user=guests.USER)


async def rows(scale: Scale) -> list[Row]:
    """One worker, so that one core is the host's and one the worker's."""
    async with guests.open_host(workers=WorkerSettings(count=WORKERS)) as host:
        app = await guests.install(host, "forward", guests.forward())
        await guests.stored(host, app)
        splits = {at_once: Split([]) for at_once in AT_ONCE}
        cases: dict[str, Callable[[], Awaitable[Timing]]] = {
            str(at_once): partial(_case, host, get(host, app), scale.calls, at_once, split)
            for at_once, split in splits.items()
        }
        found = await interleaved(cases, scale.rounds)
    return [row for at_once in AT_ONCE for row in _rows(at_once, found[str(at_once)], splits[at_once])]


async def _case(host: Host, one: One, count: int, tasks: int, split: Split) -> Timing:
    before = _cpu_us(host)
    timing = await timed(one, count, tasks=tasks)
    split.runs.append((_cpu_us(host) - before) / count)
    return timing


def _cpu_us(host: Host) -> float:
    """Of all workers since they began; the scheduler counts in nanoseconds."""
    pids = [worker.pid for worker in host._executor.status().workers]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e3


def _rows(at_once: int, found: Timing, split: Split) -> list[Row]:
    row = partial(Row, subject=SUBJECT)
    told = [
        row(what=f"{at_once} in flight", value=found.per_s, unit="calls/s"),
        row(what=f"{at_once} in flight, p50", value=found.p50_us, unit="µs"),
        row(what=f"{at_once} in flight, p99", value=found.p99_us, unit="µs"),
    ]
    if at_once == max(AT_ONCE):
        told += [
            row(what=f"{at_once} in flight, CPU time of the host", value=found.cpu_us, unit="µs/call", bar=40),
            row(what=f"{at_once} in flight, CPU time of the worker", value=split.worker_us, unit="µs/call", bar=35),
        ]
    return told
