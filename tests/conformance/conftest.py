"""A host for the conformance tests, and how a guest gets onto it. The guests are made in guests.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime import App, Host, HostSettings, ScriptedCashier
from runtime.bundle import Bundle, pack_contents
from runtime.testing import LogLines
from tests.conformance.guests import Guest, Record


class Conformance:
    """A host, and guests installed on it one after the other."""

    def __init__(self, host: Host, log: LogLines) -> None:
        self.host, self.log = host, log
        self._count = 0

    async def install(self, guest: Guest, *, limits: Mapping[str, int] | None = None) -> App:
        self._count += 1
        manifest = {
            "app_id": f"org.example.guest{self._count}",
            "name": "Guest",
            "version": {"name": "1", "code": 1},
            "req_permissions": [{"name": name, "reason": "to test"} for name in ("storage", "payment")],
            "program": {"module": "program.wasm"},
        }
        contents = {"manifest.json": msgspec.json.encode(manifest), "program.wasm": guest.wasm()}
        bundle = Bundle.from_bytes(pack_contents(contents))
        return await self.host.install(bundle, grant=["storage", "payment"], limits=limits)

    async def run(self, guest: Guest, params: Mapping[str, Any] | None = None, **limits: int) -> Record:
        """Installs it and sends it one request."""
        app = await self.install(guest, limits=limits)
        return Record(reply=await self.host.call(app, "run", params, user="alice"))


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kept for the whole run: the same guest is compiled once."""
    folder = tmp_path_factory.mktemp("artifacts")
    folder.chmod(0o700)
    return folder


@pytest.fixture
async def conformance(artifacts: Path) -> AsyncIterator[Conformance]:
    log = LogLines()
    settings = HostSettings(slots=8, allow_unsigned=True, cache_dir=artifacts)
    async with Host.open(settings=settings, cashier=ScriptedCashier([True]), log_sink=log) as host:
        yield Conformance(host, log)
