"""What was erased is in no file of the state directory, however the rows had moved about and whatever crashed."""

from __future__ import annotations

import gc
import logging
import os
import random
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from host_api.errors import ApiError, ErrorCode
from host_api.store import Store, StoreError, Transaction, open_store, owe_scrub, remains
from host_api.store import sqlite as store_sqlite
from host_api.store.connection import StorageFault, connect
from host_api.store.migrations import known_migrations
from runtime.testing import VirtualClock

USERS = [f"planted-{number:03}" for number in range(40)]
VICTIMS = USERS[::3]


def found(state: Path, markers: list[str]) -> dict[str, list[str]]:
    """File → which of the markers its bytes hold, raw."""
    held: dict[str, list[str]] = {}
    for file in (path for path in state.rglob("*") if path.is_file()):
        data = file.read_bytes()
        if in_it := [marker for marker in markers if marker.encode() in data]:
            held[file.name] = in_it
    return held


def churn(tx: Transaction, rnd: random.Random) -> None:
    """Rows of many sizes come, change and go, so that pages split and merge and rows move from one to another."""
    for _ in range(400):
        user, key = rnd.choice(USERS), f"key{rnd.randrange(60)}"
        if rnd.random() < 0.25:
            tx.execute("DELETE FROM storage_values WHERE scope_user = ? AND key = ?", (user, key))
        else:
            value = f"{user}-value ".encode() * rnd.choice((1, 3, 10, 50, 300, 900))
            tx.execute(
                "INSERT INTO storage_values VALUES ('app', ?, ?, 1, 1, ?) "
                "ON CONFLICT DO UPDATE SET value = excluded.value",
                (user, key, value),
            )
        tx.execute(
            "INSERT INTO notices (id, app_id, user_id, template, text, language, created_us, gone_us)"
            " VALUES (?, 'app', ?, 't', ?, 'en', 0, 1)",
            (f"{rnd.getrandbits(64):x}", user, f"a word to {user}"),
        )


def erase(tx: Transaction) -> None:
    for user in VICTIMS:
        tx.execute("DELETE FROM storage_values WHERE scope_user = ?", (user,))
        tx.execute("UPDATE notices SET user_id = 'nobody', text = '' WHERE user_id = ?", (user,))
    owe_scrub(tx)


async def planted(store: Store, seed: int) -> None:
    rnd = random.Random(seed)
    for _ in range(10):
        await store.write(lambda tx: churn(tx, rnd))


