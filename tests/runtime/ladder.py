"""Releases that say who they are: signed bundles of small guests, for tests of the registry and the ladder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import wasmtime

from runtime import Bundle, Host, HostSettings, SigningKey, sign
from runtime.bundle import pack_contents

APP = "org.example.small"
ANN, BOB = (SigningKey.from_seed(bytes([number]) * 32) for number in (1, 2))
_ECHO = """(module (memory (export "memory") {pages}) (data (i32.const 0) "\\94\\01\\01\\c0\\a4{name}")
  {more}
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "hostel_handle") (param i32 i32) (result i64) (local i32) {spin} (i64.const 9)))"""
_SPIN = """(loop $on (local.set 2 (i32.add (local.get 2) (i32.const 1)))
  (br_if $on (i32.ne (local.get 2) (i32.const {turns}))))"""


def packed(
    code: int = 1, says: str = "", *, app_id: str = APP, turns: int = 0, pages: int = 1, more: str = "",
    contents: Mapping[str, bytes] | None = None, **manifest: Any,
) -> bytes:  # fmt: skip
    """An unsigned bundle whose program answers `says` (four letters; by default the version code) to everything, after
    so many turns of a loop."""
    wat = _ECHO.format(
        name=says or f"v{code:03}", pages=pages, more=more, spin=_SPIN.format(turns=turns) if turns else ""
    )
    told = {
        "app_id": app_id, "name": "Small", "version": {"name": f"{code}.0", "code": code},
        "req_permissions": [
            {"name": name, "reason": "to test", "required": False} for name in ("storage", "payment", "http")
        ],
        **manifest, "program": {"module": "p.wasm", **manifest.get("program", {})},
    }  # fmt: skip
    module = bytes(wasmtime.wat2wasm(wat))
    return pack_contents({"manifest.json": msgspec.json.encode(told), "p.wasm": module, **(contents or {})})


def signed(code: int = 1, says: str = "", *, by: SigningKey = ANN, **more: Any) -> Bundle:
    return Bundle.from_bytes(sign(packed(code, says, **more), by))


def unsigned(code: int = 1, says: str = "", **more: Any) -> Bundle:
    return Bundle.from_bytes(packed(code, says, **more))


class Platform:
    """A host with a developer whose key is ANN, and the ladder in few words."""

    def __init__(self, host: Host, developer: str) -> None:
        self.host, self.developer = host, developer

    async def upload(self, code: int, says: str = "", **more: Any) -> None:
        await self.host.releases.upload(self.developer, signed(code, says, **more))

    async def approve(self, code: int, says: str = "", grant: Any = (), **more: Any) -> None:
        """Uploaded and approved."""
        await self.upload(code, says, **more)
        await self.host.releases.approve(more.get("app_id", APP), code, grant=grant)

    async def full(self, code: int, says: str = "", **more: Any) -> None:
        await self.approve(code, says, **more)
        await self.host.releases.full(more.get("app_id", APP), code)

    async def says(self, user: str = "", app: str = APP) -> Any:
        return (await self.host.call(app, "x", user=user)).value


@asynccontextmanager
async def open_platform(
    state: Path | None = None, *, cache_dir: Path | None = None, **settings: Any
) -> AsyncIterator[Platform]:
    chosen = HostSettings(**{"slots": 64, "cache_dir": cache_dir, **settings})
    async with Host.open(state, settings=chosen) as host:
        known = host.developers.list()
        if known:
            yield Platform(host, known[0].id)
            return
        ann = await host.developers.sign_up("Ann Ltd")
        await host.developers.add_key(ann.id, str(ANN.public_key))
        yield Platform(host, ann.id)
