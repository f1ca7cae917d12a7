"""Erasing a program: jobs of `Store.write`, some rows at a time, after which no row holds what it kept or said.

What lives here: which of its rows go and which texts are blanked. It is to be uninstalled before, its orders ended.
Orders, ledger and audit stay, with their amounts; what the user's prompts, consents and notices said of it goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from host_api import audit
from host_api.erasure.texts import BLANK, PAYMENT, blank_order
from host_api.store.protocol import Transaction, owe_scrub

DELETED: Final[dict[str, str]] = {
    "storage_values": "app_id, scope_user, key",
    "storage_usage": "app_id, scope_user",
    "idempotency": "app_id, user_id, method, key",
    "notices": "id",
    "consents": "app_id, user_id, scope",
    "prompts": "id",
    "prompt_declines": "app_id, user_id",
}
"""Table → its primary key; the program's rows go."""
KEPT: Final = frozenset({"orders", "payment_usage", "merchants", "events", "event_streams"})
"""What money hangs on, and what tells of it. Texts in them are blanked."""


def erase_program(tx: Transaction, app_id: str, at_most: int, *, new_id: Callable[[], str]) -> int:
    """Erase about `at_most` rows (the last stream of events whole); how many they were. 0: nothing is left.

    `new_id`: 128 random bits as text.
    """
    rows = 0
    for table, key in DELETED.items():
        rows += len(
            tx.execute(
                f"DELETE FROM {table} WHERE ({key}) IN"
                f" (SELECT {key} FROM {table} WHERE app_id = :app_id LIMIT :at_most) RETURNING 1",
                {"app_id": app_id, "at_most": at_most - rows},
            )
        )
    if rows < at_most:
        rows += _blank_orders(tx, app_id, at_most - rows, new_id)
    if rows < at_most:
        rows += _erase_events(tx, app_id, at_most - rows)
    if rows:
        audit.record(tx, "program.erased", app_id=app_id, rows=rows)
        owe_scrub(tx)
    return rows


def _blank_orders(tx: Transaction, app_id: str, at_most: int, new_id: Callable[[], str]) -> int:
    found = tx.execute(
        "SELECT id FROM orders WHERE app_id = :app_id AND subject <> :blank LIMIT :at_most",
        {"app_id": app_id, "blank": BLANK, "at_most": at_most},
    )
    for (order_id,) in found:
        blank_order(tx, app_id, order_id, new_id)
    return len(found)


def _erase_events(tx: Transaction, app_id: str, at_most: int) -> int:
    """Nobody waits any more for what they had to tell: they are as acknowledged, and go when such events go. What is
    not told of a payment is blanked; payments' events have no text but those of their order."""
    streams = tx.execute(
        "SELECT DISTINCT stream FROM events WHERE app_id = :app_id AND acked_us = 0 LIMIT :at_most",
        {"app_id": app_id, "at_most": at_most},
    )
    rows = 0
    for (stream,) in streams:  # whole ones: a stream is acknowledged up to one of its events
        whose = {"app_id": app_id, "stream": stream}
        tx.execute("UPDATE event_streams SET acked_seq = last_seq WHERE app_id = :app_id AND stream = :stream", whose)
        rows += len(
            tx.execute(
                "UPDATE events SET acked_us = :now_us, next_us = 0"
                " WHERE app_id = :app_id AND stream = :stream AND acked_us = 0 RETURNING 1",
                {**whose, "now_us": tx.now_us},
            )
        )
    return rows + len(
        tx.execute(
            "UPDATE events SET user_id = '', payload = '{}' WHERE seq IN (SELECT seq FROM events"
            f" WHERE app_id = :app_id AND topic NOT LIKE '{PAYMENT}%' AND payload <> '{{}}' LIMIT :at_most)"
            " RETURNING 1",
            {"app_id": app_id, "at_most": at_most - len(streams)},
        )
    )
