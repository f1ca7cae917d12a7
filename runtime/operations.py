"""The operator's side of a host that runs: what state.py has, with the calls it concerns, and what there is to see.

What lives here: what a platform asks of its host beside calling programs. Nothing here can be reached from a guest.
"""

from __future__ import annotations

from host_api.erasure.user import Erased
from host_api.payment.fees import FeeTerms
from runtime.assembly import Parts
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
        ProgramOperations.__init__(self, parts.changes, parts.modules, parts.settings.limits)
        self._services = services

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
