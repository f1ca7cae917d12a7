"""The registry of a state directory that no host runs on: developers, releases and programs, with the same methods.

What lives here: how its parts are made. Modules are checked and compiled, and not loaded: nothing runs here but a
script, once, to see whether it loads.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from host_api.prompts.desk import Desk
from host_api.releases.records import authority
from host_api.store import Store
from runtime import sources
from runtime.developers import Developers
from runtime.executor.in_process import InProcessExecutor
from runtime.executor.trial import try_script
from runtime.limits import Limits
from runtime.modules import Modules, artifact_cache
from runtime.program_code import ProgramCode
from runtime.program_operations import ProgramOperations
from runtime.releases import Releases
from runtime.settings import HostSettings
from runtime.state_changes import StateChanges


class OfflineRegistry(ProgramOperations):
    """`developers`, `releases`, `program`, `programs`, `set_grants` and `set_limits` as `Host` has them."""

    def __init__(self, store: Store, changes: StateChanges, code: ProgramCode, settings: HostSettings) -> None:
        super().__init__(changes, code, settings.limits)
        self.developers = Developers(changes=changes, new_id=sources.new_id)
        self.releases = Releases(store=store, changes=changes, code=code, settings=settings, developers=self.developers)


@asynccontextmanager
async def open_registry(
    store: Store, state: Path, settings: HostSettings | None = None
) -> AsyncIterator[OfflineRegistry]:
    """Over the open store of that directory; what was compiled is kept in it."""
    chosen = settings or HostSettings()
    modules = Modules(
        lambda artifact, facts: (artifact, facts), artifact_cache(state, chosen), scripted=lambda *parts: parts,
        caps=chosen.caps, compile_limits=chosen.compile_limits, loaded_bytes_max=chosen.loaded_bytes_max,
    )  # fmt: skip
    code = ProgramCode(modules, partial(_try_alone, chosen), store, chosen.engine)
    async with trio.open_nursery() as nursery:
        desk = Desk(
            store=store, clock=store, nursery=nursery, cashier=None, new_id=sources.new_id,
            new_token=lambda: secrets.token_hex(32), installed=authority,
        )  # fmt: skip
        try:
            yield OfflineRegistry(store, StateChanges(store=store, desk=desk), code, chosen)
        finally:
            modules.close()
            nursery.cancel_scope.cancel()


async def _try_alone(settings: HostSettings, module: Any, limits: Limits) -> None:
    """In an executor made for it: a tenth of a second."""
    engine, image = module
    executor = InProcessExecutor(settings=replace(settings, slots=1), now_us=lambda: 0, new_id=sources.new_id)
    try:
        await try_script(executor, executor.scripted(executor.load(*engine), image), limits)
    finally:
        executor.close()
