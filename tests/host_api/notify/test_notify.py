"""notify.*: only who subscribed is told anything, in the host's words, and only so often."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from host_api.capability import NO_GRANTS
from host_api.errors import ApiError, ErrorCode
from host_api.notify import notices
from host_api.notify.notices import DAY_US, KEPT_MAX, KEPT_US
from runtime.limits import Limits
from tests.host_api.notify.conftest import NOTICES, World
from tests.host_api.refusal import refusal


# ---- subscribing -----------------------------------------------------------------------------------------------------
async def test_a_user_subscribes_once_and_is_not_asked_again(world: World) -> None:
    assert await world.subscribe() == "granted"
    assert await world.subscribe() == "granted"
    (shown,) = [prompt.shown for prompt in world.cashier.shown]
    assert shown["asks"][0]["covers"] == "sending you messages"
    assert shown["asks"][0]["purpose"] == "To tell you of your orders"


async def test_a_no_is_remembered(world: World) -> None:
    assert await world.subscribe(yes=False) == "refused"
    error = await refusal(world.send())
    assert error.code is ErrorCode.CONSENT_DENIED
    assert error.retry_after_ms is not None
    assert 0 < error.retry_after_ms <= 7 * 24 * 3600 * 1_000


async def test_without_an_answer_it_is_pending(world: World) -> None:
    world.cashier.hold()
    assert await world.subscribe(wait_ms=0) == "pending"
    assert (await refusal(world.send())).code is ErrorCode.CONSENT_REQUIRED


async def test_only_an_interactive_session_asks(world: World) -> None:
    assert (await refusal(world.subscribe(world.session(interactive=False)))).code is ErrorCode.NOT_INTERACTIVE


# ---- sending ---------------------------------------------------------------------------------------------------------
async def test_a_subscribed_user_is_told_whether_they_look_or_not(world: World) -> None:
    await world.subscribe()
    first = await world.send()
    second = await world.send(world.session(interactive=False), params={"no": "82", "carrier": "DHL"})
    waiting = world.notices.pending("alice")
    assert [(notice.id, notice.text) for notice in waiting] == [
        (first, "Order 81 is on its way: SF"),
        (second, "Order 82 is on its way: DHL"),
    ]
    assert world.announced == waiting
    assert {(notice.app_id, notice.user, notice.template) for notice in waiting} == {
        ("org.example.shop", "alice", "shipped")
    }


async def test_nobody_else_is_told(world: World) -> None:
    await world.subscribe()
    assert (await refusal(world.send(world.session("bob")))).code is ErrorCode.CONSENT_REQUIRED
    assert (await refusal(world.send(world.session(app_id="org.other")))).code is ErrorCode.CONSENT_REQUIRED
    assert world.notices.pending() == []


async def test_a_consent_taken_back_counts_at_once_and_for_a_call_in_flight(world: World) -> None:
    await world.subscribe()
    session = world.session()
    await world.send(session)
    await world.consents.revoke("org.example.shop", "alice", "notify")
    assert (await refusal(world.send(session))).code is ErrorCode.CONSENT_DENIED


async def test_a_grant_taken_away_counts_for_a_call_in_flight(world: World) -> None:
    await world.subscribe()
    session = world.session()
    session.authority.narrow(NO_GRANTS)
    assert (await refusal(world.send(session))).code is ErrorCode.CAPABILITY_NOT_GRANTED


async def test_a_session_without_a_user_tells_nobody(world: World) -> None:
    for error in (await refusal(world.send(world.session(""))), await refusal(world.subscribe(world.session("")))):
        assert error.code is ErrorCode.INVALID_PARAMS


@pytest.mark.parametrize(
    ("locale", "interactive", "language", "used"),
    [
        ("zh-CN", True, None, "zh-Hans"),  # the user looks: their session says
        ("en-GB", True, "zh-Hans", "zh-Hans"),  # the program says
        ("en", False, None, "zh-Hans"),  # nobody looks: what they were asked in
        ("en", False, "en", "en"),
        ("en", False, "fr", "en"),
    ],
)
async def test_the_language_is_the_users(
    world: World, locale: str, interactive: bool, language: str | None, used: str
) -> None:
    await world.subscribe(world.session(locale="zh-Hans-CN"))
    await world.send(world.session(locale=locale, interactive=interactive), language=language)
    (notice,) = world.notices.pending("alice")
    assert notice.language == used
    assert notice.text == NOTICES["shipped"][used].format(no="81", carrier="SF")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"template": "other"}, "it has shipped, plain"),
        ({"params": {"no": "81"}}, "too few"),
        ({"params": {"no": "81", "carrier": "a\nb"}}, "U+000A"),
        ({"template": "plain"}, "too many"),
    ],
)
async def test_params_that_are_refused(world: World, params: dict[str, Any], words: str) -> None:
    await world.subscribe()
    error = await refusal(world.send(**params))
    assert error.code is ErrorCode.INVALID_PARAMS
    assert words in error.message
    assert world.notices.pending() == []


# ---- limits ----------------------------------------------------------------------------------------------------------
async def test_notices_of_any_day_at_their_limit_and_one_over(world: World) -> None:
    await world.subscribe()
    session = world.session(limits=Limits(notices_per_day=2))
    await world.send(session)
    world.clock.advance(s=3_600)
    await world.send(session)
    error = await refusal(world.send(session))
    assert error.code is ErrorCode.LIMIT_EXCEEDED
    assert error.details == {"limit": "notices_per_day", "value": 2, "used": 3, "unit": "messages"}
    world.clock.advance(us=DAY_US - 3_600_000_000 - 1)
    assert (await refusal(world.send(session))).code is ErrorCode.LIMIT_EXCEEDED
    world.clock.advance(us=1)
    await world.send(session)


async def test_what_was_taken_counts_for_the_day_too(world: World) -> None:
    await world.subscribe()
    session = world.session(limits=Limits(notices_per_day=1))
    assert await world.notices.take(await world.send(session))
    await world.store.write(lambda tx: notices.prune(tx, 100))
    assert (await refusal(world.send(session))).code is ErrorCode.LIMIT_EXCEEDED


async def test_the_limit_is_a_users_and_a_programs_own(world: World) -> None:
    for user, app_id in (("alice", "a"), ("alice", "b"), ("bob", "a")):
        session = world.session(user, app_id=app_id, limits=Limits(notices_per_day=1))
        await world.subscribe(session)
        await world.send(session)
        assert (await refusal(world.send(session))).code is ErrorCode.LIMIT_EXCEEDED


async def test_the_grants_count(world: World) -> None:
    await world.subscribe()
    session = world.session(granted={"notify": {"count": 1}})
    await world.send(session)
    error = await refusal(world.send(session))
    assert error.code is ErrorCode.GRANT_CONSTRAINT
    assert error.details == {"constraint": "count", "value": 1, "used": 2}


async def test_many_sends_at_once_stay_inside_the_limit(world: World) -> None:
    await world.subscribe()
    session = world.session(limits=Limits(notices_per_day=3))
    sent: list[str] = []

    async def send() -> None:
        try:
            sent.append(await world.send(session))
        except ApiError as error:
            assert error.code is ErrorCode.LIMIT_EXCEEDED

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(send)
    assert len(sent) == len(world.notices.pending("alice")) == 3


async def test_the_first_error_of_the_list_is_answered(world: World) -> None:
    """A grant used up, no consent, wrong params, a limit met: each is told once the one before it is mended."""
    wrong = {"template": "other"}
    session = world.session(granted={"notify": {"count": 0}}, limits=Limits(notices_per_day=0))
    assert (await refusal(world.send(session, **wrong))).code is ErrorCode.GRANT_CONSTRAINT
    session = world.session(limits=Limits(notices_per_day=0))
    assert (await refusal(world.send(session, **wrong))).code is ErrorCode.CONSENT_REQUIRED
    await world.subscribe()
    assert (await refusal(world.send(session, **wrong))).code is ErrorCode.INVALID_PARAMS
    assert (await refusal(world.send(session))).code is ErrorCode.LIMIT_EXCEEDED


# ---- the front end's side --------------------------------------------------------------------------------------------
async def test_a_notice_is_taken_once_and_its_text_is_forgotten(world: World) -> None:
    await world.subscribe()
    sent = await world.send()
    assert await world.notices.take(sent)
    assert not await world.notices.take(sent)
    assert not await world.notices.take("0" * 32)
    assert world.notices.pending() == []
    assert world.store.read(lambda tx: tx.execute("SELECT text FROM notices")) == [("",)]


async def test_a_notice_waits_thirty_days(world: World) -> None:
    await world.subscribe()
    sent = await world.send()
    world.clock.advance(us=KEPT_US - 1)
    assert len(world.texts()) == 1
    world.clock.advance(us=1)
    assert world.texts() == []
    assert not await world.notices.take(sent)
    assert await world.store.write(lambda tx: notices.prune(tx, 100)) == 1
    assert world.store.read(lambda tx: tx.execute("SELECT count(*) FROM notices")) == [(0,)]


async def test_one_more_than_may_wait_takes_the_oldest_ones_place(world: World) -> None:
    await world.subscribe()
    session = world.session(limits=Limits(notices_per_day=1_000))
    other = world.session(app_id="org.other")
    await world.subscribe(other)
    await world.send(other)
    for number in range(KEPT_MAX + 1):
        world.clock.advance(us=1)
        await world.send(session, params={"no": str(number), "carrier": "SF"})
    kept = world.store.read(
        lambda tx: tx.execute(
            "SELECT text FROM notices WHERE app_id = 'org.example.shop' AND taken_us = 0 ORDER BY created_us"
        )
    )
    assert len(kept) == KEPT_MAX
    assert kept[0] == ("Order 1 is on its way: SF",)
    assert len(world.texts()) == notices.LISTED_MAX
    assert world.store.read(lambda tx: notices.sent_in_last_day(tx, "org.example.shop", "alice")) == KEPT_MAX + 1, (
        "what went untaken still counts for the day"
    )


async def test_each_notice_leaves_one_audit_record_without_its_text(world: World) -> None:
    await world.subscribe()
    sent = await world.send(params={"no": "secret-81", "carrier": "SF"})
    records = [json.loads(row[0]) for row in world.store.read(lambda tx: tx.execute("SELECT record FROM audit"))]
    (told,) = [record for record in records if record["effect"] == "notice.sent"]
    assert told.keys() == {"effect", "at_us", "app_id", "subject", "template", "notice"}
    assert (told["app_id"], told["template"], told["notice"]) == ("org.example.shop", "shipped", sent)
    assert "alice" not in str(records) and "secret-81" not in str(records)
