"""The life of a worker that lies: a process that runs a script of the test's, in place of worker_process.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio

from runtime.broker import Broker, BrokerCall
from runtime.deadline import Deadline
from runtime.errors import Ending, StartupError
from runtime.executor.frames import Order
from runtime.executor.job import Job, Outcome
from runtime.executor.placement import Group
from runtime.executor.station import YOUNG_S
from runtime.executor.worker_child import _TOLD_MOST, WorkerChild
from runtime.executor.worker_pool import WorkerExecutor, open_workers
from runtime.limits import KIB
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
IGNORES_STOP = """
ready()
ended = frames.DONE_HEAD.pack(frames.ENDING_INDEX[frames.Ending.COMPLETED], *[0] * 9)
for kind, number, body in told():
    if kind == frames.PING: send(frames.PONG, number, bytes(4))
    if kind == frames.CUT or kind == frames.START and b"stays" not in body: send(frames.DONE, number, ended)
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


async def run(pool: WorkerExecutor, app: str = "a", group: str = "unreviewed", *, wall_ms: int = 60_000) -> Outcome:
    session = make_session(app_id=app, deadline=Deadline(wall_s=wall_ms / 1_000))
    host = BrokerCall(Broker({}, clock=VirtualClock(), new_incident=SeededIds()), session)
    return await pool.run(Job(app, group, MODULE, b"", session.limits, False), host, session.usage)


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


def at_home(place: int, word: str) -> str:
    """A program whose usual place that is, of two."""
    group = Group("x", places=2, queue=0)
    return next(name for n in range(100) if group.home(name := f"{word}{n}") == place)


async def test_one_that_will_not_go_does_not_take_its_successor_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was to make way for another group's worker, and its place was wanted again before it was gone."""
    quick, stays = at_home(1, "quick"), at_home(0, "stays")
    settings: dict[str, Any] = {"count": 2, "processes": 2, "standing": (), "heartbeat_s": 5.0}
    async with played(monkeypatch, IGNORES_STOP, **settings) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(run, pool, stays, "x")
        await until(lambda: pool.status().slots == 8)
        await run(pool, quick, "x")  # by the one there is, and another is started for it
        await until(lambda: pool.status().slots == 16)
        before = pool._stations["x", 1]
        await run(pool, "other", "y")
        assert ("x", 1) not in pool._stations
        await run(pool, quick, "x")
        assert pool._stations["x", 1] is not before
        await until(lambda: before._child is None)
        await until(lambda: pool._stations["x", 1].link)
        assert set(pool._groups["x"].links) == {0, 1}
        nursery.cancel_scope.cancel()


async def test_one_whose_jail_falls_short_is_told_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartupError, match="its jail is partial: a wall"):
        async with played(monkeypatch, 'ready(b"partial"); list(told())', require="full"):
            pass


async def test_what_it_writes_to_standard_error_without_end_costs_the_host_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with played(monkeypatch, FLOODS_ITS_ERRORS, heartbeat_s=60.0) as pool:
        (station,) = pool._stations.values()
        child = station._child
        assert child is not None
        await until(lambda: child._told_bytes >= _TOLD_MOST)
        for _ in range(1_000):  # passes of the loop, in each of which there is more to be read
            await trio.lowlevel.checkpoint()
        assert child._told_bytes <= _TOLD_MOST + 64 * KIB


async def test_one_that_shows_no_sign_of_life_is_killed_and_its_calls_programs_answer_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named: list[tuple[str, str]] = []
    async with played(monkeypatch, "ready(); list(told())", deaths=1) as pool:
        pool._on_quarantine = lambda app_id, reason: named.append((app_id, reason))
        outcome = await run(pool)
        assert (outcome.ending, "no sign of life for 0.1 s" in outcome.detail) == (Ending.WORKER_LOST, True)
        assert named == [("a", "the worker that ran it died: no sign of life for 0.1 s")]


# ---- back-off --------------------------------------------------------------------------------------------------------
async def test_each_that_dies_young_is_replaced_later_than_the_one_before(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    """Up to a bound. One that grew old is replaced at once, and the next one too."""
    starts: list[float] = []

    def refused(order: Order) -> WorkerChild:
        starts.append(trio.current_time())
        raise StartupError("no process is to be had")

    async with played(monkeypatch, "", standing=(), back_off_s=1.0, back_off_most_s=5.0) as pool:
        monkeypatch.setattr(WorkerChild, "start", refused)
        assert (await run(pool, wall_ms=20_000)).ending is Ending.DEADLINE_EXCEEDED
        pauses = [round(after - before, 3) for before, after in pairwise(starts)]
        assert pauses == [0, 1, 2, 4, 5, 5]
        (station,) = pool._stations.values()
        monkeypatch.setattr(station, "_deaths", 9)
        began = trio.current_time()
        await station._back_off(YOUNG_S + 0.1)
        await station._back_off(YOUNG_S)
        assert trio.current_time() == began
        await station._back_off(YOUNG_S)
        assert trio.current_time() == began + 1
