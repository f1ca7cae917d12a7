"""How a change of the registry reaches what runs: memory, calls in flight, payments, pushes.

What lives here: what a running host does besides the change itself (state_changes.py). Once a change is durable, memory
follows without a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from host_api.errors import ApiError, ErrorCode
from host_api.payment.orders import CloseReason
from host_api.prompts.desk import Desk
from host_api.releases import developers, steps
from host_api.releases.values import ProgramStatus
from host_api.store.protocol import Store, Transaction
from runtime.calls import Calls
from runtime.errors import Ending, HostelError
from runtime.log import logger
from runtime.outcomes import closed
from runtime.pushes import Pushes
from runtime.registry import Registry
from runtime.state_changes import StateChanges

T = TypeVar("T")
_log = logger("registry")


class ProgramChanges(StateChanges):
    """Writes to the registry of one host. Used from the trio thread only."""

    def __init__(self, *, store: Store, registry: Registry, calls: Calls, desk: Desk, pushes: Pushes) -> None:
        super().__init__(store=store, desk=desk)
        self._registry, self._calls, self._pushes = registry, calls, pushes

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Raises HostClosed besides."""
        if self._calls.closing:
            raise closed()
        return await super().write(job)

    async def stop(self, app_id: str, how: str, job: Callable[[Transaction], T]) -> T:
        """At once, before it is durable."""
        self._registry.stop(app_id, how)
        try:
            result = await self.change(app_id, job)
        except BaseException as error:
            if not (isinstance(error, ApiError) and error.code is ErrorCode.UNKNOWN_OUTCOME):  # else it is in doubt
                self._registry.refresh(app_id)
            raise
        with trio.CancelScope(shield=True):  # it is done: whoever asked may have gone, what runs goes all the same
            await self._calls.cut(Ending.REVOKED, f"the program was {how}", app_id=app_id)
            await self._desk.withdraw_program(app_id)
        return result

    async def quarantine(self, app_id: str, reason: str) -> ProgramStatus:
        """As the kill switch, by the host itself. The first 200 characters of the reason are kept."""
        return await self.stop(
            app_id, "quarantined", lambda tx: steps.quarantine(tx, app_id, reason[: developers.REASON_CHARS_MAX])
        )

    async def end_payments(self, app_id: str, reason: CloseReason) -> int:
        closed = await super().end_payments(app_id, reason)
        self._pushes.wake()
        return closed

    def woken(self, app_id: str) -> None:
        self._pushes.installed(app_id)

    def followed_by_owner(self, developer: str) -> None:
        self._registry.refresh_owner(developer)

    def _follow(self, app_id: str, came: int) -> None:
        self._registry.came(came)
        self._registry.refresh(app_id)

    def _doubt(self, app_id: str) -> None:
        self._registry.doubt(app_id)


class Quarantine:
    """What an executor tells of programs that keep killing workers: they are stopped, in a task of their own. `changes`
    is set once it is made."""

    changes: ProgramChanges

    def __init__(self, nursery: trio.Nursery, new_incident: Callable[[], str]) -> None:
        self._nursery, self._new_incident = nursery, new_incident

    def __call__(self, app_id: str, reason: str) -> None:
        self._nursery.start_soon(self._stop, app_id, reason, name="quarantine")

    async def _stop(self, app_id: str, reason: str) -> None:
        try:
            await self.changes.quarantine(app_id, reason)
        except (HostelError, ApiError) as error:
            _log.error("program not quarantined", incident=self._new_incident(), app_id=app_id, exc_info=error)
