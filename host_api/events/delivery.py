"""Delivery: which event is pushed when, what an acknowledgement does, and when an event is deleted.

At least once: an event is pushed until it is acknowledged, each time later (`LADDER_US`), and then waits to be listed.
In order: of a stream only the oldest event that is not acknowledged is pushed; those behind it wait for it, even when
it is pushed no more. So whoever acknowledges what was handled sees every event of a stream, in order, without a gap.

What lives here: the rules, as arithmetic and SQL. No clock (the transaction's time is used) and no push: who calls
`take` pushes, after the attempt is durable, so that a crash repeats a push and never loses one.
"""

from __future__ import annotations

from typing import Final

from host_api.events.outbox import COLUMNS, Event, event_by_seq, event_of
from host_api.store.protocol import Transaction

_S: Final = 1_000_000
LADDER_US: Final = tuple(s * _S for s in (1, 5, 30, 120, 600, 3_600, 10_800, 21_600, 21_600, 21_600, 10_800))
"""How long after each push that was not acknowledged the next one is; 25 h 12 min in all."""
PUSHES_MAX: Final = len(LADDER_US) + 1
RETENTION_US: Final = 7 * 24 * 3600 * _S
"""How long an acknowledged event can still be listed. One that is not acknowledged stays."""

_GIVEN_UP = "app_id = :app_id AND next_us = 0 AND attempts > 0 AND acked_us = 0"
_OF_STREAM = "app_id = :app_id AND stream = :stream"


def next_push_us(pushes: int, now_us: int) -> int:
    """When an event that was just pushed for the `pushes`th time (from 1) is pushed again; 0: not any more."""
    return now_us + LADDER_US[pushes - 1] if pushes < PUSHES_MAX else 0


def due_us(tx: Transaction, app_id: str) -> int:
    """When a program's next push is; 0 if none is planned."""
    rows = tx.execute(
        "SELECT next_us FROM events WHERE app_id = :app_id AND next_us > 0 ORDER BY next_us LIMIT 1", {"app_id": app_id}
    )
    return int(rows[0][0]) if rows else 0


def programs_due(tx: Transaction, after: str, at_most: int) -> list[str]:
    """Programs behind `after` with events that are to be pushed, now or later."""
    rows = tx.execute(
        "SELECT DISTINCT app_id FROM events WHERE next_us > 0 AND app_id > :after ORDER BY app_id LIMIT :at_most",
        {"after": after, "at_most": at_most},
    )
    return [str(app_id) for (app_id,) in rows]


def take(tx: Transaction, app_id: str) -> Event | None:
    """The program's event that has been due longest, its attempt written down; None if none is due."""
    rows = tx.execute(
        f"SELECT attempts, {COLUMNS} FROM events WHERE app_id = :app_id AND next_us > 0 AND next_us <= :now_us"
        " ORDER BY next_us, seq LIMIT 1",
        {"app_id": app_id, "now_us": tx.now_us},
    )
    if not rows:
        return None
    (attempts, *columns) = rows[0]
    event = event_of(tuple(columns))
    tx.execute(
        "UPDATE events SET attempts = attempts + 1, next_us = :next_us WHERE seq = :seq",
        {"next_us": next_push_us(attempts + 1, tx.now_us), "seq": event.seq},
    )
    return event


def acknowledge(tx: Transaction, app_id: str, user: str, seq: int) -> bool:
    """The event and those before it in its stream were handled; the one behind them is due at once. May be repeated.

    False if there is no such event, or it is another program's or another user's (`event_by_seq`).
    """
    event = event_by_seq(tx, app_id, user, seq)
    if event is None:
        return False
    if event.acked_us:
        return True
    bindings = {"app_id": app_id, "stream": event.stream, "number": event.stream_seq, "now_us": tx.now_us}
    tx.execute(
        f"UPDATE events SET acked_us = :now_us, next_us = 0 WHERE {_OF_STREAM} AND stream_seq <= :number"
        f" AND stream_seq > (SELECT acked_seq FROM event_streams WHERE {_OF_STREAM})",
        bindings,
    )
    tx.execute(
        f"UPDATE event_streams SET acked_seq = :number WHERE {_OF_STREAM}",
        {name: bindings[name] for name in ("app_id", "stream", "number")},
    )
    tx.execute(f"UPDATE events SET next_us = :now_us WHERE {_OF_STREAM} AND stream_seq = :number + 1", bindings)
    return True


def acknowledged(tx: Transaction, seq: int) -> bool:
    return bool(tx.execute("SELECT 1 FROM events WHERE seq = :seq AND acked_us > 0", {"seq": seq}))


def given_up(tx: Transaction, app_id: str) -> bool:
    """Whether a program has events that are pushed no more, though it never acknowledged them."""
    return bool(tx.execute(f"SELECT 1 FROM events WHERE {_GIVEN_UP} LIMIT 1", {"app_id": app_id}))


def begin_again(tx: Transaction, app_id: str, at_most: int) -> int:
    """Push up to `at_most` of the events that were given up from the ladder's first step on; returns how many.

    For a program that was installed anew: what it failed at may be mended.
    """
    return len(
        tx.execute(
            "UPDATE events SET attempts = 0, next_us = :now_us"
            f" WHERE seq IN (SELECT seq FROM events WHERE {_GIVEN_UP} LIMIT :at_most) RETURNING 1",
            {"app_id": app_id, "now_us": tx.now_us, "at_most": at_most},
        )
    )


def last_seq(tx: Transaction) -> int:
    """The seq of the youngest event; 0 if there never was one."""
    return int(tx.execute("SELECT coalesce(max(seq), 0) FROM events")[0][0])


def published_after(tx: Transaction, seq: int, at_most: int) -> list[tuple[int, str]]:
    """(seq, program) of up to `at_most` events with a seq over `seq`, in order."""
    rows = tx.execute(
        "SELECT seq, app_id FROM events WHERE seq > :seq ORDER BY seq LIMIT :at_most", {"seq": seq, "at_most": at_most}
    )
    return [(int(found), str(app_id)) for found, app_id in rows]


def prune(tx: Transaction, at_most: int) -> int:
    """Delete up to `at_most` events that were acknowledged `RETENTION_US` ago, oldest first; returns how many.

    The youngest event of all stays: its seq keeps the next one from having been used.
    """
    return len(
        tx.execute(
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE acked_us > 0 AND acked_us <= :until"
            " AND seq < (SELECT max(seq) FROM events) ORDER BY acked_us, seq LIMIT :at_most) RETURNING 1",
            {"until": tx.now_us - RETENTION_US, "at_most": at_most},
        )
    )
