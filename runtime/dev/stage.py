"""`hostel dev` as a place of scenarios: the same life, jail and socket, in a scenario's world and not a developer's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runtime.dev.project import open_project
from runtime.dev.serve import SOCKET, DevSettings, Listener, serve
from runtime.scenarios.stage import Stage, served
from runtime.scenarios.world import World
from runtime.settings import HostSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Dev:
    """`serve` on a project's folder, and a client at its socket."""

    settings: HostSettings
    folder: Path
    listener: Listener
    name: str = "dev"

    @asynccontextmanager
    async def open(self, world: World, state: Path) -> AsyncIterator[Stage]:
        """See `runtime.scenarios.stage.Place`."""
        chosen = DevSettings(state=state, cache_dir=self.settings.cache_dir)
        opened = partial(serve, open_project(self.folder), chosen, self.listener, host_arguments=world.host_arguments())
        async with served(opened, world, state / SOCKET) as stage:
            yield stage
