"""Money that leaves a merchant account, as a payout to a program's owner will have it: operators have none yet.

What lives here: that one movement of the ledger, for cases in which a merchant has spent what they were paid.
"""

from __future__ import annotations

from host_api import ledger
from host_api.ledger import AccountKind, AccountName
from runtime import sources
from runtime.host import Host


async def pay_out(host: Host, app_id: str, amount: int, currency: str) -> None:
    """`amount` in minor units. Raises ApiError of the ledger and of the store: nothing was moved."""
    shop = AccountName(kind=AccountKind.MERCHANT, owner=app_id, currency=currency)
    out = AccountName(kind=AccountKind.FUNDING, currency=currency)
    leg = ledger.Leg(kind="payout", cause=sources.new_id(), debit=shop, credit=out, amount=amount)
    await host._store.write(lambda tx: ledger.move(tx, [leg]))
