"""A daemon that its operators steer through the control socket: reloaded, drained, stopped; all of it audited."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from runtime import Host, HostClosed, UsageError, wire
from runtime.client import Client
from runtime.daemon import control
from runtime.daemon.config import Config, parse
from runtime.daemon.control import ControlSettings
from runtime.daemon.doors import control_door, http_door
from runtime.errors import CallCancelled, HostelError
from runtime.journal.entries import Query
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.test_serve import config, served, tell, until

APP = "org.example.guest"
SLEEP = Script().ask(wire.request(1, "session.sleep", {"ms": 60_000}))
ME = f"uid {os.geteuid()}"


def client(tmp_path: Path) -> Any:
    return Client.connect(tmp_path / "state" / "hostel.sock")


def audited(host: Host, effect: str) -> list[dict[str, Any]]:
    told = [json.loads(text) for _, text in host.audit_records(limit=1_000)]
    return [one for one in told if one["effect"] == effect]


async def test_a_reload_is_answered_and_audited_with_who_asked(tmp_path: Path) -> None:
    new = config(tmp_path, "[limits]\ncpu_us = 70_000\n[metrics]\nprograms = 3\n")
    async with served(tmp_path, control_door, read_again=lambda: new) as host:
        async with client(tmp_path) as operator:
            told = await operator.host.reload()
            assert [(one.setting, one.before, one.after) for one in told.changes] == [
                ("[limits] cpu_us", "50000", "70000")
            ]
            assert told.waiting == ("[metrics] programs",)
            assert host.settings.limits.cpu_us == 70_000
            assert [one["by"] for one in audited(host, "host.setting_changed")] == [ME]
            assert (await operator.host.reload()).changes == ()
        tell(signal.SIGTERM)


async def test_a_file_that_is_wrong_is_told_to_who_asked(tmp_path: Path) -> None:
    def wrong() -> Config:
        return parse("[limits]\ncpu_u = 1\nwall_ms = 0")

    async with served(tmp_path, control_door, read_again=wrong) as host:
        async with client(tmp_path) as operator:
            with pytest.raises(UsageError) as refused:
                await operator.host.reload()
            assert refused.value.code == "config_invalid" and len(refused.value.details["problems"]) == 2
            assert not audited(host, "host.setting_changed")
        tell(signal.SIGTERM)


async def test_a_drain_ends_calls_takes_none_and_leaves_the_rest(tmp_path: Path) -> None:
    ended: list[type] = []
    async with served(tmp_path, control_door, http_door) as host:
        await host.install(bundle(scripted(), APP))

        async def call(caller: Client) -> None:
            try:
                await caller.call(APP, "run", SLEEP.params())
            except HostelError as error:
                ended.append(type(error))

        async with client(tmp_path) as operator, client(tmp_path) as caller, trio.open_nursery() as nursery:
            nursery.start_soon(call, caller)
            await until(lambda: host.statistics().calls_in_flight == 1)
            assert (await operator.status()).ready
            assert await operator.host.drain(0.05) == 1
            assert ended == [CallCancelled]
            with pytest.raises(HostClosed):
                await caller.call(APP, "run", SLEEP.params())
            status = await operator.status()
            assert status.draining and not status.ready and not host.ready
            assert await operator.programs() and await operator.users.fields("alice", ["nickname"]) == {}
            assert [one["by"] for one in audited(host, "host.draining")] == [ME]
        tell(signal.SIGTERM)


async def test_a_drain_goes_on_without_who_asked_for_it(tmp_path: Path) -> None:
    """An operator whose connection ends must not end the calls that still had their time."""
    async with served(tmp_path, control_door) as host:
        await host.install(bundle(scripted(), APP))
        asleep = Script().ask(wire.request(1, "session.sleep", {"ms": 300}))
        replies: list[Any] = []

        async def call() -> None:
            replies.append(await host.call(APP, "run", asleep.params()))

        async def drain(operator: Client, wanted: trio.CancelScope) -> None:
            with wanted:
                await operator.host.drain(20.0)

        async with client(tmp_path) as operator, trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await until(lambda: host.statistics().calls_in_flight == 1)
            wanted = trio.CancelScope()
            nursery.start_soon(drain, operator, wanted)
            await until(lambda: not host.ready)
            wanted.cancel()
        assert len(replies) == 1
        tell(signal.SIGTERM)


async def test_a_host_is_stopped_by_an_operator(tmp_path: Path) -> None:
    async with served(tmp_path, control_door) as host:
        async with client(tmp_path) as operator:
            await operator.host.stop()
        assert [one["by"] for one in audited(host, "host.stopping")] == [ME]
    assert not (tmp_path / "state" / "hostel.sock").exists()


async def test_where_no_daemon_is_nobody_is_steered(tmp_path: Path) -> None:
    async with Host.open() as host, trio.open_nursery() as nursery:
        await nursery.start(control.serve, host, ControlSettings(socket=tmp_path / "s"))
        async with Client.connect(tmp_path / "s") as operator:
            with pytest.raises(UsageError) as refused:
                await operator.host.stop()
            assert refused.value.code == "unknown_method"
        nursery.cancel_scope.cancel()


FOLLOWED: dict[str, Callable[[Client], Any]] = {
    "events": lambda asker: asker.follow_events(lambda told: None),
    "receipts": lambda asker: asker.follow_receipts(Query(), lambda told: None),
}


@pytest.mark.parametrize("follow", FOLLOWED.values(), ids=FOLLOWED.keys())
async def test_who_follows_is_told_that_the_host_closes(tmp_path: Path, follow: Callable[[Client], Any]) -> None:
    async with served(tmp_path, control_door), client(tmp_path) as asker, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(HostClosed):
                await follow(asker)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await asker.ping()
        tell(signal.SIGTERM)
