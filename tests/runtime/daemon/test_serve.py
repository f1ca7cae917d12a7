"""The daemon's life in this process: ready, a signal, calls in flight, reload, what the service manager is told."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api import audit
from runtime import CallCancelled, Host, HostClosed
from runtime.client import Client
from runtime.daemon.config import Config, parse
from runtime.daemon.doors import control_door, http_door
from runtime.daemon.serve import run
from runtime.daemon.systemd import Supervisor
from runtime.errors import StartupError
from runtime.journal.entries import Query
from runtime.worker_settings import WorkerSettings
from tests.runtime.test_host import ECHO, bundle

DRAIN_S = 5.0
HANG_S = 240.0
"""Longer than a machine with too much to do needs for any of these tests: over it, the daemon does not stop."""
Served = Callable[..., Any]


def config(tmp_path: Path, text: str = "") -> Config:
    """In this process: what workers are is not of interest here. `text` begins in [host]."""
    read = parse(f'[host]\nstate = "{tmp_path / "state"}"\nallow_unsigned = true\n{text}\n[http]\nport = 0\n')
    return replace(read, host=replace(read.host, workers=None, slots=4))


@asynccontextmanager
async def served(
    tmp_path: Path, *doors: Any, read_again: Callable[[], Config] | None = None, text: str = "",
    workers: WorkerSettings | None = None,
) -> AsyncIterator[Host]:  # fmt: skip
    """A daemon that has to have stopped by itself when the block is left."""
    made = config(tmp_path, text)
    made = replace(made, host=replace(made.host, workers=workers, slots=4 if workers is None else workers.slots))
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:

            async def life(*, task_status: trio.TaskStatus[Host]) -> None:
                await run(made, doors, read_again=read_again or (lambda: made), task_status=task_status)

            yield await nursery.start(life)


async def until(holds: Callable[[], bool]) -> None:
    """Bounded by `served`."""
    while True:
        if holds():
            return
        await trio.sleep(0.01)


def tell(number: int) -> None:
    os.kill(os.getpid(), number)


async def test_it_takes_calls_through_its_socket_and_stops_when_told(tmp_path: Path) -> None:
    async with served(tmp_path, control_door, http_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            app = await client.install(bundle(ECHO.format(name="name")))
            assert (await client.call(app, "x")).value == "name"
            status = await client.status()
            assert status.statistics.programs == 1 and status.calls_ended == 1 and not status.draining
            (told,) = await client.receipts(Query(app_id=app.app_id))
            assert told.receipt.method == "x"
            assert (await client.top()).programs[0].calls == 1
            assert host.metrics is not None and b"hostel_programs 1.0" in host.metrics.text()
        tell(signal.SIGTERM)
    assert not (tmp_path / "state" / "hostel.sock").exists()


async def test_a_call_in_flight_has_its_time_and_new_ones_are_refused(tmp_path: Path) -> None:
    ended: list[str] = []
    async with served(tmp_path, text="") as host:
        app = await host.install(bundle(ECHO.format(name="name")))
        held, release = trio.Event(), trio.Event()
        real = host._executor.run

        async def slow(*arguments: Any) -> Any:
            held.set()
            await release.wait()
            return await real(*arguments)

        host._executor.run = slow  # type: ignore[method-assign]

        async def call() -> None:
            ended.append((await host.call(app, "x")).value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await held.wait()
            tell(signal.SIGTERM)
            await until(lambda: host.status().draining)
            with pytest.raises(HostClosed):
                await host.call(app, "x")
            release.set()
    assert ended == ["name"]


async def test_a_second_signal_ends_what_is_left_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as host:
        app = await host.install(bundle(ECHO.format(name="name")))
        held = trio.Event()

        async def for_ever(job: Any, flight: Any, usage: Any) -> Any:
            held.set()
            with flight.deadline.scope():
                await trio.sleep_forever()
            from runtime.errors import Ending
            from runtime.executor.job import Outcome

            return Outcome(ending=Ending.DEADLINE_EXCEEDED)

        host._executor.run = for_ever  # type: ignore[method-assign]

        async def call() -> None:
            with pytest.raises(CallCancelled):
                await host.call(app, "x")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await held.wait()
            tell(signal.SIGTERM)
            await until(lambda: host.status().draining)
            began = trio.current_time()
            tell(signal.SIGINT)
        assert trio.current_time() - began < DRAIN_S - 1


async def test_who_follows_the_log_holds_up_no_drain(tmp_path: Path) -> None:
    async with served(tmp_path, control_door) as host, trio.open_nursery() as nursery:
        assert host.journal is not None

        async def follow() -> None:
            async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
                with suppress(HostClosed):
                    await client.follow_logs(Query(), lambda line: None)

        nursery.start_soon(follow)
        await until(lambda: host.journal.status().tails == 1)  # type: ignore[union-attr]
        began = trio.current_time()
        tell(signal.SIGTERM)
        await until(lambda: host.status().draining)
    assert trio.current_time() - began < DRAIN_S - 1


async def test_a_reload_changes_what_can_change_and_is_audited(tmp_path: Path) -> None:
    new = config(tmp_path, "[limits]\ncpu_us = 70_000\n[retention]\nlogs_days = 2\n[metrics]\nprograms = 3\n")
    async with served(tmp_path, read_again=lambda: new) as host:
        tell(signal.SIGHUP)
        app = await host.install(bundle(ECHO.format(name="name")))
        await until(lambda: host.settings.limits.cpu_us == 70_000)
        assert host._registry.find(app)[1].limits.cpu_us == 70_000
        assert host.settings.journal is not None and host.settings.journal.logs_days == 2
        told = [json.loads(text) for _, text in host.audit_records(limit=100)]
        changed = [one for one in told if one["effect"] == "host.setting_changed"]
        assert [(one["setting"], one["before"], one["after"], one["by"]) for one in changed] == [
            ("[limits] cpu_us", "50000", "70000", "SIGHUP"), ("[retention] logs_days", "7", "2", "SIGHUP"),
        ]  # fmt: skip
        tell(signal.SIGHUP)
        await trio.sleep(0.05)
        assert len([1 for _, text in host.audit_records(limit=100) if "setting_changed" in text]) == 2
        tell(signal.SIGTERM)


async def test_a_file_that_is_wrong_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def wrong() -> Config:
        return parse("[limits]\ncpu_u = 1")

    async with served(tmp_path, read_again=wrong) as host:
        tell(signal.SIGHUP)
        await until(lambda: "did you mean cpu_us" in caplog.text)
        assert host.settings.limits.cpu_us == 50_000
        tell(signal.SIGTERM)


async def test_what_cannot_be_promised_stops_it_before_ready(tmp_path: Path) -> None:
    async with served(tmp_path):
        second = config(tmp_path)
        with pytest.raises(StartupError) as raised:
            await run(second, (), read_again=lambda: second)
        assert raised.value.code == "state_in_use"
        tell(signal.SIGTERM)


async def test_the_service_manager_hears_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        heard: list[str] = []

        async def hear(word: str) -> None:
            while not any(word in one for one in heard):
                await trio.lowlevel.wait_readable(ear)
                heard.append(ear.recv(4_096).decode())

        async with served(tmp_path):
            await hear("READY=1")
            await hear("WATCHDOG=1")
            tell(signal.SIGTERM)
            await hear("STOPPING=1")


def test_where_nobody_listens_nothing_is_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    Supervisor({}).ready("x")
    assert caplog.records == []
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nowhere")}).ready("x")
    assert "not told" in caplog.text
    for usec, pid, wanted in (("2000000", "", 1.0), ("2000000", "1", None), ("x", "", None), ("", "", None)):
        assert Supervisor({"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}).watchdog_s == wanted


async def test_every_record_of_the_audit_still_follows(tmp_path: Path) -> None:
    async with served(tmp_path) as host:
        await host.record_settings({"[limits] cpu_us": (1, 2)}, by="a test")
        assert host._store.read(audit.verify) is None
        tell(signal.SIGTERM)
