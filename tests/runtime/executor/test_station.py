"""The life of a worker that lies: a process that runs a script of the test's, in place of worker_process.py."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from runtime.broker import Broker, BrokerCall
from runtime.deadline import Deadline
from runtime.errors import Ending, StartupError
from runtime.executor.job import Job, Outcome
from runtime.executor.worker_pool import WorkerExecutor, open_workers
from runtime.testing import SeededIds, VirtualClock, make_session
from runtime.worker_settings import WorkerSettings
from tests.runtime.executor.links import MODULE

_PLAYED = """
import os, socket, sys, time
sys.path += sys.argv[1:-3]
from runtime.executor import frames
link = socket.socket(fileno=int(sys.argv[-3]))
link.setblocking(True)
def send(kind, number, body=b""): link.sendall(frames.frame(kind, number, body))
def ready(level=b"full"): send(frames.READY, 0, b'{"ticker":"signal","level":"%s","missing":["a wall"]}' % level)
def told():
    splitter = frames.Splitter(lambda kind, number: 1 << 30)
    while data := link.recv(1 << 16):
        yield from splitter.feed(data)
"""
ANSWERS_BEATS_ONLY = """
ready()
for kind, number, body in told():
    if kind == frames.PING: send(frames.PONG, number, bytes(4))
"""
LINGERS = """
ready()
for kind, number, body in told():
    if kind == frames.STOP: break
link.close()
time.sleep(3600)
"""
FLOODS_ITS_ERRORS = """
ready()
while True: os.write(2, bytes(65536))
"""


@asynccontextmanager
async def played(monkeypatch: pytest.MonkeyPatch, script: str, **changes: float) -> AsyncIterator[WorkerExecutor]:
    monkeypatch.setattr("runtime.executor.worker_child._START", _PLAYED + script)
    chosen = WorkerSettings(**{"count": 1, "slots": 8, "heartbeat_s": 0.1, "start_s": 60.0, **changes})  # type: ignore[arg-type]
    async with open_workers(chosen, now_us=lambda: 0, new_id=SeededIds()) as pool:
        yield pool


async def run(pool: WorkerExecutor, *, wall_ms: int) -> Outcome:
    session = make_session(app_id="a", deadline=Deadline(wall_s=wall_ms / 1_000))
    host = BrokerCall(Broker({}, clock=VirtualClock(), new_incident=SeededIds()), session)
    return await pool.run(Job("a", "unreviewed", MODULE, b"", session.limits, False), host, session.usage)


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 (what is waited for is another process)
            await trio.sleep(0.002)


async def test_one_that_never_ends_a_call_is_killed_though_it_answers_every_beat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with played(monkeypatch, ANSWERS_BEATS_ONLY) as pool:
        with trio.fail_after(20):
            outcome = await run(pool, wall_ms=1)
        assert outcome.ending is Ending.WORKER_LOST
        assert "does not end a call that is over" in outcome.detail


async def test_one_that_lets_go_of_its_socket_and_stays_does_not_keep_the_host_from_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with trio.fail_after(20):
        async with played(monkeypatch, LINGERS):
            pass


async def test_one_whose_jail_falls_short_is_told_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartupError, match="its jail is partial: a wall"):
        async with played(monkeypatch, 'ready(b"partial"); list(told())', require="full"):
            pass


async def test_what_it_writes_to_standard_error_without_end_costs_the_host_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with played(monkeypatch, FLOODS_ITS_ERRORS) as pool:
        (station,) = pool._stations.values()
        await until(lambda: station._child is not None and station._child.told)
        await trio.sleep(0.3)
        began = time.process_time()
        await trio.sleep(0.5)
        assert time.process_time() - began < 0.1
