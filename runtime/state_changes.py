"""How the registry in a state is changed: one job, what it takes away ended after it.

What lives here: the one way in which programs, releases and developers are written, whether a host runs on the state or
not. A job of host_api/releases says what changes. What a running host does besides is program_changes.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

from host_api import audit
from host_api.capability import Grants
from host_api.errors import ApiError, ErrorCode
from host_api.ownership import NotOwner
from host_api.payment.orders import CloseReason
from host_api.payment.sweep import close_program
from host_api.prompts.desk import Desk
from host_api.releases import records, steps
from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import ProgramStatus
from host_api.store.protocol import Store, Transaction
from runtime.errors import HostelError, NotInstalled, SignatureError, UsageError

T = TypeVar("T")
Stop: TypeAlias = Literal["killed", "quarantined"]
_ORDERS_AT_ONCE = 100
"""Closed in one transaction; other writers have their turn between two."""
_OF_KEYS = ("key_revoked", "key_expired", "key_unknown")


def stopping(app_id: str, how: Stop, reason: str) -> Callable[[Transaction], ProgramStatus]:
    """The job that stops a program."""
    step = steps.kill if how == "killed" else steps.quarantine
    return lambda tx: step(tx, app_id, reason)


def told(error: RegistryRefused) -> HostelError:
    """The registry's refusal, as the public API raises it."""
    if error.code == NotInstalled.code:
        return NotInstalled(error.message, details=error.details)
    kind = SignatureError if error.code in _OF_KEYS else UsageError
    return kind(error.message, code=error.code, details=error.details)


class StateChanges:
    """Writes to the registry of a state. Used from the trio thread that opened its store."""

    def __init__(self, *, store: Store, desk: Desk) -> None:
        self._store, self._desk = store, desk

    def now_us(self) -> int:
        return self._store.now_us()

    def read(self, job: Callable[[Transaction], T]) -> T:
        """Raises what the registry refuses, as the public API does."""
        try:
            return self._store.read(job)
        except RegistryRefused as error:
            raise told(error) from None

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """A job that changes no program. Raises as `read`, and ApiError of the store."""
        try:
            return await self._store.write(job)
        except RegistryRefused as error:
            raise told(error) from None

    async def change(self, app_id: str, job: Callable[[Transaction], T], *, tells: bool = False) -> T:
        """Changes one program: durable, then in force for every call that begins after; what its full release was
        granted before and is not now is gone, with what needed it. `tells`: the job records that itself. Raises as
        `write`, and `other_developer`."""

        def whole(tx: Transaction) -> tuple[T, Grants, int]:
            before, held = records.find_program(tx, app_id), records.held(tx, app_id)
            result = job(tx)
            gone = held.without(records.held(tx, app_id))
            if tuple(gone) and not tells:
                names = ",".join(grant.capability for grant in gone)
                audit.record(tx, "grant.revoked", app_id=app_id, capabilities=names)
            came = (records.find_program(tx, app_id) is not None) - (before is not None)
            return result, gone, came

        try:
            result, gone, came = await self.write(whole)
        except NotOwner as error:
            raise _other_developer(app_id, error.owner) from None
        except ApiError as error:
            if error.code is ErrorCode.UNKNOWN_OUTCOME:
                self._doubt(app_id)
            raise
        self._follow(app_id, came)
        if tuple(gone):
            await self.end_what_needs(app_id, gone)
        return result

    async def stop(self, app_id: str, how: Stop, reason: str) -> ProgramStatus:
        """As `change`, for a program that nobody may call from now on: calls in flight end as `revoked`, its prompts
        are withdrawn."""
        result = await self.change(app_id, stopping(app_id, how, reason))
        await self._desk.withdraw_program(app_id)
        return result

    def may_revive(self, app_id: str) -> None:
        """Raises UsageError `step_refused`: its stop is not in the store yet."""

    def forget_stop(self, app_id: str) -> None:
        """The program leaves: what was not recorded of its stop is nobody's."""

    def as_it_stands(self, status: ProgramStatus) -> ProgramStatus:
        """What the store says of a program, with what it does not know yet."""
        return status

    async def end_what_needs(self, app_id: str, gone: Grants) -> None:
        """What cannot go on without these grants, which nobody has any more: with `payment` the open prompts, unpaid
        orders and holds, else the prompts."""
        if gone.constraints("payment") is not None:
            await self.end_payments(app_id, CloseReason.REVOKED)
        else:
            await self._desk.withdraw_program(app_id)

    async def end_payments(self, app_id: str, reason: CloseReason) -> int:
        """Its prompts are withdrawn and its unpaid orders closed: how many of these."""
        await self._desk.withdraw_program(app_id)
        total = 0
        while closed := await self._store.write(lambda tx: close_program(tx, app_id, reason, _ORDERS_AT_ONCE)):
            total += closed
        return total

    # ---- what a running host does besides ----------------------------------------------------------------------------
    def woken(self, app_id: str) -> None:
        """A release came: what an earlier one left unacknowledged is to be pushed."""

    def followed_by_owner(self, developer: str) -> None:
        """Something of a developer's changed that their programs are run under."""

    def _follow(self, app_id: str, came: int) -> None:
        """The store says something else of a program now; so many more programs are installed."""

    def _doubt(self, app_id: str) -> None:
        """Nobody knows what the store says of it."""


def _other_developer(app_id: str, owner: str) -> UsageError:
    if not owner:
        return UsageError(
            f"{app_id} was installed by the operator as nobody's: the operator says whose it is, by installing a"
            " release that they signed",
            code="other_developer", details={"owner": ""},
        )  # fmt: skip
    return UsageError(
        f"{app_id} is the program of {owner}: a release of another developer is taken only with new_owner"
        " (--new-owner), which hands over what the program keeps and was paid",
        code="other_developer",
        details={"owner": owner},
    )
