"""events.*: the methods as they are declared. What answers them is in service.py."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode

LIST_MAX: Final = 100
SEQ_MAX: Final = 2**53

_Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=SEQ_MAX)]


class ListParams(Params, frozen=True, kw_only=True):
    """Which events: in a call with a user that user's, in a call without one all of the program."""

    after: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)] = 0
    """Only those with a higher seq."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = LIST_MAX
    """How many at most."""


class ListedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    seq: int
    """Later events have higher ones, of whatever stream."""
    topic: str
    """What happened, such as "payment.succeeded"."""
    stream: str
    """To what: an order's id."""
    stream_seq: int
    """Its place among the events of the stream, from 1 without a gap."""
    payload: dict[str, Any]
    """Ids, states and amounts, by topic."""
    created_at_ms: int
    """Milliseconds since the epoch."""
    acked: bool
    """The program has acknowledged it."""


class ListResult(Result, frozen=True, kw_only=True):
    """A page, in the order of seq."""

    events: list[ListedEvent]
    """In the order of seq."""
    more: bool
    """There are more: ask again with `after` set to the last seq."""


class AckParams(Params, frozen=True, kw_only=True):
    """What was handled."""

    seq: _Seq
    """Of the event; those before it in its stream are acknowledged with it."""


class AckResult(Result, frozen=True, kw_only=True):
    """Nothing: it is acknowledged, now or since before."""


LIST: Final = Method(
    name="events.list",
    capability=None,
    params=ListParams,
    result=ListResult,
    errors=(ErrorCode.BUSY,),
    waits=False,
    summary="What changed, in order: also for a program that is never notified, or was not there to be.",
    example={"after": 0, "limit": 20},
    answer={
        "events": [
            {
                "seq": 81,
                "topic": "payment.succeeded",
                "stream": "0f" * 16,
                "stream_seq": 3,
                "payload": {"order_id": "0f" * 16, "status": "succeeded", "amount": 1250, "currency": "CNY"},
                "created_at_ms": 1_800_000_000_000,
                "acked": False,
            }
        ],
        "more": False,
    },
)
ACK: Final = Method(
    name="events.ack",
    capability=None,
    params=AckParams,
    result=AckResult,
    errors=(ErrorCode.NOT_FOUND, ErrorCode.BUSY, ErrorCode.UNKNOWN_OUTCOME),
    waits=True,
    summary="Say that an event was handled: it is not pushed again, and the next of its stream is.",
    example={"seq": 81},
    answer={},
)
