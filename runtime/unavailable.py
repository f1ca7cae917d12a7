"""Why a program cannot be called now: the errors, with their sentences. No state."""

from __future__ import annotations

from typing import Final

from runtime.errors import NotInstalled, ProgramUnavailable

_WHY: Final = {
    "killed": "was stopped by the operator, until it is revived",
    "quarantined": "was stopped by the host, until the operator revives it",
    "not_released": "has no release that this user gets: it is offline, or out for others only",
}


def not_installed(app_id: str) -> NotInstalled:
    return NotInstalled(
        f"no program {ascii(app_id)[:140]} is installed; install its bundle first", details={"app_id": app_id[:140]}
    )


def unavailable(app_id: str, state: str) -> ProgramUnavailable:
    """Installed, and not to be called: `killed`, `quarantined`, `not_released`."""
    return ProgramUnavailable(f"{app_id} {_WHY[state]}", details={"app_id": app_id, "state": state})
