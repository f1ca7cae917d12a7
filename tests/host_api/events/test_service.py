"""events.list and events.ack: whose events are seen, pages, and that a repeat is no error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from host_api.errors import ApiError, ErrorCode
from host_api.events.delivery import RETENTION_US
from host_api.events.methods import ACK, LIST, LIST_MAX, AckParams, ListParams, ListResult
from host_api.events.outbox import PAYLOAD_CHARS_MAX
from host_api.events.service import PAGE_CHARS_MAX, EventService
from runtime import wire
from runtime.limits import Limits
from runtime.session import CallSession
from runtime.testing import make_session
from tests.host_api.events.conftest import APP, Outbox


class Asked:
    """A service, and the programs it said have acknowledged."""

    def __init__(self, events: Outbox) -> None:
        self.acknowledged: list[str] = []
        self.service = EventService(store=events.store, acknowledged=self.acknowledged.append)

    def list(self, session: CallSession, **params: int) -> ListResult:
        return self.service.list(session, msgspec.convert(params, ListParams))

    def seqs(self, session: CallSession, **params: int) -> list[int]:
        return [event.seq for event in self.list(session, **params).events]

    async def ack(self, session: CallSession, seq: int) -> None:
        await self.service.ack(session, AckParams(seq=seq))

    async def refused(self, session: CallSession, seq: int) -> dict[str, Any]:
        with pytest.raises(ApiError) as caught:
            await self.ack(session, seq)
        return caught.value.as_wire()


def of(user: str, app_id: str = APP) -> CallSession:
    return make_session(user=user, app_id=app_id, granted=[])


@pytest.fixture
def asked(events: Outbox) -> Asked:
    return Asked(events)


async def test_a_user_sees_what_is_theirs_and_the_platform_all(events: Outbox, asked: Asked) -> None:
    alice, bob = await events.publish("a", user="alice"), await events.publish("b", user="bob")
    nobody = await events.publish("n", user="")
    await events.publish("a", app_id="org.example.other")
    assert asked.seqs(of("alice")) == [alice]
    assert asked.seqs(of("bob")) == [bob]
    assert asked.seqs(of("carol")) == []
    assert asked.seqs(of("")) == [alice, bob, nobody]


async def test_an_event_is_told_in_plain_values(events: Outbox, asked: Asked) -> None:
    payload = {"order_id": "o", "amount": 5, "close_reason": None, "more": [1.5, {"x": True}]}
    seq = await events.publish("o", topic="payment.closed", payload=payload)
    told = msgspec.to_builtins(asked.list(of("alice")))
    assert told == {
        "events": [
            {"seq": seq, "topic": "payment.closed", "stream": "o", "stream_seq": 1, "payload": payload,
             "created_at_ms": events.clock.now_us() // 1_000, "acked": False}
        ],
        "more": False,
    }  # fmt: skip
    await asked.ack(of("alice"), seq)
    assert [event.acked for event in asked.list(of("alice")).events] == [True]


async def test_pages_hold_every_event_once_in_order(events: Outbox, asked: Asked) -> None:
    seqs = [await events.publish(f"{n}", user=("alice", "bob")[n % 2]) for n in range(11)][::2]
    for limit in (1, 2, 5, 6):
        found: list[int] = []
        more = True
        while more:
            page = asked.list(of("alice"), after=found[-1] if found else 0, limit=limit)
            found += [event.seq for event in page.events]
            more = page.more
            assert len(page.events) == limit or not more
        assert found == seqs


@pytest.mark.parametrize(
    "payload",
    [{"x": "y" * (PAYLOAD_CHARS_MAX - 8)}, {"x": [0] * 2_040}, {"x": [[]] * 1_300}, {f"k{n}": n for n in range(30)}],
    ids=["long", "many", "nested", "usual"],
)
async def test_an_answer_stays_inside_a_response_and_the_wires_bounds(
    events: Outbox, asked: Asked, payload: Any
) -> None:
    seqs = [await events.publish(f"{n}", payload=payload) for n in range(LIST_MAX)]
    found: list[int] = []
    while len(found) < len(seqs):
        page = asked.list(of("alice"), after=found[-1] if found else 0)
        assert page.events
        found += [event.seq for event in page.events]
        assert page.more is (found[-1] != seqs[-1])
        encoded = wire.response(1, page)
        assert len(encoded) < PAGE_CHARS_MAX * 2 < Limits().response_bytes
        assert wire.decode(encoded, Limits().response_bytes)
    assert found == seqs


async def test_foreign_and_unknown_events_cannot_be_told_apart(events: Outbox, asked: Asked) -> None:
    mine = await events.publish()
    bobs = await events.publish("b", user="bob")
    foreign = [await events.publish(app_id="org.example.other") for _ in range(3)][-1]
    answers = [await asked.refused(of("alice"), seq) for seq in (foreign, bobs, 99)]
    assert {answer["code"] for answer in answers} == {ErrorCode.NOT_FOUND.code}
    assert (
        len(
            {answer["message"].replace(str(seq), "N") for answer, seq in zip(answers, (foreign, bobs, 99), strict=True)}
        )
        == 1
    )
    assert asked.acknowledged == []
    assert [event.acked_us for event in events.listed("org.example.other") + events.listed()] == [0, 0, 0, 0, 0]
    await asked.ack(of("alice"), mine)


async def test_a_call_without_a_user_acknowledges_for_all(events: Outbox, asked: Asked) -> None:
    await asked.ack(of(""), await events.publish(user="bob"))
    assert asked.acknowledged == [APP]


async def test_acknowledging_again_is_no_error_and_writes_nothing(events: Outbox, asked: Asked) -> None:
    seq = await events.publish()
    for _ in range(3):
        await asked.ack(of("alice"), seq)
    assert asked.acknowledged == [APP]
    events.clock.advance(us=RETENTION_US)
    await events.publish("later")
    assert await events.prune() == 1
    assert (await asked.refused(of("alice"), seq))["code"] == "not_found"


@pytest.mark.parametrize("params", [{"after": -1}, {"after": 2**53 + 1}, {"limit": 0}, {"limit": 101}, {"user": "bob"}])
def test_params_that_are_refused(params: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(params, ListParams)


@pytest.mark.parametrize("seq", [0, -1, 1.0, "1", True, None])
def test_what_is_no_seq(seq: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"seq": seq}, AckParams)


def test_no_capability_is_needed() -> None:
    assert LIST.capability is ACK.capability is None
