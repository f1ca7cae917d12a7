"""The orders' proof: every order held against its transfers, refunds, confirmation, usage and events.

What lives here: invariants 4 to 11 of docs/protocol.md as far as one order goes; those of the ledger itself are in
reconciliation.py, those of events and audit in telling.py. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from host_api.ledger import AccountKind, Phase
from host_api.payment import records, telling
from host_api.payment.fees import fee_returned
from host_api.payment.orders import Order, Status, digest
from host_api.payment.postings import CAPTURE, FEE, FEE_RETURN, REFUND
from host_api.reconciliation import FINDINGS_MAX
from host_api.store.protocol import Row, Transaction

_CHUNK: Final = 1_000
_TRANSFERS = """
    SELECT t.id, t.kind, t.phase, t.amount, t.currency, t.pending_id, t.expires_us, t.refund_id,
           d.kind, d.owner, c.kind, c.owner
    FROM transfers AS t JOIN accounts AS d ON d.id = t.debit_account JOIN accounts AS c ON c.id = t.credit_account
    WHERE t.order_id = :id ORDER BY t.seq"""
_CONFIRMATION = "SELECT order_version, amount, currency, payee, digest FROM confirmations WHERE order_id = :id"
_USAGE = "SELECT app_id, user_id, currency, amount FROM payment_usage WHERE order_id = :id"
_REFUNDS = "SELECT id, amount, fee_returned FROM refunds WHERE order_id = :id"
_STORED = "SELECT due_us, untold FROM orders WHERE id = :id"
_WITHOUT_ORDER = f"""
    SELECT count(*) FROM transfers WHERE kind IN ('{CAPTURE}', '{FEE}', '{REFUND}', '{FEE_RETURN}')
      AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = transfers.order_id)"""
_TWICE = "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY app_id, out_trade_no HAVING count(*) > 1) AS repeated"
_PAID: Final = frozenset({Status.SUCCEEDED, Status.FINISHED})


def verify(tx: Transaction) -> list[str]:
    """What is wrong with orders, one line each, the first difference first; empty when they hold together. Reads all.

    Checked for each order (`verify_order`): its transfers are between its user, its program and the platform, in its
    currency (4); money is held while it is authorized and at no other time (5); captured, refunded, fee and what came
    back of it are the sums of their transfers, refunded that of its refunds, 0 <= refunded <= captured <= amount (6);
    it is the only one of its program and out_trade_no (7); what was taken or held has a confirmation whose digest
    covers the order, and nothing else has one (8); it counts against the user's day with what is held or captured (9);
    one event and one audit record for each change, without a gap, telling the same and at last how it stands (10, 11).
    And over all: no other audit record of an order.
    """
    findings = [f"{count} transfers of no order" for ((count,),) in (tx.execute(_WITHOUT_ORDER),) if count]
    findings += [f"{count} out_trade_no used twice" for ((count,),) in (tx.execute(_TWICE),) if count]
    last = ""
    while (orders := records.orders_after(tx, last, _CHUNK)) and len(findings) < FINDINGS_MAX:
        for order in orders:
            findings.extend(_named(tx, order))
        last = orders[-1].id
    return findings + telling.verify(tx)


def verify_order(tx: Transaction, order_id: str) -> list[str]:
    """As `verify`, for one order: the cost of a few look-ups, whatever else there is."""
    order = records.order_whosever(tx, order_id)
    return ["no such order"] if order is None else list(_named(tx, order))


def _named(tx: Transaction, order: Order) -> Iterator[str]:
    moved = _moved(tx, order)
    for findings in (_amounts(order, moved), _refunds(tx, order, moved), _paper(tx, order)):
        for finding in findings:
            yield f"order {order.id}: {finding}"


@dataclass(slots=True)
class _Moved:
    """What an order's transfers come to."""

    captured: int = 0
    fees: int = 0
    refunded: dict[str, int] = field(default_factory=dict)
    fees_back: dict[str, int] = field(default_factory=dict)
    holds: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Open ones: amount, until when."""
    wrong: list[str] = field(default_factory=list)


def _moved(tx: Transaction, order: Order) -> _Moved:
    moved = _Moved()
    wallet, merchant = (AccountKind.WALLET, order.user), (AccountKind.MERCHANT, order.app_id)
    platform = (AccountKind.FEE, "")
    parties = {
        CAPTURE: (wallet, merchant),
        FEE: (merchant, platform),
        REFUND: (merchant, wallet),
        FEE_RETURN: (platform, merchant),
    }
    for identity, kind, phase, amount, currency, pending, expires_us, refund_id, *ends in tx.execute(
        _TRANSFERS, {"id": order.id}
    ):
        if parties.get(kind) != (tuple(ends[:2]), tuple(ends[2:])) or currency != order.money.currency:
            moved.wrong.append(f"a {kind} transfer of {currency} between accounts that are not its own")
        if kind != CAPTURE and phase != Phase.SINGLE:
            moved.wrong.append(f"a {phase} transfer of kind {kind}")
        if phase == Phase.PENDING:
            moved.holds[identity] = (amount, expires_us)
        elif phase == Phase.VOID:
            moved.holds.pop(pending, None)
        elif kind == CAPTURE:
            moved.holds.pop(pending, None)
            moved.captured += amount
        elif kind == FEE:
            moved.fees += amount
        else:
            sums = moved.refunded if kind == REFUND else moved.fees_back
            sums[refund_id] = sums.get(refund_id, 0) + amount
    return moved


def _amounts(order: Order, moved: _Moved) -> Iterator[str]:
    yield from moved.wrong
    if (moved.captured, moved.fees) != (order.captured, order.fee):
        yield f"captured {order.captured} and fee {order.fee}, by its transfers {moved.captured} and {moved.fees}"
    refunded, fees_back = sum(moved.refunded.values()), sum(moved.fees_back.values())
    if (refunded, fees_back) != (order.refunded, order.fee_returned):
        stored = f"refunded {order.refunded} and {order.fee_returned} of the fee"
        yield f"{stored}, by its transfers {refunded} and {fees_back}"
    if not 0 <= order.refunded <= order.captured <= order.money.amount:
        yield f"refunded {order.refunded}, captured {order.captured} of {order.money.amount}"
    if (order.status in _PAID) is not (order.captured > 0):
        yield f"{order.status.value} with {order.captured} captured"
    held = [(order.money.amount, order.hold_until_us)] if order.status is Status.AUTHORIZED else []
    if list(moved.holds.values()) != held:
        yield f"{order.status.value} with {sum(amount for amount, _ in moved.holds.values())} held"


def _refunds(tx: Transaction, order: Order, moved: _Moved) -> Iterator[str]:
    rows = tx.execute(_REFUNDS, {"id": order.id})
    if sum(amount for _, amount, _ in rows) != order.refunded:
        yield f"refunded {order.refunded}, by its refunds {sum(amount for _, amount, _ in rows)}"
    for identity, amount, share in rows:
        if (moved.refunded.get(identity, 0), moved.fees_back.get(identity, 0)) != (amount, share):
            yield f"refund {identity} is not what its transfers are"
    if order.captured and order.fee_returned != fee_returned(order.fee, order.captured, order.refunded):
        yield f"{order.fee_returned} of the fee came back for {order.refunded} refunded"


def _paper(tx: Transaction, order: Order) -> Iterator[str]:
    """What is written beside the money."""
    due_us, untold = tx.execute(_STORED, {"id": order.id})[0]
    if due_us != order.due_us:
        yield f"due at {due_us}, by its state at {order.due_us}"
    counts = {Status.AUTHORIZED: order.money.amount}.get(order.status, order.captured)
    usage: list[Row] = [(order.app_id, order.user, order.money.currency, counts)] if counts else []
    if tx.execute(_USAGE, {"id": order.id}) != usage:
        yield "its usage row is not what it holds or captured"
    yield from _confirmation(tx, order)
    yield from telling.of_order(tx, order, untold)


def _confirmation(tx: Transaction, order: Order) -> Iterator[str]:
    rows = tx.execute(_CONFIRMATION, {"id": order.id})
    if len(rows) != (order.captured > 0 or order.hold_until_us > 0):
        yield f"{order.status.value} with {len(rows)} confirmations"
    for version, amount, currency, payee, stored in rows:
        if version >= order.version or (amount, currency) != (order.money.amount, order.money.currency):
            yield "confirmed at another version, amount or currency"
        if stored != digest(order, payee, version=version):
            yield "its confirmation's digest does not cover it"
