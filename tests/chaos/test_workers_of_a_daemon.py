"""Workers of a running daemon: how they are jailed, who shares one, how their time is shared, what is queued for them,
and one that outgrows its memory. Deaths: test_chaos.py, test_escape_drill.py. One that hangs: test_stalls.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from benchmarks import guests
from runtime import SigningKey, sign, wire
from runtime.client import Client
from runtime.errors import CallEnded, Ending, HostBusy, WorkerLost
from runtime.limits import MIB, WASM_PAGE
from tests.chaos.daemon import Daemon, serving, until_told
from tests.hostile.guests import Script, bundle, scripted

PATIENT = {**guests.UNRATED, "wall_ms": 600_000, "cpu_us": 600_000_000}


class Held:
    """Calls that do not end by themselves, and how they did end."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ended: list[CallEnded] = []

    async def call(self, app_id: str, method: str, params: Mapping[str, Any]) -> None:
        with pytest.raises(CallEnded) as caught:
            await self.client.call(app_id, method, params, user="alice")
        self.ended.append(caught.value)

    async def sleep(self, app_id: str) -> None:
        await self.call(app_id, "session.sleep", {"ms": 60_000})

    async def are_in_workers(self, count: int) -> None:
        async def enough() -> bool:
            return (await self.client.statistics()).sandboxes == count

        await until_told(enough)

    async def end(self, *app_ids: str) -> None:
        for app_id in app_ids:
            await self.client.uninstall(app_id, end_calls=True)


# ---- their jail ------------------------------------------------------------------------------------------------------
FALLS_SHORT = """
from runtime import jail
jail.probe = lambda: jail.Level(jail.Grade.PARTIAL, ("no landlock here",))
from runtime.cli import main
main()
"""
"""`hostel` on a machine whose kernel gives less."""


@pytest.mark.slow
async def test_where_the_jail_falls_short_it_does_not_start_unless_it_is_told_to(tmp_path: Path) -> None:
    command = (sys.executable, "-c", FALLS_SHORT, "serve")
    for folder in (short := tmp_path / "short", told := tmp_path / "told"):
        folder.mkdir()
    daemon = Daemon(short, command=command)
    with pytest.raises(AssertionError, match="it did not start"):
        await daemon.start()
    assert (daemon.process.returncode, "no landlock here" in daemon.said()) == (8, True)
    assert "workers are to be jailed at level full, and here it is partial" in daemon.said()
    async with serving(told, command=command, workers={"count": 1, "require": "partial"}) as daemon:
        (worker,) = daemon.workers()
        status = (Path("/proc") / str(worker) / "status").read_text()
        assert "\nSeccomp:\t2\n" in status and "\nNoNewPrivs:\t1\n" in status and "\nThreads:\t1\n" in status
        limits = (Path("/proc") / str(worker) / "limits").read_text().splitlines()
        assert [line.split()[3] for line in limits if line.startswith("Max address space")] == ["unlimited"]


# ---- who shares one --------------------------------------------------------------------------------------------------
async def developed(client: Client, name: str, trust: str, number: int) -> str:
    """A program of a developer of that trust."""
    key, developer = SigningKey.from_seed(bytes([number]) * 32), await client.developers.sign_up(name)
    await client.developers.add_key(developer.id, str(key.public_key))
    await client.developers.set_trust(developer.id, trust)
    made = sign(guests.archive(name, guests.forward(), asks=()), key)
    return (await client.install(made, limits=PATIENT)).app_id


@pytest.mark.slow
async def test_programs_of_different_trust_and_one_that_is_to_be_alone_share_no_worker(tmp_path: Path) -> None:
    """Though the module is the same."""
    async with serving(tmp_path, workers={"count": 1}) as daemon, daemon.client() as client:
        groups = {}
        for name, more in (("one", {}), ("two", {}), ("alone", {"isolation": "dedicated"})):
            made = guests.archive(name, guests.forward(), asks=())
            app = await client.install(made, limits=PATIENT, **more)
            groups[app.app_id] = f"alone:{app.app_id}" if more else "unreviewed"
        for number, trust in enumerate(("reviewed", "platform"), 1):
            groups[await developed(client, f"by{trust}", trust, number)] = trust
        held = Held(client)
        async with trio.open_nursery() as nursery:
            for app_id in groups:
                nursery.start_soon(held.sleep, app_id)
            await held.are_in_workers(len(groups))
            workers = (await client.status()).workers
            await held.end(*groups)
        calls = {worker.group: worker.calls for worker in workers}
        assert calls == {group: list(groups.values()).count(group) for group in groups.values()}
        assert len({worker.pid for worker in workers}) == len(workers) == 4


# ---- how their time is shared ----------------------------------------------------------------------------------------
ENOUGH_US = 2_000_000


