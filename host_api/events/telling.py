"""What programs were told, for whoever watches over a host: which event when, without what is in it.

What lives here: reading. No user and no payload is told: ids, topics and numbers alone.
"""

from __future__ import annotations

import msgspec

from host_api.store.protocol import Row, Transaction

_COLUMNS = "seq, created_us, app_id, app_seq, topic, stream, stream_seq"


class ToldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a program's."""

    seq: int
    """Of the host: later events have higher ones."""
    at_us: int
    """When it was written, µs since the epoch."""
    app_id: str
    app_seq: int
    """What the program knows it by: its number among its own."""
    topic: str
    """What happened, such as "payment.succeeded"."""
    stream: str
    """To what: an order's id."""
    stream_seq: int
    """Its place among the events of the stream, from 1 without a gap."""


def newest(tx: Transaction, app_id: str, at_most: int) -> list[ToldEvent]:
    """Of one program, or of all where `app_id` is ''; the oldest first."""
    of_app, order = ("WHERE app_id = :app_id", "app_seq") if app_id else ("", "seq")
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM events {of_app} ORDER BY {order} DESC LIMIT :at_most",
        {"at_most": at_most, **({"app_id": app_id} if app_id else {})},
    )
    return [_told(row) for row in reversed(rows)]


def told_after(tx: Transaction, app_id: str, seq: int, at_most: int) -> tuple[list[ToldEvent], int]:
    """Up to `at_most` of them behind `seq`, in order, and where to go on. `at_most` events of all programs are looked
    at, whichever are asked for."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM events WHERE seq > :seq ORDER BY seq LIMIT :at_most", {"seq": seq, "at_most": at_most}
    )
    told = [_told(row) for row in rows]
    return [one for one in told if app_id in ("", one.app_id)], told[-1].seq if told else seq


def _told(row: Row) -> ToldEvent:
    seq, at_us, app_id, app_seq, topic, stream, stream_seq = row
    return ToldEvent(
        seq=seq, at_us=at_us, app_id=app_id, app_seq=app_seq, topic=topic, stream=stream, stream_seq=stream_seq
    )
