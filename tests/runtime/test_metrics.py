"""Figures of calls: what is counted, what a program's window shows, what is bounded, and that labels are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import metrics as counted
from runtime.errors import Ending
from runtime.metrics import WINDOW_NS, Metrics, _percentile, _step, _upper_us, first
from runtime.receipt import Receipt, Usage
from runtime.testing import make_session


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def put(metrics: Metrics, app_id: str = "org.example.shop", ending: Ending = Ending.COMPLETED, **usage: int) -> None:
    receipt = Receipt(
        call_id="c",
        app_id=app_id,
        release="1",
        method="m",
        ending=ending,
        usage=Usage(**usage),  # type: ignore[arg-type]
    )
    metrics.ended(receipt, make_session(app_id=app_id))


def samples(metrics: Metrics) -> dict[str, float]:
    """`name{labels}` → value."""
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_calls_are_counted_by_ending_and_by_how_long_they_took() -> None:
    metrics = Metrics(now_ns=Clock())
    put(metrics, wall_us=100, cpu_us=40, host_calls=2, denials=1, message_in_bytes=30)
    put(metrics, wall_us=101, cpu_us=900_000, ending=Ending.CPU_EXCEEDED)
    put(metrics, wall_us=20_000_000)
    told = samples(metrics)
    assert told['hostel_calls_total{ending="completed"}'] == 2
    assert told['hostel_calls_total{ending="cpu_exceeded"}'] == 1
    assert sum(value for name, value in told.items() if name.startswith("hostel_calls_total")) == 3
    assert told['hostel_call_seconds_bucket{le="0.0001"}'] == 1
    assert told['hostel_call_seconds_bucket{le="0.00025"}'] == 2
    assert told['hostel_call_seconds_bucket{le="10.0"}'] == 2
    assert told['hostel_call_seconds_bucket{le="+Inf"}'] == told["hostel_call_seconds_count"] == 3
    assert told["hostel_call_seconds_sum"] == pytest.approx(20.000201)
    assert told['hostel_call_cpu_seconds_bucket{le="0.0001"}'] == 2
    assert (told["hostel_host_calls_total"], told["hostel_host_call_denials_total"]) == (2, 1)


def test_a_programs_row_is_its_last_whole_window() -> None:
    clock = Clock()
    metrics = Metrics(now_ns=clock)
    for n in range(50):
        put(metrics, wall_us=1_000 if n < 49 else 90_000, cpu_us=500, memory_bytes_peak=n, denials=n % 2)
    put(metrics, wall_us=1, ending=Ending.TRAPPED)
    (row,) = metrics.rows({"org.example.shop": 7})
    assert (row.calls_per_s, row.calls, row.calls_in_flight) == (0.0, 51, 7)
    clock.ns += WINDOW_NS
    (row,) = metrics.rows({})
    assert (row.calls_per_s, row.failed_per_s, row.cpu_us_per_s, row.denials_per_s) == (10.2, 0.2, 5_000.0, 5.0)
    assert 1_000 <= row.p50_us <= 1_127 and 90_000 <= row.p99_us <= 101_375 and row.memory_bytes == 49
    clock.ns += WINDOW_NS
    (row,) = metrics.rows({})
    assert (row.calls_per_s, row.p99_us, row.calls) == (0.0, 0, 51)


def test_a_window_with_nothing_in_it_is_not_the_one_before() -> None:
    clock = Clock()
    metrics = Metrics(now_ns=clock)
    put(metrics)
    clock.ns += 2 * WINDOW_NS
    put(metrics)
    assert metrics.rows({})[0].calls_per_s == 0.0


def test_programs_with_figures_are_bounded_and_the_idle_ones_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "PROGRAMS_KEPT", 3)
    metrics = Metrics(now_ns=Clock())
    for app_id in ("a", "b", "c", "a", "d"):
        put(metrics, app_id)
    assert {row.app_id for row in metrics.rows({})} == {"a", "c", "d"}
    assert metrics.calls_ended == 5


def test_no_program_is_a_label_unless_asked_for_and_then_so_many() -> None:
    clock = Clock()
    quiet, loud = Metrics(now_ns=clock), Metrics(now_ns=clock, label_programs=2)
    for metrics in (quiet, loud):
        for n in range(5):
            put(metrics, f"org.example.p{n}", cpu_us=100 * n)
    clock.ns += WINDOW_NS
    assert b"org.example" not in quiet.text()
    assert set(re.findall(rb"org\.example\.p\d", loud.text())) == {b"org.example.p4", b"org.example.p3"}


def test_rows_come_in_the_order_that_was_asked_for() -> None:
    clock = Clock()
    metrics = Metrics(now_ns=clock)
    for app_id, cpu_us, wall_us in (("a", 1, 900), ("b", 9, 10), ("c", 5, 50)):
        put(metrics, app_id, cpu_us=cpu_us, wall_us=wall_us)
    clock.ns += WINDOW_NS
    rows = metrics.rows({"c": 3})
    assert [row.app_id for row in first(rows, 2, "cpu_us_per_s")] == ["b", "c"]
    assert [row.app_id for row in first(rows, 3, "p99_us")] == ["a", "c", "b"]
    assert [row.app_id for row in first(rows, 3, "calls_in_flight")] == ["c", "a", "b"]


@given(st.integers(min_value=0, max_value=2**45))
def test_a_step_is_never_more_than_an_eighth_off(us: int) -> None:
    step = _step(us)
    assert us <= _upper_us(step) <= us + us // 8
    assert _step(us + 1) in (step, step + 1)


@given(st.lists(st.integers(min_value=0, max_value=10**7), min_size=1, max_size=200))
def test_percentiles_are_those_of_the_sorted_list_to_a_step(walls: list[int]) -> None:
    wall: dict[int, int] = {}
    for us in walls:
        wall[_step(us)] = wall.get(_step(us), 0) + 1
    for share in (0.5, 0.99):
        exact = sorted(walls)[max(0, -(-len(walls) * share // 1).__int__() - 1)]
        assert exact <= _percentile(wall, share) <= exact + exact // 8
