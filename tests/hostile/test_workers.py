"""Worker processes that die, hang or grow: what becomes of their calls, of everybody else's, and of the processes."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import App, CallEnded, Ending, HostBusy, StartupError, WorkerLost, calls, wire
from runtime.broker import Broker, BrokerCall
from runtime.calls import Words
from runtime.executor.job import Job
from runtime.executor.worker_child import WorkerChild
from runtime.executor.worker_pool import WorkerExecutor, open_workers
from runtime.jail import probe
from runtime.limits import MIB, WASM_PAGE
from runtime.statistics import WorkerFigures
from runtime.testing import SeededIds, VirtualClock, make_session
from runtime.worker_settings import WorkerSettings
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import OK, Script, module
from tests.runtime.executor.links import MODULE

SPIN = Script().step("spin", 0).step("again", 0)
SLEEP = Script().call(wire.request(1, "session.sleep", {"ms": 60_000}))
INFO = Script().call(wire.request(1, "session.info", {}))
LONG_CPU = {"cpu_us": 600_000_000, "cpu_burst_us": 3_600_000_000}
PATIENCE_S = 30.0


def patient(**changes: Any) -> WorkerSettings:
    """One worker; a machine that is full makes no test fail."""
    return WorkerSettings(**{"count": 1, "slots": 8, "heartbeat_s": 5.0, "start_s": 60.0, **changes})


def executor(site: Site) -> WorkerExecutor:
    found = site.host._executor
    assert isinstance(found, WorkerExecutor)
    return found


def workers(site: Site) -> list[WorkerFigures]:
    return [each for each in executor(site).status().workers if each.state == "ready"]


def on_the_cpu(site: Site) -> str | None:
    """The program whose call its worker has marked as running."""
    (station,) = executor(site)._stations.values()
    child, link = station._child, station.link
    return None if child is None or link is None else link.suspects(child.marked)[0]


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (what is waited for is another process)
            await trio.sleep(0.002)


@asynccontextmanager
async def under_way(site: Site, app: App, script: Script, count: int = 1) -> AsyncIterator[list[CallEnded]]:
    """Calls that are in their worker when the block begins; all have ended when it is left. Gives how."""
    ended: list[CallEnded] = []

    async def call() -> None:
        try:
            await site.host.call(app, "run", script.params(), user="alice")
        except CallEnded as error:
            ended.append(error)

    before = site.host.statistics().sandboxes
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(call)
        await until(lambda: site.host.statistics().sandboxes == before + count)
        yield ended
        await until(lambda: len(ended) == count)


async def works(site: Site, app: App) -> bool:
    return bool(site and await site.host.call(app, "run", INFO.params(), user="alice"))


# ---- deaths ----------------------------------------------------------------------------------------------------------
async def test_a_worker_that_is_killed_takes_its_calls_with_it_and_is_replaced(opened: Opened) -> None:
    async with opened(workers=patient()) as site:
        app = await site.install(**LONG_CPU)
        (first,) = workers(site)
        async with under_way(site, app, SLEEP, 2) as ended, under_way(site, app, SPIN) as spun:
            os.kill(first.pid, signal.SIGKILL)
        for error in (*ended, *spun):
            assert isinstance(error, WorkerLost)
            assert (error.ending, error.code, error.retryable) == (Ending.WORKER_LOST, "worker_lost", True)
            assert error.receipt is not None
        assert await works(site, app)
        (second,) = workers(site)
        assert (second.pid != first.pid, second.restarts) == (True, 1)


async def test_a_worker_that_hangs_is_killed(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(workers=patient(heartbeat_s=0.5)) as site:
        app = await site.install()
        async with under_way(site, app, SLEEP) as ended:
            os.kill(workers(site)[0].pid, signal.SIGSTOP)
        assert ended[0].ending is Ending.WORKER_LOST
        assert "no sign of life for 0.5 s" in ended[0].message
        assert await works(site, app)


async def test_one_that_only_waits_or_spins_lives_on(opened: Opened) -> None:
    async with opened(workers=patient(heartbeat_s=1.0)) as site:
        app = await site.install(wall_ms=600_000, **LONG_CPU)
        (before,) = workers(site)
        params = Script().step("spin", 400_000_000).call(wire.request(1, "session.sleep", {"ms": 1_500})).params()
        await site.host.call(app, "run", params, user="alice")
        assert [worker.pid for worker in workers(site)] == [before.pid]


async def test_a_worker_that_outgrows_its_memory_is_killed(opened: Opened) -> None:
    async with opened(workers=patient(memory_bytes=128 * MIB, heartbeat_s=0.4)) as site:
        app = await site.install(memory_bytes=64 * MIB, **LONG_CPU)
        grow = (64 * MIB - 40 * WASM_PAGE) // WASM_PAGE
        script = (
            Script()
            .step("memory_grow", grow)
            .step("memory_fill", 0x20_0000, 1, 60 * MIB)
            .call(wire.request(1, "session.sleep", {"ms": 60_000}))
        )
        async with under_way(site, app, script, 3) as ended:
            pass
        assert {error.ending for error in ended} == {Ending.WORKER_LOST}
        assert "memory" in ended[0].message
        assert await works(site, app)


async def test_a_program_under_which_workers_crash_is_named_and_its_neighbour_is_not(opened: Opened) -> None:
    async with opened(workers=patient(deaths=2, back_off_s=0.0)) as site:
        named: list[str] = []
        executor(site)._on_quarantine = lambda app_id, reason: named.append(app_id)
        bad, good = await site.install(**LONG_CPU), await site.install()
        for _ in range(2):
            async with under_way(site, good, SLEEP) as beside, under_way(site, bad, SPIN):
                await until(lambda: on_the_cpu(site) == bad.app_id)
                os.kill(workers(site)[0].pid, signal.SIGABRT)
            assert beside[0].ending is Ending.WORKER_LOST
            await until(lambda: workers(site))
        assert named == [bad.app_id]


async def test_a_worker_that_breaks_out_is_not_believed_whose_call_was_running(opened: Opened) -> None:
    """SIGSYS is what the jail ends a process with: whoever got so far can write a neighbour's number on the board."""
    async with opened(workers=patient(deaths=2, back_off_s=0.0)) as site:
        named: list[str] = []
        executor(site)._on_quarantine = lambda app_id, reason: named.append(app_id)
        framed, beside = await site.install(**LONG_CPU), await site.install()
        for deaths in (1, 2, 3, 4):
            async with under_way(site, beside, SLEEP) as waits, under_way(site, framed, SPIN):
                await until(lambda: on_the_cpu(site) == framed.app_id)
                os.kill(workers(site)[0].pid, signal.SIGSYS)
            assert "SIGSYS" in waits[0].message
            await until(lambda: workers(site))
            assert set(named) == (set() if deaths < 4 else {framed.app_id, beside.app_id})


