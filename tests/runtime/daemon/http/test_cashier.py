"""The cashier over HTTP: an order paid and a consent given end to end, notices, the wallet; strangers are kept out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio

from runtime import Bundle
from runtime.bundle import pack_contents
from tests.hostile.guests import Script, scripted
from tests.runtime.daemon.http.conftest import Answer, Door, until
from tests.runtime.daemon.http.test_gateway import as_json

GUEST = "org.example.asking"
WAIT_MS = 60_000


@pytest.fixture
async def asking(door: Door) -> AsyncIterator[Door]:
    """With a guest that may ask for the user's profile and send notices."""
    manifest = {
        "app_id": GUEST,
        "name": "Asking",
        "version": {"name": "1", "code": 1},
        "req_permissions": [
            {"name": name, "reason": f"We need {name}.", "required": False} for name in ("user.profile", "notify")
        ],
        "program": {"module": "program.wasm"},
        "notices": [{"id": "hello", "text": "Hello!"}],
    }
    members = {"manifest.json": json.dumps(manifest).encode(), "program.wasm": scripted()}
    bundle = Bundle.from_bytes(pack_contents(members))
    await door.host.install(bundle, grant=["user.profile", "notify"])
    door.app_id = GUEST
    yield door


def request(method: str, **params: Any) -> dict[str, Any]:
    return as_json(Script().ask(msgspec.msgpack.encode([0, 1, method, params])))


async def the_prompt(door: Door) -> Any:
    """The one prompt that waits for alice, once it is there."""
    await until(lambda: bool(door.host.prompts.count()))
    (prompt,) = (await door.ask("GET", "/v1/prompts")).json["prompts"]
    return prompt


async def say(door: Door, prompt: Any, approved: bool, **options: Any) -> Answer:
    opened = (await door.ask("POST", f"/v1/prompts/{prompt['id']}/open")).json
    door.clock.advance(ms=500)
    body = {"token": opened["token"], "digest": opened["digest"], "approved": approved}
    return await door.ask("POST", f"/v1/prompts/{prompt['id']}/answer", body, **options)


