"""One call in a fresh sandbox with one host call, all checks on, beside what others do in the same rounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks import guests
from benchmarks.bare_probe import BareProbe
from benchmarks.measure import One, Scale, Timing, interleaved, timed
from benchmarks.others import Extism, PublicClasses
from benchmarks.report import Row
from runtime import App, Host, wire

SUBJECT = "in process: fresh sandbox, full checks, one host call"
OTHERS = "the same by others, in the same rounds"
AT_ONCE = 64
_MESSAGE = wire.request(1, "storage.get", {"key": "k"})
Case = Callable[[], Awaitable[Timing]]


def get(host: Host, app: App) -> One:
    return lambda _: host.call(app, "storage.get", {"key": "k"}, user=guests.USER)


async def rows(scale: Scale) -> list[Row]:
    wasm = guests.forward()
    async with guests.open_host() as host:
        app = await guests.install(host, "forward", wasm)
        await guests.stored(host, app)
        probe, public, extism = BareProbe(wasm), PublicClasses(wasm), Extism()

        def case(one: One, count: int, tasks: int = 1) -> Case:
            return lambda: timed(one, count, tasks=tasks)

        found = await interleaved(
            {
                "get": case(get(host, app), scale.calls),
                "info": case(lambda _: host.call(app, "session.info", user=guests.USER), scale.calls),
                "get64": case(get(host, app), scale.calls, AT_ONCE),
                "sleep64": case(lambda _: host.call(app, "session.sleep", {"ms": 0}), scale.calls, AT_ONCE),
                "probe": case(lambda _: probe.call(_MESSAGE), scale.calls),
                "public": case(lambda _: public.call(_MESSAGE), scale.calls // 4),
                "extism": case(lambda _: extism.fresh(_MESSAGE), scale.spins),
                "extism compiled": case(lambda _: extism.fresh_compiled(_MESSAGE), scale.calls // 4),
                "extism warm": case(lambda _: extism.warm(_MESSAGE), scale.calls),
            },
            scale.rounds,
        )
    return [*_ours(found), *_beside(found)]


def _ours(found: dict[str, Timing]) -> list[Row]:
    row = partial(Row, subject=SUBJECT)
    get, info, get64, sleep64 = (found[name] for name in ("get", "info", "get64", "sleep64"))
    return [
        row(what="storage.get of a cached key, p50", value=get.p50_us, unit="µs", bar=45, floor=60),
        row(what="storage.get, p99", value=get.p99_us, unit="µs"),
        row(what="storage.get, one core", value=get.per_s, unit="calls/s", bar=20_000, floor=14_000, at_most=False),
        row(what="storage.get, CPU time of the process", value=get.cpu_us, unit="µs/call"),
        row(what="session.info, p50", value=info.p50_us, unit="µs"),
        row(what="session.info, p99", value=info.p99_us, unit="µs"),
        row(what="session.info, one core", value=info.per_s, unit="calls/s"),
        row(what=f"storage.get by {AT_ONCE} tasks", value=get64.per_s, unit="calls/s"),
        row(what=f"storage.get by {AT_ONCE} tasks, p99", value=get64.p99_us, unit="µs"),
        row(what=f"{AT_ONCE} sandboxes suspended at once (session.sleep 0)", value=sleep64.per_s, unit="calls/s"),
    ]  # fmt: skip


def _beside(found: dict[str, Timing]) -> list[Row]:
    other = partial(Row, subject=OTHERS)
    ours, ours_cpu = found["get"].p50_us, found["get"].cpu_us
    extism, compiled = found["extism"].p50_us, found["extism compiled"].p50_us
    names = {
        "probe": "bare probe: pooled sandbox, suspended host call, no broker",
        "public": "wasmtime's public classes, Store + Linker + Instance a call",
        "extism": "Extism, fresh plugin a call from the module's bytes",
        "extism compiled": "Extism, fresh plugin a call, compiled once",
        "extism warm": "Extism, one warm plugin (memory shared between calls)",
    }
    told = [other(what=f"{what}, p50", value=found[name].p50_us, unit="µs") for name, what in names.items()]
    return [
        *told,
        other(what="hostel / bare probe", value=ours / found["probe"].p50_us, unit="×", bar=0.75),
        other(what="hostel / bare probe, CPU time", value=ours_cpu / found["probe"].cpu_us, unit="×"),
        other(what="Extism fresh plugin / hostel", value=extism / ours, unit="×", bar=20, at_most=False),
        other(what="Extism fresh plugin, compiled once / hostel", value=compiled / ours, unit="×"),
    ]  # fmt: skip
