"""`hostel dev` as a place of scenarios: the same life, jail and socket, in a scenario's world and not a developer's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from host_api.errors import ApiError
from runtime.dev.project import open_project
from runtime.dev.serve import SOCKET, DevSettings, serve
from runtime.errors import HostelError
from runtime.executor.job import Outcome
from runtime.receipt import Receipt
from runtime.registry import App
from runtime.scenarios.stage import Stage, served
from runtime.scenarios.world import World
from runtime.session import CallSession
from runtime.settings import HostSettings


class _Silent:
    """A `Listener`: what happens is in the scenario's results."""

    def ended(self, outcome: Outcome, receipt: Receipt, session: CallSession) -> None:
        """Nothing to tell."""

    def refused(self, session: CallSession, method: str, error: ApiError) -> None:
        """Nothing to tell."""

    def line(self, session: CallSession, level: str, text: str) -> None:
        """Nothing to tell."""

    def installed(self, app: App, paths: list[str], ms: float) -> None:
        """Nothing to tell."""

    def failed(self, error: HostelError) -> None:
        """Nothing to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dev:
    """`serve` on a project's folder, and a client at its socket."""

    settings: HostSettings
    folder: Path
    name: str = "dev"

    @asynccontextmanager
    async def open(self, world: World, state: Path) -> AsyncIterator[Stage]:
        """See `runtime.scenarios.stage.Place`."""
        chosen = DevSettings(state=state, cache_dir=self.settings.cache_dir)
        opened = partial(serve, open_project(self.folder), chosen, _Silent(), host_arguments=world.host_arguments())
        async with served(opened, world, state / SOCKET) as stage:
            yield stage
