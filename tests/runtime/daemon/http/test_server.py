"""The server itself: health, metrics, CORS, TLS, requests at once, and how it stops."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import trio
import trustme

from runtime import Host, StartupError
from runtime.daemon.http import HttpSettings, serve
from tests.hostile.guests import Script
from tests.runtime.daemon.http.conftest import Answer, Door, open_door, until
from tests.runtime.daemon.http.test_gateway import as_json, install

ORIGIN = "https://shop.example"


def sleeping(ms: int) -> dict[str, Any]:
    return as_json(Script().ask(msgspec.msgpack.encode([0, 1, "session.sleep", {"ms": ms}])))


# ---- what an operator asks -------------------------------------------------------------------------------------------
async def test_health_and_readiness(door: Door) -> None:
    assert (await door.ask("GET", "/readyz", user=None)).json == {"ready": True}
    door.is_ready = False
    answer = await door.ask("GET", "/readyz", user=None)
    assert (answer.status, answer.code) == (503, "not_ready")
    assert (await door.ask("GET", "/healthz", user=None)).json == {"alive": True}
    assert (await door.ask("HEAD", "/healthz", user=None, headers={"connection": "close"})).status == 200


async def test_metrics_are_what_they_are_told_to_be(door: Door) -> None:
    answer = await door.ask("GET", "/metrics", user=None, headers={"host": "127.0.0.1"})
    assert (answer.status, answer.body) == (200, door.metrics)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.8.8.8", "[::1]:8080", "[::1]"])
async def test_metrics_are_told_to_whoever_names_this_machine(door: Door, name: str) -> None:
    assert (await door.ask("GET", "/metrics", user=None, headers={"host": name})).body == door.metrics


@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"],
)
async def test_metrics_are_not_told_to_a_page_whose_name_was_made_to_lead_here(door: Door, name: str) -> None:
    refused = await door.ask("GET", "/metrics", user=None, headers={"host": name})
    assert (refused.status, refused.code) == (404, "not_found")
    assert name in refused.json["error"]["message"] and "metrics_token_sha256" in refused.json["error"]["message"]


async def test_metrics_are_not_told_through_a_proxy_without_their_token() -> None:
    async with open_door(HttpSettings(port=0, behind_proxy=True)) as door:
        assert (await door.ask("GET", "/metrics", user=None)).code == "not_found"
    digest = sha256(b"a token for metrics").hexdigest()
    async with open_door(HttpSettings(port=0, behind_proxy=True, metrics_token_sha256=digest)) as door:
        assert (await door.ask("GET", "/metrics", user=None)).code == "token_missing"
        assert (await door.ask("GET", "/metrics", token="another")).code == "token_invalid"
        assert (await door.ask("GET", "/metrics", token="a token for metrics")).body == door.metrics


async def test_answers_are_as_the_document_says(shop: Door) -> None:
    whole = (await shop.ask("GET", "/openapi.json", user=None)).json
    answers = {
        "/v1/programs/{app_id}/call/{method}": ("post", await shop.call("cart.show")),
        "/v1/prompts": ("get", await shop.ask("GET", "/v1/prompts")),
        "/v1/consents": ("get", await shop.ask("GET", "/v1/consents")),
        "/v1/notices": ("get", await shop.ask("GET", "/v1/notices")),
        "/v1/wallet/{currency}": ("get", await shop.ask("GET", "/v1/wallet/CNY")),
    }
    for path, (method, answer) in answers.items():
        schema = whole["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json, {**schema, "components": whole["components"]})
    failure = whole["components"]["responses"]["Failure"]["content"]["application/json"]["schema"]
    for answer in (await shop.ask("GET", "/v1/wallet/x"), await shop.call("no.such")):
        jsonschema.validate(answer.json, {**failure, "components": whole["components"]})


# ---- other sites -----------------------------------------------------------------------------------------------------
async def test_no_site_may_read_answers_by_default(door: Door) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    answer = await door.ask("OPTIONS", "/v1/prompts", user=None, headers=asked)
    assert answer.status == 405
    answer = await door.ask("GET", "/v1/prompts", headers={"origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_listed_site_may_and_no_other() -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with open_door(HttpSettings(port=0, origins=(ORIGIN,))) as door:
        preflight = await door.ask("OPTIONS", "/v1/prompts", user=None, headers={"origin": ORIGIN, **asked})
        assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
        for origin, allowed in ((ORIGIN, ORIGIN), ("https://other.example", None), (f"{ORIGIN}.evil.example", None)):
            for user in ("alice", None):
                answer = await door.ask("GET", "/v1/prompts", user=user, headers={"origin": origin})
                assert answer.headers.get("access-control-allow-origin") == allowed
                assert "access-control-allow-credentials" not in answer.headers


# ---- TLS -------------------------------------------------------------------------------------------------------------
async def test_tls_and_nothing_else(tmp_path: Path) -> None:
    authority = trustme.CA()
    given = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    given.cert_chain_pems[0].write_to_path(certificate)
    given.private_key_pem.write_to_path(key)
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    settings = HttpSettings(port=0, address="127.0.0.1", certificate=certificate, key=key, handshake_s=0.2)
    async with open_door(settings, tls=tls) as door:
        answer = await door.ask("GET", "/healthz", user=None)
        assert (answer.status, "strict-transport-security" in answer.headers) == (200, True)
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""):
            async with await trio.open_tcp_stream("127.0.0.1", door.port) as plain:
                await plain.send_all(data)
                with trio.fail_after(10):
                    try:
                        while piece := await plain.receive_some(4_096):
                            assert b"HTTP" not in piece
                    except trio.BrokenResourceError:
                        pass
        assert (await door.ask("GET", "/healthz", user=None)).status == 200


async def test_what_it_does_not_start_with(door: Door, tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("none")
    files = {"certificate": tmp_path / "c.pem", "key": tmp_path / "none.pem"}
    for settings in (
        HttpSettings(port=door.port), HttpSettings(port=0, address="0.0.0.0"), HttpSettings(port=0, **files),
        HttpSettings(port=0, address="192.0.2.1", behind_proxy=True),
    ):  # fmt: skip
        with pytest.raises(StartupError):
            await serve(door.host, settings, metrics=bytes, ready=lambda: True)


async def test_a_port_that_is_taken_is_told_with_the_setting(door: Door) -> None:
    with pytest.raises(StartupError, match=rf"port {door.port}: .*\[http\] address and port in hostel\.toml"):
        await serve(door.host, HttpSettings(port=door.port), metrics=bytes, ready=lambda: True)


# ---- at once, and at the end -----------------------------------------------------------------------------------------
async def in_flight(host: Host, count: int) -> None:
    await until(lambda: host.statistics().calls_in_flight == count)


async def test_one_request_too_many_is_told_when_to_come_again() -> None:
    async with open_door(HttpSettings(port=0, requests=2)) as door, trio.open_nursery() as nursery:
        await install(door)
        nursery.start_soon(door.call, "run", sleeping(9_000))
        await in_flight(door.host, 1)
        assert (await door.ask("GET", "/healthz", user=None)).status == 200
        nursery.start_soon(door.call, "run", sleeping(9_000))
        await in_flight(door.host, 2)
        answer = await door.ask("GET", "/healthz", user=None)
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "overloaded", "1")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("drain_s", "is_answered"), [(10.0, True), (0.0, False)])
async def test_what_is_being_answered_is_answered_before_the_server_ends(drain_s: float, is_answered: bool) -> None:
    answers: list[Answer] = []
    async with open_door() as door:
        await install(door)
        async with trio.open_nursery() as clients:
            async with trio.open_nursery() as server:
                (url,) = await server.start(
                    partial(
                        serve, door.host, HttpSettings(port=0, drain_s=drain_s), metrics=bytes, ready=lambda: True
                    )
                )  # fmt: skip
                door.port = int(url.rpartition(":")[2])
                idle = await door.connect()

                async def call() -> None:
                    with suppress(EOFError, trio.BrokenResourceError):
                        answers.append(await door.call("run", sleeping(200)))

                clients.start_soon(call)
                await in_flight(door.host, 1)
                server.cancel_scope.cancel()
            with trio.fail_after(5):
                assert not await idle.receive_some(1)
            await idle.aclose()
            with pytest.raises(OSError):
                await door.connect()
    assert [answer.status for answer in answers] == ([200] if is_answered else [])


async def test_tokens_and_their_end_survive_a_restart(tmp_path: Path) -> None:
    async with open_door(state=tmp_path) as door:
        good, ended = door.token("alice"), door.token("bob")
        await door.host.front_end.end_sessions("bob")
        door.clock.advance(us=1)
    async with open_door(state=tmp_path) as door:
        assert (await door.ask("GET", "/v1/wallet/CNY", token=good)).status == 200
        assert (await door.ask("GET", "/v1/wallet/CNY", token=ended)).code == "token_invalid"
