"""The outbox's proof: no event of a stream is missing, and each is where delivery would have left it.

What lives here: invariant 11 of docs/protocol.md. That each change of an order has its event is proved in
payment/verification.py. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from host_api.events.delivery import PUSHES_MAX
from host_api.reconciliation import FINDINGS_MAX
from host_api.store.protocol import Row, Transaction

_CHUNK: Final = 1_000
_STREAMS = """
    SELECT app_id, stream, last_seq, acked_seq FROM event_streams WHERE (app_id, stream) > (:app_id, :stream)
    ORDER BY app_id, stream LIMIT :chunk"""
_EVENTS = """
    SELECT stream_seq, seq, created_us, attempts, next_us, acked_us FROM events
    WHERE app_id = :app_id AND stream = :stream ORDER BY stream_seq"""
_WITHOUT_STREAM = """
    SELECT count(*) FROM events WHERE NOT EXISTS (SELECT 1 FROM event_streams
        WHERE event_streams.app_id = events.app_id AND event_streams.stream = events.stream)"""


def verify(tx: Transaction) -> list[str]:
    """What is wrong with events, one line each; empty when they hold together. Reads all of them.

    Checked: every stream's events run without a gap to its last, none of them missing that was not acknowledged; a
    later one never has an earlier time or a lower seq; the acknowledged ones are pushed no more, the first of the
    others is due or was pushed as often as an event is, and those behind it wait.
    """
    findings = [f"{count} events of no stream" for ((count,),) in (tx.execute(_WITHOUT_STREAM),) if count]
    last = {"app_id": "", "stream": ""}
    while (streams := tx.execute(_STREAMS, {**last, "chunk": _CHUNK})) and len(findings) < FINDINGS_MAX:
        for app_id, stream, last_seq, acked_seq in streams:
            last = {"app_id": app_id, "stream": stream}
            found = _findings(tx.execute(_EVENTS, last), last_seq, acked_seq)
            findings.extend(f"stream {stream} of {app_id}: {finding}" for finding in found)
    return findings[:FINDINGS_MAX]


def _findings(events: list[Row], last_seq: int, acked_seq: int) -> Iterator[str]:
    first = events[0][0] if events else last_seq + 1
    if first > acked_seq + 1:
        yield f"event {acked_seq + 1} is missing"
    before_seq = before_us = 0
    for expected, (number, seq, created_us, attempts, next_us, acked_us) in enumerate(events, start=first):
        if number != expected:
            yield f"event {expected} is missing"
            return
        if seq <= before_seq or created_us < before_us:
            yield f"event {number} is older than the one before it"
        before_seq, before_us = seq, created_us
        if (acked_us > 0) is not (number <= acked_seq):
            yield f"event {number} is {'' if acked_us else 'not '}acknowledged, and the stream up to {acked_seq}"
        elif number == acked_seq + 1 and not next_us and attempts != PUSHES_MAX:
            yield f"event {number} was pushed {attempts} times and is not planned again"
        elif number > acked_seq + 1 and (next_us or attempts):
            yield f"event {number} did not wait for the one before it"
    if first + len(events) - 1 != last_seq:
        yield f"its events end with {first + len(events) - 1}, and the stream with {last_seq}"
