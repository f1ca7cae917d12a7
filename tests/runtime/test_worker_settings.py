"""What an operator may ask of workers: every number at its bounds and one beyond; and how many sandboxes fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import UsageError
from runtime.worker_settings import _BOUNDS, MAPPINGS_EACH, MAPPINGS_KEPT, SLOTS_MOST, WorkerSettings, slots_that_fit

ROOM = {"count": 1, "processes": 4_096, "standing": ()}


@pytest.mark.parametrize("name", _BOUNDS)
def test_a_number_at_its_bounds_and_beyond_them(name: str) -> None:
    least, most = _BOUNDS[name]
    step = 1 if isinstance(least, int) else 0.01
    for value in (least, most):
        assert getattr(WorkerSettings(**{**ROOM, name: value}), name) == value  # type: ignore[arg-type]
    for value in (least - step, most + step, float("nan"), True, "1"):
        with pytest.raises(UsageError, match=f"^{name} = .*: must be from {least} to {most}$"):
            WorkerSettings(**{**ROOM, name: value})  # type: ignore[arg-type]


def test_without_a_word_there_is_a_worker_for_each_core_and_the_whole_jail_is_required() -> None:
    assert (WorkerSettings().count, WorkerSettings().require) == (os.cpu_count() or 1, "full")
    with pytest.raises(UsageError, match="require = 'ful': must be none, partial or full"):
        WorkerSettings(require="ful")  # type: ignore[arg-type]


def test_standing_workers_have_their_places() -> None:
    assert WorkerSettings(count=4, processes=8, standing=("reviewed", "unreviewed"))
    with pytest.raises(UsageError, match="processes = 7: less than count = 4 for each of 2 standing groups"):
        WorkerSettings(count=4, processes=7, standing=("reviewed", "unreviewed"))


def test_as_many_sandboxes_as_the_kernel_can_map() -> None:
    mappings = int(Path("/proc/sys/vm/max_map_count").read_text())
    slots = slots_that_fit()
    assert WorkerSettings().slots == slots
    assert slots == SLOTS_MOST or slots * MAPPINGS_EACH + MAPPINGS_KEPT <= mappings < (
        (slots + 1) * MAPPINGS_EACH + MAPPINGS_KEPT
    )
