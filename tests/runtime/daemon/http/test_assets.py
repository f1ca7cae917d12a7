"""Assets over HTTP: a front end gets the members of its program's bundle, and nobody runs them."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest

from tests.runtime.daemon.http.conftest import Door
from tests.runtime.test_assets import APP, MEMBERS, TABLE, bundle


@pytest.fixture
async def texts(door: Door) -> Door:
    await door.host.install(bundle({**MEMBERS, "pages/a b.html": b"<script>alert(1)</script>"}))
    return door


async def test_a_member_comes_whole_with_its_type_and_digest(texts: Door) -> None:
    answer = await texts.ask("GET", f"/v1/programs/{APP}/assets/i18n/zh.json")
    assert (answer.status, answer.body) == (200, MEMBERS["i18n/zh.json"])
    assert answer.headers["content-type"] == "application/json"
    digest = sha256(answer.body)
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"


async def test_a_large_one_and_one_of_no_known_type(texts: Door) -> None:
    answer = await texts.ask("GET", f"/v1/programs/{APP}/assets/table.bin")
    assert (answer.body, answer.headers["content-type"]) == (TABLE, "application/octet-stream")


async def test_a_page_is_bytes_that_no_browser_opens_or_runs(texts: Door) -> None:
    answer = await texts.ask("GET", f"/v1/programs/{APP}/assets/pages%2Fa%20b.html")
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["manifest.json", "program.wasm", "none", "../i18n/zh.json", "", "i18n"])
async def test_what_is_no_asset_is_not_found(texts: Door, path: str) -> None:
    answer = await texts.ask("GET", f"/v1/programs/{APP}/assets/{path}")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_only_a_session_of_that_program_gets_them(texts: Door) -> None:
    path = f"/v1/programs/{APP}/assets/empty"
    assert (await texts.ask("GET", path, user=None)).code == "token_missing"
    other = texts.token("alice", programs=["org.example.other"])
    assert (await texts.ask("GET", path, token=other)).code == "program_not_allowed"
    assert (await texts.ask("GET", "/v1/programs/org.example.none/assets/empty")).code == "not_installed"
