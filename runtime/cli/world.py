"""`hostel run --world FILE`: one call in the world of a scenario, which is read from a file and written back.

What lives here: the file. What a world is is runtime/scenarios/world.py's; docs/scenarios.md describes it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.bundle.files import read_file
from runtime.cli.files import write_file
from runtime.errors import UsageError

if TYPE_CHECKING:
    from trio.testing import MockClock

    from runtime.scenarios.world import World

WORLD_BYTES_MAX: Final = 64 << 20


def movable_clock() -> MockClock:
    """What trio is to run by: real time, which a fault of kind `slow` moves on instead of waiting."""
    from trio.testing import MockClock

    return MockClock(rate=1.0)


@asynccontextmanager
async def carried(path: Path) -> AsyncIterator[tuple[World, dict[str, Any]]]:
    """The world in that file, and the words of the session; when the block is left, however, the file holds what has
    become of it, with `lines`: what programs logged. Raises UsageError."""
    from runtime.scenarios.world import open_world

    session: dict[str, Any]
    try:
        told = json.loads(read_file(path, "world_bytes_max", WORLD_BYTES_MAX))
        session = told.pop("session", {})
        opened = open_world(told)
    except (ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"--world: no world: {error}; docs/scenarios.md describes one") from None
    async with opened as world:
        try:
            yield world, session
        finally:
            lines = [[line.app_id, line.level, line.text] for line in world.lines]
            found = {**world.told(), "session": session, "lines": lines, "unmatched": world.network.unmatched,
                     "problems": world.users.problems}  # fmt: skip
            write_file(path, json.dumps(found).encode())
