"""How a change of the registry reaches what runs: memory, calls in flight, payments, pushes.

What lives here: what a running host does besides the change itself (state_changes.py). Once a change is durable, memory
follows without a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from host_api.payment.orders import CloseReason
from host_api.prompts.desk import Desk
from host_api.store.protocol import Store, Transaction
from runtime.calls import Calls
from runtime.errors import Ending
from runtime.outcomes import closed
from runtime.pushes import Pushes
from runtime.registry import Registry
from runtime.state_changes import StateChanges

T = TypeVar("T")


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
        except BaseException:
            self._registry.refresh(app_id)
            raise
        await self._calls.cut(Ending.REVOKED, f"the program was {how}", app_id=app_id)
        await self._desk.withdraw_program(app_id)
        return result

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
