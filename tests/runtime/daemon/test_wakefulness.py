"""Processors that are kept awake: from news to a while after it, and what is told where that is not permitted."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from runtime.client import Client
from runtime.daemon import wakefulness
from runtime.daemon.config import ConfigRefused, parse
from runtime.daemon.doors import control_door
from runtime.daemon.named_files import unusable
from runtime.daemon.wakefulness import ANY_TIME, AT_ONCE, keep_awake
from runtime.errors import StartupError
from runtime.reactor import Reactor
from tests.runtime.daemon.test_serve import served

HANG_S = 60.0


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of a pipe that lies in the place of the kernel's file."""
    device = tmp_path / "latency"
    os.mkfifo(device)
    monkeypatch.setattr(wakefulness, "DEVICE", device)
    end = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    yield end
    os.close(end)


@pytest.fixture
def missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakefulness, "DEVICE", tmp_path / "missing")


async def asked(other: int) -> bytes:
    await trio.lowlevel.wait_readable(other)
    return os.read(other, 4)


async def test_from_news_until_there_is_none(other: int) -> None:
    ours, theirs = socket.socketpair()
    with trio.fail_after(HANG_S), ours, theirs, Reactor.used() as reactor:
        ours.setblocking(False)
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_awake, 0.001)
            nursery.start_soon(reactor.read, ours, lambda data: True)
            for _ in range(3):
                theirs.send(b"x")
                assert await asked(other) == AT_ONCE
                assert await asked(other) == ANY_TIME
            nursery.cancel_scope.cancel()
    assert os.read(other, 4) == b"", "the kernel forgets what was asked when the file is closed"


async def test_what_may_not_be_asked_is_told_with_the_cure(missing: None) -> None:
    with pytest.raises(StartupError, match=r"missing: No such file .* set keep_awake_ms = 0"):
        await keep_awake(0.001)
    (line,) = unusable(parse("[host]\nkeep_awake_ms = 5\n"))
    assert line.startswith("[host] keep_awake_ms: processors cannot be kept awake")
    assert not unusable(parse(""))


async def test_where_nobody_tells_of_news_that_is_said(other: int, caplog: pytest.LogCaptureFixture) -> None:
    with Reactor.used() as reactor:
        reactor.read_by_tasks()
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_awake, 0.001)
            nursery.cancel_scope.cancel()
    assert "processors are not kept awake" in caplog.text


def test_the_setting_has_bounds() -> None:
    assert parse("[host]\nkeep_awake_ms = 1000\n").service.keep_awake_ms == 1_000
    for value in (-1, 1_001):
        with pytest.raises(ConfigRefused, match=rf"keep_awake_ms = {value}: must be from 0 to 1000"):
            parse(f"[host]\nkeep_awake_ms = {value}\n")


async def test_a_daemon_asks_while_its_clients_do(other: int, tmp_path: Path) -> None:
    async with served(tmp_path, control_door, text="keep_awake_ms = 1") as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await client.status()
            assert await asked(other) == AT_ONCE
            assert await asked(other) == ANY_TIME
            await client.status()
            assert await asked(other) == AT_ONCE
        assert host.doors_open
        os.kill(os.getpid(), signal.SIGTERM)


async def test_a_daemon_does_not_start_without_what_it_was_told_to_use(missing: None, tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with served(tmp_path, control_door, text="keep_awake_ms = 1"):
            pass
    assert caught.group_contains(StartupError, match="processors cannot be kept awake")
