"""The embedded store: the state directory, migrations, the writer's batches, and disks that fail."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.store import StoreError, Transaction, open_store
from host_api.store import sqlite as store_sqlite
from host_api.store.connection import Job, StorageFault, connect, run_batch
from host_api.store.migrations import Migration, known_migrations
from runtime.testing import VirtualClock

PUT = "INSERT INTO merchants (app_id, fee_bps, fee_fixed) VALUES (:app, 1, 0)"


def put(app: str) -> Any:
    return lambda tx: tx.execute(PUT, {"app": app})


def apps(tx: Transaction) -> list[str]:
    return [row[0] for row in tx.execute("SELECT app_id FROM merchants ORDER BY app_id")]


# ---- the state directory -----------------------------------------------------------------------------------------
async def test_only_the_owner_can_look_into_the_directory(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    async with open_store(state, VirtualClock()) as store:
        await store.write(put("a"))
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
    assert {"hostel.lock", "hostel.sqlite3", "hostel.sqlite3-wal", "hostel.sqlite3-shm"} <= modes.keys()
    assert set(modes.values()) == {0o600}


async def test_an_open_directory_is_closed_if_empty_and_refused_if_not(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)
    async with open_store(state, VirtualClock()):
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
    state.chmod(0o750)
    with pytest.raises(StoreError, match="chmod 700") as refused:
        async with open_store(state, VirtualClock()):
            pass
    assert refused.value.code == "state_unsafe"


async def test_a_second_host_is_refused_with_the_process_that_holds_it(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", VirtualClock()):
        with pytest.raises(StoreError, match=f"in use by process {os.getpid()}:") as refused:
            async with open_store(tmp_path / "state", VirtualClock()):
                pass
        assert refused.value.code == "state_in_use"
    async with open_store(tmp_path / "state", VirtualClock()):
        pass


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "hostel.sqlite3").write_bytes(b"not a database, but long enough to be looked at" * 40)
    with pytest.raises(StoreError) as refused:
        async with open_store(state, VirtualClock()):
            pass
    assert refused.value.code == "state_damaged"


async def test_what_was_written_is_there_after_reopening_and_time_has_not_gone_back(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with open_store(tmp_path / "state", clock) as store:
        clock.advance(s=100)
        await store.write(put("a"))
        later = clock.now_us()
    async with open_store(tmp_path / "state", VirtualClock()) as store:
        assert store.read(apps) == ["a"]
        assert store.now_us() == later


# ---- migrations --------------------------------------------------------------------------------------------------
NEXT = Migration(
    number=len(known_migrations()) + 1, name="next", sql="CREATE TABLE extra (id INTEGER PRIMARY KEY) STRICT;"
)


async def test_a_new_file_is_applied_once_after_a_backup(tmp_path: Path) -> None:
    state, first = tmp_path / "state", known_migrations()
    async with open_store(state, VirtualClock()) as store:
        await store.write(put("a"))
    for _ in range(2):
        async with open_store(state, VirtualClock(), known=(*first, NEXT)) as store:
            assert store.read(lambda tx: tx.execute("SELECT count(*) FROM extra")) == [(0,)]
            assert store.read(apps) == ["a"]
    backup = state / f"before-{NEXT.label}.sqlite3"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    old = apsw.Connection(str(backup), flags=apsw.SQLITE_OPEN_READONLY)
    assert old.execute("SELECT app_id FROM merchants").fetchall() == [("a",)]
    assert old.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'").get == 0


async def test_a_file_that_fails_leaves_the_schema_as_it_was(tmp_path: Path) -> None:
    broken = Migration(
        number=NEXT.number, name="broken", sql="CREATE TABLE extra (id INTEGER) STRICT; SELECT nothing FROM nowhere;"
    )
    async with open_store(tmp_path / "state", VirtualClock()):
        pass
    with pytest.raises(StoreError):
        async with open_store(tmp_path / "state", VirtualClock(), known=(*known_migrations(), broken)):
            pass
    async with open_store(tmp_path / "state", VirtualClock(), known=(*known_migrations(), NEXT)) as store:
        assert store.read(lambda tx: tx.execute("SELECT count(*) FROM extra")) == [(0,)]


async def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", VirtualClock(), known=(*known_migrations(), NEXT)):
        pass
    with pytest.raises(
        StoreError,
        match=rf"newer hostel \(schema {NEXT.label}; this one knows up to {known_migrations()[-1].label}\)",
    ) as refused:
        async with open_store(tmp_path / "state", VirtualClock()):
            pass
    assert refused.value.code == "state_too_new"


async def test_another_schema_under_a_known_number_is_refused(tmp_path: Path) -> None:
    other = Migration(number=1, name="other", sql=known_migrations()[0].sql)
    async with open_store(tmp_path / "state", VirtualClock(), known=(other, *known_migrations()[1:])):
        pass
    with pytest.raises(StoreError, match="0001_other where 0001_base belongs") as refused:
        async with open_store(tmp_path / "state", VirtualClock()):
            pass
    assert refused.value.code == "state_damaged"


# ---- the writer --------------------------------------------------------------------------------------------------
class Gate:
    """Holds the writer in a job until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _: Transaction) -> None:
        self.reached.set()
        assert self.opened.wait(20)


async def test_what_queued_meanwhile_shares_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    def counted(connection: apsw.Connection, jobs: Any) -> None:
        batches.append(len(jobs))
        run_batch(connection, jobs)

    monkeypatch.setattr(store_sqlite, "run_batch", counted)
    gate = Gate()
    async with open_store(tmp_path / "state", VirtualClock()) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write, gate)
            await trio.to_thread.run_sync(gate.reached.wait)
            for number in range(300):
                nursery.start_soon(store.write, put(f"{number:03}"))
            await trio.testing.wait_all_tasks_blocked()
            gate.opened.set()
        assert len(store.read(apps)) == 300
    assert batches == [1, 256, 44]


