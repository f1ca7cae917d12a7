"""A daemon whose disk is full: its operators can still stop a program; the record comes when there is room.

Full is what SQLite finds: the database may have no page more than it has (max_page_count), and its last is used up.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from host_api import audit
from host_api.errors import ApiError, ErrorCode
from runtime import Host, UsageError, wire
from runtime.cli import run
from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.errors import CallEnded, ProgramUnavailable
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.test_serve import served, tell, until

APP = "org.example.guest"
ME = f"uid {os.geteuid()}"
SLEEP = Script().ask(wire.request(1, "session.sleep", {"ms": 60_000}))


async def fill(host: Host) -> None:
    """Until not even the shortest record has room."""
    await host._store.write(lambda tx: tx.execute("PRAGMA max_page_count = 1"))
    for size in (200, 20, 1):
        with pytest.raises(ApiError):
            while True:
                await host._store.write(lambda tx: audit.record(tx, "filler", text="x" * size))  # noqa: B023


async def make_room(host: Host) -> None:
    await host._store.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000"))


@asynccontextmanager
async def program_served(tmp_path: Path) -> AsyncIterator[tuple[Host, Client]]:
    """A daemon with a program installed, and a client of it; it is stopped behind the block."""
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await client.install(bundle(scripted(), APP))
            yield host, client
        tell(signal.SIGTERM)


async def test_a_program_is_stopped_at_once_and_the_record_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with program_served(tmp_path) as (host, client), trio.open_nursery() as nursery:
        ended: list[str] = []

        async def call() -> None:
            with pytest.raises(CallEnded) as error:
                await client.call(APP, "run", SLEEP.params())
            ended.append(error.value.ending.value)

        nursery.start_soon(call)
        await until(lambda: host.statistics().calls_in_flight == 1)
        await fill(host)

        told = await client.releases.kill(APP, "it steals")
        assert (told.killed, told.unrecorded) == ("it steals", True)
        await until(lambda: ended == ["revoked"])
        with pytest.raises(ProgramUnavailable):
            await client.call(APP, "run")
        assert (await client.program(APP)).unrecorded
        assert [one.unrecorded for one in await client.programs()] == [True]
        with pytest.raises(UsageError, match="make room"):
            await client.releases.revive(APP)
        words = ["release", "kill", APP, "--reason", "it does", "--state", str(tmp_path / "state")]
        assert await trio.to_thread.run_sync(run, words) == 0
        assert "a restart brings" in capsys.readouterr().err

        await make_room(host)
        await until(lambda: not host.program(APP).unrecorded)
        assert (await client.program(APP)).killed == "it does"
        (record,) = [json.loads(text) for _, text in (await client.audit_records(effect="program.killed"))[0]]
        assert (record["by"], record["reason"]) == (ME, "it does")
        with pytest.raises(ProgramUnavailable):
            await client.call(APP, "run")
        await client.releases.revive(APP)
        assert (await client.call(APP, "run", Script().params())).receipt.ending.value == "completed"


@pytest.mark.parametrize("step", ["offline", "rollback"])
async def test_what_waits_for_the_disk_names_what_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    """Nothing happened, and whoever wanted the program gone is told how it goes."""
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await client.install(bundle(scripted(), APP))
            await client.install(bundle(scripted(), APP, code=2))
            await fill(host)
            words = ["release", step, APP, "--state", str(tmp_path / "state")]
            assert await trio.to_thread.run_sync(run, words) != 0
            assert f"hostel release kill {APP} --reason" in capsys.readouterr().err.replace("\n", " ")
            with pytest.raises(ApiError, match=f"kill {APP}") as refused:
                await getattr(client.releases, step)(APP)
            assert refused.value.code is ErrorCode.BUSY
            assert (await client.program(APP)).current_code == 2
            assert (await client.call(APP, "run", Script().params())).receipt.ending.value == "completed"
            await client.releases.kill(APP, "as told")
            with pytest.raises(ProgramUnavailable):
                await client.call(APP, "run")
        tell(signal.SIGTERM)


async def test_a_stop_that_cannot_be_meant_stops_nothing(tmp_path: Path) -> None:
    async with program_served(tmp_path) as (host, client):
        await fill(host)
        with pytest.raises(UsageError) as refused:
            await client.releases.kill(APP, "")
        assert refused.value.code == "text_refused"
        assert (await client.call(APP, "run", Script().params())).receipt.ending.value == "completed"


async def test_a_stopped_program_that_is_uninstalled_meanwhile_is_forgotten(tmp_path: Path) -> None:
    async with program_served(tmp_path) as (host, client):
        await fill(host)
        assert (await client.releases.kill(APP, "it steals")).unrecorded
        await make_room(host)
        await client.uninstall(APP)
        assert not host._changes._unrecorded  # type: ignore[attr-defined]
        await client.install(bundle(scripted(), APP))  # sooner than the record of the stop is tried again
        assert (await client.call(APP, "run", Script().params())).receipt.ending.value == "completed"
        assert not (await client.program(APP)).killed
