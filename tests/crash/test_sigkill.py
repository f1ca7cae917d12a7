"""A host killed by the kernel at any point of any operation, on the file store: reopened, it is whole, and goes on."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.store import open_store
from runtime.testing import VirtualClock
from tests.crash.mortal import Mortal, play
from tests.crash.points import Points
from tests.crash.scale import LONG
from tests.crash.scenes import SCENES, dump
from tests.simulator.world import findings

POINTS_OF_EACH = 4
"""Besides those around each commit."""


@pytest.fixture(scope="module")
def mortal() -> Iterator[Mortal]:
    process = Mortal()
    yield process
    process.close()


async def contents(state: Path) -> Any:
    async with open_store(state, VirtualClock()) as store:
        assert store.read(findings) == []
        return store.read(dump)


def chosen(passed: list[str]) -> list[int]:
    """Which points to die at, from 1."""
    everywhere = range(1, len(passed) + 1)
    if LONG:
        return list(everywhere)
    commits = {at for at in everywhere if passed[at - 1].endswith("COMMIT")}
    return sorted(commits | set(random.Random(len(passed)).sample(everywhere, min(POINTS_OF_EACH, len(passed)))))


@pytest.mark.parametrize("name", SCENES)
def test_a_host_killed_anywhere_is_whole_and_goes_on(name: str, mortal: Mortal, tmp_path: Path) -> None:
    before = tmp_path / "before"
    trio.run(lambda: play(name, 0, before, Points(), prepare=True))
    states = [trio.run(contents, before)]
    shutil.copytree(before, tmp_path / "clean")
    ended, passed = mortal.play(name, 0, tmp_path / "clean")
    assert ended == 0
    clean = trio.run(contents, tmp_path / "clean")
    for at in chosen(passed):
        state = tmp_path / str(at)
        shutil.copytree(before, state)
        ended, _ = mortal.play(name, at, state)
        assert ended == -signal.SIGKILL
        found = trio.run(contents, state)
        if found not in states:
            states.append(found)
        trio.run(play, name, 0, state, Points())
        assert trio.run(contents, state) == clean, f"killed {passed[at - 1]} (point {at}) it ends otherwise"
        shutil.rmtree(state)
    assert len(states) <= passed.count("after COMMIT") + 1
