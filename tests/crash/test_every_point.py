"""Whatever fails, at whatever point of whatever operation: nothing is half done, and doing it again ends it as ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from host_api.store.migrations import known_migrations
from host_api.store.sqlite import MemoryStore
from runtime.testing import VirtualClock
from tests.crash.points import Points, bug, disk, watched
from tests.crash.scale import LONG
from tests.crash.scenes import APP, SCENES, Ids, Scene, dump, essence, installed
from tests.simulator.world import World


@pytest.fixture
def points() -> Iterator[Points]:
    with pytest.MonkeyPatch.context() as patch:
        yield watched(patch)


class Stage:
    """A scene, ready to be played any number of times from the same beginning."""

    def __init__(self, scene: Scene, points: Points) -> None:
        self.scene = scene
        self.points = points
        self.states: list[Any] = []
        """All that the operation left behind, each sound."""
        trio.run(self._prepare)
        self.clean = trio.run(self._play, 0, bug)
        self.passed = points.passed

    async def _prepare(self) -> None:
        clock = VirtualClock()
        store = MemoryStore(clock, known_migrations())
        async with trio.open_nursery() as nursery:
            world = World(store, clock, nursery, ids=Ids())
            installed(world)
            await self.scene.before(world)
        self.clock_us = clock.now_us()
        self.image = store._connection.serialize("main")
        await store.aclose()

    def play(self, at: int, act: Callable[[], None]) -> Any:
        """What is in the store after the operation failed at a point and was done again."""
        return trio.run(self._play, at, act)

    async def _play(self, at: int, act: Callable[[], None]) -> Any:
        clock, ids = VirtualClock(self.clock_us), Ids()
        store = MemoryStore(clock, ())
        store._connection.deserialize("main", self.image)
        async with trio.open_nursery() as nursery:
            self.world = world = World(store, clock, nursery, ids=ids)
            installed(world)
            with self.points.armed(at, act):
                await self._act(world, ids)
            end = self._sound(world)
            if at:
                installed(world)
                await self._act(world, ids)
                end = self._sound(world)
        await store.aclose()
        return end

    async def _act(self, world: World, ids: Ids) -> None:
        ids.begin("act")
        with trio.CancelScope() as self.scope, suppress(Exception):
            await self.scene.act(world)
        await trio.testing.wait_all_tasks_blocked()

    def cancel(self) -> None:
        """The call is cancelled, its deadline is over, its guest has died: to a service that is all the same."""
        self.scope.cancel()

    def revoke(self) -> None:
        """The operator takes all grants away."""
        self.world.narrow(APP, {})

    def _sound(self, world: World) -> Any:
        state = world.store.read(dump)
        if state not in self.states:
            assert world.findings() == []
            self.states.append(state)
        return state


def each_point(
    stage: Stage,
    act: Callable[[], None],
    when: str,
    end: Callable[[Any], Any] = lambda contents: contents,
    every: int = 1,
) -> None:
    """Play the scene with `act` at each point: whatever it leaves is sound, and done again it ends as ever."""
    commits = stage.passed.count("after COMMIT")
    assert commits, "nothing is written"
    for at, point in enumerate(stage.passed, 1):
        if LONG or (point.startswith(when) and at % every == 0):
            assert end(stage.play(at, act)) == end(stage.clean), (
                f"after {act.__name__} {point} (point {at}) it ends otherwise"
            )
    states = [end(state) for state in stage.states]
    assert sum(state not in states[:n] for n, state in enumerate(states)) <= commits + 1, f"{commits} commits"


@pytest.mark.parametrize(("act", "when"), [(bug, "after"), (disk, "before")])
@pytest.mark.parametrize("name", SCENES)
def test_an_operation_that_fails_anywhere_is_done_or_not(
    name: str, act: Callable[[], None], when: str, points: Points
) -> None:
    each_point(Stage(SCENES[name], points), act, when)


@pytest.mark.parametrize("name", SCENES)
def test_an_operation_that_is_cancelled_anywhere_is_done_or_not(name: str, points: Points) -> None:
    stage = Stage(SCENES[name], points)
    each_point(stage, stage.cancel, "before", essence, every=3)  # a call that is gone takes its prompt back


@pytest.mark.parametrize("name", SCENES)
def test_an_operation_whose_grant_is_revoked_anywhere_is_done_or_not(name: str, points: Points) -> None:
    stage = Stage(SCENES[name], points)
    each_point(stage, stage.revoke, "after", every=3)
