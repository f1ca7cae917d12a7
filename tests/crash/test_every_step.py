"""A call cancelled at any step of its task, on the file store with its writer thread: no effect, or a whole one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.store import open_store
from runtime.testing import VirtualClock
from tests.crash.mortal import play
from tests.crash.points import Points
from tests.crash.scale import LONG
from tests.crash.scenes import SCENES, Ids, dump, essence, installed
from tests.simulator.world import World, findings

STEPS_MOST = 200
SCENES_OF_CALLS = [name for name in SCENES if LONG or name.split(",")[0] in (
    "create", "request", "confirm", "capture", "close", "refund", "consent", "uninstall"
)]  # fmt: skip


class CancelAt(trio.abc.Instrument):
    """Cancels at the n-th step of one task."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0
        self.task: Any = None
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.steps += 1
            if self.steps == self.at:
                self.scope.cancel()


async def cancelled(scene: str, state: Path, at: int) -> tuple[bool, Any]:
    """Whether there was such a step, and what the store holds then."""
    clock, ids = VirtualClock(int((state.parent / "time").read_text())), Ids()
    async with open_store(state, clock) as store, trio.open_nursery() as nursery:
        world = World(store, clock, nursery, ids=ids)
        installed(world)
        ids.begin("act")
        step = CancelAt(at)

        async def act() -> None:
            step.task = trio.lowlevel.current_task()
            with step.scope:
                await SCENES[scene].act(world)

        trio.lowlevel.add_instrument(step)
        async with trio.open_nursery() as calls:
            calls.start_soon(act)
        trio.lowlevel.remove_instrument(step)
        assert store.read(findings) == []
        return step.steps >= at, store.read(dump)


async def contents(state: Path) -> Any:
    async with open_store(state, VirtualClock()) as store:
        return store.read(dump)


@pytest.mark.parametrize("name", SCENES_OF_CALLS)
def test_a_call_cancelled_at_any_step_is_done_or_not(name: str, tmp_path: Path) -> None:
    before = tmp_path / "before"
    trio.run(lambda: play(name, 0, before, Points(), prepare=True))
    clean: Any = None
    ends = [essence(trio.run(contents, before))]
    for at in range(STEPS_MOST):
        state = tmp_path / str(at)
        shutil.copytree(before, state)
        reached, found = trio.run(cancelled, name, state, at)
        if not at:
            clean = essence(found)
        if essence(found) not in ends:
            ends.append(essence(found))
        trio.run(play, name, 0, state, Points())
        assert essence(trio.run(contents, state)) == clean, f"cancelled at step {at} it ends otherwise"
        shutil.rmtree(state)
        if at and not reached:
            assert at > 1 and len(ends) <= (4 if name == "uninstall" else 2)
            return
    raise AssertionError(f"{name} takes more than {STEPS_MOST} steps")
