"""Backups of a state directory: made under load, restored, proved; and what is not one is refused."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api import audit, ledger
from host_api.money import Money
from host_api.store import Store, open_store
from host_api.store.key_file import open_key
from host_api.store.migrations import known_migrations
from runtime import backup, signed_head
from runtime.backup import BackupRefused, back_up, restore
from runtime.errors import StartupError, UsageError
from runtime.made_backups import made
from runtime.testing import VirtualClock


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def deposit(store: Store, n: int) -> None:
    money = Money(amount=100, currency="CNY")
    await store.write(
        lambda tx: ledger.deposit(tx, user="alice", money=money, reference=f"{n}", new_salt=lambda: bytes(16))
    )


def balance(store: Store) -> int:
    name = ledger.AccountName(kind=ledger.AccountKind.WALLET, owner="alice", currency="CNY")
    return store.read(lambda tx: ledger.balance(tx, name)).posted


@asynccontextmanager
async def state_with(path: Path, deposits: int = 3) -> AsyncIterator[Store]:
    async with open_store(path, VirtualClock()) as store:
        await open_key(store, path, "pairwise", lambda: b"p" * 32)
        for n in range(deposits):
            await deposit(store, n)
        yield store


@pytest.fixture
async def copy(tmp_path: Path) -> Path:
    """A backup of a state with three deposits."""
    async with state_with(tmp_path / "state") as store:
        await back_up(store, tmp_path / "state", tmp_path / "copy", journal=False)
    return tmp_path / "copy"


async def test_what_is_restored_is_what_was_there_and_verifies(tmp_path: Path) -> None:
    state, copy, parts = tmp_path / "state", tmp_path / "copy", []
    async with state_with(state) as store:
        (state / "journal").mkdir(mode=0o700)
        for name in ("logs-00000000000000007.jsonl", "logs-31-00000000000000008.jsonl"):  # the latter of a flood
            (state / "journal" / name).write_bytes(b"{}\n")
        (state / "journal" / "strange").write_bytes(b"x")
        manifest = await back_up(store, state, copy, journal=True)
        head = store.read(audit.head)
        assert signed_head.from_dict(manifest.head).head.n == head.n - 1  # the record of the backup came after it
        assert [one.head_n for one in store.read(made)] == [head.n - 1]
    assert {file.path for file in manifest.files} == {
        "hostel.sqlite3", "keys/audit", "keys/pairwise", "journal/logs-00000000000000007.jsonl",
        "journal/logs-31-00000000000000008.jsonl",
    }  # fmt: skip
    assert await restore(copy, tmp_path / "new", VirtualClock(), progress=parts.append) == manifest
    assert parts == ["files", "ledger", "payments", "events", "audit"]
    async with open_store(tmp_path / "new", VirtualClock()) as store:
        assert balance(store) == 300
        assert await open_key(store, tmp_path / "new", "pairwise", lambda: bytes(32)) == b"p" * 32
    for folder in (copy, tmp_path / "new"):
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_under_load_nothing_that_was_acknowledged_before_it_began_is_missing(tmp_path: Path) -> None:
    state, acknowledged, over = tmp_path / "state", 0, trio.Event()
    async with state_with(state, 0) as store:

        async def pay(task: int) -> None:
            nonlocal acknowledged
            n = 0
            while not over.is_set():
                await deposit(store, task * 1_000_000 + n)
                acknowledged, n = acknowledged + 1, n + 1

        async def more_than(count: int) -> None:
            while True:
                if acknowledged >= count:
                    return
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            for task in range(16):
                nursery.start_soon(pay, task)
            for n in range(3):
                await more_than(200 * (n + 1))
                before = acknowledged
                await back_up(store, state, tmp_path / f"copy{n}", journal=False)
                await restore(tmp_path / f"copy{n}", tmp_path / f"new{n}", VirtualClock())
                async with open_store(tmp_path / f"new{n}", VirtualClock()) as restored:
                    assert before <= balance(restored) // 100 <= acknowledged
            over.set()


async def test_nothing_is_left_of_one_that_could_not_be_made(tmp_path: Path) -> None:
    async with state_with(tmp_path / "state") as store:
        (tmp_path / "copy").mkdir()
        with pytest.raises(UsageError, match="is there already"):
            await back_up(store, tmp_path / "state", tmp_path / "copy", journal=False)
        with pytest.raises(UsageError, match="cannot be made"):
            await back_up(store, tmp_path / "state", tmp_path / "no" / "where", journal=False)
        with trio.CancelScope() as scope:
            scope.cancel()
            await back_up(store, tmp_path / "state", tmp_path / "other", journal=False)
        assert store.read(made) == []
    assert names_in(tmp_path) == ["copy", "state"]


async def test_an_erasure_afterwards_is_told_with_the_backups_it_concerns(tmp_path: Path) -> None:
    async with state_with(tmp_path / "state") as store:
        for n in range(2):
            await back_up(store, tmp_path / "state", tmp_path / f"copy{n}", journal=False)
            await store.write(lambda tx: audit.record(tx, "user.erased", rows=1, orders_closed=0))
            for _ in range(3):
                await store.write(lambda tx: audit.record(tx, "program.erased", app_id="org.example.shop", rows=1))
        told = store.read(made)
    assert [(Path(one.path).name, one.erasures_since) for one in told] == [("copy1", 2), ("copy0", 3)]


async def test_an_erasure_while_a_backup_is_made_is_told_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is of the moment it began in: whoever is erased before it is whole is in it."""
    async with state_with(tmp_path / "state") as store:
        real = store.backup

        async def erased_meanwhile(*arguments: Any) -> Any:
            told = await real(*arguments)
            await store.write(lambda tx: audit.record(tx, "user.erased", rows=1, orders_closed=0))
            return told

        monkeypatch.setattr(store, "backup", erased_meanwhile)
        for n in range(2):
            await back_up(store, tmp_path / "state", tmp_path / f"copy{n}", journal=False)
        told = store.read(made)
    assert [(Path(one.path).name, one.erasures_since) for one in told] == [("copy1", 1), ("copy0", 2)]


