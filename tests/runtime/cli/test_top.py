"""`hostel top` on a terminal: what there is room for."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from runtime.cli.top import drawn
from runtime.statistics import HostStatistics, HostStatus, ProgramFigures, Top, WorkerFigures


def told(programs: int, workers: int) -> Top:
    statistics = HostStatistics(
        programs=programs, calls_in_flight=0, calls_queued=0, sandboxes=0, slots=1, prompts_open=0, fetches=0,
        ticker="signal", sandbox_level="full",
    )  # fmt: skip
    status = HostStatus(
        version="1", now_us=0, up_us=0, ready=True, draining=False, statistics=statistics, placement="worker",
        workers=tuple(
            WorkerFigures(pid=100 + n, group="g", state="ready", calls=1, resident_bytes=1 << 20, restarts=0)
            for n in range(workers)
        ),
        resident_bytes=0, calls_ended=7, commits=0, writes=0, journal=None,
    )  # fmt: skip
    rows = tuple(
        ProgramFigures(
            app_id=f"org.example.p{n}", calls_per_s=0.0, failed_per_s=0.0, cpu_us_per_s=0.0, p50_us=0, p99_us=0,
            memory_bytes=0, denials_per_s=0.0, calls_in_flight=0, calls=7, cpu_us=1_500_000,
        )
        for n in range(programs)
    )  # fmt: skip
    return Top(status=status, calls_per_s=0.0, cpu_us_per_s=0.0, programs=rows)


def lines(programs: int, workers: int, height: int, width: int = 160, by: str = "") -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(drawn(told(programs, workers), console, by))
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("height", [12, 18, 24, 30, 60])
@pytest.mark.parametrize("programs", [1, 6, 20])
@pytest.mark.parametrize("workers", [0, 2, 40])
def test_a_picture_fits_the_screen_and_has_programs_first(height: int, programs: int, workers: int) -> None:
    found = lines(programs, workers, height)
    assert len(found) <= height
    assert any(line.startswith("org.example.p0") for line in found)
    assert found[-1].startswith(f"{workers} workers, {workers} ready") is (workers > 0)


def test_workers_are_cut_to_the_room_that_programs_leave() -> None:
    assert sum(" g " in line for line in lines(1, 2, 40)) == 2
    assert sum(" g " in line for line in lines(1, 40, 24)) == 24 - 4 - (4 + 1) - 4 - 1
    assert not any(" g " in line for line in lines(1, 40, 14))


def test_totals_stand_beside_the_rates() -> None:
    text = "\n".join(lines(1, 0, 24))
    assert "last 5 s: 0.0 calls/s" in text and "7 calls in all" in text and "all calls" in text and " 1.50" in text


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_a_narrow_screen_has_fewer_columns_and_no_half_figures(width: int) -> None:
    found = lines(2, 2, 30, width)
    [head] = [line for line in found if line.startswith("program")]
    assert "…" not in "".join(found)
    assert "calls/s" in head and "p99 ms" in head and "cpu %" in head
    assert ("all cpu s" in head) is (width > 120)


def test_the_column_that_programs_are_in_order_of_is_there_on_any_screen() -> None:
    assert not any("denials/s" in line for line in lines(2, 2, 30, 80))
    assert any("denials/s" in line for line in lines(2, 2, 30, 80, by="denials_per_s"))
