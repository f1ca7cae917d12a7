"""The outbox's proof finds each kind of damage."""

from __future__ import annotations

import pytest

from host_api.events.delivery import RETENTION_US
from tests.host_api.events.conftest import Outbox

DAMAGE = {
    "DELETE FROM events WHERE seq = 2": "event 2 is missing",
    "DELETE FROM events WHERE seq = 3": "event 3 is missing",
    "DELETE FROM events WHERE seq = 4": "its events end with 3, and the stream with 4",
    "DELETE FROM events WHERE stream = 'order'": "event 3 is missing",
    "UPDATE events SET stream_seq = 9 WHERE seq = 4": "event 4 is missing",
    "UPDATE events SET created_us = 5 WHERE seq = 2": "event 2 is older than the one before it",
    "UPDATE events SET acked_us = 0 WHERE seq = 1": "event 1 is not acknowledged, and the stream up to 2",
    "UPDATE events SET acked_us = 9, next_us = 0 WHERE seq = 3": "event 3 is acknowledged, and the stream up to 2",
    "UPDATE events SET next_us = 0 WHERE seq = 3": "event 3 was pushed 0 times and is not planned again",
    "UPDATE events SET next_us = 5 WHERE seq = 4": "event 4 did not wait for the one before it",
    "UPDATE events SET attempts = 1 WHERE seq = 4": "event 4 did not wait for the one before it",
    "UPDATE event_streams SET acked_seq = 3 WHERE stream = 'order'": "event 3 is not acknowledged",
    "UPDATE event_streams SET last_seq = 5 WHERE stream = 'order'": "its events end with 4, and the stream with 5",
    "UPDATE event_streams SET last_seq = 3 WHERE stream = 'order'": "its events end with 4, and the stream with 3",
    "DELETE FROM event_streams WHERE stream = 'other'": "1 events of no stream",
}


async def outbox(events: Outbox) -> None:
    """A stream of four, two of them acknowledged, and one of one."""
    seqs = [await events.publish() for _ in range(4)]
    await events.publish("other")
    await events.ack(seqs[1])
    assert events.findings() == []


@pytest.mark.parametrize("damage", DAMAGE)
async def test_the_proof_finds(damaged: Outbox, damage: str) -> None:
    await outbox(damaged)
    await damaged.sql(damage)
    assert [finding for finding in damaged.findings() if DAMAGE[damage] in finding]


async def test_what_was_pruned_is_not_missing(events: Outbox) -> None:
    await outbox(events)
    events.clock.advance(us=RETENTION_US)
    assert await events.prune() == 2
    assert events.findings() == []


async def test_many_streams_are_all_looked_at(damaged: Outbox) -> None:
    for number in range(1_100):
        await damaged.publish(f"order {number:05}")
    assert damaged.findings() == []
    await damaged.sql("DELETE FROM events WHERE stream = 'order 01099'")
    assert damaged.findings() == ["stream order 01099 of org.example.shop: event 1 is missing"]