def whole(state: Path) -> None:
    """SQLite's own check finds nothing wrong with the file."""
    checked = apsw.Connection(str(state / store_sqlite.FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    assert checked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    checked.close()


@pytest.mark.parametrize("seed", range(4))
async def test_after_a_scrub_no_file_holds_what_was_erased(tmp_path: Path, seed: int) -> None:
    state = tmp_path / "state"
    async with open_store(state, VirtualClock()) as store:
        await planted(store, seed)
        before = store.read(lambda tx: tx.execute("SELECT scope_user, key, value FROM storage_values ORDER BY 1, 2"))
        assert found(state, VICTIMS)
        await store.write(erase)
        assert found(state, VICTIMS), "without a scrub something is left, else this test proves nothing"
        await store.scrub()
        assert found(state, VICTIMS) == {}
        after = store.read(lambda tx: tx.execute("SELECT scope_user, key, value FROM storage_values ORDER BY 1, 2"))
        assert after == [row for row in before if row[0] not in VICTIMS]
        whole(state)
    assert found(state, VICTIMS) == {}


async def test_a_copy_holds_nothing_of_what_was_erased_before_it_began(tmp_path: Path) -> None:
    """Where the copy comes before the scrub that is owed, it waits for it."""
    (tmp_path / "copy").mkdir()
    async with open_store(tmp_path / "state", VirtualClock()) as store:
        await planted(store, 1)
        await store.write(erase)
        await store.backup(tmp_path / "copy" / "hostel.sqlite3", lambda tx: None)
    assert found(tmp_path / "copy", VICTIMS) == {}


async def test_what_sqlite_overwrites_by_itself_is_not_enough(tmp_path: Path) -> None:
    """Why remains.py is there: the day this fails, it can go."""
    state = tmp_path / "state"
    async with open_store(state, VirtualClock()) as store:
        await planted(store, 1)
        await store.write(erase)
    assert not (state / f"{store_sqlite.FILE_NAME}-wal").stat().st_size
    assert found(state, VICTIMS)


def test_pages_in_the_writers_memory_are_not_written_back_as_they_were(tmp_path: Path) -> None:
    """A table that fits into the page cache, in states that leave something in the middle of its pages."""
    left_before = 0
    for seed in range(12):
        file, rnd = tmp_path / f"{seed}", random.Random(seed)
        connection = connect(file, writable=True)
        for migration in known_migrations():
            connection.execute(migration.sql)
        with connection:
            for _ in range(1_500):
                key = f"key{rnd.randrange(300)}"
                value = (b"gone " if rnd.random() < 0.5 else b"kept ") * rnd.choice((1, 5, 40))
                connection.execute("INSERT OR REPLACE INTO storage_values VALUES ('a', 'u', ?, 1, 1, ?)", (key, value))
            connection.execute("DELETE FROM storage_values WHERE CAST(value AS TEXT) LIKE 'gone%'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        left_before += b"gone " in file.read_bytes()
        for _ in store_sqlite.remains.steps(connection, file):
            pass
        assert b"gone " not in file.read_bytes()
        connection.execute("UPDATE storage_values SET version = version + 1")
        connection.close()
        assert b"gone " not in file.read_bytes()
    assert left_before


@pytest.mark.parametrize("left_in_the_log", [True, False])
async def test_a_scrub_that_a_crash_prevented_is_done_at_the_next_opening(
    tmp_path: Path, left_in_the_log: bool
) -> None:
    state, crashed = tmp_path / "state", tmp_path / "crashed"
    async with open_store(state, VirtualClock()) as store:
        await planted(store, 2)
        await store.write(erase)
        if left_in_the_log:
            shutil.copytree(state, crashed)  # as a process leaves it that is killed
    if not left_in_the_log:
        shutil.copytree(state, crashed)
    assert found(crashed, VICTIMS)
    async with open_store(crashed, VirtualClock()):
        assert found(crashed, VICTIMS) == {}
        whole(crashed)


async def test_right_after_a_scrub_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    state, killed = tmp_path / "state", tmp_path / "killed"
    async with open_store(state, VirtualClock()) as store:
        await planted(store, 3)
        await store.write(erase)
        await store.scrub()
        shutil.copytree(state, killed)
    assert found(killed, VICTIMS) == {}
    async with open_store(killed, VirtualClock()) as store:
        rows = store.read(lambda tx: tx.execute("SELECT count(*) FROM storage_values"))
        assert rows[0][0] > 100


async def test_reads_and_writes_go_on_while_it_scrubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its steps, of which there are many where each is of one b-tree."""
    monkeypatch.setattr(remains, "PAGES_AT_ONCE", 1)
    state = tmp_path / "state"
    written = 0
    async with open_store(state, VirtualClock()) as store:
        await planted(store, 4)
        await store.write(erase)

        async def write_all_the_time() -> None:
            nonlocal written
            rnd = random.Random(4)
            while True:
                await store.write(lambda tx: tx.execute("UPDATE storage_values SET version = version + 1"))
                await store.write(
                    lambda tx: tx.execute(
                        "INSERT INTO storage_values VALUES ('app', 'kept', ?, 1, 1, ?)"
                        " ON CONFLICT DO UPDATE SET value = excluded.value",
                        (f"key{rnd.randrange(40)}", bytes(rnd.choice((3, 300, 9_000)))),
                    )
                )
                store.read(lambda tx: tx.execute("SELECT sum(version) FROM storage_values"))
                written += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_all_the_time)
            await store.scrub()
            assert found(state, VICTIMS) == {}
            nursery.cancel_scope.cancel()
        assert written > 5
        whole(state)
    assert found(state, VICTIMS) == {}


async def test_backups_go_and_it_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state, first = tmp_path / "state", known_migrations()
    async with open_store(state, VirtualClock(), known=first[:1]) as store:
        await store.write(
            lambda tx: tx.execute("INSERT INTO storage_values VALUES ('app', ?, 'k', x'00', 1, 1)", (VICTIMS[0],))
        )
    async with open_store(state, VirtualClock()) as store:
        backup = f"before-{first[1].label}.sqlite3"
        assert backup in found(state, VICTIMS)
        (state / "before-0009_cut_short.part").write_text(VICTIMS[0])  # an upgrade that a crash cut short
        await store.write(erase)
        with caplog.at_level(logging.WARNING):
            await store.scrub()
        assert found(state, VICTIMS) == {}
    assert f"{backup} was removed" in caplog.text


async def test_an_upgrade_leaves_nothing_that_an_older_hostel_had_deleted(tmp_path: Path) -> None:
    state, first = tmp_path / "state", known_migrations()
    async with open_store(state, VirtualClock(), known=first[:1]):
        pass
    old = apsw.Connection(str(state / store_sqlite.FILE_NAME))  # which overwrote nothing
    old.execute("PRAGMA secure_delete = OFF")
    for number in range(200):
        old.execute(
            "INSERT INTO storage_values VALUES ('app', ?, ?, ?, 1, 1)",
            (USERS[1], f"{number}", USERS[1].encode() * 200),
        )
    old.execute("DELETE FROM storage_values")
    old.close()
    assert found(state, USERS[1:2])
    async with open_store(state, VirtualClock()) as store:
        await store.write(owe_scrub)
        await store.scrub()
        assert found(state, USERS[1:2]) == {}


async def test_an_upgrade_that_was_cut_short_writes_the_file_anew_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema is new, and the VACUUM that was to follow did not happen: a crash, or no room."""
    state, first = tmp_path / "state", known_migrations()
    async with open_store(state, VirtualClock(), known=first[:1]):
        pass
    old = apsw.Connection(str(state / store_sqlite.FILE_NAME))
    old.execute("PRAGMA secure_delete = OFF")
    for number in range(200):
        old.execute(
            "INSERT INTO storage_values VALUES ('app', ?, ?, ?, 1, 1)", (USERS[1], f"{number}", USERS[1].encode() * 200)
        )
    old.execute("DELETE FROM storage_values")
    old.close()

    def without_room(path: Path, *, writable: bool) -> apsw.Connection:
        connection = connect(path, writable=writable)
        connection.exec_trace = lambda _, sql, __: sql != "VACUUM"
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(store_sqlite, "connect", without_room)
        with pytest.raises(StoreError):
            async with open_store(state, VirtualClock()):
                pass
    gc.collect()  # the connection, as the end of the process does
    (state / f"before-{first[1].label}.sqlite3").unlink()
    assert found(state, USERS[1:2])
    async with open_store(state, VirtualClock()) as store:
        await store.write(owe_scrub)
        await store.scrub()
    assert found(state, USERS[1:2]) == {}
    with monkeypatch.context() as patched:
        patched.setattr(store_sqlite, "connect", without_room)
        async with open_store(state, VirtualClock()):
            """Once is enough."""


async def test_a_disk_that_refuses_leaves_the_scrub_owed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"

    def refuse(*_: Any) -> None:
        raise StorageFault("no")

    async with open_store(state, VirtualClock()) as store:
        await planted(store, 5)
        await store.write(erase)
        with monkeypatch.context() as patched:
            patched.setattr("host_api.store.remains._clean", refuse)
            with pytest.raises(ApiError) as refused:
                await store.scrub()
        assert refused.value.code is ErrorCode.BUSY
    async with open_store(state, VirtualClock()) as store:
        assert found(state, VICTIMS) == {}
        await store.aclose()
        with pytest.raises(ApiError):
            await store.scrub()


async def test_a_page_that_is_not_what_it_should_be_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "db"
    connection = connect(file, writable=True)
    for migration in known_migrations():
        connection.execute(migration.sql)
    connection.execute("INSERT INTO storage_values VALUES ('app', 'u', 'k', 1, 1, x'00')")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'storage_values'").get
    damaged = bytearray(file.read_bytes())
    damaged[(root - 1) * 4096 + 5 : (root - 1) * 4096 + 7] = b"\x00\x01"  # its content begins inside its header
    connection.close()
    file.write_bytes(damaged)
    os.sync()
    connection = connect(file, writable=True)
    with pytest.raises((StorageFault, apsw.CorruptError)):
        for _ in store_sqlite.remains.steps(connection, file):
            pass
    assert file.read_bytes() == damaged
    connection.close()
