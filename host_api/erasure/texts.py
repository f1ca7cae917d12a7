"""Texts that programs chose and that stay in rows for ever: subjects, reasons, business keys. They may name a person.

What lives here: blanking them, in orders, refunds and the events that tell of both. Amounts, times and states stay.

A business key (out_trade_no, out_request_no) becomes a new random one, not a hash: a hash of a telephone number is the
number to whoever tries them all. So the old key guards nothing any more. It need not: an order that is made under it
again is another order, which its user has to confirm anew; and nobody finds the old one by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from host_api.erasure.tombstone import tombstone
from host_api.store.protocol import Transaction

BLANK: Final = ""
"""As a subject no program can choose it: it marks the orders that are done."""
OF_PAYMENT: Final = "substr(topic, 1, 8) = 'payment.'"
"""Of events: those whose payloads are known: ids, states, amounts and business keys. `blank_order` has done them."""


def blank_order(tx: Transaction, app_id: str, order_id: str, new_id: Callable[[], str]) -> None:
    """Subject, business keys and reasons of one order, its refunds and its events."""
    number = tombstone(new_id)
    tx.execute(
        "UPDATE orders SET subject = :blank, out_trade_no = :number WHERE id = :id",
        {"blank": BLANK, "number": number, "id": order_id},
    )
    renamed: dict[str, str] = {}
    for refund_id, request_no in tx.execute(
        "SELECT id, out_request_no FROM refunds WHERE order_id = :id", {"id": order_id}
    ):
        renamed[request_no] = new = tombstone(new_id)
        tx.execute(
            "UPDATE refunds SET reason = :blank, out_request_no = :number WHERE id = :id",
            {"blank": BLANK, "number": new, "id": refund_id},
        )
    for seq, payload in tx.execute(
        "SELECT seq, payload FROM events WHERE app_id = :app_id AND stream = :id", {"app_id": app_id, "id": order_id}
    ):
        told = json.loads(payload)
        if "out_trade_no" in told:
            told["out_trade_no"] = number
        if "out_request_no" in told:
            told["out_request_no"] = renamed.get(told["out_request_no"], BLANK)
        _set_payload(tx, seq, told)


def _set_payload(tx: Transaction, seq: int, payload: dict[str, object]) -> None:
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
    tx.execute("UPDATE events SET payload = :payload WHERE seq = :seq", {"payload": text, "seq": seq})
