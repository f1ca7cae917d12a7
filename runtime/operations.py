"""The operator's side of a host: money, users, consents, notices, the audit, and what there is to see.

What lives here: what a platform asks of its host beside calling programs. Nothing here can be reached from a guest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from host_api import audit, balances, ledger
from host_api.erasure.tombstone import is_tombstone
from host_api.erasure.user import BalanceLeft, Erased
from host_api.money import AMOUNT_MAX, Money
from host_api.notify.notices import Notices
from host_api.payment import sweep
from host_api.payment.fees import FeeTerms
from host_api.prompts.desk import Desk
from host_api.user.consent import ConsentStore
from host_api.user.directory import EmbeddedDirectory
from runtime import sources, verification
from runtime.assembly import Parts
from runtime.errors import UsageError
from runtime.registry import App


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatistics:
    """A snapshot."""

    programs: int
    calls_in_flight: int
    calls_queued: int
    sandboxes: int
    slots: int
    prompts_open: int
    fetches: int
    ticker: str
    sandbox_level: str


class HostOperations:
    """What `Host` offers its operator. Used from the trio thread that opened the host."""

    def __init__(self, parts: Parts) -> None:
        self.settings = parts.settings
        self._store, self._executor, self._modules = parts.store, parts.executor, parts.modules
        self._registry, self._calls, self._pushes = parts.registry, parts.calls, parts.pushes
        self._services = parts.services
        self.prompts: Desk = parts.desk
        """Prompts that wait for their users: where a front end lists, shows and answers them."""
        self.users: EmbeddedDirectory = parts.services.users
        """What is known of users, unless the platform brought a directory of its own."""
        self.consents: ConsentStore = parts.services.consents
        """What users allowed which program, for them to see and take back."""
        self.notices: Notices = parts.services.notices
        """Messages from programs to users, to be shown and taken."""

    # ---- money -------------------------------------------------------------------------------------------------------
    async def deposit(self, user: str, money: Money, *, reference: str | None = None) -> bool:
        """Money from outside into a user's wallet. False if `reference` was booked before (then nothing happens)."""
        if is_tombstone(user):
            raise UsageError("no user is called so: such names stand for users that were erased")
        reference = reference or sources.new_id()
        return await self._store.write(
            lambda tx: ledger.deposit(tx, user=user, money=money, reference=reference, new_salt=sources.new_salt)
        )

    def balance(self, account: ledger.AccountName) -> ledger.Balance:
        """Posted and pending balances of one account; zeros where it was never used."""
        return self._store.read(lambda tx: sweep.balance(tx, account))

    async def set_fees(self, app: App | str, terms: FeeTerms) -> None:
        """What the program's payee pays the platform, from the next capture on."""
        await self._services.payments.set_fee_terms(self._registry.find(app).release.app.app_id, terms)

    # ---- users -------------------------------------------------------------------------------------------------------
    async def export_user(self, user: str) -> dict[str, Any]:
        """Everything the host keeps of a user, as plain values, by section. Raises ApiError of the store."""
        return await self._services.erasure.export_user(user)

    async def erase_user(self, user: str, *, forfeit_balance: bool = False) -> Erased:
        """Forget a user, on the disk too: calls in flight for them end as `revoked`, their prompts and unpaid orders
        are closed, and what stays of payments names nobody.

        Raises BalanceLeft, with nothing erased, while money is in a wallet and `forfeit_balance` is not said; ApiError
        of the store. See docs/protocol.md, Erasure.
        """
        if not user:
            raise UsageError("a user has a name: '' is nobody")
        if not forfeit_balance:
            self._check_wallets(user)
        async with self._calls.barred(user):
            for prompt in self.prompts.pending(user):
                await self.prompts.withdraw(prompt.id)
            return await self._services.erasure.erase_user(user, forfeit_balance=forfeit_balance)

    def _check_wallets(self, user: str) -> None:
        """Before anything is ended for an erasure that will be refused. The erasure itself looks again."""
        accounts = self._store.read(lambda tx: balances.of_owner(tx, user))
        left = tuple(
            Money(amount=min(balance.posted, AMOUNT_MAX), currency=name.currency)
            for name, balance in accounts
            if name.kind is ledger.AccountKind.WALLET and balance.posted > 0
        )
        if left:
            raise BalanceLeft(left)

    # ---- proof -------------------------------------------------------------------------------------------------------
    def audit_head(self) -> audit.Head:
        """Where the audit's chain is now: kept outside, it proves later that nothing was cut off or changed."""
        return self._store.read(audit.head)

    def verify(self, head: audit.Head | None = None, *, progress: Callable[[str], None] | None = None) -> list[str]:
        """Recompute ledger, orders, events and audit: what is wrong, one line each, the first difference first; empty
        when all of it holds. Reads everything; nothing else runs meanwhile."""
        return self._store.read(lambda tx: verification.verify(tx, head, progress))

    def statistics(self) -> HostStatistics:
        programs, executor = list(self._registry), self._executor.status()
        return HostStatistics(
            programs=len(programs),
            calls_in_flight=len(self._calls),
            calls_queued=sum(program.admission.queued for program in programs),
            sandboxes=executor.sandboxes,
            slots=executor.slots,
            prompts_open=0 if self._calls.closing else self.prompts.count(),
            fetches=self._services.http.under_way,
            ticker=executor.ticker,
            sandbox_level=executor.sandbox_level,
        )
