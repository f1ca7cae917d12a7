"""A host with a program that is a script, for the tests of the JavaScript engine: scripts in, answers out, through the
public library and under the limits of production.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime import App, Bundle, GuestFailed, Host, HostSettings, Receipt
from runtime.bundle import pack_contents
from runtime.testing import LogLines

ROOMY = {"cpu_us": 2_000_000, "wall_ms": 20_000, "memory_bytes": 32 << 20}
"""What a script has here that is no test of these limits."""


class Site:
    """One script, installed."""

    def __init__(self, host: Host, app: App, log: LogLines) -> None:
        self.host, self.app, self.log = host, app, log
        self.receipt: Receipt | None = None

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        reply = await self.host.call(self.app, method, dict(params or {}), user="alice")
        self.receipt = reply.receipt
        return reply.value

    async def error(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The error that the script answers."""
        with pytest.raises(GuestFailed) as caught:
            await self.call(method, params)
        self.receipt = caught.value.receipt
        error: dict[str, Any] = caught.value.details["error"]
        return error


def script_bundle(files: Mapping[str, str], **program: Any) -> Bundle:
    """`main.js` is the entry."""
    manifest = {
        "app_id": "org.example.script", "name": "Script", "version": {"name": "1.0.0", "code": 1},
        "req_permissions": [{"name": "storage", "reason": "To keep things.", "required": False}],
        "program": {"script": "main.js", **program},
    }  # fmt: skip
    contents = {"manifest.json": json.dumps(manifest).encode()} | {path: text.encode() for path, text in files.items()}
    return Bundle.from_bytes(pack_contents(contents))


@asynccontextmanager
async def scripted(cache: Path, files: Mapping[str, str] | str, **program: Any) -> AsyncIterator[Site]:
    """`cache`: where the engine's artifact is kept, or it would be compiled again for each host."""
    log = LogLines()
    settings = HostSettings(slots=4, cache_dir=cache)
    async with Host.open(settings=settings, allow_unsigned=True, log_sink=log) as host:
        bundle = script_bundle({"main.js": files} if isinstance(files, str) else files, **program)
        app = await host.install(bundle, grant=["storage"], limits=ROOMY)
        yield Site(host, app, log)
