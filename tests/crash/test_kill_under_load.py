"""kill -9 under load: whatever was acknowledged is there afterwards, nothing is half done, the same keys go on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from tests.crash.load import counts, killed_after, lost
from tests.crash.scale import LONG

RUNS = 50 if LONG else 5


@pytest.mark.slow
@pytest.mark.parametrize("run", range(RUNS))
def test_nothing_acknowledged_is_lost(run: int, tmp_path: Path) -> None:
    acknowledgements = random.Random(run).randrange(1, 1_500)
    told = killed_after(tmp_path / "state", acknowledgements)
    assert len(told) >= acknowledgements
    assert trio.run(lost, tmp_path / "state", told) == []
    print(f"killed after {len(told)} acknowledgements, 0 lost: {dict(counts(told))}")


def test_what_is_lost_would_be_noticed(tmp_path: Path) -> None:
    told = killed_after(tmp_path / "state", 100)
    other = killed_after(tmp_path / "other", 60)
    found = trio.run(lost, tmp_path / "state", [*told, *other])
    strange = [one for one in other if one.what in ("created", "refunded")]
    assert strange and all(f"lost: {one}" in found for one in strange)