async def test_two_backups_of_one_name_are_one_and_nothing_of_others_goes(tmp_path: Path) -> None:
    refused = 0
    (tmp_path / "copy.part").mkdir()
    (tmp_path / "copy.part" / "holidays.txt").write_text("mine")
    async with state_with(tmp_path / "state") as store:

        async def one() -> None:
            nonlocal refused
            try:
                await back_up(store, tmp_path / "state", tmp_path / "copy", journal=False)
            except UsageError:
                refused += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        assert refused == 1 and len(store.read(made)) == 1
    await restore(tmp_path / "copy", tmp_path / "new", VirtualClock())
    assert (tmp_path / "copy.part" / "holidays.txt").read_text() == "mine"
    assert names_in(tmp_path) == ["copy", "copy.part", "new", "state"]


# ---- what is refused -------------------------------------------------------------------------------------------------
def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def work(copy: Path) -> None:
        manifest = json.loads((copy / "manifest.json").read_text())
        change(manifest)
        (copy / "manifest.json").write_text(json.dumps(manifest))

    return work


def flip(copy: Path) -> None:
    data = bytearray((copy / "hostel.sqlite3").read_bytes())
    data[5_000] ^= 1
    (copy / "hostel.sqlite3").write_bytes(data)


def other_key(copy: Path) -> None:
    """Put together of two: the manifest says so, the signature does not."""
    (copy / "keys/audit").write_bytes(b"k" * 32)
    edited(lambda told: told.update(files=[
        {"path": path, "bytes": (copy / path).stat().st_size, "sha256": backup._told(copy, copy / path).sha256}
        for path in ("hostel.sqlite3", "keys/audit")
    ]))(copy)  # fmt: skip


def linked(copy: Path) -> None:
    (copy / "keys/pairwise").unlink()
    (copy / "keys/pairwise").symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (flip, "hash differs"),
        (lambda copy: (copy / "keys/pairwise").unlink(), "is missing"),
        (linked, "is missing"),
        (lambda copy: (copy / "manifest.json").write_text("{}"), "is no backup"),
        (lambda copy: (copy / "manifest.json").write_text("[" * 50_000), "is no backup"),
        (edited(lambda told: told.update(format="hostel backup 2")), "no backup that this hostel reads"),
        (edited(lambda told: told["files"][0].update(path="../hostel.sqlite3")), "names files that no backup has"),
        (edited(lambda told: told["files"][1].update(path="keys/../../x")), "names files that no backup has"),
        (edited(lambda told: told["files"].append(told["files"][0])), "names files that no backup has"),
        (edited(lambda told: told["files"].pop(0)), "names files that no backup has"),
        (edited(lambda told: told["head"].update(n=1)), "signature does not fit"),
        (other_key, "key"),
    ],
    ids=[
        "flipped",
        "missing",
        "link",
        "empty",
        "deep",
        "newer",
        "up",
        "up_in_keys",
        "twice",
        "no_store",
        "head",
        "key",
    ],
)
async def test_what_is_not_whole_is_refused_and_nothing_is_left(
    tmp_path: Path, copy: Path, damage: Callable[[Path], None], told: str
) -> None:
    damage(copy)
    with pytest.raises((BackupRefused, StartupError), match=told):
        await restore(copy, tmp_path / "new", VirtualClock())
    assert names_in(tmp_path) == ["copy", "state"]


async def test_a_state_that_does_not_hold_together_is_not_restored(tmp_path: Path) -> None:
    async with state_with(tmp_path / "state") as store:
        await store.write(lambda tx: tx.execute("UPDATE accounts SET credits_posted = 999 WHERE kind = 'wallet'"))
        await back_up(store, tmp_path / "state", tmp_path / "copy", journal=False)
    with pytest.raises(BackupRefused, match="does not hold together: ledger"):
        await restore(tmp_path / "copy", tmp_path / "new", VirtualClock())
    assert not (tmp_path / "new").exists()


async def test_a_backup_of_a_newer_hostel_is_refused_by_name(
    tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host_api.store.sqlite.known_migrations", lambda: known_migrations()[:-1])
    with pytest.raises(StartupError) as raised:
        await restore(copy, tmp_path / "new", VirtualClock())
    assert raised.value.code == "state_too_new"


async def test_it_never_goes_over_a_state_that_is_there(tmp_path: Path, copy: Path) -> None:
    for there in (tmp_path / "state", copy / "manifest.json"):
        with pytest.raises(StartupError) as raised:
            await restore(copy, there, VirtualClock())
        assert raised.value.code == "state_exists"
    (tmp_path / "empty").mkdir()
    await restore(copy, tmp_path / "empty", VirtualClock())
    shutil.rmtree(copy)
    with pytest.raises(UsageError, match="cannot read"):
        await restore(copy, tmp_path / "new", VirtualClock())
