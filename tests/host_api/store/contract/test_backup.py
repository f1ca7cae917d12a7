"""What every store promises of a backup: one moment, whole, while everything goes on."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from host_api.errors import ApiError, ErrorCode
from host_api.store import Store, Transaction, backup, owe_scrub

PUT = "INSERT INTO merchants (app_id, fee_bps, fee_fixed) VALUES (:app, 1, 0)"
FILL = "INSERT INTO storage_values VALUES ('a', 'u', :key, 1, 1, :value)"


def put(app: str) -> Any:
    return lambda tx: tx.execute(PUT, {"app": app})


def count(tx: Transaction) -> int:
    return int(tx.execute("SELECT count(*) FROM merchants")[0][0])


def of_file(path: Path, sql: str = "SELECT count(*) FROM merchants") -> Any:
    connection = apsw.Connection(str(path))
    try:
        assert connection.execute("PRAGMA integrity_check").get == "ok"
        return connection.execute(sql).get
    finally:
        connection.close()


async def fill(store: Store, mebibytes: int) -> None:
    for n in range(mebibytes):
        await store.write(lambda tx, n=n: tx.execute(FILL, {"key": f"k{n}", "value": bytes([n % 251]) * (1 << 20)}))


async def test_it_holds_what_was_there_and_look_sees_the_same(store: Store, tmp_path: Path) -> None:
    for n in range(5):
        await store.write(put(f"app {n}"))
    assert await store.backup(tmp_path / "copy", count) == 5
    assert of_file(tmp_path / "copy") == 5
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600


async def test_under_load_it_is_one_moment_after_all_that_was_acknowledged(store: Store, tmp_path: Path) -> None:
    await fill(store, 24)
    written, copied = 0, trio.Event()

    async def write_on() -> None:
        nonlocal written
        while not copied.is_set():
            await store.write(put(f"app {written}"))
            written += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_on)
        for n in range(3):
            before = written
            seen = await store.backup(tmp_path / f"copy {n}", count)
            assert before <= seen <= written + 1
            assert of_file(tmp_path / f"copy {n}") == seen
        copied.set()


async def test_a_disk_that_refuses_is_busy_and_the_store_goes_on(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as raised:
        await store.backup(tmp_path / "nowhere" / "copy", count)
    assert raised.value.code is ErrorCode.BUSY
    await store.write(put("after"))


async def test_cancelled_it_is_broken_off_and_the_store_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, 4)
    monkeypatch.setattr(backup, "PAGES_AT_ONCE", 1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.backup(tmp_path / "copy", count)
    assert scope.cancelled_caught
    await store.write(put("after"))
    assert await store.backup(tmp_path / "another", count) == 1


async def test_a_scrub_waits_for_it_and_reaches_everything(store: Store, tmp_path: Path) -> None:
    await fill(store, 8)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.backup, tmp_path / "copy", count)
        await trio.lowlevel.checkpoint()
        await store.write(owe_scrub)
        await store.scrub()
    asked, done = store.read(lambda tx: tx.execute("SELECT asked, done FROM scrubs")[0])
    assert asked == 1 and done in (0, 1)