# ---- payments --------------------------------------------------------------------------------------------------------
async def test_an_order_is_paid_end_to_end(shop: Door) -> None:
    await shop.call("cart.add", {"items": {"apple": 2, "banana": 1}})
    slot = (await shop.call("slots.list")).json["result"]["slots"][0]["slot"]
    bought: list[Answer] = []

    async def buy() -> None:
        bought.append(await shop.call("checkout", {"slot": slot}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(buy)
        prompt = await the_prompt(shop)
        assert (prompt["kind"], prompt["app_id"]) == ("payment", shop.app_id)
        assert {"payee", "amount", "amount_text", "subject"} <= prompt["shown"].keys()
        answer = await say(shop, prompt, True)
        assert (answer.status, answer.json) == (200, {"answer": "approved"})
    assert bought[0].json["result"]["payment"] == "succeeded"
    paid = prompt["shown"]["amount"]["amount"]
    assert (await shop.ask("GET", "/v1/wallet/CNY")).json == {"currency": "CNY", "available": 100_000 - paid, "held": 0}
    assert (await shop.ask("GET", "/v1/prompts")).json == {"prompts": []}
    assert shop.host.verify() == []


async def test_what_an_answer_must_bring(shop: Door) -> None:
    await shop.call("cart.add", {"items": {"apple": 2}})
    slot = (await shop.call("slots.list")).json["result"]["slots"][0]["slot"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.call, "checkout", {"slot": slot})
        prompt = await the_prompt(shop)
        path = f"/v1/prompts/{prompt['id']}"
        first = (await shop.ask("POST", f"{path}/open")).json
        opened = (await shop.ask("POST", f"{path}/open")).json
        good = {"token": opened["token"], "digest": opened["digest"], "approved": False}
        form = {"content-type": "application/x-www-form-urlencoded"}
        for body, options, status, code in (
            (good, {}, 425, "answer_early"),
            (good | {"token": first["token"]}, {}, 403, "token_refused"),
            (good | {"digest": "0" * 64}, {}, 403, "token_refused"),
            (good | {"digest": "0"}, {}, 400, "body_malformed"),
            (good | {"more": 1}, {}, 400, "body_malformed"),
            (good, {"headers": form}, 415, "unsupported_media_type"),
            (good, {"headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
            (good, {"user": "bob"}, 404, "prompt_not_found"),
            (good, {"token": shop.token(programs=["org.other"])}, 404, "prompt_not_found"),
            (good, {"token": shop.token(interactive=False)}, 403, "not_interactive"),
            (good, {"user": None}, 401, "token_missing"),
        ):
            answer = await shop.ask("POST", f"{path}/answer", body, **options)
            assert (answer.status, answer.code) == (status, code), answer.body
        shop.clock.advance(ms=500)
        assert (await shop.ask("POST", f"{path}/answer", good)).json == {"answer": "declined"}
        assert (await shop.ask("POST", f"{path}/answer", good)).code == "prompt_not_found"


async def test_a_prompt_of_another_user_is_not_there(shop: Door) -> None:
    await shop.call("cart.add", {"items": {"apple": 1}})
    slot = (await shop.call("slots.list")).json["result"]["slots"][0]["slot"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.call, "checkout", {"slot": slot})
        prompt = await the_prompt(shop)
        assert (await shop.ask("GET", "/v1/prompts", user="bob")).json == {"prompts": []}
        stranger = await shop.ask("POST", f"/v1/prompts/{prompt['id']}/open", user="bob")
        nothing = await shop.ask("POST", "/v1/prompts/none/open", user="bob")
        assert (stranger.status, stranger.body) == (404, nothing.body)
        elsewhere = shop.token(programs=["org.other"])
        assert (await shop.ask("GET", "/v1/prompts", token=elsewhere)).json == {"prompts": []}
        assert (await say(shop, prompt, False)).json == {"answer": "declined"}


async def test_a_wallet_is_the_sessions_users(shop: Door) -> None:
    assert (await shop.ask("GET", "/v1/wallet/CNY", user="bob")).json["available"] == 0
    answer = await shop.ask("GET", "/v1/wallet/cny")
    assert (answer.status, answer.code) == (400, "invalid_argument")


# ---- consents and notices --------------------------------------------------------------------------------------------
async def consented(door: Door, method: str = "user.authorize", **params: Any) -> None:
    """alice is asked, and says yes."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.call, "run", request(method, wait_ms=WAIT_MS, **params))
        prompt = await the_prompt(door)
        assert prompt["kind"] == "consent"
        assert (await say(door, prompt, True)).json == {"answer": "approved"}


async def test_a_consent_is_given_seen_and_taken_back(asking: Door) -> None:
    await asking.host.users.put("alice", {"nickname": "Al"})
    await consented(asking, scopes=["nickname"])
    (consent,) = (await asking.ask("GET", "/v1/consents")).json["consents"]
    assert (consent["app_id"], consent["scope"], consent["given"]) == (GUEST, "nickname", True)
    assert consent["purpose"] == "We need user.profile."
    assert (await asking.ask("GET", "/v1/consents", user="bob")).json == {"consents": []}
    path = f"/v1/consents/{GUEST}/nickname"
    assert (await asking.ask("DELETE", path, user="bob")).json == {"taken_back": 0}
    assert (await asking.ask("DELETE", path, token=asking.token(programs=["org.other"]))).json == {"taken_back": 0}
    assert (await asking.ask("DELETE", path)).json == {"taken_back": 1}
    assert (await asking.ask("GET", "/v1/consents")).json["consents"][0]["given"] is False


async def test_a_notice_is_listed_and_taken_by_its_user_alone(asking: Door) -> None:
    await consented(asking, "notify.request")
    sent = await asking.call("run", request("notify.send", template="hello"))
    assert sent.status == 200
    (notice,) = (await asking.ask("GET", "/v1/notices")).json["notices"]
    assert (notice["app_id"], notice["text"]) == (GUEST, "Hello!")
    path = f"/v1/notices/{notice['id']}/take"
    stranger = await asking.ask("POST", path, user="bob")
    assert (stranger.status, stranger.code) == (404, "notice_not_found")
    assert (await asking.ask("POST", path, token=asking.token(programs=["org.other"]))).code == "notice_not_found"
    assert (await asking.ask("POST", path)).json == {"taken": True}
    assert (await asking.ask("POST", path)).code == "notice_not_found"
