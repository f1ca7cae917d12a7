"""The outbox: an event is written in the transaction of the change it tells, so there is never one without the other.

What lives here: writing events, and reading them. When they are pushed, acknowledged and deleted: delivery.py. A
payload holds ids, states and amounts; never a text of a user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from host_api.erasure.tombstone import is_tombstone
from host_api.store.protocol import Row, Transaction

PAYLOAD_CHARS_MAX: Final = 4_096
_encode: Final = msgspec.json.Encoder(order="sorted").encode
COLUMNS: Final = "seq, app_seq, user_id, topic, stream, stream_seq, payload, created_us, acked_us"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event as stored. Times in µs since the epoch."""

    seq: int
    """Of the host: later events have higher ones. Unique for ever; never told to a program."""
    app_seq: int
    """Of the program, from 1: what it knows the event by."""
    user: str
    """Whom the program's notification acts for; '' for nobody."""
    topic: str
    stream: str
    stream_seq: int
    """Of the stream: from 1, without a gap."""
    payload: Mapping[str, Any]
    payload_chars: int
    created_us: int
    acked_us: int
    """0 while it is not acknowledged."""


def event_of(row: Row) -> Event:
    """From `COLUMNS`."""
    seq, app_seq, user, topic, stream, stream_seq, payload, created_us, acked_us = row
    return Event(
        seq=seq, app_seq=app_seq, user=user, topic=topic, stream=stream, stream_seq=stream_seq,
        payload=msgspec.json.decode(payload), payload_chars=len(payload), created_us=created_us, acked_us=acked_us,
    )  # fmt: skip


def publish(tx: Transaction, *, app_id: str, user: str, stream: str, topic: str, payload: Mapping[str, Any]) -> int:
    """Tell `app_id` that `topic` (such as "payment.succeeded") happened to `stream` (an order's id); gives its number
    within the stream, from 1 without a gap. Due at once, unless the one before it is not acknowledged yet.

    `user` is whom the program's notification acts for, the same for all events of a stream; nobody once they are
    erased. Raises ValueError for a payload over PAYLOAD_CHARS_MAX.
    """
    text = _encode(payload).decode()
    if len(text) > PAYLOAD_CHARS_MAX:
        raise ValueError(f"an event's payload has {len(text)} characters; at most {PAYLOAD_CHARS_MAX}")
    ((number, acknowledged),) = tx.execute(
        "INSERT INTO event_streams (app_id, stream, last_seq) VALUES (:app_id, :stream, 1)"
        " ON CONFLICT (app_id, stream) DO UPDATE SET last_seq = event_streams.last_seq + 1"
        " RETURNING last_seq, acked_seq",
        {"app_id": app_id, "stream": stream},
    )
    ((app_seq,),) = tx.execute(
        "INSERT INTO event_programs (app_id, last_seq) VALUES (:app_id, 1)"
        " ON CONFLICT (app_id) DO UPDATE SET last_seq = event_programs.last_seq + 1 RETURNING last_seq",
        {"app_id": app_id},
    )
    tx.execute(
        "INSERT INTO events (app_id, app_seq, user_id, stream, stream_seq, topic, payload, created_us, next_us)"
        " VALUES (:app_id, :app_seq, :user, :stream, :number, :topic, :payload, :now_us, :next_us)",
        {
            "app_id": app_id,
            "app_seq": app_seq,
            "user": "" if is_tombstone(user) else user,
            "stream": stream,
            "number": number,
            "topic": topic,
            "payload": text,
            "now_us": tx.now_us,
            "next_us": tx.now_us if acknowledged == number - 1 else 0,
        },
    )
    return int(number)


def events_after(tx: Transaction, app_id: str, user: str, after: int, at_most: int) -> list[Event]:
    """A program's events of that user, or of everybody where `user` is '', numbered over `after`, in order."""
    of_user = " AND user_id = :user" if user else ""
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM events WHERE app_id = :app_id{of_user} AND app_seq > :after"
        " ORDER BY app_seq LIMIT :at_most",
        {"app_id": app_id, "after": after, "at_most": at_most, **({"user": user} if user else {})},
    )
    return [event_of(row) for row in rows]


def event_by_seq(tx: Transaction, app_id: str, user: str, seq: int) -> Event | None:
    """None for one of another program, or of another user than `user` (any user's where it is '')."""
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM events WHERE app_id = :app_id AND app_seq = :seq", {"seq": seq, "app_id": app_id}
    )
    found = event_of(rows[0]) if rows else None
    return found if found and user in ("", found.user) else None
