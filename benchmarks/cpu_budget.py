"""A guest that never ends: by how much it goes over its CPU budget, and what its neighbours notice of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import trio

from benchmarks import guests
from benchmarks.measure import REST_S, Scale, busy_processes, busy_threads, quantile
from benchmarks.report import Row
from runtime import App, Host, QuotaExceeded

SUBJECT = "a guest over its CPU budget of 5 ms"
NEIGHBOUR = "a neighbour's call, one every 2 ms, from due to answered"
BUDGET_US = 5_000
GAP_S = 0.002
THREADS = 8
COMPANY_S = 3.0
"""Beside many busy threads one call can take seconds: so long a round lasts at most, or one call."""

_BARS: dict[str, tuple[float, float | None]] = {"quiet": (1, 2), "threads": (5, None), "processes": (1, 2)}
_TITLES = {
    "quiet": "quiet",
    "threads": f"beside {THREADS} busy Python threads",
    "processes": "both cores taken by other processes",
}


async def rows(scale: Scale) -> list[Row]:
    around: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "quiet": contextlib.nullcontext,
        "threads": lambda: busy_threads(THREADS),
        "processes": lambda: busy_processes(os.cpu_count() or 1),
    }
    async with guests.open_host() as host:
        spinner = await guests.install(host, "spinner", guests.spin(), limits={"cpu_us": BUDGET_US, "wall_ms": 60_000})
        neighbour = await guests.install(host, "forward", guests.forward())
        over: dict[str, list[float]] = {name: [] for name in around}
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(scale.rounds):
            for name, company in around.items():
                await trio.sleep(REST_S)
                with company():
                    over[name] += await _overshoots_ms(host, spinner, scale.spins)
            alone += await _due_to_answered_us(host, neighbour, scale.calls // 10 + 1)
            beside += await _beside_spinner(host, neighbour, spinner, scale.calls // 10 + 1)
    p99, p99_beside = quantile(alone, 0.99), quantile(beside, 0.99)
    neighbours = partial(Row, subject=NEIGHBOUR)
    return [
        *(one for name in around for one in _overshoot_rows(name, over[name])),
        neighbours(what="alone, p99", value=p99, unit="µs"),
        neighbours(what="beside a spinning guest, p50", value=quantile(beside, 0.5), unit="µs"),
        neighbours(what="beside a spinning guest, p99", value=p99_beside, unit="µs"),
        neighbours(what="p99 beside / alone", value=p99_beside / p99, unit="×", bar=3),
    ]


def _overshoot_rows(name: str, over: list[float]) -> list[Row]:
    bar, floor = _BARS[name]
    row = partial(Row, subject=SUBJECT)
    title = f"overshoot, {_TITLES[name]}"
    return [
        row(what=f"{title}, p50", value=quantile(over, 0.5), unit="ms of CPU"),
        row(what=f"{title}, p99", value=quantile(over, 0.99), unit="ms of CPU", bar=bar, floor=floor),
        row(what=f"{title}, max", value=max(over), unit="ms of CPU"),
    ]


async def _spin(host: Host, app: App) -> int:
    """CPU time billed, in µs."""
    try:
        await host.call(app, "spin")
    except QuotaExceeded as ended:
        if ended.receipt is None:
            raise
        return ended.receipt.usage.cpu_us
    raise RuntimeError("a guest that never ends has answered")


async def _overshoots_ms(host: Host, app: App, count: int) -> list[float]:
    """At least one, and no more than fit into COMPANY_S."""
    found: list[float] = []
    until = trio.current_time() + COMPANY_S
    while len(found) < count and (not found or trio.current_time() < until):
        found.append((await _spin(host, app) - BUDGET_US) / 1e3)
    return found


async def _due_to_answered_us(host: Host, app: App, count: int) -> list[float]:
    """A call is due every GAP_S, whenever the one before it was answered: waiting for a turn counts."""
    took = []
    due = trio.current_time() + GAP_S
    for _ in range(count):
        await trio.sleep_until(due)
        await host.call(app, "session.info", user=guests.USER)
        took.append((trio.current_time() - due) * 1e6)
        due = max(due, trio.current_time() - GAP_S) + GAP_S
    return took


async def _beside_spinner(host: Host, neighbour: App, spinner: App, count: int) -> list[float]:
    async def spin_on() -> None:
        while True:
            await _spin(host, spinner)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(spin_on)
        took = await _due_to_answered_us(host, neighbour, count)
        nursery.cancel_scope.cancel()
    return took
