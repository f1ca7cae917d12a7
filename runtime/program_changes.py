"""How a change of the registry reaches what runs: memory, calls in flight, payments, pushes.

What lives here: what a running host does besides the change itself (state_changes.py). Once a change is durable, memory
follows without a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
import trio

from host_api.acting import in_name_of
from host_api.errors import ApiError
from host_api.payment.orders import CloseReason
from host_api.prompts.desk import Desk
from host_api.releases import developers, records, steps
from host_api.releases.values import ProgramStatus
from host_api.store.protocol import Store, Transaction
from runtime.calls import Calls
from runtime.errors import Ending, HostClosed, HostelError, UsageError
from runtime.log import logger
from runtime.outcomes import closed
from runtime.pushes import Pushes
from runtime.registry import Registry
from runtime.state_changes import StateChanges, Stop, stopping

T = TypeVar("T")
_log = logger("registry")

RETRY_S: Final = 0.25
"""Before a record that the disk refused is tried again; doubled with each refusal, up to the next."""
RETRY_S_MOST: Final = 15.0


class _Unrecorded(NamedTuple):
    """A stop that is in force and not in the store."""

    how: Stop
    reason: str
    job: Callable[[Transaction], ProgramStatus]
    """In the name of who asked for it."""


class ProgramChanges(StateChanges):
    """Writes to the registry of one host. Used from the trio thread only."""

    def __init__(
        self, *, store: Store, registry: Registry, calls: Calls, desk: Desk, pushes: Pushes, nursery: trio.Nursery
    ) -> None:
        super().__init__(store=store, desk=desk)
        self._registry, self._calls, self._pushes, self._nursery = registry, calls, pushes, nursery
        self._unrecorded: dict[str, _Unrecorded] = {}

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Raises HostClosed besides."""
        if self._calls.closing:
            raise closed()
        return await super().write(job)

    async def stop(self, app_id: str, how: Stop, reason: str) -> ProgramStatus:
        """At once, before it is durable. Where the disk refuses, it is in force all the same: what is given says
        `unrecorded`, and the record is written as soon as the disk takes it."""
        self.read(lambda tx: steps.may_stop(tx, app_id, reason))
        self._registry.stop(app_id, how)
        try:
            result = await self.change(app_id, stopping(app_id, how, reason))
        except ApiError as error:
            result = self._not_recorded(app_id, how, reason, error)
        except BaseException:  # nothing was handed over
            if app_id not in self._unrecorded:
                self._registry.let_go(app_id)
            raise
        else:
            self._unrecorded.pop(app_id, None)
            self._registry.let_go(app_id)
        with trio.CancelScope(shield=True):  # it is done: whoever asked may have gone, what runs goes all the same
            await self._calls.cut(Ending.REVOKED, f"the program was {how}", app_id=app_id)
            if not result.unrecorded:
                await self._desk.withdraw_program(app_id)
        return result

    async def quarantine(self, app_id: str, reason: str) -> ProgramStatus:
        """As the kill switch, by the host itself. The first 200 characters of the reason are kept."""
        return await self.stop(app_id, "quarantined", reason[: developers.REASON_CHARS_MAX])

    # ---- what the disk refuses ---------------------------------------------------------------------------------------
    def may_revive(self, app_id: str) -> None:
        if app_id in self._unrecorded:
            raise UsageError(
                f"{app_id} was stopped, and the disk refuses the record of it so far: make room on it, and revive the"
                " program then",
                code="step_refused", details={"allowed": []},
            )  # fmt: skip

    def forget_stop(self, app_id: str) -> None:
        """The store has that the program leaves. What is installed in its place is another, which nobody stopped."""
        self._unrecorded.pop(app_id, None)
        self._registry.let_go(app_id)

    def as_it_stands(self, status: ProgramStatus) -> ProgramStatus:
        stop = self._unrecorded.get(status.app_id)
        if stop is None:
            return status
        if stop.how == "killed":
            return msgspec.structs.replace(status, killed=stop.reason, unrecorded=True)
        return msgspec.structs.replace(status, quarantined=stop.reason, unrecorded=True)

    def _not_recorded(self, app_id: str, how: Stop, reason: str, error: ApiError) -> ProgramStatus:
        stop = _Unrecorded(how, reason, in_name_of(stopping(app_id, how, reason)))
        self._unrecorded[app_id] = stop
        _log.error("a program is stopped, and the disk refuses the record", app_id=app_id, how=how, told=error.message)
        self._nursery.start_soon(self._record, app_id, stop, name="record of a stop")
        return self.as_it_stands(self.read(lambda tx: records.status(tx, app_id)))

    async def _record(self, app_id: str, stop: _Unrecorded) -> None:
        """Until the disk takes it, the program is gone, or another stop takes its place."""
        pause = RETRY_S
        await trio.sleep(pause)
        while self._unrecorded.get(app_id) is stop:
            try:
                await self.change(app_id, stop.job)
                await self._desk.withdraw_program(app_id)
            except ApiError:
                pause = min(2 * pause, RETRY_S_MOST)
                await trio.sleep(pause)
                continue
            except HostClosed:
                return
            except HostelError as error:  # uninstalled meanwhile
                _log.warning("a stopped program is gone", app_id=app_id, told=error.message)
            if self._unrecorded.get(app_id) is stop:
                del self._unrecorded[app_id]
                self._registry.let_go(app_id)
                _log.info("the record of a stopped program is written", app_id=app_id)

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
