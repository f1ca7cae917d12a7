"""Calls through the daemon's socket into jailed workers: `hostel serve` as a process of its own, this one its client.

Each call is a fresh sandbox with one host call (storage.get of a cached key), all checks on. The client is a load
generator and no more: its frames are made before and differ in their number alone, of an answer it reads the number and
that there is no error, and it sends and reads once a wake-up. It takes a part of the two processors all the same, which
is told. CPU time is the kernel's, of the broker and of its workers, over the calls of the run. In the same rounds the
bare probe says what a sandbox costs on the machine at that time, and the bare daemon what three processes cost that
wake each other up.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks import guests, workerd
from benchmarks.bare_daemon import BareDaemon, bare_daemon
from benchmarks.bare_probe import BareProbe
from benchmarks.measure import Scale, quantile, timed
from benchmarks.report import Row
from runtime import wire
from runtime.control import frames
from runtime.daemon.wakefulness import DEVICE

SUBJECT: Final = "through the daemon: jailed worker, fresh sandbox, one host call"
IN_FLIGHT: Final = (1, 16, 64)
_MESSAGE: Final = wire.request(1, "storage.get", {"key": "k"})
_AWAKE: Final = "keep_awake_ms = 5\n"
RECV_BYTES: Final = 256 << 10
PROBE_US: Final = 62
"""The bare probe's CPU time where the bars were set: on a machine that is slower, a bar in its own time is as much
higher."""
ROUND_S: Final = 2.0
"""After which no call is begun in a round: on a machine that is busy with something else, it is shorter by calls."""
CONFIG: Final = """[host]
allow_unsigned = true
http = false
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One round at one number of calls in flight."""

    per_s: float
    p50_us: float
    p99_us: float
    broker_us: float
    workers_us: float
    client_us: float
    """CPU time a call."""


class Numbered:
    """One request, to be sent many times: what differs is its number, from FIRST on, all of which are as long."""

    FIRST: Final = 1 << 20

    def __init__(self, method: str, params: Mapping[str, Any]) -> None:
        framed = frames.frame(wire.request(self.FIRST, method, params))
        self._before, _, self._after = framed.partition(self.FIRST.to_bytes(4, "big"))

    def frame(self, number: int) -> bytes:
        return self._before + (self.FIRST + number).to_bytes(4, "big") + self._after

    def answered(self, message: bytes) -> int:
        """The number of the request that this answers. Raises RuntimeError where the answer is an error."""
        if message[:3] != b"\x94\x01\xce" or message[7] != 0xC0:
            raise RuntimeError(str(wire.decode_bounded_by_size(message)))
        return int.from_bytes(message[3:7], "big") - self.FIRST


class Line:
    """One control connection, frames by hand."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._reader = frames.FrameReader(frames.RESPONSE_BYTES_MAX)
        self._messages: Iterator[bytes] = iter(())

    def send(self, *messages: bytes) -> None:
        self.send_framed(b"".join(map(frames.frame, messages)))

    def send_framed(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> list[bytes]:
        """What came, at least one message."""
        while True:
            data = self._socket.recv(RECV_BYTES)
            if not data:
                raise ConnectionError("the daemon closed the connection")
            if found := list(self._reader.feed(data)):
                return found

    def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        self.send(wire.request(0, method, params))
        answer = frames.parse_answer(self.receive()[0])
        if not isinstance(answer, frames.Response) or answer.error is not None:
            raise RuntimeError(f"{method}: {answer}")
        return answer.result

    def close(self) -> None:
        self._socket.close()


class Daemon:
    """A served state directory, and its processes."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.socket = process, folder / "state" / "hostel.sock"
        self.line = Line(self.socket)

    def workers(self) -> list[int]:
        return [pid for pid in children(self.process.pid) if b"worker_process" in _command(pid)]

    def cpu_s(self) -> tuple[float, float]:
        """Of the broker, and of its workers."""
        return _cpu_s(self.process.pid), sum(map(_cpu_s, self.workers()))

    def memory_bytes(self) -> int:
        """Of all its processes, what they share counted once (PSS)."""
        return sum(_pss(pid) for pid in (self.process.pid, *children(self.process.pid)))


@contextmanager
def served(*, config: str = CONFIG) -> Iterator[Daemon]:
    with TemporaryDirectory() as named:
        folder = Path(named)
        (folder / "state").mkdir(mode=0o700)
        (folder / "hostel.toml").write_text(config)
        command = [sys.executable, "-m", "runtime.cli", "serve", "--config", str(folder / "hostel.toml")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*command, "--state", str(folder / "state")], stderr=log)
        try:
            for _ in range(300):
                if b'"ready"' in (folder / "log").read_bytes() or process.poll() is not None:
                    break
                time.sleep(0.1)
            try:
                daemon = Daemon(process, folder)
            except OSError:
                raise RuntimeError((folder / "log").read_text()) from None
            with closing(daemon.line):
                yield daemon
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                process.kill()


def measure(daemon: Daemon, app: str, count: int, at_once: int) -> Run:
    """`count` calls, or as many as are begun in ROUND_S, `at_once` at the least; always `at_once` of them in flight."""
    call = Numbered("call", {"app": app, "method": "storage.get", "params": {"key": "k"}, "user": guests.USER})
    began_at: dict[int, float] = {}
    took: list[float] = []
    clock, line, asked = time.perf_counter, daemon.line, at_once
    cpu, own = daemon.cpu_s(), time.process_time()
    began = now = clock()
    line.send_framed(b"".join(map(call.frame, range(at_once))))
    began_at.update(dict.fromkeys(range(at_once), now))
    until = began + ROUND_S
    while began_at:
        answers = line.receive()
        now = clock()
        out = []
        for message in answers:
            took.append(now - began_at.pop(call.answered(message)))
            if asked < count and now < until:
                out.append(call.frame(asked))
                began_at[asked] = now
                asked += 1
        if out:
            line.send_framed(b"".join(out))
    wall = clock() - began
    broker, workers = (after - before for after, before in zip(daemon.cpu_s(), cpu, strict=True))
    return Run(
        per_s=len(took) / wall, p50_us=quantile(took, 0.5) * 1e6, p99_us=quantile(took, 0.99) * 1e6,
        broker_us=broker / len(took) * 1e6, workers_us=workers / len(took) * 1e6,
        client_us=(time.process_time() - own) / len(took) * 1e6,
    )  # fmt: skip


def _installed(daemon: Daemon) -> str:
    """The program that is called, with what it is to read."""
    bundle = guests.archive("daemon", guests.forward(), asks=("storage",))
    given = {"grant": ["storage"], "limits": {**guests.UNRATED, "calls_in_flight": 1_024}}
    app_id = str(daemon.line.ask("install", {"bundle": bundle, **given})["app"]["app_id"])
    daemon.line.ask("call", {"app": app_id, "method": "storage.put", "user": guests.USER,
                             "params": {"key": "k", "value": "x" * 40}})  # fmt: skip
    return app_id


async def rows(scale: Scale) -> list[Row]:
    with served() as daemon, bare_daemon(guests.forward()) as bare:
        app_id = _installed(daemon)
        probe, probes = BareProbe(guests.forward()), list[float]()
        runs: dict[int, list[Run]] = {at_once: [] for at_once in IN_FLIGHT}
        bares: dict[int, list[tuple[float, float]]] = {at_once: [] for at_once in IN_FLIGHT}
        for number in range(scale.rounds + 1):
            for at_once in IN_FLIGHT:
                count = scale.calls if at_once == 1 else 8 * scale.calls
                run, bare_run = measure(daemon, app_id, count, at_once), _bare(bare, count, at_once)
                if number or scale.rounds == 1:
                    runs[at_once].append(run)
                    bares[at_once].append(bare_run)
                if at_once == 1:
                    probes.append((await timed(lambda _: probe.call(_MESSAGE), scale.calls)).cpu_us)
        rest = _at_rest(daemon) if scale.rounds > 1 else []
    medians = {at_once: _medians(found) for at_once, found in runs.items()}
    found = [*_rows(medians, median(probes)), *_beside_bare(medians, bares), *rest, *await _awake(scale)]
    return found if scale.rounds == 1 else [*found, *workerd.rows()]


async def _awake(scale: Scale) -> list[Row]:
    """Alone once more, where processors may be kept awake; beside the probe of the same rounds."""
    if not os.access(DEVICE, os.W_OK):
        return []
    with served(config=CONFIG + _AWAKE) as daemon:
        app_id, probe = _installed(daemon), BareProbe(guests.forward())
        took, probes = list[float](), list[float]()
        for _ in range(scale.rounds):
            took.append(measure(daemon, app_id, scale.calls, 1).p50_us)
            probes.append((await timed(lambda _: probe.call(_MESSAGE), scale.calls)).cpu_us)
    told = f"{SUBJECT}; {_AWAKE.strip()}"
    return [
        Row(subject=told, what="alone, p50", value=median(took), unit="µs", bar=260, floor=400),
        Row(subject=told, what="alone, p50 / bare probe", value=median(took) / median(probes), unit="×",
            bar=260 / PROBE_US, floor=400 / PROBE_US),
    ]  # fmt: skip


def _bare(daemon: BareDaemon, count: int, at_once: int) -> tuple[float, float]:
    """Calls a second, and p50 in µs."""
    per_s, took = daemon.measure(_MESSAGE, count, at_once)
    return per_s, quantile(took, 0.5) * 1e6


def _beside_bare(runs: Mapping[int, Run], bares: Mapping[int, list[tuple[float, float]]]) -> Iterator[Row]:
    per_s, alone_us = median(found[0] for found in bares[64]), median(found[1] for found in bares[1])
    yield Row(subject=SUBJECT, what="bare daemon, 64 in flight", value=per_s, unit="calls/s")
    yield Row(subject=SUBJECT, what="bare daemon, alone, p50", value=alone_us, unit="µs")
    yield Row(subject=SUBJECT, what="64 in flight / bare daemon", value=runs[64].per_s / per_s, unit="×")
    yield Row(subject=SUBJECT, what="alone, p50 / bare daemon", value=runs[1].p50_us / alone_us, unit="×")


def _at_rest(daemon: Daemon) -> list[Row]:
    time.sleep(2)
    before = sum(daemon.cpu_s())
    time.sleep(5)
    share = (sum(daemon.cpu_s()) - before) / 5 * 100
    return [
        Row(subject=SUBJECT, what="at rest, after the load: memory of all its processes (PSS)",
            value=daemon.memory_bytes() / (1 << 20), unit="MiB", bar=150),
        Row(subject=SUBJECT, what="at rest: CPU of all its processes", value=share, unit="%", bar=0.5),
    ]  # fmt: skip


def _rows(found: Mapping[int, Run], probe_us: float) -> Iterator[Row]:
    alone, busy = found[1], found[64]
    yield Row(subject=SUBJECT, what="64 in flight", value=busy.per_s, unit="calls/s", bar=15_000, floor=10_000,
              at_most=False)  # fmt: skip
    yield Row(subject=SUBJECT, what="64 in flight, p99", value=busy.p99_us / 1e3, unit="ms", bar=7)
    yield Row(subject=SUBJECT, what="16 in flight", value=found[16].per_s, unit="calls/s")
    yield Row(subject=SUBJECT, what="alone, p50", value=alone.p50_us, unit="µs", bar=260, floor=400)
    yield Row(subject=SUBJECT, what="alone, p99", value=alone.p99_us, unit="µs")
    yield Row(subject=SUBJECT, what="64 in flight, CPU in the broker", value=busy.broker_us, unit="µs/call")
    yield Row(subject=SUBJECT, what="64 in flight, CPU in the workers", value=busy.workers_us, unit="µs/call")
    yield Row(subject=SUBJECT, what="64 in flight, CPU in the client", value=busy.client_us, unit="µs/call")
    yield Row(subject=SUBJECT, what=f"bare probe in this process, CPU ({PROBE_US} where the bars were set)",
              value=probe_us, unit="µs/call")  # fmt: skip
    yield Row(subject=SUBJECT, what="broker and workers / bare probe, CPU",
              value=(busy.broker_us + busy.workers_us) / probe_us, unit="×")  # fmt: skip
    yield Row(subject=SUBJECT, what="64 in flight, calls in the time of one bare probe",
              value=busy.per_s * probe_us / 1e6, unit="×", bar=15_000 * PROBE_US / 1e6, floor=10_000 * PROBE_US / 1e6,
              at_most=False)  # fmt: skip
    yield Row(subject=SUBJECT, what="alone, p50 / bare probe", value=alone.p50_us / probe_us, unit="×",
              bar=260 / PROBE_US, floor=400 / PROBE_US)  # fmt: skip


def _medians(runs: list[Run]) -> Run:
    return Run(**{name: median(getattr(run, name) for run in runs) for name in Run.__slots__})


# ---- processes -------------------------------------------------------------------------------------------------------
def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss(pid: int) -> int:
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open() as rollup:
            return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    except OSError:
        return 0
