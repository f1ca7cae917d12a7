"""A guest that logs without end, on a daemon: what another program said is still there to be read."""

from __future__ import annotations

import signal
from pathlib import Path

from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.journal.entries import Query
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.test_serve import served, tell

LOUD, QUIET = "org.example.loud", "org.example.quiet"
KEPT = 4 << 20


async def test_a_guests_flood_of_lines_pushes_out_only_its_own(tmp_path: Path) -> None:
    flood = Script()
    for _ in range(15):
        flood = flood.print(b"x" * 3_999 + b"\n")
    async with served(tmp_path, control_door, text=f"[retention]\nlogs_bytes_max = {KEPT}\n"):
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            for app in (LOUD, QUIET):
                await client.install(bundle(scripted(), app))
            await client.call(QUIET, "run", Script().print(b"I was here\n").params())
            written = 0
            while written < 3 * KEPT:
                written += 15 * 4_000
                await client.call(LOUD, "run", flood.params())
            assert [line.text for line in await client.logs(Query(app_id=QUIET))] == ["I was here"]
            assert await client.logs(Query(app_id=LOUD))
        tell(signal.SIGTERM)
    assert sum(path.stat().st_size for path in (tmp_path / "state" / "journal").glob("logs-*")) <= KEPT
