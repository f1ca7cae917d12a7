"""The ladder: which step leads a release from where to where. A table, and the one error for what is not in it.

What lives here: values only. What a step does besides, and who is told, is steps.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from host_api.releases.values import Status


class Step(StrEnum):
    """What is done to a release."""

    APPROVE = "approve"
    REJECT = "reject"
    TRIAL = "trial"
    GRAY = "gray"
    FULL = "full"
    OFFLINE = "offline"
    WITHDRAW = "withdraw"
    """A candidate is taken back: by a rollback, by another candidate, or with its program."""
    SUPERSEDE = "supersede"
    """Another one is full now."""
    LEAVE = "leave"
    """The one before is full again."""
    RETURN = "return"
    """It is full again, by a rollback: the one step that brings back a lower version code."""


STEPS: Final[Mapping[Status, Mapping[Step, Status]]] = {
    Status.SUBMITTED: {Step.APPROVE: Status.APPROVED, Step.REJECT: Status.REJECTED},
    Status.REJECTED: {},
    Status.APPROVED: {
        Step.REJECT: Status.REJECTED, Step.TRIAL: Status.TRIAL, Step.GRAY: Status.GRAY, Step.FULL: Status.FULL,
    },
    Status.TRIAL: {
        Step.TRIAL: Status.TRIAL, Step.GRAY: Status.GRAY, Step.FULL: Status.FULL, Step.WITHDRAW: Status.APPROVED,
    },
    Status.GRAY: {
        Step.TRIAL: Status.TRIAL, Step.GRAY: Status.GRAY, Step.FULL: Status.FULL, Step.WITHDRAW: Status.APPROVED,
    },
    Status.FULL: {
        Step.OFFLINE: Status.OFFLINE, Step.SUPERSEDE: Status.SUPERSEDED, Step.LEAVE: Status.ROLLED_BACK,
    },
    Status.SUPERSEDED: {Step.RETURN: Status.FULL},
    Status.ROLLED_BACK: {Step.TRIAL: Status.TRIAL, Step.GRAY: Status.GRAY, Step.FULL: Status.FULL},
    Status.OFFLINE: {
        Step.FULL: Status.FULL, Step.SUPERSEDE: Status.SUPERSEDED, Step.LEAVE: Status.ROLLED_BACK,
    },
}  # fmt: skip
"""Status → step → status; every other pair is refused."""
_ASKED_FOR: Final = (Step.APPROVE, Step.REJECT, Step.TRIAL, Step.GRAY, Step.FULL, Step.OFFLINE)
"""What an operator can ask for by name; the others follow from these."""


class RegistryRefused(Exception):
    """The registry said no; nothing was changed. `code` is stable, the message says what to do."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details


def step(app_id: str, code: int, status: Status, taken: Step) -> Status:
    """Where it leads. Raises RegistryRefused `step_refused`, which says what is allowed."""
    found = STEPS[status].get(taken)
    if found is None:
        allowed = [one.value for one in _ASKED_FOR if one in STEPS[status]]
        raise RegistryRefused(
            "step_refused",
            f"{app_id} {code} is {status.value}, which {taken.value} does not follow;"
            f" allowed: {', '.join(allowed) or _INSTEAD.get(status, 'nothing; upload a release of a higher code')}",
            app_id=app_id, version_code=code, status=status.value, step=taken.value, allowed=allowed,
        )  # fmt: skip
    return found


_INSTEAD: Final[Mapping[Status, str]] = {
    Status.SUPERSEDED: "rollback of the program, which brings back the last release that was full",
}
