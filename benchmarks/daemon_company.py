"""The daemon with many guests, with bad ones, with new ones, and with none: through its socket, in jailed workers.

What lives here: sandboxes that are suspended by the thousand in one worker, a neighbour of programs that spin in every
worker, the first call of a program that no process has in memory, and a daemon that nobody has called yet. How a daemon
is started and spoken to is daemon.py's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from benchmarks import guests
from benchmarks.bare_probe import BareProbe
from benchmarks.daemon import CONFIG, Daemon, Line, served
from benchmarks.measure import Scale, quantile, timed
from benchmarks.report import Row
from runtime import wire
from runtime.bundle import pack_contents

SUSPENDED: Final = 10_000
SPINNERS: Final = 8
GAP_S: Final = 0.004
REST_S: Final = 5.0
SLEEP_MS: Final = 60_000
_ONE_WORKER: Final = f"""[workers]
count = 1
loaded_bytes = {1 << 20}
[control]
outstanding = {2 * SUSPENDED}
outstanding_all = {2 * SUSPENDED}
"""
_LITTLE_KEPT: Final = "loaded_bytes_max = 1\nprograms_in_memory = 1\n"
TURN_PROGRAMS: Final = 12
"""Of each size, called in turn: more than a worker has room for, so it has dropped each when it is called again."""
_SAMPLE: Final = Path(__file__).resolve().parents[1] / "sample_programs" / "grocery_delivery" / "bundle"
_MESSAGE: Final = wire.request(1, "session.info", {})
_INFO: Final = {"method": "session.info", "user": guests.USER}


async def rows(scale: Scale) -> list[Row]:
    found: list[Row] = []
    with served() as daemon:
        found += _at_rest(daemon, REST_S if scale.rounds > 1 else 0.1)
        found += await _in_company(daemon, scale)
    with served(config=CONFIG + _LITTLE_KEPT + _ONE_WORKER) as daemon:
        found += await _first_calls(daemon, scale)
        found += _suspended(daemon, SUSPENDED if scale.rounds > 1 else scale.suspended)
    return found


def _install(line: Line, name: str, wasm: bytes, **limits: int) -> str:
    given = {"grant": [], "limits": {**guests.UNRATED, **limits}}
    told = line.ask("install", {"bundle": guests.archive(name, wasm, asks=()), **given})
    return str(told["app"]["app_id"])


# ---- nobody ----------------------------------------------------------------------------------------------------------
def _at_rest(daemon: Daemon, seconds: float) -> Iterator[Row]:
    subject = "the daemon right after its start, before any call"
    time.sleep(seconds / 2)
    before = sum(daemon.cpu_s())
    time.sleep(seconds)
    share = (sum(daemon.cpu_s()) - before) / seconds * 100
    yield Row(subject=subject, what="memory of all its processes (PSS)", value=daemon.memory_bytes() / (1 << 20),
              unit="MiB", bar=150)  # fmt: skip
    yield Row(subject=subject, what="CPU of broker and workers", value=share, unit="%", bar=0.5)


# ---- beside programs that spin ---------------------------------------------------------------------------------------
async def _in_company(daemon: Daemon, scale: Scale) -> list[Row]:
    good = _install(daemon.line, "good", guests.forward())
    bad = [
        _install(daemon.line, f"bad{number}", guests.spin(), cpu_us=600_000_000, wall_ms=3_600_000)
        for number in range(SPINNERS)
    ]
    probe = BareProbe(guests.forward())
    took: dict[str, list[list[float]]] = {"alone": [], "beside": []}
    probes: list[float] = []
    began, ours, others = time.perf_counter(), _own_cpu_s(daemon), _all_cpu_s()
    for _ in range(scale.rounds):
        probes.append((await timed(lambda _: probe.call(_MESSAGE), scale.calls)).cpu_us)
        took["alone"].append(_due_to_answered_us(daemon.line, good, scale.calls))
        with _spinning(daemon, bad):
            took["beside"].append(_due_to_answered_us(daemon.line, good, scale.calls))
    others = _all_cpu_s() - others - (_own_cpu_s(daemon) - ours)
    share = others / (time.perf_counter() - began) / (os.cpu_count() or 1) * 100
    return list(_company_rows(took["alone"], took["beside"], median(probes), share))


@contextmanager
def _spinning(daemon: Daemon, apps: list[str]) -> Iterator[None]:
    """One call of each spins; ended with the connection they came over."""
    line = Line(daemon.socket)
    line.send(*(wire.request(number, "call", {**_INFO, "app": app}) for number, app in enumerate(apps)))
    _until(lambda: _sandboxes(daemon) == len(apps))
    try:
        yield
    finally:
        line.close()
        _until(lambda: not _sandboxes(daemon))


def _due_to_answered_us(line: Line, app: str, count: int) -> list[float]:
    """A call is due every GAP_S, whenever the one before it was answered: waiting for a turn counts."""
    took = []
    due = time.perf_counter() + GAP_S
    for _ in range(count):
        time.sleep(max(0.0, due - time.perf_counter()))
        line.ask("call", {**_INFO, "app": app})
        now = time.perf_counter()
        took.append((now - due) * 1e6)
        due = max(due, now - GAP_S) + GAP_S
    return took


def _company_rows(alone: list[list[float]], beside: list[list[float]], probe_us: float, others: float) -> Iterator[Row]:
    subject = f"a call every {GAP_S * 1e3:.0f} ms, from due to answered, beside {SPINNERS} spinning programs"
    found = {
        f"{name}, {title}": median(quantile(run, q) for run in runs)
        for name, runs in (("alone", alone), ("in company", beside))
        for title, q in (("p50", 0.5), ("p99", 0.99))
    }
    for what, value in found.items():
        yield Row(subject=subject, what=what, value=value, unit="µs")
    yield Row(subject=subject, what="p99 in company / alone", value=found["in company, p99"] / found["alone, p99"],
              unit="×", bar=3)  # fmt: skip
    yield Row(subject=subject, what="bare probe in this process, CPU (62 where the bars were set)", value=probe_us,
              unit="µs/call")  # fmt: skip
    yield Row(subject=subject, what="taken by other processes of the machine meanwhile", value=others, unit="%")


# ---- a program that is new -------------------------------------------------------------------------------------------
async def _first_calls(daemon: Daemon, scale: Scale) -> list[Row]:
    """Programs in turn and room for one, and for few of their modules: each call makes the daemon forget another."""
    line, turn = daemon.line, min(TURN_PROGRAMS, scale.calls)
    shops = [_install_shop(line, number) for number in range(turn)]
    small = [_install(line, f"small{number}", guests.forward(number)) for number in range(turn)]
    ask = {"grocery_delivery (C, 28 KB)": (shops, "catalogue.list"), "a guest of 200 bytes": (small, "session.info")}
    took: dict[str, list[float]] = {name: [] for name in ask}
    again, probe, probes = [], BareProbe(guests.forward()), list[float]()
    for _ in range(scale.rounds):
        probes.append((await timed(lambda _: probe.call(_MESSAGE), scale.calls)).cpu_us)
        for number in range(scale.calls // 4):
            for name, (apps, method) in ask.items():
                took[name].append(_call_ms(line, apps[number % turn], method))
            again.append(_call_ms(line, small[number % turn], "session.info"))
    return list(_first_rows(took, again, median(probes)))


def _install_shop(line: Line, number: int) -> str:
    """The shop under another name, its module told apart by a section that nobody reads."""
    files = [path for path in _SAMPLE.rglob("*") if path.is_file()]
    contents = {path.relative_to(_SAMPLE).as_posix(): path.read_bytes() for path in files}
    manifest = msgspec.json.decode(contents["manifest.json"])
    manifest["app_id"] = f"org.example.shop{number}"
    module, section = manifest["program"]["module"], f"\x06number{number:04}".encode()
    contents["manifest.json"] = msgspec.json.encode(manifest)
    contents[module] += bytes((0, len(section))) + section
    given = {"grant": ["storage", "payment"], "limits": guests.UNRATED}
    return str(line.ask("install", {"bundle": pack_contents(contents), **given})["app"]["app_id"])


def _first_rows(took: Mapping[str, list[float]], again: list[float], probe_us: float) -> Iterator[Row]:
    subject = "first call of a program that no process has in memory, through the daemon; artifact on disk (page cache)"
    for name, times in took.items():
        bar = 1 if name.startswith("grocery") else None
        yield Row(subject=subject, what=f"{name}, p50", value=quantile(times, 0.5), unit="ms", bar=bar)
        yield Row(subject=subject, what=f"{name}, p99", value=quantile(times, 0.99), unit="ms")
    yield Row(subject=subject, what="a guest of 200 bytes, its second call, p50", value=quantile(again, 0.5), unit="ms")
    yield Row(subject=subject, what="bare probe in this process, CPU (62 where the bars were set)", value=probe_us,
              unit="µs/call")  # fmt: skip


def _call_ms(line: Line, app: str, method: str) -> float:
    began = time.perf_counter()
    line.ask("call", {"app": app, "method": method, "user": guests.USER})
    return (time.perf_counter() - began) * 1e3


# ---- very many that wait ---------------------------------------------------------------------------------------------
def _suspended(daemon: Daemon, count: int) -> Iterator[Row]:
    many = {"calls_in_flight": count, "sandboxes": count, "live_memory_bytes": 1 << 40, "wall_ms": 600_000}
    app = _install(daemon.line, "sleeper", guests.forward(), **many)
    daemon.line.ask("call", {**_INFO, "app": app})
    (worker,) = daemon.workers()
    line = Line(daemon.socket)
    sleep = {"app": app, "method": "session.sleep", "params": {"ms": SLEEP_MS}, "user": guests.USER}
    before, broker_before = _memory(worker), _memory(daemon.process.pid)
    began = time.perf_counter()
    line.send(*(wire.request(number, "call", sleep) for number in range(count)))
    _until(lambda: _sandboxes(daemon) == count and _is_idle(daemon))
    seconds = time.perf_counter() - began
    after, broker_after = _memory(worker), _memory(daemon.process.pid)
    line.close()
    subject = f"{count} sandboxes suspended in a host call in one worker, the first time"
    for what, value, bar in (
        ("memory of the worker (RSS), each", after["VmRSS"] - before["VmRSS"], 32),
        ("its page tables, each", after["VmPTE"] - before["VmPTE"], None),
        ("memory of the broker (RSS), each", broker_after["VmRSS"] - broker_before["VmRSS"], None),
    ):
        yield Row(subject=subject, what=what, value=value / count, unit="KiB", bar=bar)
    yield Row(subject=subject, what="until all of them were", value=seconds, unit="s")


def _memory(pid: int) -> Mapping[str, int]:
    """KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


# ---- what the daemon does --------------------------------------------------------------------------------------------
def _sandboxes(daemon: Daemon) -> int:
    return int(daemon.line.ask("statistics", {})["statistics"]["sandboxes"])


def _is_idle(daemon: Daemon) -> bool:
    """Broker and workers have nothing to do: each sandbox it counts waits for a host call that waits."""
    before = sum(daemon.cpu_s())
    time.sleep(0.3)
    return sum(daemon.cpu_s()) - before < 0.02


def _own_cpu_s(daemon: Daemon) -> float:
    return sum(daemon.cpu_s()) + time.process_time()


def _all_cpu_s() -> float:
    """What all processors of the machine were busy for."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        if time.monotonic() > until:
            raise RuntimeError("the daemon does not come to what is waited for")
        time.sleep(0.01)
