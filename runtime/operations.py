"""The operator's side of a host that runs: what state.py has, with the calls it concerns, and what there is to see.

What lives here: what a platform asks of its host beside calling programs. Nothing here can be reached from a guest.
"""

from __future__ import annotations

from host_api.erasure.user import Erased
from host_api.errors import ApiError, ErrorCode
from host_api.payment.fees import FeeTerms
from host_api.releases import contents
from host_api.releases.values import Asset
from runtime.assembly import Parts
from runtime.broker import OnRefusal
from runtime.calls import OnEnded
from runtime.program_operations import ProgramOperations
from runtime.registry import App
from runtime.state import StateOperations
from runtime.statistics import HostStatistics as HostStatistics
from runtime.upkeep import HostUpkeep


class HostOperations(HostUpkeep, StateOperations, ProgramOperations):
    """What `Host` offers its operator. Used from the trio thread that opened the host."""

    def __init__(self, parts: Parts) -> None:
        HostUpkeep.__init__(self, parts)
        services = parts.services
        StateOperations.__init__(
            self, store=parts.store, directory=parts.directory, desk=parts.desk, users=services.users,
            consents=services.consents, notices=services.notices, front_end=parts.front_ends,
            erasure=services.erasure, journal=parts.journal,
        )  # fmt: skip
        self._executor = parts.executor
        self._registry = parts.registry
        ProgramOperations.__init__(self, parts.changes, parts.code, parts.settings.limits)
        self._services = services

    def watch(self, *, ended: OnEnded, refused: OnRefusal) -> None:
        """For development: `ended` is told of each call that is over, `refused` of each request that a program was
        answered no. In the trio thread; quick, and raising nothing. Told last wins."""
        self._calls.on_ended, self._calls.broker.on_refusal = ended, refused

    # ---- programs ----------------------------------------------------------------------------------------------------
    def asset(self, app: App | str, path: str, *, user: str = "") -> Asset:
        """A member of the bundle of the release that this user gets ('' for nobody), for the program's front end.

        Raises NotInstalled, ProgramUnavailable; ApiError NOT_FOUND for no such member, the manifest, the module and
        scripts.
        """
        _, release = self._registry.find(app, user)
        found = self._store.read(lambda tx: contents.find_asset(tx, release.assets_sha256, path))
        if found is None:
            raise ApiError(ErrorCode.NOT_FOUND, "the bundle has no such asset")
        return found

    # ---- money -------------------------------------------------------------------------------------------------------
    async def set_fees(self, app: App | str, terms: FeeTerms) -> None:
        """What the program's payee pays the platform, from the next capture on."""
        await self._services.payments.set_fee_terms(self._registry.program(app).app_id, terms)

    # ---- users -------------------------------------------------------------------------------------------------------
    async def _erase_user(self, user: str, forfeit_balance: bool) -> Erased:
        """Calls in flight for the user end as `revoked`, and their prompts are withdrawn, before anything is erased."""
        async with self._calls.barred(user):
            for prompt in self.prompts.pending(user):
                await self.prompts.withdraw(prompt.id)
            erased = await super()._erase_user(user, forfeit_balance)
            self._registry.forget_user(user)
            return erased
