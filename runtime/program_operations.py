"""What an operator asks of installed programs: what there is, what they may do and use.

What lives here: operations on the registry of a state, whether a host runs on it or not. Releases are releases.py's,
installing and uninstalling the host's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from host_api.releases import records, steps
from host_api.releases.values import ProgramStatus
from host_api.store.protocol import Transaction
from runtime.errors import NotInstalled
from runtime.limits import Limits
from runtime.offers import effective_limits, granted
from runtime.program_code import ProgramCode
from runtime.registry import App
from runtime.state_changes import StateChanges


class ProgramOperations:
    """Part of `Host`, and of a registry that no host runs on."""

    def __init__(self, changes: StateChanges, code: ProgramCode, limits: Limits) -> None:
        self._changes, self._code, self._limits = changes, code, limits

    def program(self, app: App | str) -> ProgramStatus:
        """One program as it stands. Raises NotInstalled."""
        app_id = _id(app)
        return self._changes.as_it_stands(self._changes.read(lambda tx: records.status(tx, app_id)))

    def programs(self, after: str = "", limit: int = 100) -> list[ProgramStatus]:
        """By app id, those behind `after`; at most 1,000. Raises UsageError."""
        found = self._changes.read(lambda tx: records.statuses(tx, after, limit))
        return [self._changes.as_it_stands(one) for one in found]

    async def set_grants(self, app: App | str, grant: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> ProgramStatus:
        """What the program may do from now on, in the place of what it was granted: all its releases, those too that a
        rollback may bring back. What is granted no more, or in narrower bounds, is gone for calls in flight too.

        Raises UsageError, NotInstalled, ApiError of the store.
        """
        app_id, grants = _id(app), granted(grant).as_dict()
        return await self._changes.change(app_id, lambda tx: steps.set_grants(tx, app_id, grants))

    async def revoke(self, app: App | str, *capabilities: str) -> None:
        """Take capabilities away for good, from every release of it. With `payment` go the open prompts, unpaid orders
        and holds. Raises UsageError for a capability that does not exist, NotInstalled, ApiError of the store."""
        app_id, gone = _id(app), granted(capabilities)
        self._changes.read(lambda tx: records.get_program(tx, app_id))
        names = [grant.capability for grant in gone]
        await self._changes.change(app_id, lambda tx: steps.take_away(tx, app_id, names), tells=True)
        await self._changes.end_what_needs(app_id, gone)

    async def set_limits(self, app: App | str, limits: Mapping[str, int]) -> ProgramStatus:
        """What differs from the host's limits, in the place of what did; for calls that begin from now on. Raises
        UsageError, ModuleError (no sandbox can have them), NotInstalled, ApiError of the store."""
        app_id, given = _id(app), dict(limits)
        release = self._changes.read(lambda tx: _runs(tx, app_id))
        effective = effective_limits(
            release.facts.limits_wanted, self._limits, given, script=bool(release.script_sha256)
        )
        await self._code.get(release, effective)
        return await self._changes.change(app_id, lambda tx: steps.set_limits(tx, app_id, given))


def _id(app: App | str) -> str:
    return app if isinstance(app, str) else app.app_id


def _runs(tx: Transaction, app_id: str) -> records.StoredRelease:
    """The release that is out."""
    found = records.running(tx, app_id)
    release = None if found is None else found.current or found.candidate
    if release is None:
        raise NotInstalled(f"no release of {ascii(app_id)[:140]} is out", details={"app_id": app_id[:140]})
    return release