async def test_a_full_queue_refuses_before_the_hand_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_sqlite, "QUEUE_JOBS", 3)
    gate = Gate()
    async with open_store(tmp_path / "state", VirtualClock()) as store:
        async with trio.open_nursery() as nursery:
            for job in (gate, put("a"), put("b")):
                nursery.start_soon(store.write, job)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ApiError) as refused:
                await store.write(put("c"))
            gate.opened.set()
        assert refused.value.code is ErrorCode.BUSY
        assert refused.value.as_wire()["retryable"] is True
        await store.write(put("d"))
        assert store.read(apps) == ["a", "b", "d"]


async def test_a_writer_that_does_not_answer_gives_an_unknown_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_sqlite, "ANSWER_SECONDS", 0.05)
    gate = Gate()
    async with open_store(tmp_path / "state", VirtualClock()) as store:
        async with trio.open_nursery() as nursery:

            async def unknown(job: Any) -> None:
                with pytest.raises(ApiError) as refused:
                    await store.write(job)
                assert refused.value.code is ErrorCode.UNKNOWN_OUTCOME

            nursery.start_soon(unknown, gate)
            nursery.start_soon(unknown, put("late"))
        monkeypatch.setattr(store_sqlite, "ANSWER_SECONDS", 20.0)
        gate.opened.set()
        await store.write(put("next"))  # comes after the ones nobody waits for
        assert store.read(apps) == ["late", "next"]


async def test_closing_finishes_what_was_handed_over(tmp_path: Path) -> None:
    gate = Gate()
    async with open_store(tmp_path / "state", VirtualClock()) as store, trio.open_nursery() as nursery:
        for job in (gate, put("a")):
            nursery.start_soon(store.write, job)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(store.aclose)
        await trio.testing.wait_all_tasks_blocked()
        gate.opened.set()
    async with open_store(tmp_path / "state", VirtualClock()) as store:
        assert store.read(apps) == ["a"]


# ---- disks that fail ---------------------------------------------------------------------------------------------
class FailingFile(apsw.VFSFile):
    """A file whose write-ahead log fails on demand."""

    def __init__(self, vfs: FailingDisk, name: Any, flags: list[int]) -> None:
        self.vfs = vfs
        self.log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.log and self.vfs.fail == "write":
            raise apsw.FullError("no space left")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        if self.log and self.vfs.fail == "sync":
            raise apsw.IOError("sync failed")
        super().xSync(flags)


class FailingDisk(apsw.VFS):
    def __init__(self) -> None:
        self.fail = ""
        super().__init__("failing", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return FailingFile(self, name, flags)


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    vfs = FailingDisk()
    yield vfs
    vfs.unregister()


@pytest.mark.parametrize(("fault", "code"), [("write", ErrorCode.BUSY), ("sync", ErrorCode.UNKNOWN_OUTCOME)])
def test_a_commit_that_fails_acknowledges_nothing(
    tmp_path: Path, disk: FailingDisk, fault: str, code: ErrorCode, caplog: pytest.LogCaptureFixture
) -> None:
    connection = connect(tmp_path / "db", writable=True)
    connection.execute(known_migrations()[0].sql)

    def refused(_: Transaction) -> None:
        raise KeyError("of its own")

    def batch() -> list[Job]:
        jobs = [Job(put("a"), 1), Job(refused, 1), Job(put("b"), 1)]
        run_batch(connection, jobs)
        return jobs

    disk.fail = fault
    for job in batch()[::2]:
        with pytest.raises(ApiError) as error:
            job.unwrap()
        assert error.value.code is code
        assert error.value.as_wire()["retryable"] is True
    assert connection.execute("SELECT count(*) FROM merchants").get == 0
    disk.fail = ""
    jobs = batch()
    assert [job.error is None for job in jobs] == [True, False, True]
    assert connection.execute("SELECT count(*) FROM merchants").get == 2
    connection.close()


def test_a_fault_that_leaves_the_transaction_open_refuses_the_whole_batch(tmp_path: Path) -> None:
    connection = connect(tmp_path / "db", writable=True)
    connection.execute(known_migrations()[0].sql)

    def faulty(tx: Transaction) -> None:
        tx.execute(PUT, {"app": "half"})
        raise StorageFault("read error")

    jobs = [Job(put("before"), 1), Job(faulty, 1), Job(put("after"), 1)]
    run_batch(connection, jobs)
    assert [job.error and job.error.code for job in jobs] == [ErrorCode.BUSY] * 3  # type: ignore[attr-defined]
    assert connection.execute("SELECT count(*) FROM merchants").get == 0
    connection.close()


def test_a_disk_that_fails_under_one_job_refuses_the_whole_batch(tmp_path: Path, disk: FailingDisk) -> None:
    connection = connect(tmp_path / "db", writable=True)
    connection.execute(known_migrations()[0].sql)
    connection.execute("PRAGMA cache_size = 10")

    def large(tx: Transaction) -> None:
        disk.fail = "write"
        for number in range(200):  # more than the page cache holds: written to the log before the commit
            tx.execute(
                "INSERT INTO storage_values VALUES ('a', '', :key, :value, 1, 0)",
                {"key": str(number), "value": bytes(4000)},
            )

    jobs = [Job(put("before"), 1), Job(large, 1), Job(put("after"), 1)]
    run_batch(connection, jobs)
    for job in jobs:
        with pytest.raises(ApiError) as error:
            job.unwrap()
        assert error.value.code is ErrorCode.BUSY
    disk.fail = ""
    assert connection.execute("SELECT count(*) FROM merchants").get == 0
    connection.close()
