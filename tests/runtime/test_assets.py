"""asset.read: the bundle's other members, asked for by a real guest, here and over a daemon's door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from host_api.assets import READ_BYTES_MAX, media_type
from runtime import Bundle, Host, HostSettings, UsageError, wire
from runtime.bundle import pack_contents
from tests.hostile.guests import Script, scripted

APP = "org.example.texts"
TABLE = bytes(range(256)) * 1_024
MEMBERS = {"i18n/zh.json": '{"hello": "你好"}'.encode(), "table.bin": TABLE, "empty": b"", "pages/cart.js": b"x"}


def bundle(members: dict[str, bytes], *, code: int = 1, app_id: str = APP) -> Bundle:
    manifest = {
        "app_id": app_id, "name": "Texts", "version": {"name": "1.0.0", "code": code},
        "program": {"module": "program.wasm"},
    }  # fmt: skip
    return Bundle.from_bytes(
        pack_contents({"manifest.json": json.dumps(manifest).encode(), "program.wasm": scripted(), **members})
    )


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with Host.open(settings=HostSettings(slots=4, allow_unsigned=True)) as opened:
        await opened.install(bundle(MEMBERS))
        yield opened


async def read(host: Host, app_id: str = APP, **params: Any) -> list[Any]:
    """The response that the guest was given."""
    script = Script().ask(wire.request(1, "asset.read", params))
    reply = await host.call(app_id, "run", script.params(), user="alice")
    response: list[Any] = script.responses(reply.value)[0]
    return response


async def test_a_member_is_read_whole_and_in_parts(host: Host) -> None:
    whole = MEMBERS["i18n/zh.json"]
    assert (await read(host, path="i18n/zh.json"))[3] == {
        "data": whole, "size": len(whole), "media_type": "application/json",
    }  # fmt: skip
    assert (await read(host, path="i18n/zh.json", offset=3, length=5))[3]["data"] == whole[3:8]
    assert (await read(host, path="empty"))[3] == {"data": b"", "size": 0, "media_type": None}


async def test_a_long_one_comes_in_parts_that_fit_a_response(host: Host) -> None:
    found = b""
    while len(found) < len(TABLE):
        told = (await read(host, path="table.bin", offset=len(found)))[3]
        assert (told["size"], len(told["data"])) == (len(TABLE), min(READ_BYTES_MAX, len(TABLE) - len(found)))
        found += told["data"]
    assert found == TABLE
    assert (await read(host, path="table.bin", offset=len(TABLE) + 1))[3]["data"] == b""


@pytest.mark.parametrize("path", ["none", "manifest.json", "program.wasm", "I18N/zh.json", "../i18n/zh.json", "/empty"])
async def test_what_is_no_asset_is_not_found(host: Host, path: str) -> None:
    assert (await read(host, path=path))[2]["code"] == "not_found"


@pytest.mark.parametrize(
    "wrong",
    [{}, {"path": ""}, {"path": "a", "offset": -1}, {"path": "a", "length": 0}, {"path": "a", "length": 1 << 20}],
)
async def test_what_is_asked_wrongly_is_told(host: Host, wrong: dict[str, Any]) -> None:
    assert (await read(host, **wrong))[2]["code"] == "invalid_params"


async def test_a_part_over_the_limit_of_a_response_is_refused_and_the_guest_lives(host: Host) -> None:
    await host.set_limits(APP, {"response_bytes": 1_024})
    error = (await read(host, path="table.bin", length=1_024))[2]
    assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "response_bytes")
    assert (await read(host, path="table.bin", length=512))[3]["data"] == TABLE[:512]


async def test_each_release_has_its_own_and_no_other_programs(host: Host) -> None:
    await host.install(bundle({"i18n/zh.json": b"{}", "other": b"1"}, app_id="org.example.other"))
    assert (await read(host, path="other"))[2]["code"] == "not_found"
    await host.install(bundle({"i18n/zh.json": b"[]"}, code=2))
    assert (await read(host, path="i18n/zh.json"))[3]["data"] == b"[]"
    assert (await read(host, path="table.bin"))[2]["code"] == "not_found"
    with pytest.raises(UsageError):
        await host.install(bundle(MEMBERS, code=1))


def test_the_type_follows_from_the_ending() -> None:
    told = [media_type(path) for path in ("a.JPG", "b/c.svg", "c.tar.gz", "json", "dir.json/file", ".css")]
    assert told == ["image/jpeg", "image/svg+xml", None, None, None, "text/css"]
