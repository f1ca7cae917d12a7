"""What a program is told of its user: only with capability and consent, looked at again before it is given out."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api.capability import Authority, parse_grants
from host_api.errors import ApiError, ErrorCode
from host_api.user.methods import ConsentsParams, ProfileParams
from tests.host_api.refusal import refusal
from tests.host_api.user.conftest import KNOWN, USER

SHOP, TAXI = "org.example.shop", "org.example.taxi"
PROFILE = ("nickname", "avatar", "locale", "age_band")


def readings(world: Any, session: Any = None) -> dict[str, Any]:
    """One call for each scope; not yet awaited."""
    return {
        **{scope: world.profile(scope, session=session) for scope in PROFILE},
        "phone_masked": world.phone(session),
        "phone": world.phone(session, masked=False),
        "address": world.address(session),
    }


# ---- what is given out -----------------------------------------------------------------------------------------------
async def test_what_was_consented_to_is_given_out(world: Any) -> None:
    await world.authorize(*PROFILE, "phone_masked", "phone", "address")
    assert await world.profile(*PROFILE) == {name: KNOWN[name] for name in PROFILE}
    assert await world.phone() == "****0123"
    assert await world.phone(masked=False) == "+8613800000123"
    found = await world.address()
    assert (found.recipient, found.country, found.city, found.street) == ("Lin Mei", "CN", "Hangzhou", None)


async def test_only_what_was_asked_for_is_looked_up_and_given_out(world: Any) -> None:
    await world.authorize(*PROFILE)
    assert await world.profile("avatar") == {"avatar": KNOWN["avatar"]}
    assert world.directory.asked == [("avatar",)]


async def test_without_consent_the_directory_is_not_asked(world: Any) -> None:
    for reading in readings(world).values():
        assert (await refusal(reading)).code is ErrorCode.CONSENT_REQUIRED
    assert world.directory.asked == []


async def test_consent_to_one_scope_is_consent_to_no_other(world: Any) -> None:
    for scope in readings_names():
        await world.consents.revoke(SHOP, "alice")
        world.clock.advance(s=8 * 24 * 3600)
        assert await world.authorize(scope) == {scope: "granted"}
        for other, reading in readings(world).items():
            if other == scope:
                await reading
            else:
                assert (await refusal(reading)).details == {"scopes": [other]}


def readings_names() -> tuple[str, ...]:
    return (*PROFILE, "phone_masked", "phone", "address")


async def test_one_scope_without_consent_refuses_the_whole_request(world: Any) -> None:
    world.answer_with(True, False)
    await world.authorize("nickname")
    error = await refusal(world.profile("nickname", "avatar", "locale"))
    assert (error.code, error.details) == (ErrorCode.CONSENT_REQUIRED, {"scopes": ["avatar", "locale"]})
    await world.authorize("avatar")
    assert (await refusal(world.profile("nickname", "avatar", "locale"))).details == {"scopes": ["locale"]}
    error = await refusal(world.profile("nickname", "avatar"))
    assert (error.code, error.details) == (ErrorCode.CONSENT_DENIED, {"scopes": ["avatar"]})


async def test_a_no_says_when_to_ask_again(world: Any) -> None:
    world.answer_with(True, False)
    await world.authorize("phone")
    await world.authorize("phone_masked")
    week_ms = 7 * 24 * 3600 * 1_000
    assert (await refusal(world.phone())).retry_after_ms == week_ms
    world.clock.advance(us=1_000 * week_ms - 1)
    error = await refusal(world.phone())
    assert (error.code, error.retry_after_ms) == (ErrorCode.CONSENT_DENIED, 1)
    world.clock.advance(us=1)
    error = await refusal(world.phone())
    assert (error.code, error.retry_after_ms) == (ErrorCode.CONSENT_REQUIRED, None)


async def test_a_yes_ends_at_its_microsecond(world: Any) -> None:
    await world.authorize("nickname")
    world.clock.advance(s=365 * 24 * 3600)
    assert (await refusal(world.profile("nickname"))).code is ErrorCode.CONSENT_REQUIRED
    assert world.directory.asked == []


@pytest.mark.parametrize("params", [{"scopes": []}, {"scopes": ["phone"]}, {"scopes": ["avatar", "avatar"]}, {}])
def test_what_is_no_profile(params: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(params, ProfileParams)


# ---- the three refusals ----------------------------------------------------------------------------------------------
async def test_undeclared_not_granted_and_no_consent_are_three_errors_in_that_order(world: Any) -> None:
    wanted = ["user.profile", "user.phone"]  # not user.address
    authority = Authority(requested=parse_grants(wanted), granted=parse_grants(["user.profile", "user.address"]))
    session = world.session(authority=authority)
    order = ("address", "phone", "nickname")
    codes = []
    for first in range(len(order)):
        error = await refusal(world.authorize(*reversed(order[first:]), session=world.session(
            authority=authority, interactive=False)))  # fmt: skip
        codes.append(error.code)
    assert codes == [ErrorCode.CAPABILITY_UNDECLARED, ErrorCode.CAPABILITY_NOT_GRANTED, ErrorCode.NOT_INTERACTIVE]
    assert (await refusal(world.profile("nickname", session=session))).code is ErrorCode.CONSENT_REQUIRED
    assert [code.number for code in codes] == sorted(code.number for code in codes)


# ---- taking it back --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("change", ["consent", "capability", "expiry", "nothing"])
async def test_what_is_taken_back_during_a_call_is_not_given_out(world: Any, change: str) -> None:
    await world.authorize("nickname")
    session, outcome = world.session(), []
    world.directory.hold()

    async def read() -> None:
        try:
            outcome.append(await world.profile("nickname", session=session))
        except ApiError as error:
            outcome.append(error.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        assert outcome == [] and world.directory.asked == [("nickname",)]
        if change == "consent":
            assert await world.consents.revoke(SHOP, "alice", "nickname") == 1
        elif change == "capability":
            session.authority.narrow(parse_grants(["user.login"]))
        elif change == "expiry":
            world.clock.advance(s=365 * 24 * 3600)
        world.directory.release()
    expected = {
        "consent": ErrorCode.CONSENT_DENIED,
        "capability": ErrorCode.CAPABILITY_NOT_GRANTED,
        "expiry": ErrorCode.CONSENT_REQUIRED,
        "nothing": {"nickname": "Lin"},
    }
    assert outcome == [expected[change]]


async def test_taking_back_is_for_one_scope_or_all_and_counted(world: Any) -> None:
    await world.authorize("nickname", "phone", "address")
    assert await world.consents.revoke(SHOP, "alice", "phone") == 1
    assert await world.consents.revoke(SHOP, "alice", "phone") == 0
    assert await world.consents.revoke(SHOP, "alice", "avatar") == 0
    assert await world.consents.revoke(TAXI, "alice") == await world.consents.revoke(SHOP, "bob") == 0
    assert await world.profile("nickname") == {"nickname": "Lin"}
    assert await world.consents.revoke(SHOP, "alice") == 2
    assert (await refusal(world.profile("nickname"))).code is ErrorCode.CONSENT_DENIED
    assert len(world.records()) == 3 + 1 + 2


async def test_taking_back_is_a_no_that_is_remembered(world: Any) -> None:
    await world.authorize("nickname")
    await world.consents.revoke(SHOP, "alice")
    assert await world.authorize("nickname") == {"nickname": "refused"}
    assert len(world.cashier.shown) == 1
    world.clock.advance(s=7 * 24 * 3600)
    assert await world.authorize("nickname") == {"nickname": "granted"}


async def test_a_consent_that_is_over_cannot_be_taken_back(world: Any) -> None:
    await world.authorize("nickname")
    world.clock.advance(s=365 * 24 * 3600)
    assert await world.consents.revoke(SHOP, "alice") == 0
    assert len(world.records()) == 1


# ---- between programs and users --------------------------------------------------------------------------------------
async def test_programs_of_one_sector_do_not_share_consents(world: Any) -> None:
    shop, taxi = (world.session(app_id=app, sector="sector:example") for app in (SHOP, TAXI))
    assert world.login(shop) == world.login(taxi)
    await world.authorize("nickname", session=shop)
    assert (await refusal(world.profile("nickname", session=taxi))).code is ErrorCode.CONSENT_REQUIRED
    assert (list(world.told(shop)), list(world.told(taxi))) == (["nickname"], [])
    assert [(one.app_id, one.scope) for one in world.consents.of_user("alice")] == [(SHOP, "nickname")]


async def test_a_user_nobody_knows_and_one_of_whom_nothing_is_known_are_alike(world: Any) -> None:
    await world.embedded.put("bob", {"nickname": "Bo"})
    await world.embedded.put("bob", {"nickname": None})
    answers = []
    for user in ("bob", "somebody the directory does not know"):
        session = world.session(user)
        before = await refusal(world.profile("nickname", session=session))
        assert await world.authorize("nickname", "phone", "address", session=session) != {}
        answers.append((before.as_wire(), await world.profile("nickname", session=session),
                        await world.phone(session, masked=False), await world.address(session)))  # fmt: skip
    assert answers[0] == answers[1]
    assert answers[0][1:] == ({"nickname": None}, None, None)


async def test_consents_lists_what_holds_with_its_end(world: Any) -> None:
    world.answer_with(True, False)
    await world.authorize("phone", "nickname")
    await world.authorize("address")
    now_ms = world.clock.now_us() // 1_000
    week, year = now_ms + 7 * 24 * 3600 * 1_000, now_ms + 365 * 24 * 3600 * 1_000
    assert world.told() == {"address": (False, week), "nickname": (True, year), "phone": (True, year)}
    assert world.users.consents(world.session("bob"), ConsentsParams()).consents == []
    world.clock.advance(s=7 * 24 * 3600)
    assert list(world.told()) == ["nickname", "phone"]


# ---- a platform's own directory --------------------------------------------------------------------------------------
@pytest.mark.parametrize("answer", [ValueError("alice has no phone"), ApiError(ErrorCode.NOT_FOUND, "no alice"), ["x"]])
async def test_a_directory_that_fails_tells_nothing(world: Any, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    await world.authorize("nickname")
    world.directory.answer = answer
    error = await refusal(world.profile("nickname"))
    assert (error.code, error.retry_after_ms, error.details) == (ErrorCode.BUSY, 1_000, {})
    assert "alice" not in str(error.as_wire()) + caplog.text
    assert "the directory of users failed" in caplog.text


@pytest.mark.parametrize("value", ["a\u202eb", "x" * 65, 7, b"Lin", None, ""])
async def test_a_value_that_cannot_be_is_as_if_unknown(
    world: Any, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await world.authorize("nickname", "locale")
    world.directory.answer = {"nickname": value, "locale": "en", "phone": "+8613800000123"}
    caplog.set_level(logging.WARNING)
    assert await world.profile("nickname", "locale") == {"nickname": None, "locale": "en"}
    assert caplog.text == "" if value is None else "gave a nickname that cannot be" in caplog.text


async def test_a_cancelled_call_gives_nothing_out(world: Any) -> None:
    await world.authorize("nickname")
    world.directory.hold()
    with trio.move_on_after(0.01) as scope:
        await world.profile("nickname")
    assert scope.cancelled_caught


# ---- the embedded directory ------------------------------------------------------------------------------------------
async def test_put_sets_forgets_and_leaves_the_rest(world: Any) -> None:
    await world.embedded.put("alice", {"nickname": "Mei", "phone": None})
    found = await world.embedded.fields("alice", tuple(KNOWN))
    assert found == {**{k: v for k, v in KNOWN.items() if k != "phone"}, "nickname": "Mei"}
    assert await world.embedded.fields("bob", tuple(KNOWN)) == {}


@pytest.mark.parametrize(
    ("user", "values"),
    [("alice", {"nickname": "Mei", "phone": "7"}), ("", {}), ("a", {"x": "y"}), ("erased:0f", {"nickname": "Mei"})],
)
async def test_a_put_that_is_refused_changes_nothing(world: Any, user: str, values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"phone must|a user has a name|unknown field|no user is called so"):
        await world.embedded.put(user, values)
    assert (await world.embedded.fields("alice", ("nickname",)))["nickname"] == "Lin"
    assert user == "alice" or await world.embedded.fields(user, ("nickname",)) == {}


async def test_a_put_is_one_record_without_values(world: Any) -> None:
    await world.embedded.put("alice", {"nickname": "Mei", "phone": None})
    rows = world.store.read(lambda tx: tx.execute("SELECT record FROM audit ORDER BY n DESC LIMIT 1"))
    told = msgspec.json.decode(rows[0][0])
    assert (told["effect"], told["fields"], set(told)) == (
        "user.fields_put", "nickname phone", {"effect", "at_us", "subject", "fields"})  # fmt: skip


def test_the_capabilities_of_users_are_these() -> None:
    assert parse_grants(list(USER))
