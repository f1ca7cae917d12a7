"""Erasing a program: jobs of `Store.write`, some rows at a time, after which no row holds what it kept or said.

What lives here: which of its rows go and which texts are blanked. It is to be uninstalled before, its orders ended;
what the registry has of it goes with that.
Orders, ledger and audit stay, with their amounts; what the user's prompts, consents and notices said of it goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from host_api import audit
from host_api.erasure.rows import delete, delete_values
from host_api.erasure.texts import BLANK, OF_PAYMENT, blank_order
from host_api.erasure.user import ROWS_AN_ORDER
from host_api.store.protocol import Transaction, owe_scrub

DELETED: Final = (
    "storage_values", "storage_usage", "idempotency", "notices", "consents", "prompts", "prompt_declines",
)  # fmt: skip
"""The program's rows go."""
KEPT: Final = frozenset(
    {"orders", "payment_usage", "merchants", "events", "event_streams", "event_programs", "program_owners"}
)
"""What money hangs on, what tells of it, and whose the name is. Texts in them are blanked."""

UNINSTALLED: Final = frozenset({"programs", "releases", "trial_users"})
"""Went before, with the uninstalling (host_api/releases/removal.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninstalled:
    """What the end of a program came to."""

    orders_closed: int
    """Not paid yet; what they held is their users' again."""
    rows_erased: int
    """0 where it was not to be erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far the program's rows were looked through: orders up to a number of theirs, events up to one."""

    orders: str | None = ""
    """None: all of them."""
    events: int = 0


START: Final = Place()


def erase_program(
    tx: Transaction, app_id: str, at_most: int, *, new_id: Callable[[], str], after: Place = START
) -> tuple[int, Place | None]:
    """Erase about `at_most` rows (the last stream of events whole): how many they were, and `after` for the next job;
    None: nothing is left. `new_id`: 128 random bits as text.
    """
    rows, all_gone = _delete(tx, app_id, at_most)
    then: Place | None = after
    if all_gone and after.orders is not None:
        blanked, last = _blank_orders(tx, app_id, (at_most - rows) // ROWS_AN_ORDER + 1, new_id, after.orders)
        rows += blanked * ROWS_AN_ORDER
        after = then = replace(after, orders=last)
    if all_gone and after.orders is None and rows < at_most:
        erased, then = _erase_events(tx, app_id, at_most - rows, after)
        rows += erased
    if rows:
        audit.record(tx, "program.erased", app_id=app_id, rows=rows)
        owe_scrub(tx)
    return rows, then


def _delete(tx: Transaction, app_id: str, at_most: int) -> tuple[int, bool]:
    """How many rows, and whether that is all."""
    rows, all_gone = delete_values(tx, app_id, None, at_most)
    if not all_gone:
        return rows, False
    for table in DELETED[1:]:
        rows += delete(tx, table, "app_id", app_id, at_most - rows)
    return rows, rows < at_most


def _blank_orders(
    tx: Transaction, app_id: str, at_most: int, new_id: Callable[[], str], after: str
) -> tuple[int, str | None]:
    """By their numbers. A new number may lie ahead, and is looked at once more."""
    orders = tx.execute(
        "SELECT id, out_trade_no, subject FROM orders WHERE app_id = :app_id AND out_trade_no > :after"
        " ORDER BY out_trade_no LIMIT :at_most",
        {"app_id": app_id, "after": after, "at_most": at_most},
    )
    told = [order_id for order_id, _, subject in orders if subject != BLANK]
    for order_id in told:
        blank_order(tx, app_id, order_id, new_id)
    return len(told), orders[-1][1] if len(orders) == at_most else None


def _erase_events(tx: Transaction, app_id: str, at_most: int, after: Place) -> tuple[int, Place | None]:
    """Nobody waits any more for what they had to tell: they are as acknowledged, and go when such events go. What is
    not told of a payment is blanked; payments' events have no text but those of their order."""
    page = tx.execute(
        "SELECT app_seq, stream, acked_us FROM events WHERE app_id = :app_id AND app_seq > :after"
        " ORDER BY app_seq LIMIT :at_most",
        {"app_id": app_id, "after": after.events, "at_most": at_most},
    )
    last = page[-1][0] if page else after.events
    rows = sum(_acknowledge(tx, app_id, stream) for stream in {stream for _, stream, acked_us in page if not acked_us})
    rows += len(
        tx.execute(
            "UPDATE events SET user_id = '', payload = '{}' WHERE app_id = :app_id AND app_seq > :after"
            f" AND app_seq <= :last AND NOT {OF_PAYMENT} AND payload <> '{{}}' RETURNING 1",
            {"app_id": app_id, "after": after.events, "last": last},
        )
    )
    return rows, replace(after, events=last) if len(page) == at_most else None


def _acknowledge(tx: Transaction, app_id: str, stream: str) -> int:
    """A stream, whole: it is acknowledged up to one of its events."""
    of = {"app_id": app_id, "stream": stream}
    tx.execute("UPDATE event_streams SET acked_seq = last_seq WHERE app_id = :app_id AND stream = :stream", of)
    return len(
        tx.execute(
            "UPDATE events SET acked_us = :now_us, next_us = 0"
            " WHERE app_id = :app_id AND stream = :stream AND acked_us = 0 RETURNING 1",
            {**of, "now_us": tx.now_us},
        )
    )
