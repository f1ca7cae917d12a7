"""A host for the conformance tests, and how a guest gets onto it. The guests are made in guests.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime import App, Host, HostSettings, ModuleCaps, ScriptedCashier
from runtime.bundle import Bundle, pack_contents
from runtime.sandbox.artifacts import ArtifactCache, Compiled
from runtime.sandbox.checks import check_module
from runtime.sandbox.compile_child import compile_bytes
from runtime.sandbox.engine import compile_engine, fingerprint
from runtime.testing import LogLines
from tests.executor_choice import in_workers
from tests.runtime.abi.guests import Guest, Record


class Conformance:
    """A host, and guests installed on it one after the other. They are our own, so they are compiled here, which spares
    a child process each; that guests of others never are is test_compiler.py's."""

    def __init__(self, host: Host, log: LogLines, artifacts: ArtifactCache) -> None:
        self.host, self.log = host, log
        self._artifacts, self._engine = artifacts, compile_engine()
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
        wasm = guest.wasm()
        facts = check_module(wasm, ModuleCaps(), 1 << 24)
        self._artifacts.put(facts.sha256, Compiled(artifact=compile_bytes(wasm, self._engine), facts=facts))
        contents = {"manifest.json": msgspec.json.encode(manifest), "program.wasm": wasm}
        bundle = Bundle.from_bytes(pack_contents(contents))
        return await self.host.install(bundle, grant=["storage", "payment"], limits=limits)

    async def run(self, guest: Guest, params: Mapping[str, Any] | None = None, **limits: int) -> Record:
        """Installs it and sends it one request."""
        app = await self.install(guest, limits=limits)
        return Record(reply=await self.host.call(app, "run", params, user="alice"))


@pytest.fixture
async def conformance(tmp_path: Path) -> AsyncIterator[Conformance]:
    log = LogLines()
    settings = HostSettings(slots=8, allow_unsigned=True, cache_dir=tmp_path, workers=in_workers(8))
    artifacts = ArtifactCache(tmp_path / "artifacts", tmp_path / "keys/artifacts", fingerprint=fingerprint())
    async with Host.open(settings=settings, cashier=ScriptedCashier([True]), log_sink=log) as host:
        yield Conformance(host, log, artifacts)
