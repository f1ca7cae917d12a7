"""Users and consent, met by real guests: what a program learns of its user, and what it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from host_api.prompts.cooldown import PROMPTS_MAX
from host_api.services import Outside
from runtime import App, Bundle, ScriptedCashier, wire
from runtime.bundle import pack_contents
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script, scripted

USER = ("user.login", "user.profile", "user.phone", "user.address")
ALL = ("nickname", "avatar", "locale", "age_band", "phone_masked", "phone", "address")
LIN = {"nickname": "Lin", "phone": "+8613800000123", "address": '{"country":"CN","city":"Hangzhou"}'}
DAY_S = 24 * 3600


def asking(app_id: str, reasons: Mapping[str, Any], code: int = 1) -> Bundle:
    """The scripted guest, which asks for these capabilities for these reasons."""
    manifest = {
        "app_id": app_id,
        "name": "Guest",
        "version": {"name": str(code), "code": code},
        "req_permissions": [{"name": name, "reason": why, "required": False} for name, why in reasons.items()],
        "program": {"module": "program.wasm"},
    }
    members = {"manifest.json": msgspec.json.encode(manifest), "program.wasm": scripted()}
    return Bundle.from_bytes(pack_contents(members))


async def ask(site: Site, app: App, method: str, user: str = "alice", /, **params: Any) -> Any:
    """The result that the guest is given, or the code of its error."""
    _, _, error, result = await site.ask(wire.request(1, method, params), app, user=user)
    return result if error is None else error["code"]


async def authorize(site: Site, app: App, *scopes: str, wait_ms: int = 5_000) -> Any:
    answer = await ask(site, app, "user.authorize", scopes=list(scopes), wait_ms=wait_ms)
    return answer["scopes"] if isinstance(answer, dict) else answer


async def profile(site: Site, app: App, *scopes: str) -> Any:
    answer = await ask(site, app, "user.profile", scopes=list(scopes))
    return answer["profile"] if isinstance(answer, dict) else answer


# ---- what it learns --------------------------------------------------------------------------------------------------
async def test_a_guest_asks_and_is_told(stored: Site) -> None:
    app = await stored.install(grant=USER)
    await stored.host.users.put("alice", LIN)
    assert await profile(stored, app, "nickname") == "consent_required"
    assert await authorize(stored, app, *ALL) == dict.fromkeys(ALL, "granted")
    assert await profile(stored, app, "nickname", "avatar") == {"nickname": "Lin", "avatar": None}
    assert await ask(stored, app, "user.phone") == {"phone": "****0123"}
    assert await ask(stored, app, "user.phone", masked=False) == {"phone": "+8613800000123"}
    assert await ask(stored, app, "user.address") == {"address": {"country": "CN", "city": "Hangzhou"}}
    told = (await ask(stored, app, "user.consents"))["consents"]
    assert [(one["scope"], one["given"]) for one in told] == [(scope, True) for scope in sorted(ALL)]
    assert len(stored.cashier.shown) == 1
    assert stored.host.verify() == []


async def test_ids_cannot_be_joined_and_stay_over_a_restart(opened: Opened, tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        async with opened(tmp_path / "state") as site:
            alone = [await site.install(grant=USER) for _ in range(2)]
            bundles = [asking(f"org.example.of{n}", dict.fromkeys(USER, "?")) for n in range(2)]
            together = [await site.host.install(bundle, grant=USER, sector="example") for bundle in bundles]
            found = [(await ask(site, app, "user.login"))["id"] for app in (*alone, *together)]
            assert found[2] == found[3]
            assert len(set(found)) == 3
            assert (await ask(site, alone[0], "user.login", "bob"))["id"] not in found
            ids.append(found)
    assert ids[0] == ids[1]


async def test_a_message_at_its_bounds_and_one_over(site: Site) -> None:
    app = await site.install(grant=USER)
    for params in (
        {"scopes": []}, {"scopes": [*ALL, "nickname"]}, {"scopes": ["nickname"] * 2}, {"scopes": ["notify"]}, {},
        {"scopes": ["nickname"], "wait_ms": 600_001}, {"scopes": ["nickname"], "wait_ms": -1},
        {"scopes": ["nickname"], "user": "bob"},
    ):  # fmt: skip
        assert await ask(site, app, "user.authorize", **params) == "invalid_params", params
    assert site.cashier.shown == []
    assert (await ask(site, app, "user.authorize", scopes=list(ALL), wait_ms=600_000))["scopes"]
    for params in ({"scopes": []}, {"scopes": ["phone"]}, {"scopes": ["nickname"], "user": "bob"}):
        assert await ask(site, app, "user.profile", **params) == "invalid_params", params


# ---- what it does not ------------------------------------------------------------------------------------------------
async def test_undeclared_not_granted_and_no_consent_are_told_apart(site: Site) -> None:
    declared = {name: "to test" for name in USER if name != "user.address"}
    app = await site.host.install(asking("org.example.some", declared), grant=("user.profile", "user.address"))
    assert await authorize(site, app, "nickname", "phone", "address") == "capability_undeclared"
    assert await authorize(site, app, "nickname", "phone") == "capability_not_granted"
    assert [await ask(site, app, f"user.{name}") for name in ("login", "phone", "address")] == [
        "capability_not_granted", "capability_not_granted", "capability_undeclared"]  # fmt: skip
    assert await profile(site, app, "nickname") == "consent_required"
    assert site.cashier.shown == []


async def test_without_a_user_all_methods_say_the_same(site: Site) -> None:
    app, script = await site.install(grant=USER), Script()
    requests: Sequence[tuple[str, dict[str, Any]]] = (
        ("user.login", {}), ("user.authorize", {"scopes": ["nickname"]}), ("user.profile", {"scopes": ["nickname"]}),
        ("user.phone", {}), ("user.address", {}), ("user.consents", {}),
    )  # fmt: skip
    for method, params in requests:
        script.ask(wire.request(1, method, params))
    reply = await site.host.call(app, "run", script.params())
    errors = [error for _, _, error, _ in script.responses(reply.value)]
    assert errors == [errors[0]] * len(requests)
    assert errors[0]["code"] == "invalid_params"


async def test_one_program_learns_nothing_through_another(stored: Site) -> None:
    await stored.host.users.put("alice", LIN)
    first, second = [await stored.install(grant=USER) for _ in range(2)]
    assert await authorize(stored, first, "nickname") == {"nickname": "granted"}
    assert await profile(stored, second, "nickname") == "consent_required"
    assert await ask(stored, second, "user.consents") == {"consents": []}
    assert await ask(stored, first, "user.profile", "bob", scopes=["nickname"]) == "consent_required"


async def test_what_is_taken_back_during_a_call_is_not_given_out(opened: Opened) -> None:
    asked, answer = trio.Event(), trio.Event()

    class Slow:
        """A platform's directory that takes its time."""

        async def fields(self, user: str, names: Sequence[str]) -> Mapping[str, str]:
            asked.set()
            await answer.wait()
            return {"nickname": "Lin"}

    async with opened(outside=Outside(directory=Slow())) as site:
        app, told = await site.install(grant=USER), []
        await authorize(site, app, "nickname")

        async def read() -> None:
            told.append(await profile(site, app, "nickname"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await asked.wait()
            assert await site.host.consents.revoke(app.app_id, "alice", "nickname") == 1
            answer.set()
        assert told == ["consent_denied"]


# ---- asking ----------------------------------------------------------------------------------------------------------
async def test_a_guest_that_begs_gets_one_prompt_and_then_none(opened: Opened) -> None:
    script = Script()
    for scope in ("nickname", "nickname", "phone", "address"):
        script.ask(wire.request(1, "user.authorize", {"scopes": [scope], "wait_ms": 5_000}))
    async with opened(cashier=ScriptedCashier()) as site:
        told, _ = await site.reply(script, await site.install(grant=USER))
        answers = [wire.decode(one, 1 << 16) for one in told if isinstance(one, bytes)]
        assert [(error or {}).get("code") for _, _, error, _ in answers] == [None, None, "rate_limited", "rate_limited"]
        assert [result["scopes"] for _, _, _, result in answers[:2]] == [{"nickname": "refused"}] * 2
        assert 0 < answers[2][2]["retry_after_ms"] <= 30_000
        assert len(site.cashier.shown) == 1


async def test_nobody_is_asked_who_does_not_look(site: Site) -> None:
    app, script = await site.install(grant=USER), Script()
    script.ask(wire.request(1, "user.authorize", {"scopes": ["nickname"]}))
    reply = await site.host.call(app, "run", script.params(), user="alice", interactive=False)
    assert script.responses(reply.value)[0][2]["code"] == "not_interactive"
    assert site.cashier.shown == []


async def test_words_end_at_their_microsecond(opened: Opened) -> None:
    answers = iter((False, True, True))
    clock = VirtualClock()
    async with opened(clock=clock, cashier=ScriptedCashier(lambda _: next(answers))) as site:
        app = await site.install(grant=USER)
        for days, was, then in ((7, "refused", "granted"), (365, "granted", "granted")):
            assert await authorize(site, app, "nickname") == {"nickname": was}
            shown = len(site.cashier.shown)
            clock.advance(us=days * DAY_S * 1_000_000 - 1)
            assert await authorize(site, app, "nickname") == {"nickname": was}
            assert len(site.cashier.shown) == shown
            clock.advance(us=1)
            assert await profile(site, app, "nickname") == "consent_required"
            assert await authorize(site, app, "nickname") == {"nickname": then}
            assert len(site.cashier.shown) == shown + 1


@pytest.mark.parametrize("reworded", [False, True])
async def test_a_release_that_gives_another_reason_asks_again(opened: Opened, reworded: bool) -> None:
    async with opened() as site:
        reasons = {"user.profile": {"en": "To greet you", "zh": "用于问候"}}
        app = await site.host.install(asking("org.example.some", reasons), grant=USER)
        assert await authorize(site, app, "nickname") == {"nickname": "granted"}
        assert site.cashier.shown[0].shown["asks"][0]["purpose"] == "To greet you"
        if reworded:
            reasons["user.profile"]["zh"] = "用于营销"
        app = await site.host.install(asking("org.example.some", reasons, code=2), grant=USER)
        assert await profile(site, app, "nickname") == ("consent_required" if reworded else {"nickname": None})
        assert await authorize(site, app, "nickname") == {"nickname": "granted"}
        assert len(site.cashier.shown) == 1 + reworded


async def test_dialogs_of_calls_that_end_at_once_are_paced(opened: Opened) -> None:
    """A call that asks and traps takes its dialog along: on the screen it was all the same."""
    ask = wire.request(1, "user.authorize", {"scopes": ["nickname"], "wait_ms": 150_000})
    clock, cashier = VirtualClock(), ScriptedCashier()
    cashier.hold()
    async with opened(clock=clock, cashier=cashier) as site:
        app = await site.install(grant=USER, calls_per_s=10_000, calls_burst=10_000)

        async def flash() -> None:
            await site.end(Script().post(ask).wait(5).step("unreachable"), app)
            while site.host.prompts.count():
                await trio.lowlevel.checkpoint()

        for _ in range(30):
            await flash()
        assert len(cashier.shown) == PROMPTS_MAX
        error = (await site.ask(ask, app))[2]
        assert (error["code"], error["details"]["limit"]) == ("rate_limited", "prompts_without_a_yes")
        clock.advance(ms=error["retry_after_ms"])
        for _ in range(3):
            await flash()
        assert len(cashier.shown) == PROMPTS_MAX + 1
