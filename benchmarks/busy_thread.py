"""Calls while another Python thread always wants the GIL: whoever lets go of it waits 5 ms to get it back."""

from __future__ import annotations

from functools import partial

from benchmarks import guests
from benchmarks.in_process import get
from benchmarks.measure import Scale, Timing, busy_threads, interleaved, timed
from benchmarks.report import Row

SUBJECT = "beside one busy Python thread in the process"


async def rows(scale: Scale) -> list[Row]:
    async with guests.open_host() as host:
        app = await guests.install(host, "forward", guests.forward())
        await guests.stored(host, app)
        one = get(host, app)

        async def beside() -> Timing:
            with busy_threads(1):
                return await timed(one, scale.calls)

        found = await interleaved({"alone": lambda: timed(one, scale.calls), "beside": beside}, scale.rounds)
    beside_it, alone = found["beside"], found["alone"]
    row = partial(Row, subject=SUBJECT)
    return [
        row(what="storage.get, p50", value=beside_it.p50_us, unit="µs", bar=100),
        row(what="storage.get, p99", value=beside_it.p99_us, unit="µs"),
        row(what="storage.get", value=beside_it.per_s, unit="calls/s"),
        row(what="rate as a share of the rate alone (a half is fair)", value=beside_it.per_s / alone.per_s, unit="×"),
    ]  # fmt: skip
