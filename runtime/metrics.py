"""What the calls of a host cost, counted: for `/metrics`, and by program for `hostel top`.

What lives here: plain numbers that grow, and how they become Prometheus' text. The path of a call adds whole numbers,
no lock and no label; what is looked up elsewhere (workers, queues, the store) is asked when somebody looks. No label
has values without bound: programs are labels only where an operator says how many of them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from runtime.errors import Ending
from runtime.receipt import Receipt
from runtime.session import CallSession
from runtime.statistics import ProgramFigures

PROGRAMS_KEPT: Final = 1_024
"""Programs with figures of their own, the least recently called of which go first."""
WINDOW_NS: Final = 5_000_000_000
"""What `hostel top` shows of a program: the last whole window."""
SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms; one more has no bound."""
_MICROSECONDS: Final = tuple(round(bound * 1e6) for bound in SECONDS)

Figures = Callable[[], Iterable[Metric]]
"""Metrics of a part that keeps its own numbers, made when somebody looks."""


class _Window:
    """One program's calls of one stretch of time."""

    __slots__ = ("calls", "cpu_us", "denials", "failed", "memory_bytes", "wall")

    def __init__(self) -> None:
        self.calls = self.cpu_us = self.denials = self.failed = self.memory_bytes = 0
        self.wall: dict[int, int] = {}
        """Step of `_step` → calls that took so long."""


class _Program:
    """One program's figures: the window that is under way, the one before, and sums."""

    __slots__ = ("before", "calls", "cpu_us", "denials", "now", "since_ns")

    def __init__(self, now_ns: int) -> None:
        self.calls = self.cpu_us = self.denials = 0
        self.now, self.before, self.since_ns = _Window(), _Window(), now_ns

    def turn(self, now_ns: int) -> None:
        """To the window that `now_ns` is in."""
        passed = (now_ns - self.since_ns) // WINDOW_NS
        if passed > 0:
            self.before = self.now if passed == 1 else _Window()
            self.now = _Window()
            self.since_ns += passed * WINDOW_NS


