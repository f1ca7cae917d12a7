"""Programs that are scripts: an empty handler, what 20 KB of script and one host call cost beside it, and how much
memory a suspended sandbox takes. In process; memory in one of its own (`python -m benchmarks.javascript N CACHE`)."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio
import trio.testing

from benchmarks import guests
from benchmarks.measure import Scale, Timing, interleaved, resident_bytes, timed
from benchmarks.report import Row
from runtime import App, Bundle, Host
from runtime.bundle import pack_contents

SUBJECT = "JavaScript: fresh sandbox for every call, in process"
SMALL = """import { session } from "hostel";
export default { empty: () => ({}), info: () => session.info(), rest: () => session.sleep({ ms: 60_000 }) };
"""
LARGE = SMALL + "".join(
    f"export async function method{n}({{ x }}) {{ if (x > {n}) return {{ x, text: 'no {n}' }}; throw Error('no'); }}\n"
    for n in range(200)
)
"""As much script as a shop has."""


async def install(host: Host, name: str, source: str, **limits: int) -> App:
    manifest = {
        "app_id": f"org.example.{name}", "name": name, "version": {"name": "1", "code": 1},
        "program": {"script": "main.js"},
    }  # fmt: skip
    made = pack_contents({"manifest.json": json.dumps(manifest).encode(), "main.js": source.encode()})
    return await host.install(Bundle.from_bytes(made), limits={**guests.UNRATED, **limits}, allow_unsigned=True)


async def rows(scale: Scale) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return await _rows(scale, Path(folder))


async def _rows(scale: Scale, cache: Path) -> list[Row]:
    async with guests.open_host(cache_dir=cache) as host:
        small, large = await install(host, "small", SMALL), await install(host, "large", LARGE)
        wasm = await guests.install(host, "wasm", guests.forward())

        def case(app: App, method: str) -> Callable[[], Awaitable[Timing]]:
            return lambda: timed(lambda _: host.call(app, method, user=guests.USER), scale.calls)

        found = await interleaved(
            {
                "empty": case(small, "empty"), "large": case(large, "empty"), "info": case(small, "info"),
                "wasm": case(wasm, "session.info"),
            },
            scale.rounds,
        )  # fmt: skip
    done = await trio.run_process(
        [sys.executable, "-m", "benchmarks.javascript", str(max(8, scale.suspended // 10)), str(cache)],
        capture_stdout=True,
    )
    row = partial(Row, subject=SUBJECT)
    return [
        row(what="empty handler, p50", value=found["empty"].p50_us, unit="µs", bar=1_000),
        row(what="empty handler, p99", value=found["empty"].p99_us, unit="µs"),
        row(what="empty handler, CPU time of the process", value=found["empty"].cpu_us, unit="µs/call"),
        row(what=f"empty handler of {len(LARGE) // 1024} KiB of script, p50", value=found["large"].p50_us, unit="µs"),
        row(what="session.info, p50", value=found["info"].p50_us, unit="µs"),
        row(what="session.info by a program in C, p50", value=found["wasm"].p50_us, unit="µs"),
        row(what="memory of a suspended sandbox", value=json.loads(done.stdout) / 1024, unit="KiB"),
    ]


async def _measure(count: int, cache: Path) -> float:
    """Bytes for each of so many sandboxes that wait for the host."""
    many = {"calls_in_flight": count, "sandboxes": count, "live_memory_bytes": 1 << 40, "cpu_us": 10_000_000}
    async with guests.open_host(slots=count, cache_dir=cache) as host:
        app = await install(host, "small", SMALL, **many)
        await host.call(app, "empty")
        gc.collect()
        before = resident_bytes()
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(host.call, app, "rest")
            while host.statistics().sandboxes < count:
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            held = resident_bytes()
            nursery.cancel_scope.cancel()
        return (held - before) / count


if __name__ == "__main__":
    print(json.dumps(trio.run(_measure, int(sys.argv[1]), Path(sys.argv[2]))))
