"""That every change of an order was told once: in an event, and in an audit record.

What lives here: invariants 10 and 11 of docs/protocol.md, for one order. Read-only. Acknowledged events are deleted in
time, audit records never: whatever is there of the events tells the same as the record of that change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from host_api.payment.orders import TRANSITIONS, Order, Status
from host_api.store.protocol import Transaction

_STEPS: Final = {("", Status.PENDING.value)} | {
    (before.value, rule.to.value) for (before, _), rule in TRANSITIONS.items()
}
_STREAM = "SELECT last_seq, acked_seq FROM event_streams WHERE app_id = :app_id AND stream = :id"
_EVENTS = """
    SELECT stream_seq, topic, payload FROM events WHERE app_id = :app_id AND stream = :id ORDER BY stream_seq"""
_RECORD = "SELECT record FROM audit WHERE n = :n"
_STRAYS = """
    SELECT (SELECT count(*) FROM audit WHERE record LIKE '%"effect":"order.%'),
           (SELECT coalesce(sum(version - untold), 0) FROM orders)"""
_SHARED: Final = ("order_id", "version", "status", "close_reason", "amount", "currency", "captured", "refunded")

Told = dict[str, Any]
"""What one change was told as: `_SHARED`, and `what` it was."""


def verify(tx: Transaction) -> list[str]:
    """That there are no more audit records of orders than their changes; reads the whole audit."""
    ((records, changes),) = tx.execute(_STRAYS)
    return [] if records == changes else [f"{records} audit records of orders, for {changes} changes"]


def of_order(tx: Transaction, order: Order, untold: int) -> Iterator[str]:
    """What is wrong with what was told of one order. `untold`: its version when there was neither outbox nor audit."""
    changes = order.version - untold
    recorded = list(_records(tx, order, changes))
    if [told["version"] for told in recorded] != list(range(untold + 1, order.version + 1)):
        yield f"{len(recorded)} audit records for {changes} changes, or not in their order"
        return
    before = None if untold else ""
    for told in recorded:
        if before is not None and (before, told["status"]) not in _STEPS:
            yield f"told as {told['status']} after {before or 'nothing'}"
        before = told["status"]
    if recorded and not _tells(recorded[-1], order):
        yield "its last audit record does not tell how it stands"
    yield from _events(tx, order, recorded)


def _records(tx: Transaction, order: Order, at_most: int) -> Iterator[Told]:
    """The order's audit records, oldest first; no more than it can have, and one."""
    found: list[Told] = []
    n = order.audit_n
    while n and len(found) <= at_most:
        rows = tx.execute(_RECORD, {"n": n})
        record = json.loads(rows[0][0]) if rows else {}
        what = str(record.get("effect", ""))
        if not what.startswith("order.") or (record["order_id"], record["app_id"]) != (order.id, order.app_id):
            break
        found.append({"what": what.removeprefix("order."), **{name: record[name] for name in _SHARED}})
        n = record["before"]
    return reversed(found)


def _events(tx: Transaction, order: Order, recorded: list[Told]) -> Iterator[str]:
    stream = {"app_id": order.app_id, "id": order.id}
    last_seq, acked_seq = next(iter(tx.execute(_STREAM, stream)), (0, 0))
    events = tx.execute(_EVENTS, stream)
    first = last_seq - len(events) + 1
    if last_seq != len(recorded) or [seq for seq, _, _ in events] != list(range(first, last_seq + 1)):
        yield f"{last_seq} events for {len(recorded)} changes, or with a gap"
    elif first - 1 > acked_seq:
        yield f"its first {first - 1} events are gone, and {acked_seq} were acknowledged"
    else:
        for seq, topic, text in events:
            payload = json.loads(text)
            told = {"what": topic.removeprefix("payment."), **{name: payload.get(name) for name in _SHARED}}
            if told != recorded[seq - 1]:
                yield f"its event {seq} and audit record differ: {told}, {recorded[seq - 1]}"


def _tells(told: Told, order: Order) -> bool:
    reason = order.close_reason and order.close_reason.value
    stands = (order.status.value, reason, order.money.amount, order.money.currency, order.captured, order.refunded)
    return stands == tuple(told[n] for n in ("status", "close_reason", "amount", "currency", "captured", "refunded"))