async def test_a_worker_that_somebody_stops_is_nobodys_doing(opened: Opened) -> None:
    async with opened(workers=patient(deaths=1, back_off_s=0.0, heartbeat_s=0.5)) as site:
        named: list[str] = []
        executor(site)._on_quarantine = lambda app_id, reason: named.append(app_id)
        app = await site.install(**LONG_CPU)
        async with under_way(site, app, SPIN) as ended:
            await until(lambda: on_the_cpu(site) == app.app_id)
            os.kill(workers(site)[0].pid, signal.SIGSTOP)
        assert "somebody stopped it" in ended[0].message
        assert await works(site, app)
        assert named == []


async def test_a_host_that_closes_does_not_wait_for_a_worker_that_hangs(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "PATIENCE_S", 0.05)
    async with opened(workers=patient(deaths=1, heartbeat_s=60.0)) as site:
        named: list[str] = []
        executor(site)._on_quarantine = lambda app_id, reason: named.append(app_id)
        app = await site.install(**LONG_CPU)
        async with under_way(site, app, SLEEP, 2) as waited, under_way(site, app, SPIN) as spun:
            os.kill(workers(site)[0].pid, signal.SIGSTOP)
            await site.host.drain(0)
        assert [(error.ending, error.message) for error in (*waited, *spun)] == [
            (Ending.CANCELLED, "the host closed while the call was in flight")
        ] * 3
        await until(lambda: not workers(site))
        assert named == []