class Metrics:
    """The figures of one host. Used from the trio thread only."""

    def __init__(self, *, now_ns: Callable[[], int] = time.monotonic_ns, label_programs: int = 0) -> None:
        """`label_programs`: so many programs, the busiest, are told apart by a label."""
        self._now_ns, self._label_programs = now_ns, label_programs
        self._endings: dict[Ending, int] = dict.fromkeys(Ending, 0)
        self._wall, self._cpu = [0] * (len(SECONDS) + 1), [0] * (len(SECONDS) + 1)
        self._wall_us = self._cpu_us = self._host_calls = self._denials = self._at_limit = self._log_cut = 0
        self._bytes_in = self._bytes_out = 0
        self._programs: OrderedDict[str, _Program] = OrderedDict()
        self._others: list[Figures] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(self))

    def ended(self, receipt: Receipt, session: CallSession) -> None:
        """A call ended: an observer of `Calls`. About 2 µs."""
        usage = receipt.usage
        wall_us, cpu_us, denials = usage.wall_us, usage.cpu_us, usage.denials
        self._endings[receipt.ending] += 1
        self._wall[bisect_left(_MICROSECONDS, wall_us)] += 1
        self._cpu[bisect_left(_MICROSECONDS, cpu_us)] += 1
        self._wall_us += wall_us
        self._cpu_us += cpu_us
        self._host_calls += usage.host_calls
        self._denials += denials
        self._at_limit += usage.memory_at_limit
        self._log_cut += usage.log_cut
        self._bytes_in += usage.message_in_bytes
        self._bytes_out += usage.message_out_bytes
        program = self._program(receipt.app_id)
        program.calls += 1
        program.cpu_us += cpu_us
        program.denials += denials
        window = program.now
        window.calls += 1
        window.cpu_us += cpu_us
        window.denials += denials
        window.failed += receipt.ending is not Ending.COMPLETED
        if usage.memory_bytes_peak > window.memory_bytes:
            window.memory_bytes = usage.memory_bytes_peak
        step = _step(wall_us)
        window.wall[step] = window.wall.get(step, 0) + 1

    def _program(self, app_id: str) -> _Program:
        now_ns = self._now_ns()
        program = self._programs.get(app_id)
        if program is None:
            program = self._programs[app_id] = _Program(now_ns)
            if len(self._programs) > PROGRAMS_KEPT:
                self._programs.popitem(last=False)
            return program
        self._programs.move_to_end(app_id)
        if now_ns - program.since_ns >= WINDOW_NS:
            program.turn(now_ns)
        return program

    def also(self, figures: Figures) -> None:
        """Show what another part counts, too."""
        self._others.append(figures)

    def text(self) -> bytes:
        """The page of `/metrics`, in Prometheus' text format."""
        return generate_latest(self._registry)

    @property
    def calls_ended(self) -> int:
        return sum(self._endings.values())

    def rows(self, in_flight: Mapping[str, int]) -> list[ProgramFigures]:
        """Every program with figures of its own. `in_flight`: how many calls of each are under way."""
        now_ns = self._now_ns()
        return [_figures(app_id, program, now_ns, in_flight.get(app_id, 0)) for app_id, program in
                self._programs.items()]  # fmt: skip

    def families(self) -> Iterator[Metric]:
        """Everything counted here, and by the others."""
        calls = CounterMetricFamily("hostel_calls", "Calls that ended, by how.", labels=["ending"])
        for ending, count in self._endings.items():
            calls.add_metric([ending.value], count)
        yield calls
        yield _histogram("hostel_call_seconds", "From admission to the answer.", self._wall, self._wall_us)
        yield _histogram("hostel_call_cpu_seconds", "CPU time of the guest.", self._cpu, self._cpu_us)
        for name, told, value in (
            ("hostel_host_calls", "Requests of guests to the host.", self._host_calls),
            ("hostel_host_call_denials", "Requests of guests that were answered with an error.", self._denials),
            ("hostel_calls_at_memory_limit", "Calls that ended with no room for one more page.", self._at_limit),
            ("hostel_calls_log_cut", "Calls whose log was cut.", self._log_cut),
            ("hostel_message_in_bytes", "Bytes of messages to guests.", self._bytes_in),
            ("hostel_message_out_bytes", "Bytes of guests' answers.", self._bytes_out),
        ):
            yield CounterMetricFamily(name, told, value=value)
        yield GaugeMetricFamily("hostel_programs_seen", "Programs with figures of their own.", len(self._programs))
        if self._label_programs:
            yield from self._of_programs()
        for figures in self._others:
            yield from figures()

    def _of_programs(self) -> Iterator[Metric]:
        busiest = first(self.rows({}), self._label_programs, "cpu_us_per_s")
        for name, told, pick in (
            ("hostel_program_calls_per_second", "Calls of the busiest programs.", "calls_per_s"),
            ("hostel_program_failed_per_second", "Those that did not complete.", "failed_per_s"),
            ("hostel_program_cpu_ratio", "CPU time of the busiest programs, in cores.", "cpu_us_per_s"),
            ("hostel_program_denials_per_second", "Requests answered with an error.", "denials_per_s"),
            ("hostel_program_call_p99_seconds", "99 of 100 calls were shorter.", "p99_us"),
        ):
            scale = 1e-6 if pick.endswith(("cpu_us_per_s", "p99_us")) else 1.0
            family = GaugeMetricFamily(name, told, labels=["app_id"])
            for row in busiest:
                family.add_metric([row.app_id], getattr(row, pick) * scale)
            yield family


def first(rows: Iterable[ProgramFigures], at_most: int, by: str) -> list[ProgramFigures]:
    """The `at_most` first by one of their figures."""
    return sorted(rows, key=lambda row: (-getattr(row, by), row.app_id))[:at_most]


class _Collector:
    """What the registry asks; made anew each time it does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.families()


def _histogram(name: str, told: str, counts: Sequence[int], sum_us: int) -> Metric:
    buckets, total = [], 0
    for bound, count in zip((*map(str, SECONDS), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return HistogramMetricFamily(name, told, buckets=buckets, sum_value=sum_us / 1e6)


# ---- percentiles: steps of an eighth of an octave --------------------------------------------------------------------
def _step(us: int) -> int:
    """Times of one step differ by an eighth at most."""
    if us < 16:
        return us
    shift = us.bit_length() - 4
    return 8 * shift + (us >> shift)


def _upper_us(step: int) -> int:
    """The longest time of that step."""
    if step < 16:
        return step
    shift = step // 8 - 1
    return (step % 8 + 9 << shift) - 1


def _percentile(wall: Mapping[int, int], share: float) -> int:
    wanted = share * sum(wall.values())
    for step in sorted(wall):
        wanted -= wall[step]
        if wanted <= 0:
            return _upper_us(step)
    return 0


def _figures(app_id: str, program: _Program, now_ns: int, in_flight: int) -> ProgramFigures:
    program.turn(now_ns)
    window, seconds = program.before, WINDOW_NS / 1e9
    return ProgramFigures(
        app_id=app_id, calls_per_s=window.calls / seconds, failed_per_s=window.failed / seconds,
        cpu_us_per_s=window.cpu_us / seconds, p50_us=_percentile(window.wall, 0.5),
        p99_us=_percentile(window.wall, 0.99), memory_bytes=window.memory_bytes,
        denials_per_s=window.denials / seconds, calls_in_flight=in_flight, calls=program.calls, cpu_us=program.cpu_us,
    )  # fmt: skip
