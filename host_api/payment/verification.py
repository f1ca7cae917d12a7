"""The orders' proof: every order held against the ledger, its confirmation and its usage.

What lives here: invariants 4 and 6 to 9 of docs/protocol.md; reconciliation.py has those of the ledger itself.
Read-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from host_api.ledger import AccountKind
from host_api.payment import records
from host_api.payment.orders import Order, Status, digest
from host_api.reconciliation import FINDINGS_MAX
from host_api.store.protocol import Row, Transaction

_CHUNK: Final = 1_000
_TRANSFERS = """
    SELECT t.kind, t.phase, t.amount, t.currency, d.kind, d.owner, c.kind, c.owner
    FROM transfers AS t JOIN accounts AS d ON d.id = t.debit_account JOIN accounts AS c ON c.id = t.credit_account
    WHERE t.order_id = :id"""
_CONFIRMATION = "SELECT order_version, amount, currency, payee, digest FROM confirmations WHERE order_id = :id"
_USAGE = "SELECT app_id, user_id, currency, amount FROM payment_usage WHERE order_id = :id"
_WITHOUT_ORDER = """
    SELECT count(*) FROM transfers WHERE kind IN ('capture', 'fee')
      AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = transfers.order_id)"""
_TWICE = "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY app_id, out_trade_no HAVING count(*) > 1) AS repeated"


def verify(tx: Transaction) -> list[str]:
    """What is wrong with orders, one line each; empty when they hold together. Reads all of them.

    Checked: a capture goes from the order's user to the order's program in the order's currency (4); captured is
    the sum of its captures, fee that of its fees, and 0 <= refunded <= captured <= amount (6); one order a program
    and out_trade_no (7); succeeded means a confirmation whose digest covers the order, and nothing else has one
    (8); each capture counts once against the user's day (9).
    """
    findings = [f"{count} transfers of no order" for ((count,),) in (tx.execute(_WITHOUT_ORDER),) if count]
    findings += [f"{count} out_trade_no used twice" for ((count,),) in (tx.execute(_TWICE),) if count]
    last = ""
    while (orders := records.orders_after(tx, last, _CHUNK)) and len(findings) < FINDINGS_MAX:
        for order in orders:
            findings.extend(f"order {order.id}: {finding}" for finding in _findings(tx, order))
        last = orders[-1].id
    return findings


def _findings(tx: Transaction, order: Order) -> Iterator[str]:
    captured = fees = 0
    for kind, phase, amount, currency, *parties in tx.execute(_TRANSFERS, {"id": order.id}):
        if phase != "single" or currency != order.money.currency:
            yield f"a {phase} transfer of {currency}"
        if kind == "capture" and parties == [AccountKind.WALLET, order.user, AccountKind.MERCHANT, order.app_id]:
            captured += amount
        elif kind == "fee" and parties == [AccountKind.MERCHANT, order.app_id, AccountKind.FEE, ""]:
            fees += amount
        else:
            yield f"a {kind} transfer between accounts that are not its own"
    if (captured, fees) != (order.captured, order.fee):
        yield f"captured {order.captured} and fee {order.fee}, by its transfers {captured} and {fees}"
    if not 0 <= order.refunded <= order.captured <= order.money.amount:
        yield f"refunded {order.refunded}, captured {order.captured} of {order.money.amount}"
    paid = order.status is Status.SUCCEEDED
    if paid is not (order.captured == order.money.amount):
        yield f"{order.status.value} with {order.captured} captured"
    yield from _confirmation(tx, order, paid)
    usage: list[Row] = [(order.app_id, order.user, order.money.currency, order.captured)] if paid else []
    if tx.execute(_USAGE, {"id": order.id}) != usage:
        yield "its usage row is not that of its capture"


def _confirmation(tx: Transaction, order: Order, paid: bool) -> Iterator[str]:
    rows = tx.execute(_CONFIRMATION, {"id": order.id})
    if len(rows) != paid:
        yield f"{order.status.value} with {len(rows)} confirmations"
    for version, amount, currency, payee, stored in rows:
        if version >= order.version or (amount, currency) != (order.money.amount, order.money.currency):
            yield "confirmed at another version, amount or currency"
        if stored != digest(order, payee, version=version):
            yield "its confirmation's digest does not cover it"
