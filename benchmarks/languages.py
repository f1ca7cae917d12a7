"""One program in each language that the SDKs are for, in process: a handler that gives back the byte it is given.

The programs are those of tests/samples/codec, built and committed, and the same as a script. What differs is what each
SDK does of itself before and after a handler: reading the message, finding the method, writing the response. The one in
C has asked for room for responses of 128 KiB, which it maps anew in each sandbox. Timed in turn, in the same rounds, so
that what is told beside C holds whatever else the machine does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import guests
from benchmarks.bare_probe import BareProbe
from benchmarks.javascript import install as install_script
from benchmarks.measure import Scale, Timing, interleaved, timed
from benchmarks.report import Row
from runtime import App, Host, wire

SUBJECT: Final = "a handler that gives back one byte, fresh sandbox, in process, no host call: by language"
BUILT: Final = ("c", "zig", "rust", "assemblyscript")
TITLES: Final = {"c": "C", "zig": "Zig", "rust": "Rust", "assemblyscript": "AssemblyScript", "javascript": "JavaScript"}
BESIDE_C: Final = 1.2
"""What a language that is compiled ahead may cost, as a multiple of C."""
SCRIPT: Final = 'export default { "codec.echo": ({ bytes }) => ({ bytes }) };\n'
_CODEC: Final = Path(__file__).resolve().parents[1] / "tests" / "samples" / "codec"
_PARAMS: Final = {"bytes": b"\xc0"}
_MESSAGE: Final = wire.request(1, "session.info", {})


async def rows(scale: Scale) -> list[Row]:
    modules = {name: (_CODEC / name / "bundle" / "program.wasm").read_bytes() for name in BUILT}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        guests.compile_into(cache, modules.values())
        async with guests.open_host(cache_dir=cache) as host:
            apps = {name: await guests.install(host, name, wasm, grant=()) for name, wasm in modules.items()}
            apps["javascript"] = await install_script(host, "javascript", SCRIPT)
            for app in apps.values():
                if (given := await host.call(app, "codec.echo", _PARAMS)).value != _PARAMS:
                    raise RuntimeError(f"{app.app_id} answers {given}")
            probe = BareProbe(guests.forward())
            cases = {name: _case(host, app, scale.calls) for name, app in apps.items()}
            cases["probe"] = lambda: timed(lambda _: probe.call(_MESSAGE), scale.calls)
            found = await interleaved(cases, scale.rounds)
    return list(_rows(found))


def _case(host: Host, app: App, calls: int) -> Callable[[], Awaitable[Timing]]:
    return lambda: timed(lambda _: host.call(app, "codec.echo", _PARAMS), calls)


def _rows(found: dict[str, Timing]) -> list[Row]:
    row = partial(Row, subject=SUBJECT)
    c, told = found["c"], list[Row]()
    for name, title in TITLES.items():
        told.append(row(what=f"{title}, p50", value=found[name].p50_us, unit="µs"))
        told.append(row(what=f"{title}, CPU time of the process", value=found[name].cpu_us, unit="µs/call"))
        if name != "c":
            bar = BESIDE_C if name in BUILT else None
            told.append(row(what=f"{title} / C, p50", value=found[name].p50_us / c.p50_us, unit="×", bar=bar))
    probe = found["probe"]
    told.append(row(what="bare probe (one host call), CPU", value=probe.cpu_us, unit="µs/call"))
    return told
