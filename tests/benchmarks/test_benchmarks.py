"""The benchmarks still run: every subject once with tiny counts. No figure is looked at but for being one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

pytest.importorskip("extism", reason="the extra `bench` is not installed")

from benchmarks.__main__ import SUBJECTS
from benchmarks.measure import TINY, quantile
from benchmarks.report import Row, machine, write
from benchmarks.steps import profile


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_every_subject_gives_figures(subject: str) -> None:
    rows = await SUBJECTS[subject](TINY)
    assert rows
    for row in rows:
        assert math.isfinite(row.value), row
        assert row.verdict in ("", "met", "not met", "below the floor")
        assert (row.verdict == "") is (row.bar is None)


async def test_the_steps_of_a_call_are_still_those_of_the_host() -> None:
    steps, inside, call_us = await profile(3)
    assert call_us > 0
    assert steps["wasmtime: instantiate"] > 0
    assert set(inside) >= {"broker: answer, whole"}


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [
        (45, True, "met"),
        (46, True, "not met"),
        (61, True, "below the floor"),
        (60, False, "met"),
        (44, False, "below the floor"),
    ],
)
def test_a_verdict_follows_the_bar_and_the_floor(value: float, at_most: bool, verdict: str) -> None:
    bar, floor = (45, 60) if at_most else (60, 45)
    assert Row(subject="s", what="w", value=value, unit="µs", bar=bar, floor=floor, at_most=at_most).verdict == verdict


def test_quantiles() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile(range(100), 0.99) == 99
    assert quantile([7], 0.99) == 7


def test_a_run_is_written_with_its_machine(tmp_path: Path) -> None:
    row = Row(subject="s", what="w", value=1.5, unit="µs", bar=2)
    write(tmp_path / "run.json", [row], machine(tmp_path))
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["rows"] == [
        {
            "subject": "s",
            "what": "w",
            "value": 1.5,
            "unit": "µs",
            "bar": 2,
            "floor": None,
            "at_most": True,
            "verdict": "met",
        }
    ]
    assert {"cpu", "cores", "kernel", "python", "wasmtime", "filesystem"} <= set(told["machine"])
    assert told["date"]
