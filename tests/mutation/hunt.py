"""Which statements the host runs, and what notices when one of them is changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import trio

from host_api.store.protocol import Store
from tests.mutation.edges import STORIES, Story
from tests.mutation.sql import ChangedStore, Mutant, mutants
from tests.simulator.simulator import simulate
from tests.simulator.world import open_world

WALKS = ((1, 600), (2, 600), (3, 900), (5, 900))
"""Seeds and steps of the simulator."""
Change = Callable[[str], str | None]


def _walk(change: Change, seed: int, steps: int) -> None:
    simulate(seed, steps, wrap=partial(_changed, change=change))


def _changed(store: Store, *, change: Change) -> Store:
    return ChangedStore(store, change)


def _tell(change: Change, story: Story) -> None:
    async def told() -> None:
        async with open_world(None, wrap=partial(_changed, change=change)) as world:
            await story(world)
            assert world.findings() == []

    trio.run(told)


HUNTERS: dict[str, Callable[[Change], None]] = {
    "seed 1": partial(_walk, seed=1, steps=600),
    **{story.__name__: partial(_tell, story=story) for story in STORIES},
    **{f"seed {seed}": partial(_walk, seed=seed, steps=steps) for seed, steps in WALKS[1:]},
}
"""What finds mutants, the quickest first."""


@cache
def all_mutants() -> tuple[Mutant, ...]:
    """Of every statement that any hunter makes the host run."""
    seen: dict[str, None] = {}

    def remember(sql: str) -> str:
        seen.setdefault(sql)
        return sql

    for hunter in HUNTERS.values():
        hunter(remember)
    return tuple(mutants(list(seen)))


def catcher(mutant: Mutant) -> str | None:
    """Which hunter noticed; None for a mutant that survives."""
    for name, hunter in HUNTERS.items():
        try:
            hunter(lambda sql: mutant.instead if sql == mutant.sql else sql)
        except Exception:
            return name
    return None
