"""Many programs called in turn, each with its own module and data, against one of them called as often."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks import guests
from benchmarks.measure import Scale, interleaved, timed
from benchmarks.report import Row

SLOTS = 512


async def rows(scale: Scale) -> list[Row]:
    subject = f"{scale.programs} programs in turn, each with data, {SLOTS} slots"
    modules = [guests.forward(number) for number in range(scale.programs)]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        guests.compile_into(cache, modules)
        async with guests.open_host(cache_dir=cache, slots=SLOTS) as host:
            apps = [await guests.install(host, f"program{number}", wasm) for number, wasm in enumerate(modules)]
            found = await interleaved(
                {
                    "one": lambda: timed(lambda _: host.call(apps[0], "session.info"), scale.calls),
                    "all": lambda: timed(
                        lambda number: host.call(apps[number % len(apps)], "session.info"), scale.calls
                    ),
                },
                scale.rounds,
            )
    one, every = found["one"], found["all"]
    row = partial(Row, subject=subject)
    return [
        row(what="one program, p50", value=one.p50_us, unit="µs"),
        row(what="all in turn, p50", value=every.p50_us, unit="µs"),
        row(what="all in turn, p99", value=every.p99_us, unit="µs"),
        row(what="all in turn / one", value=every.p50_us / one.p50_us, unit="×", bar=1.15),
        row(what="all in turn / one, CPU time", value=every.cpu_us / one.cpu_us, unit="×"),
    ]
