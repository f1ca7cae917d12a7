"""The first call of a program whose module is not in memory: its artifact is read, authenticated and loaded."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks import guests
from benchmarks.bare_probe import BareProbe
from benchmarks.measure import One, Scale, interleaved, timed
from benchmarks.report import Row
from runtime import App, Bundle, Host, pack, wire

SUBJECT = "first call of a program not in memory, its artifact on disk (in the page cache)"
_MESSAGE = wire.request(1, "session.info", {})
_SAMPLE = Path(__file__).resolve().parents[1] / "sample_programs" / "grocery_delivery" / "bundle"


async def rows(scale: Scale) -> list[Row]:
    """Two programs and room for one: each call drops the other's module and loads its own."""
    shop, small = Bundle.from_bytes(pack(_SAMPLE)), guests.forward()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        guests.compile_into(cache, [small, shop.module])
        async with guests.open_host(cache_dir=cache, loaded_bytes_max=1) as host:
            forward = _calls(host, await guests.install(host, "forward", small), "session.info")
            app = await host.install(shop, grant=("storage", "payment"), limits=guests.UNRATED)
            grocery = _calls(host, app, "catalogue.list")
            calls, probe = scale.calls // 4, BareProbe(small)
            first = await interleaved(
                {
                    "forward": lambda: timed(forward, calls, before=grocery),
                    "grocery": lambda: timed(grocery, calls, before=forward),
                    "probe": lambda: timed(lambda _: probe.call(_MESSAGE), calls),
                },
                scale.rounds,
            )
        async with guests.open_host(cache_dir=cache) as host:
            app = await host.install(shop, grant=("storage", "payment"), limits=guests.UNRATED)
            grocery = _calls(host, app, "catalogue.list")
            later = await interleaved({"grocery": lambda: timed(grocery, calls)}, scale.rounds)
    row = partial(Row, subject=SUBJECT)
    return [
        row(what="a guest of 200 bytes, p50", value=first["forward"].p50_us / 1e3, unit="ms"),
        row(what="grocery_delivery (C, 28 KB), p50", value=first["grocery"].p50_us / 1e3, unit="ms", bar=1),
        row(what="grocery_delivery, p99", value=first["grocery"].p99_us / 1e3, unit="ms"),
        row(what="grocery_delivery, CPU time, p99", value=first["grocery"].cpu_p99_us / 1e3, unit="ms"),
        row(what="bare probe, p50 (62 µs where the bars were set)", value=first["probe"].p50_us, unit="µs"),
        row(what="grocery_delivery, when in memory, p50", value=later["grocery"].p50_us / 1e3, unit="ms"),
    ]  # fmt: skip


def _calls(host: Host, app: App, method: str) -> One:
    return lambda _: host.call(app, method, user=guests.USER)
