"""Orders that change by themselves, or all at once: what time has done is written down, a program's payments are ended.

What lives here: bounded jobs of `Store.write`, called again and again by their owner until they give 0. Nothing waits
for them: what they write has been so, to everybody who looked, since its time came.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from host_api import ledger
from host_api.ledger import AccountKind, AccountName, Balance
from host_api.payment import records
from host_api.payment.orders import CloseReason, Event, Status
from host_api.payment.standing import catch_up
from host_api.payment.transitions import carry_out
from host_api.store.protocol import Transaction

_EVENTS: Final = {CloseReason.UNINSTALLED: Event.UNINSTALL, CloseReason.REVOKED: Event.REVOKE}
_UNPAID: Final = frozenset({Status.PENDING, Status.CONFIRMING, Status.AUTHORIZED})


def sweep(tx: Transaction, at_most: int) -> int:
    """Close what expired (and void what it held), finish what cannot be refunded any more; up to `at_most` orders,
    longest overdue first. Returns how many."""
    due = records.orders_due(tx, at_most)
    for order in due:
        catch_up(tx, order)
    return len(due)


def close_program(tx: Transaction, app_id: str, reason: CloseReason, at_most: int, user: str | None = None) -> int:
    """End what the program (with this user, if one is given) has not been paid for: open orders close, holds are void.

    `reason`: UNINSTALLED or REVOKED. Prompts' rows go too; who waits for them in memory is told by the caller. Returns
    how many orders, `at_most` at once.
    """
    unpaid = records.unpaid_orders(tx, app_id, user, at_most)
    for order in unpaid:
        now = catch_up(tx, order)
        if now.status in _UNPAID:
            carry_out(tx, now, _EVENTS[reason])
    return len(unpaid)


def balance(tx: Transaction, name: AccountName) -> Balance:
    """As ledger.balance, less the holds whose time is over: they count for nothing from that moment on. Read-only."""
    lapsed = records.lapsed_amount(tx, name)
    stored = ledger.balance(tx, name)
    if name.kind is AccountKind.WALLET:
        return replace(stored, held=stored.held - lapsed)
    return replace(stored, incoming=stored.incoming - lapsed)
