"""user.authorize: one dialog for what is undecided, what it shows, and what is remembered of the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.prompt import digest_of
from host_api.store import open_store
from host_api.user.consent import DAY_US, REFUSED_US, VALID_US, ConsentStore
from host_api.user.methods import AuthorizeParams
from host_api.user.purpose import version
from host_api.user.scopes import SCOPES
from runtime.testing import VirtualClock
from tests.host_api.refusal import refusal
from tests.host_api.user.conftest import KNOWN, World

ALL = ("nickname", "avatar", "locale", "age_band", "phone_masked", "phone", "address")
REASON = {"user.profile": {"en": "To greet you", "zh": "用于问候"}, "user.phone": {"": "To call you"}}


# ---- the dialog ------------------------------------------------------------------------------------------------------
async def test_one_dialog_asks_for_all_scopes(world: Any) -> None:
    assert await world.authorize(*ALL) == dict.fromkeys(ALL, "granted")
    assert len(world.cashier.shown) == 1


async def test_only_what_is_undecided_is_asked_for(world: Any) -> None:
    world.answer_with(True, False, True)
    assert await world.authorize("nickname") == {"nickname": "granted"}
    assert await world.authorize("nickname", "phone") == {"nickname": "granted", "phone": "refused"}
    world.clock.advance(s=30)
    found = await world.authorize("phone", "nickname", "address")
    assert found == {"phone": "refused", "nickname": "granted", "address": "granted"}
    assert [prompt.about for prompt in world.cashier.shown] == ["nickname", "phone", "address"]


async def test_what_is_decided_needs_no_dialog_and_no_user_who_looks(world: Any) -> None:
    await world.authorize("nickname")
    assert await world.authorize("nickname", session=world.session(interactive=False)) == {"nickname": "granted"}
    assert len(world.cashier.shown) == 1


async def test_what_is_shown(world: Any) -> None:
    session = world.session(locale="zh-Hans-CN", reasons=REASON)
    await world.authorize("phone", "nickname", "avatar", session=session)
    (prompt,) = world.cashier.shown
    assert (prompt.kind, prompt.app_id, prompt.user) == ("consent", "org.example.shop", "alice")
    asks = [
        {
            "covers": "the name you go by, your picture",
            "purpose": "用于问候",
            "record": {
                "scopes": ["nickname", "avatar"],
                "language": "zh",
                "purpose_version": version(REASON["user.profile"]),
            },
        },
        {
            "covers": "your phone number",
            "purpose": "To call you",
            "record": {"scopes": ["phone"], "language": "", "purpose_version": version(REASON["user.phone"])},
        },
    ]
    assert prompt.shown == {
        "program": "Example Shop",
        "app_id": "org.example.shop",
        "asks": asks,
        "valid_us": VALID_US,
    }
    whole = {"kind": prompt.kind, "app_id": prompt.app_id, "user": prompt.user, "about": prompt.about}
    assert prompt.digest == digest_of(**whole, shown=prompt.shown)
    asks[0]["purpose"] = "用于营销"
    assert prompt.digest != digest_of(**whole, shown={**prompt.shown, "asks": asks})


async def test_the_stored_text_is_what_was_shown(world: Any) -> None:
    await world.authorize("nickname", session=world.session(locale="zh", reasons=REASON))
    (consent,) = world.consents.of_user("alice")
    (ask,) = world.cashier.shown[0].shown["asks"]
    assert (consent.purpose.text, consent.purpose.language) == (ask["purpose"], "zh") == ("用于问候", "zh")
    assert consent.decided_us == world.store.now_us()


async def test_the_longest_reasons_there_can_be_still_fit_a_prompt(world: Any) -> None:
    session = world.session(
        reasons={name: {"en": "\U0001f600" * 256} for name in ("user.profile", "user.phone", "user.address")}
    )
    assert await world.authorize(*ALL, session=session) == dict.fromkeys(ALL, "granted")


@pytest.mark.parametrize(
    "params",
    [
        {}, {"scopes": []}, {"scopes": ["nickname", "nickname"]}, {"scopes": ["mother"]}, {"scopes": ["notify"]},
        {"scopes": ["nickname"], "user": "bob"}, {"scopes": ["nickname"], "wait_ms": -1}, {"scopes": "nickname"},
        {"scopes": ["nickname"], "wait_ms": 600_001}, {"scopes": [*ALL, "nickname"]},
    ],
)  # fmt: skip
def test_what_may_not_be_asked_for(params: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(params, AuthorizeParams)


# ---- waiting ---------------------------------------------------------------------------------------------------------
async def test_without_waiting_it_is_pending_until_the_user_answers(world: Any) -> None:
    world.cashier.hold()
    assert await world.authorize("nickname", wait_ms=0) == {"nickname": "pending"}
    assert await world.authorize("nickname", wait_ms=0) == {"nickname": "pending"}
    world.cashier.release()
    await trio.testing.wait_all_tasks_blocked()
    assert await world.authorize("nickname", wait_ms=0) == {"nickname": "granted"}
    assert len(world.cashier.shown) == 1


async def test_a_prompt_that_runs_out_decides_nothing(world: Any) -> None:
    world.cashier.hold()
    assert await world.authorize("nickname", wait_ms=0) == {"nickname": "pending"}
    await trio.testing.wait_all_tasks_blocked()
    world.clock.advance(s=120)
    assert await world.authorize("nickname", wait_ms=0) == {"nickname": "pending"}
    await trio.testing.wait_all_tasks_blocked()
    assert len(world.cashier.shown) == 2
    assert world.stored() == []


async def test_a_cancelled_call_takes_its_dialog_back(world: Any) -> None:
    world.cashier.hold()
    with trio.move_on_after(0.01):
        await world.authorize("nickname")
    await trio.testing.wait_all_tasks_blocked()
    assert world.desk.pending() == []
    assert world.stored() == []


async def test_two_calls_share_one_dialog(world: Any) -> None:
    world.cashier.hold()
    found = []

    async def ask(*scopes: str) -> None:
        found.append(await world.authorize(*scopes))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "nickname", "phone")
        nursery.start_soon(ask, "phone", "nickname")
        await trio.testing.wait_all_tasks_blocked()
        world.cashier.release()
    assert found == [{"nickname": "granted", "phone": "granted"}] * 2
    assert len(world.cashier.shown) == 1
    assert len(world.records()) == 2


async def test_a_decision_between_the_look_and_the_prompt_is_not_asked_for_again(world: Any) -> None:
    session = world.session()
    write, world.store.write = world.store.write, None

    async def slow(job: Any) -> Any:
        world.store.write = write
        await world.authorize("nickname")
        return await write(job)

    world.store.write = slow
    assert await world.authorize("nickname", "phone", session=session) == {"nickname": "granted", "phone": "granted"}
    assert [prompt.about for prompt in world.cashier.shown] == ["nickname", "phone"]


# ---- refusals of the host --------------------------------------------------------------------------------------------
async def test_only_a_user_who_looks_is_asked(world: Any) -> None:
    error = await refusal(world.authorize("nickname", session=world.session(interactive=False)))
    assert error.code is ErrorCode.NOT_INTERACTIVE
    assert world.cashier.shown == []


async def test_a_session_without_a_user_is_refused_in_one_way(world: Any) -> None:
    nobody = world.session("")
    calls = (world.authorize("nickname", session=nobody), world.profile("nickname", session=nobody),
             world.phone(session=nobody), world.address(session=nobody))  # fmt: skip
    told = [(await refusal(call)).as_wire() for call in calls]
    for at_once in (world.login, world.told):
        with pytest.raises(ApiError) as caught:
            at_once(nobody)
        told.append(caught.value.as_wire())
    assert told == [told[0]] * 6
    assert told[0]["code"] == "invalid_params"


async def test_a_scope_needs_its_capability(world: Any) -> None:
    session = world.session(granted=["user.login", "user.profile"])
    error = await refusal(world.authorize("nickname", "phone", session=session))
    assert (error.code, error.details["capability"]) == (ErrorCode.CAPABILITY_NOT_GRANTED, "user.phone")
    assert world.cashier.shown == []


async def test_a_capability_revoked_on_the_way_to_the_prompt_opens_none(world: Any) -> None:
    session, write = world.session(), world.store.write

    async def revoked(job: Any) -> Any:
        session.authority.narrow(world.session(granted=["user.login"]).authority.grants())
        return await write(job)

    world.store.write = revoked
    error = await refusal(world.authorize("nickname", session=session))
    assert error.code is ErrorCode.CAPABILITY_NOT_GRANTED
    assert world.cashier.shown == []


async def test_after_a_no_another_dialog_has_to_wait(world: Any) -> None:
    world.answer_with(False, True)
    assert await world.authorize("nickname") == {"nickname": "refused"}
    world.clock.advance(us=30_000_000 - 1)
    error = await refusal(world.authorize("phone"))
    assert (error.code, error.retry_after_ms) == (ErrorCode.RATE_LIMITED, 1)
    world.clock.advance(us=1)
    assert await world.authorize("phone") == {"phone": "granted"}


# ---- how long a word holds -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("given", "held_us"), [(True, VALID_US), (False, REFUSED_US)])
async def test_a_word_holds_to_the_microsecond(world: Any, given: bool, held_us: int) -> None:
    world.answer_with(given, not given)
    was, then = ("granted", "refused") if given else ("refused", "granted")
    assert await world.authorize("nickname") == {"nickname": was}
    world.clock.advance(us=held_us - 1)
    assert await world.authorize("nickname") == {"nickname": was}
    assert list(world.told()) == ["nickname"]
    world.clock.advance(us=1)
    assert world.told() == {}
    assert await world.authorize("nickname") == {"nickname": then}
    assert len(world.cashier.shown) == 2


def test_a_year_and_a_week() -> None:
    assert (VALID_US, REFUSED_US) == (365 * DAY_US, 7 * DAY_US)


async def test_a_yes_holds_as_long_as_was_shown(world: Any) -> None:
    world.consents.valid_us = 5_000_000
    world.cashier.hold()
    await world.authorize("nickname", wait_ms=0)
    world.consents.valid_us = VALID_US
    world.cashier.release()
    await trio.testing.wait_all_tasks_blocked()
    (consent,) = world.consents.of_user("alice")
    assert consent.expires_us - consent.decided_us == world.cashier.shown[0].shown["valid_us"] == 5_000_000


@pytest.mark.parametrize("times", [{"valid_us": 0}, {"refused_us": 0}])
async def test_a_word_holds_for_some_time(world: Any, times: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least a microsecond"):
        ConsentStore(store=world.store, new_salt=bytes, **times)


@pytest.mark.parametrize("given", [True, False])
async def test_a_release_with_another_reason_asks_again(world: Any, given: bool) -> None:
    world.answer_with(given, True)
    await world.authorize("nickname", session=world.session(reasons=REASON))
    world.clock.advance(s=30)
    reworded = world.session(
        release_code=2, reasons={**REASON, "user.profile": {"en": "To greet you", "zh": "用于营销"}}
    )
    assert world.told(reworded) == {}
    assert await world.authorize("nickname", session=reworded) == {"nickname": "granted"}
    assert len(world.cashier.shown) == 2


async def test_a_release_with_the_same_reason_does_not(world: Any) -> None:
    await world.authorize("nickname", session=world.session(reasons=REASON))
    again = world.session(release_code=2, locale="zh", reasons={**REASON, "user.phone": {"en": "Other"}})
    assert await world.authorize("nickname", session=again) == {"nickname": "granted"}
    assert len(world.cashier.shown) == 1


async def test_a_prompt_and_a_consent_outlive_the_process(tmp_path: Path) -> None:
    """In a state directory: asked in one host, answered in the next, read in the one after."""
    clock, state = VirtualClock(), tmp_path / "state"

    @asynccontextmanager
    async def host() -> AsyncIterator[World]:
        async with open_store(state, clock) as store, trio.open_nursery() as nursery:
            yield World(store, clock, nursery)
            nursery.cancel_scope.cancel()

    async with host() as world:
        world.cashier.hold()
        await world.embedded.put("alice", KNOWN)
        assert await world.authorize("nickname", wait_ms=0) == {"nickname": "pending"}
    async with host() as world:
        (prompt,) = world.desk.pending("alice")
        issued = await world.desk.issue(prompt.id)
        clock.advance(ms=500)
        await world.desk.answer(prompt.id, issued.token, issued.digest, approved=True)
    async with host() as world:
        assert await world.profile("nickname") == {"nickname": "Lin"}
        assert [one["effect"] for one in world.records()] == ["consent.given"]


# ---- the audit -------------------------------------------------------------------------------------------------------
async def test_each_decision_and_revocation_is_one_record_without_personal_data(world: Any) -> None:
    world.answer_with(True, False)
    await world.authorize("nickname", "phone")
    await world.authorize("address")
    assert await world.consents.revoke("org.example.shop", "alice", "phone") == 1
    told = [(one["effect"], one["app_id"], one["scope"]) for one in world.records()]
    shop = "org.example.shop"
    assert told == [
        ("consent.given", shop, "nickname"),
        ("consent.given", shop, "phone"),
        ("consent.refused", shop, "address"),
        ("consent.revoked", shop, "phone"),
    ]
    assert len({one["subject"] for one in world.records()}) == 1
    for one in world.records():
        assert set(one) == {"effect", "at_us", "app_id", "subject", "scope", "purpose_version", "expires_us"}
        assert "alice" not in str(one) and len(one["subject"]) == len(one["purpose_version"]) == 32


def test_every_scope_has_a_capability_and_words() -> None:
    assert set(SCOPES) == {*ALL, "notify"}
    assert all(scope.covers.isprintable() and scope.name == name for name, scope in SCOPES.items())