# ---- calls that are late ---------------------------------------------------------------------------------------------
_REQUEST = wire.request(1, "session.sleep", {"ms": 60_000})
_ESCAPED = "".join(f"\\{byte:02x}" for byte in _REQUEST)
_ASKING = module(
    f"(drop (call $call (i32.const 2048) (i32.const {len(_REQUEST)}) (i32.const 4096) (i32.const 4096))) {OK}",
    imports=("call",), more=f'(data (i32.const 2048) "{_ESCAPED}")',
)  # fmt: skip
LATE: dict[str, tuple[bytes | None, Script, int]] = {
    "a call": (None, SLEEP, 0),
    "a post": (None, Script().post(_REQUEST).wait(), 1),
    "a call of a guest that cannot post": (_ASKING, Script(), 0),
}
"""Module, what it does, and how many of its requests are left without an outcome."""


@pytest.mark.parametrize("what", LATE)
async def test_what_a_guest_asks_when_its_time_is_over_is_on_its_receipt(opened: Opened, what: str) -> None:
    """As in process. The worker meets the call and the end of its time together: it was stopped meanwhile."""
    guest, script, left = LATE[what]
    async with opened(workers=patient(heartbeat_s=60.0)) as site:
        app = await site.install(guest, wall_ms=50)
        await site.end(script, app)  # its module is there, and its slot warm
        pid, (link,) = workers(site)[0].pid, executor(site)._groups["unreviewed"].links.values()
        os.kill(pid, signal.SIGSTOP)
        async with under_way(site, app, script) as ended:
            await until(lambda: link.oldest_cut() is not None)
            os.kill(pid, signal.SIGCONT)
        receipt = ended[0].receipt
        assert receipt is not None
        usage = receipt.usage
        assert (receipt.ending, usage.host_calls, usage.dropped) == (Ending.DEADLINE_EXCEEDED, 1, left)
        assert usage.request_bytes > 0


# ---- room ------------------------------------------------------------------------------------------------------------
async def test_calls_wait_for_a_slot_and_beyond_the_queue_they_are_refused_at_once(opened: Opened) -> None:
    async with opened(workers=patient(slots=1, queue=1)) as site:
        app = await site.install(wall_ms=60_000)
        with trio.CancelScope() as scope:
            async with under_way(site, app, SLEEP), trio.open_nursery() as nursery:
                nursery.start_soon(works, site, app)
                await until(lambda: site.host.statistics().calls_in_flight == 2)
                with pytest.raises(HostBusy) as caught:
                    await works(site, app)
                assert (caught.value.code, caught.value.retryable) == ("overloaded", True)
                scope.cancel()
        assert scope.cancelled_caught
        assert await works(site, app)


async def test_a_program_is_gone_at_once_though_its_call_waits_for_a_slot(opened: Opened) -> None:
    """Begun as the control socket begins one, without a task: it is over while the host goes through the calls to end,
    and nobody may wait for its end after that."""
    async with opened(workers=patient(slots=1)) as site, trio.open_nursery() as nursery:
        first, second = [await site.install(wall_ms=60_000) for _ in range(2)]
        assert await works(site, second)  # its module is loaded
        told, gone = list[Any](), trio.Event()

        async def uninstall() -> None:
            await site.host.uninstall(second, end_calls=True)
            gone.set()

        with trio.CancelScope() as scope:
            async with under_way(site, first, SLEEP):
                begun = site.host.begin_call(second, "run", INFO.params(), Words(user="bob"), told.append)
                assert begun is not None and site.host.statistics().calls_in_flight == 2
                nursery.start_soon(uninstall)
                await until(gone.is_set)
                assert [getattr(one, "code", one) for one in told] == ["revoked"]
                scope.cancel()


@asynccontextmanager
async def pool_of(**changes: Any) -> AsyncIterator[WorkerExecutor]:
    async with open_workers(patient(**changes), now_us=lambda: 0, new_id=SeededIds()) as pool:
        yield pool


def start(pool: WorkerExecutor, group: str, program: str) -> None:
    """A call that nobody answers: where it goes is what is looked at."""
    session = make_session(app_id=program, now=trio.current_time)
    host = BrokerCall(Broker({}, clock=VirtualClock(), new_incident=SeededIds()), session)
    pool.start(Job(program, group, MODULE, b"", session.limits, False), host, session.usage, lambda outcome: None)


