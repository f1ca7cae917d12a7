"""The gateway: front ends call programs for their users, over a real socket."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest

from host_api.front_end.token import LIFE_S
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.http.conftest import Door, read_answer, until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def install(door: Door, app_id: str = "org.example.guest", **limits: int) -> None:
    await door.host.install(bundle(scripted(), app_id), grant=["storage", "payment"], limits=limits)
    door.app_id = app_id


async def ask_host(door: Door, method: str, /, **params: Any) -> Any:
    """What a guest is answered to one request of its own."""
    script = Script().ask(msgspec.msgpack.encode([0, 1, method, params]))
    answer = await door.call("run", as_json(script))
    assert answer.status == 200, answer.body
    return script.responses(_bytes(answer.json["result"]))[0]


def as_json(script: Script) -> dict[str, Any]:
    return {name: {"$bytes": b64encode(value).decode()} for name, value in script.params().items()}


def _bytes(value: Any) -> bytes:
    return b64decode(value["$bytes"])


async def test_a_call_gives_result_and_receipt(shop: Door) -> None:
    answer = await shop.call("cart.add", {"items": {"apple": 2}})
    assert answer.status == 200
    assert answer.json["result"]["goods"] == {"amount": 1_380, "currency": "CNY"}
    receipt = answer.json["receipt"]
    assert (receipt["ending"], receipt["method"], receipt["app_id"]) == ("completed", "cart.add", shop.app_id)
    other = await shop.call("cart.show", user="bob")
    assert other.json["result"]["lines"] == []


async def test_what_the_session_says_is_what_the_guest_is_told(door: Door) -> None:
    await install(door)
    words = {"locale": "de-AT", "time_zone": "Europe/Vienna", "currency": "EUR", "interactive": False}
    token = door.token("alice", **words)
    script = Script().ask(msgspec.msgpack.encode([0, 1, "session.info", {}]))
    answer = await door.call(
        "run", as_json(script), token=token, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    )
    told = script.responses(_bytes(answer.json["result"]))[0][3]
    assert {name: told[name] for name in words} == words
    assert told["trace_id"] == TRACE
    assert answer.headers["traceresponse"].split("-")[:2] == ["00", TRACE]
    assert answer.headers["traceresponse"].endswith("-01")


@pytest.mark.parametrize("sent", [f"00-{TRACE}-00f067aa0ba902b7-01", f"cc-{TRACE}-00f067aa0ba902b7-01-later"])
async def test_a_call_is_a_child_of_the_span_that_asked(shop: Door, sent: str) -> None:
    seen: list[str] = []
    shop.host._calls.observers.append(lambda receipt, session: seen.append(session.traceparent))
    await shop.call("cart.show", headers={"traceparent": sent})
    await shop.call("cart.show")
    assert seen == [f"00-{TRACE}-00f067aa0ba902b7-01", ""]


async def test_a_malformed_traceparent_is_as_if_it_were_not_there(shop: Door) -> None:
    answer = await shop.call("cart.show", headers={"traceparent": f"00-{TRACE}-0000000000000000-01"})
    _, trace, span, flags = answer.headers["traceresponse"].split("-")
    assert (trace == TRACE, len(trace), len(span), flags) == (False, 32, 16, "00")


async def test_a_guests_own_error_is_told_whole_with_its_receipt(shop: Door) -> None:
    answer = await shop.call("no.such")
    assert (answer.status, answer.code) == (422, "failed")
    assert answer.json["error"]["details"]["error"]["code"] == "unknown_method"
    assert answer.json["receipt"]["ending"] == "failed"


async def test_a_guest_that_is_over_is_a_bad_gateway(door: Door) -> None:
    await install(door)
    body = as_json(Script().step("unreachable"))
    answer = await door.call("run", body)
    assert (answer.status, answer.code, answer.json["receipt"]["ending"]) == (502, "trapped", "trapped")


async def test_what_is_refused_before_any_guest_runs(shop: Door) -> None:
    path = f"/v1/programs/{shop.app_id}/call/cart.show"
    for answer, status, code in (
        (await shop.ask("POST", "/v1/programs/org.example.none/call/x", {}), 404, "not_installed"),
        (await shop.ask("POST", path, {}, token=shop.token(programs=["org.other"])), 403, "program_not_allowed"),
        (await shop.ask("POST", path, {}, user=None), 401, "token_missing"),
        (await shop.ask("POST", path, {}, token="hostel1.a.b.c"), 401, "token_invalid"),
        (await shop.ask("POST", path, {}, headers={"content-type": "text/plain"}), 415, "unsupported_media_type"),
        (await shop.ask("POST", path, b"[1]"), 400, "body_malformed"),
        (await shop.ask("POST", path, b'{"a":1,"a":1}'), 400, "body_malformed"),
        (await shop.ask("POST", path, {"deep": json.loads("[" * 15 + "]" * 15)}), 400, "body_malformed"),
        (await shop.ask("POST", path, {"many": [0] * 4_096}), 400, "body_malformed"),
        (await shop.ask("POST", path, {"long": "x" * (256 << 10)}), 413, "message_too_large"),
        (await shop.ask("GET", path), 405, "method_not_allowed"),
        (await shop.ask("GET", "/v1/none"), 404, "not_found"),
    ):
        assert (answer.status, answer.code) == (status, code), answer.body
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "this path takes POST" in (await shop.ask("GET", path)).json["error"]["message"]


async def test_a_token_ends_with_its_time_and_with_its_users_sessions(shop: Door) -> None:
    token = shop.token()
    shop.clock.advance(us=1)
    await shop.host.front_end.end_sessions("alice")
    assert (await shop.call("cart.show", token=token)).code == "token_invalid"
    shop.clock.advance(us=1)
    token = shop.token()
    shop.clock.advance(s=LIFE_S)
    answer = await shop.call("cart.show", token=token)
    assert (answer.status, answer.code, answer.headers["www-authenticate"]) == (401, "token_expired", "Bearer")


async def test_an_erased_users_tokens_count_no_more(shop: Door) -> None:
    token = shop.token("bob")
    shop.clock.advance(us=1)
    await shop.host.erase_user("bob")
    assert (await shop.call("cart.show", token=token)).code == "token_invalid"


async def test_too_many_calls_are_told_when_to_come_again(door: Door) -> None:
    await install(door, calls_per_s=1, calls_burst=1)
    body = as_json(Script().step("sched_yield"))
    assert (await door.call("run", body)).status == 200
    answer = await door.call("run", body)
    assert (answer.status, answer.code, int(answer.headers["retry-after"]) >= 1) == (429, "rate_limited", True)


async def test_a_client_that_leaves_ends_its_call(door: Door) -> None:
    await install(door)
    script = Script().ask(msgspec.msgpack.encode([0, 1, "session.sleep", {"ms": 9_000}]))
    body = json.dumps(as_json(script)).encode()
    head = (
        f"POST /v1/programs/{door.app_id}/call/run HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {door.token()}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    stream = await door.connect()
    await stream.send_all(head.encode() + body)
    await until(lambda: door.host.statistics().calls_in_flight == 1)
    await stream.aclose()
    await until(lambda: door.host.statistics().calls_in_flight == 0)


async def test_bytes_go_in_and_come_out(door: Door) -> None:
    await install(door)
    answer = await ask_host(door, "storage.put", key="k", value=b"\x00\xff")
    assert answer[2] is None, answer


async def test_one_connection_carries_many_requests(shop: Door) -> None:
    request = f"GET /v1/wallet/CNY HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shop.token()}\r\n\r\n".encode()
    async with await shop.connect() as stream:
        for _ in range(3):
            await stream.send_all(request)
            assert (await read_answer(stream)).json == {"currency": "CNY", "available": 100_000, "held": 0}
        received = bytearray()
        await stream.send_all(request * 3)
        for _ in range(3):
            assert (await read_answer(stream, received)).status == 200


async def test_a_fault_of_ours_tells_an_incident_and_nothing_else(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(account: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(door.host, "balance", broken)
    answer = await door.ask("GET", "/v1/wallet/CNY")
    assert (answer.status, answer.code) == (500, "internal")
    assert b"secret" not in answer.body and answer.json["error"]["details"]["incident"] in caplog.text