def run_us(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) // 1_000


@pytest.mark.slow
async def test_one_spinning_call_beside_64_of_another_program_has_half(tmp_path: Path) -> None:
    async with serving(tmp_path, workers={"count": 1}) as daemon, daemon.client() as client:
        spin, limits = guests.spin(), {**PATIENT, "calls_in_flight": 64, "sandboxes": 64}
        many = (await client.install(guests.archive("many", spin, asks=()), limits=limits)).app_id
        one = await client.install(guests.archive("one", spin, asks=()), limits={**PATIENT, "cpu_us": ENOUGH_US})
        held, (worker,) = Held(client), daemon.workers()
        async with trio.open_nursery() as nursery:
            for _ in range(64):
                nursery.start_soon(held.call, many, "run", {})
            with pytest.raises(CallEnded) as caught:
                await client.call(one, "run", user="bob")
            after = run_us(worker)
            await held.end(many)
            after = run_us(worker) - after
        assert (caught.value.ending, len(held.ended)) == (Ending.CPU_EXCEEDED, 64)
        used, others = used_us(caught.value), sum(used_us(error) for error in held.ended) - after
        print(f"\nB had {used / (used + others):.3f} of the CPU time")
        assert 0.45 <= used / (used + others) <= 0.55


def used_us(error: CallEnded) -> int:
    assert error.receipt is not None
    return error.receipt.usage.cpu_us


# ---- what waits for them ---------------------------------------------------------------------------------------------
@pytest.mark.slow
async def test_so_many_calls_wait_for_a_worker_and_one_more_is_refused_while_they_do(tmp_path: Path) -> None:
    async with serving(tmp_path, workers={"count": 1, "slots": 1, "queue": 2}) as daemon, daemon.client() as client:
        app = await client.install(guests.archive("slow", guests.forward(), asks=()), limits=PATIENT)
        held = Held(client)

        async def are_in_flight() -> bool:
            return (await client.statistics()).calls_in_flight == 3

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(held.sleep, app.app_id)
            await until_told(are_in_flight)
            with pytest.raises(HostBusy) as refused:
                await client.call(app, "session.info", user="bob")
            assert (held.ended, (await client.statistics()).calls_in_flight) == ([], 3)
            await held.end(app.app_id)
        error = refused.value
        assert (error.code, error.retryable, error.retry_after_ms) == ("overloaded", True, 100)
        assert error.message == "2 calls wait for a sandbox already: try again later"


@pytest.mark.slow
async def test_so_many_calls_of_a_program_wait_and_one_more_is_refused_while_they_do(tmp_path: Path) -> None:
    limits = {**PATIENT, "calls_in_flight": 1, "calls_queued": 2}
    async with serving(tmp_path, workers={"count": 1}) as daemon, daemon.client() as client:
        app = await client.install(guests.archive("slow", guests.forward(), asks=()), limits=limits)

        async def are_queued() -> bool:
            return (await client.statistics()).calls_queued == 2

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(client.call, app, "session.sleep", {"ms": 60_000})
            await until_told(are_queued)
            with pytest.raises(HostBusy) as refused:
                await client.call(app, "session.info", user="bob")
            told = await client.statistics()
            assert (told.calls_in_flight, told.calls_queued) == (1, 2)
            nursery.cancel_scope.cancel()
        error = refused.value
        assert (error.code, error.retryable, error.details["used"]) == ("queue_full", True, 2)
        assert error.retry_after_ms is not None


# ---- one that grows --------------------------------------------------------------------------------------------------
@pytest.mark.slow
async def test_a_worker_over_its_memory_is_replaced_and_its_calls_are_told(tmp_path: Path) -> None:
    """Each guest is inside its own limit; together they are over the worker's."""
    workers = {"count": 1, "memory_bytes": 128 * MIB, "heartbeat_s": 0.4}
    grows = (
        Script().step("memory_grow", (64 * MIB - 40 * WASM_PAGE) // WASM_PAGE).step("memory_fill", 1 << 21, 1, 60 * MIB)
    )
    grows.call(wire.request(1, "session.sleep", {"ms": 60_000}))
    async with serving(tmp_path, workers=workers) as daemon, daemon.client() as client:
        app = await client.install(bundle(scripted()), limits={**PATIENT, "memory_bytes": 64 * MIB})
        held, (before,) = Held(client), daemon.workers()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(held.call, app.app_id, "run", grows.params())
        assert all(isinstance(error, WorkerLost) and "is over 128" in error.message for error in held.ended)
        assert (await client.call(app, "run", Script().params(), user="bob")).receipt.ending is Ending.COMPLETED
        (worker,) = (await client.status()).workers
        assert (worker.pid != before, worker.restarts) == (True, 1)