async def test_groups_never_share_a_process_and_one_that_is_alone_has_its_own() -> None:
    async with pool_of(count=2, processes=8, standing=()) as pool:
        for group in ("platform", "reviewed", "alone:a"):
            for program in ("a", "b", "c", "d"):
                start(pool, group, program)
        assert {group: len(found.staffed) for group, found in pool._groups.items()} == {
            "platform": 2, "reviewed": 2, "alone:a": 1,
        }  # fmt: skip
        await until(lambda: len([w for w in pool.status().workers if w.state == "ready"]) == 5)
        pids = [worker.pid for worker in pool.status().workers]
        assert len(set(pids)) == len(pids) == 5


async def test_an_idle_worker_makes_room_for_another_group_and_a_busy_one_does_not() -> None:
    async with pool_of(processes=1, standing=()) as pool:
        start(pool, "platform", "a")
        with pytest.raises(HostBusy, match="none of them is idle"):
            start(pool, "reviewed", "b")
        await until(lambda: not pool.status().sandboxes and pool.status().slots)
        start(pool, "reviewed", "b")
        await until(lambda: [w.group for w in pool.status().workers if w.state == "ready"] == ["reviewed"])


async def test_a_worker_without_calls_ends_after_a_while_unless_it_is_standing() -> None:
    async with pool_of(idle_s=0.0, standing=("reviewed",)) as pool:
        start(pool, "platform", "a")
        await until(lambda: [worker.group for worker in pool.status().workers] == ["reviewed"])


# ---- start and end ---------------------------------------------------------------------------------------------------
def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _descriptors() -> set[str]:
    return {f"{link.name}" for link in Path("/proc/self/fd").iterdir()}


async def test_nothing_of_a_worker_is_left(opened: Opened) -> None:
    """No zombie, no descriptor; also of those that died on the way."""
    async with opened(workers=None):
        pass
    before = _descriptors()
    async with opened(workers=patient(count=2)) as site:
        pids = [worker.pid for worker in workers(site)]
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: {worker.pid for worker in workers(site)} - {pids[0]} and len(workers(site)) == 2)
        pids += [worker.pid for worker in workers(site)]
    assert [pid for pid in pids if _exists(pid)] == []
    assert len(_descriptors()) <= len(before)


async def test_workers_run_in_the_jail_they_are_asked_to(opened: Opened) -> None:
    level = str(probe())
    async with opened(workers=patient(require=level)) as site:
        assert site.host.statistics().sandbox_level == level
        assert await works(site, await site.install())


async def test_below_the_level_that_is_required_the_host_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime import jail

    monkeypatch.setattr(jail, "probe", lambda: jail.Level(jail.Grade.PARTIAL, ("no landlock here",)))
    with pytest.raises(StartupError, match="no landlock here") as caught:
        async with open_workers(patient(), now_us=lambda: 0, new_id=lambda: "id"):
            pass
    assert caught.value.code == "jail_unavailable"


async def test_a_worker_that_cannot_start_keeps_the_host_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.executor.worker_child._START", "import sys; sys.exit('no such thing')")
    with pytest.raises(StartupError, match="no such thing"):
        async with open_workers(patient(), now_us=lambda: 0, new_id=lambda: "id"):
            pass


@pytest.mark.parametrize("call", ["memfd_create", "ftruncate", "pidfd_open"])
async def test_where_descriptors_have_run_out_nothing_of_the_attempt_is_left(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refused(*told: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = _descriptors()
    monkeypatch.setattr(os, call, refused)
    with trio.fail_after(PATIENCE_S), pytest.raises(StartupError, match="Too many open files"):
        async with open_workers(patient(require="none"), now_us=lambda: 0, new_id=lambda: "id"):
            pass
    assert len(_descriptors()) <= len(before)


async def test_a_worker_ends_with_its_broker(opened: Opened) -> None:
    """Its end of the socket is closed: whatever else it does, it goes."""
    from runtime.executor.frames import Order

    child = WorkerChild.start(Order(slots=8, keep_resident_bytes=0, ticker="auto", jailed=True, metered=False, nice=0))
    child.link.close()
    with trio.fail_after(PATIENCE_S):
        assert await child.ended() == "ended with 0"
    child.close()
