"""The stories of edges.py, on the host as it is."""

from __future__ import annotations

import pytest

from tests.mutation.edges import STORIES, Story
from tests.simulator.world import open_world


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_it_is_so(story: Story) -> None:
    async with open_world(None) as world:
        await story(world)
        assert world.findings() == []
