"""What a program left that was uninstalled: an operator erases it while the daemon runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import trio

from runtime import wire
from runtime.cli import run
from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.errors import NotInstalled
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.test_serve import served, tell

APP, OTHER = "org.example.guest", "org.example.other"
PUT = Script().ask(wire.request(1, "storage.put", {"scope": "user", "key": "k", "value": "left behind"}))
PAY = {"key": "k", "out_trade_no": "1", "amount": {"amount": 100, "currency": "CNY"}, "subject": "left behind"}


async def test_it_is_erased_over_the_socket_and_then_nothing_is_left(tmp_path: Path) -> None:
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            for app in (APP, OTHER):
                await client.install(bundle(scripted(), app), grant=["storage", "payment"])
                await client.call(app, "run", PUT.params(), user="alice")
            ask = Script().ask(wire.request(1, "payment.create", PAY))
            await client.call(APP, "run", ask.params(), user="alice")
            await client.uninstall(APP)
            kept = json.dumps(await client.export_user("alice"), default=str)
            assert APP in kept
            gone = await client.uninstall(APP, erase=True)
            assert (gone.orders_closed, gone.rows_erased > 1) == (0, True)
            kept = json.dumps(await client.export_user("alice"), default=str)
            assert kept.count("left behind") == 1 and OTHER in kept
            assert b"left behind" in (tmp_path / "state" / "hostel.sqlite3").read_bytes()
            records, _ = await client.audit_records(effect="program.erased", app=APP)
            assert json.loads(records[0][1])["by"] == f"uid {os.geteuid()}"
            with pytest.raises(NotInstalled):
                await client.uninstall(APP, erase=True)
            with pytest.raises(NotInstalled):
                await client.uninstall(APP)
            assert host.statistics().programs == 1
        tell(signal.SIGTERM)


async def test_the_command_does_so_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["uninstall", APP, "--erase", "--yes", "--json", "--state", str(tmp_path / "state")]
    async with served(tmp_path, control_door):
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await client.install(bundle(scripted(), APP), grant=["storage"])
            await client.call(APP, "run", PUT.params(), user="alice")
            await client.uninstall(APP)
            assert await trio.to_thread.run_sync(run, words) == 0
            assert json.loads(capsys.readouterr().out)["rows_erased"] > 0
            assert await trio.to_thread.run_sync(run, words) == 7
        tell(signal.SIGTERM)
