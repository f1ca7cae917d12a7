"""events.*: what answers the methods.

An event names what belongs to one user, so a call that acts for a user sees and acknowledges that user's events only. A
call without a user is the platform's own and sees all of its program. What is not there and what is not yours are one
answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from host_api.contract import Bound, Session
from host_api.errors import ApiError, ErrorCode
from host_api.events.delivery import acknowledge
from host_api.events.methods import ACK, LIST, AckParams, AckResult, ListedEvent, ListParams, ListResult
from host_api.events.outbox import Event, event_by_seq, events_after
from host_api.store.protocol import Store

PAGE_CHARS_MAX: Final = 65_536
"""Payload in one answer, so that it stays inside a response's default size."""
PAGE_VALUES_MAX: Final = 2_400
"""Values in the payloads of one answer, so that it stays inside the wire's number of elements."""


class EventService:
    """Answers events.*; holds nothing but what it was given."""

    def __init__(self, *, store: Store, acknowledged: Callable[[str], None]) -> None:
        """`acknowledged` is called with the program's id once an acknowledgement is durable: its next event is due."""
        self._store = store
        self._acknowledged = acknowledged

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(LIST, self.list), Bound(ACK, self.ack))

    def list(self, session: Session, params: ListParams) -> ListResult:
        found = self._store.read(
            lambda tx: events_after(tx, session.app_id, session.user, params.after, params.limit + 1)
        )
        page = _page(found[: params.limit])
        return ListResult(events=[_listed(event) for event in page], more=len(found) > len(page))

    async def ack(self, session: Session, params: AckParams) -> AckResult:
        app_id, user, seq = session.app_id, session.user, params.seq
        event = self._store.read(lambda tx: event_by_seq(tx, app_id, user, seq))
        if event is not None and event.acked_us:
            return AckResult()
        if not await self._store.write(lambda tx: acknowledge(tx, app_id, user, seq)):
            raise ApiError(ErrorCode.NOT_FOUND, f"no event {seq}: {ErrorCode.NOT_FOUND.cure}")
        self._acknowledged(app_id)
        return AckResult()


def _page(events: list[Event]) -> list[Event]:
    """As many as fit into one answer: one at least."""
    chars = values = 0
    for at, event in enumerate(events):
        chars += event.payload_chars
        values += _values(event.payload)
        if at and (chars > PAGE_CHARS_MAX or values > PAGE_VALUES_MAX):
            return events[:at]
    return events


def _values(value: Any) -> int:
    """How many elements the wire counts in it."""
    if isinstance(value, dict):
        return 1 + sum(1 + _values(inner) for inner in value.values())
    return 1 + sum(_values(inner) for inner in value) if isinstance(value, list) else 1


def _listed(event: Event) -> ListedEvent:
    return ListedEvent(
        seq=event.app_seq,
        topic=event.topic,
        stream=event.stream,
        stream_seq=event.stream_seq,
        payload=dict(event.payload),
        created_at_ms=event.created_us // 1_000,
        acked=event.acked_us > 0,
    )
