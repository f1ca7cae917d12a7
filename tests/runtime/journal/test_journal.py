"""The journal on real files: what comes back, what is bounded, what a full disk and a crash cost, what is erased."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.errors import ApiError, ErrorCode
from runtime.errors import Ending, UsageError
from runtime.journal import journal as journals
from runtime.journal.entries import Kind, Query
from runtime.journal.journal import Journal
from runtime.journal.segments import FILES_MOST, SEGMENTS, Segments
from runtime.receipt import Receipt, Usage
from runtime.settings import JournalSettings
from runtime.testing import SeededIds, VirtualClock, make_session

SHOP, OTHER = "org.example.shop", "org.example.other"
DAY_S = 86_400
MIB = 1 << 20
Opened = Callable[..., AbstractAsyncContextManager[Journal]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def opened(tmp_path: Path, clock: VirtualClock) -> Opened:
    """A journal in one folder, with its task; closed when the block is left."""

    @asynccontextmanager
    async def open_it(settings: JournalSettings | None = JournalSettings()) -> AsyncIterator[Journal]:  # noqa: B008
        made = Journal(tmp_path / "journal", key=bytes(32), settings=settings, now_us=clock.now_us)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            yield made
            nursery.cancel_scope.cancel()
        await made.aclose()

    return open_it


ids = SeededIds(7)


def call(user: str = "alice", app_id: str = SHOP, trace_id: str = "", ending: Ending = Ending.COMPLETED) -> Any:
    """A session and its receipt."""
    session = make_session(user=user, app_id=app_id, call_id=ids(), trace_id=trace_id or ids())
    receipt = Receipt(
        call_id=session.call_id, app_id=app_id, release="1.0.0", method="cart.show", ending=ending,
        usage=Usage(cpu_us=23, wall_us=220),
    )  # fmt: skip
    return session, receipt


def put(journal: Journal, user: str = "alice", app_id: str = SHOP, text: str = "hello", level: str = "info") -> Any:
    session, receipt = call(user, app_id)
    journal.line(session, level, text)
    journal.receipt(receipt, session)
    return session


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "journal").iterdir())


def everything(tmp_path: Path) -> bytes:
    return b"".join(path.read_bytes() for path in files(tmp_path))


# ---- what comes back -------------------------------------------------------------------------------------------------
async def test_receipts_and_lines_come_back_by_call_trace_program_level_and_time(
    opened: Opened, clock: VirtualClock
) -> None:
    async with opened() as journal:
        first = put(journal, text="one", level="debug")
        clock.advance(s=10)
        second = put(journal, app_id=OTHER, text="two", level="error")
        (receipt,) = await journal.receipts(Query(call_id=first.call_id))
        assert receipt.receipt.usage == Usage(cpu_us=23, wall_us=220)
        for query, wanted in (
            (Query(), ["one", "two"]),
            (Query(app_id=OTHER), ["two"]),
            (Query(trace_id=first.trace_id), ["one"]),
            (Query(least_level="warning"), ["two"]),
            (Query(since_us=clock.now_us()), ["two"]),
            (Query(app_id=OTHER, call_id=first.call_id), []),
            (Query(app_id=second.app_id, least_level="info"), ["two"]),
        ):
            lines = await journal.lines(query)
            assert [line.text for line in lines] == wanted, query


async def test_the_newest_are_given_where_more_are_asked_for_than_there_may_be(opened: Opened) -> None:
    async with opened() as journal:
        for n in range(50):
            put(journal, text=f"line {n}")
        lines = await journal.lines(Query(), 3)
        assert [line.text for line in lines] == ["line 47", "line 48", "line 49"]


async def test_what_was_written_before_a_new_start_is_there_after_it(opened: Opened, clock: VirtualClock) -> None:
    for n in range(3):
        async with opened() as journal:
            put(journal, text=f"start {n}")
    async with opened(None) as journal:
        assert [line.text for line in await journal.lines(Query())] == [f"start {n}" for n in range(3)]


async def test_a_program_cannot_write_a_line_that_looks_like_anothers(opened: Opened) -> None:
    forged = (
        '"}\n{"at_us":1,"user":"","trace_id":"","app_id":"org.example.other","call_id":"x","level":"error","text":"'
    )
    async with opened() as journal:
        put(journal, text=forged)
        assert await journal.lines(Query(app_id=OTHER)) == []
        (line,) = await journal.lines(Query(app_id=SHOP))
        assert line.text == forged


async def test_files_are_private_and_nobody_is_named(opened: Opened, tmp_path: Path) -> None:
    async with opened() as journal:
        session = put(journal, user="alice-at-home")
        await journal.flush()
        assert b"alice-at-home" not in everything(tmp_path)
        (entry,) = await journal.receipts(Query())
        assert "user" not in entry.as_dict() and entry.as_dict()["call_id"] == session.call_id
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path)} == {0o600}
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700


async def test_without_settings_nothing_is_written(opened: Opened, tmp_path: Path) -> None:
    async with opened(None) as journal:
        assert not journal.writes
    assert not (tmp_path / "journal").exists()


# ---- bounds ----------------------------------------------------------------------------------------------------------
async def test_logs_never_take_more_bytes_than_they_may(opened: Opened, tmp_path: Path, clock: VirtualClock) -> None:
    async with opened(JournalSettings(logs_bytes_max=4 * MIB)) as journal:
        for n in range(120):
            clock.advance(ms=1)
            put(journal, text=f"{n:06}" + "x" * 60_000)
            if n % 5 == 4:
                await journal.flush()
                assert sum(path.stat().st_size for path in files(tmp_path) if path.name.startswith("logs")) <= 4 * MIB
        kept = [int(line.text[:6]) for line in await journal.lines(Query())]
    assert kept == list(range(kept[0], 120)) and len(kept) > 25  # a program alone has half


async def test_nothing_is_kept_longer_than_it_may_be(opened: Opened, clock: VirtualClock) -> None:
    async with opened(JournalSettings(logs_days=7)) as journal:
        for day in range(20):
            put(journal, text=f"day {day}")
            await journal.flush()
            clock.advance(s=DAY_S)
        texts = [line.text for line in await journal.lines(Query())]
        assert texts == [f"day {day}" for day in range(14, 20)]
        clock.advance(s=6 * DAY_S)
        assert await journal.lines(Query()) == []


async def test_other_bounds_hold_from_the_next_write_on(opened: Opened, clock: VirtualClock) -> None:
    async with opened() as journal:
        put(journal, text="old")
        await journal.flush()
        clock.advance(s=2 * DAY_S)
        journal.set_bounds(JournalSettings(logs_days=1))
        put(journal, text="new")
        assert [line.text for line in await journal.lines(Query())] == ["new"]


def test_many_starts_do_not_leave_files_without_end(tmp_path: Path) -> None:
    for n in range(FILES_MOST + 20):
        segments = Segments(tmp_path, "logs", bytes_max=4 * MIB, age_us=10**15)
        segments.append(b"x\n", 1_000 + n)
        segments.close()
    assert len(segments.files()) <= FILES_MOST


async def test_the_buffer_is_bounded_and_what_is_over_it_is_counted(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "BUFFER_BYTES_MOST", 1_000)
    async with opened() as journal:
        for _ in range(100):
            put(journal, text="x" * 100)
        status = journal.status()
        assert status.dropped and status.lines + status.receipts + status.dropped == 200
        await journal.flush()
        put(journal, text="again")
        assert (await journal.lines(Query()))[-1].text == "again"


# ---- disks -----------------------------------------------------------------------------------------------------------
async def test_a_full_disk_costs_entries_and_one_warning_and_no_call(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    async with opened() as journal:
        put(journal, text="before")
        await journal.flush()
        monkeypatch.setattr(os, "write", half)
        for _ in range(3):
            put(journal, text="lost")
            await journal.flush()
        assert journal.status().failing and journal.status().dropped == 6
        monkeypatch.setattr(os, "write", write)
        put(journal, text="after")
        assert [line.text for line in await journal.lines(Query())] == ["before", "after"]
        assert len(await journal.receipts(Query())) == 2
        assert not journal.status().failing
    assert [record.message.count("the journal") for record in caplog.records] == [1, 1]


async def test_a_torn_end_is_no_entry_and_harms_no_other(opened: Opened, tmp_path: Path) -> None:
    async with opened() as journal:
        put(journal, text="whole")
        put(journal, text="torn")
    for path in files(tmp_path):
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 30)
    async with opened() as journal:
        put(journal, text="after")
        assert [line.text for line in await journal.lines(Query())] == ["whole", "after"]


@pytest.mark.parametrize(
    "garbage", [b"\0" * 3_000, b"{", b'{"at_us":1}\n' * 10, b"[" * 5_000 + b"\n", b"x" * (3 * MIB)]
)
async def test_what_a_disk_made_of_a_segment_is_passed_over(opened: Opened, tmp_path: Path, garbage: bytes) -> None:
    async with opened() as journal:
        put(journal, text="before")
    with files(tmp_path)[0].open("ab") as file:
        file.write(garbage + b"\n")
    async with opened() as journal:
        put(journal, text="after")
        assert [line.text for line in await journal.lines(Query())] == ["before", "after"]


# ---- erasing ---------------------------------------------------------------------------------------------------------
async def test_a_users_entries_are_gone_and_nobody_elses(opened: Opened, tmp_path: Path) -> None:
    async with opened() as journal:
        for user in ("alice", "bob", ""):
            for app_id in (SHOP, OTHER):
                put(journal, user=user, app_id=app_id, text=f"said by {user or 'nobody'}")
        assert await journal.forget_user("alice") == 4
        assert b"said by alice" not in everything(tmp_path) and everything(tmp_path).count(b"said by bob") == 2
        assert len(await journal.receipts(Query())) == 4
        put(journal, user="alice", text="back again")
        assert len(await journal.lines(Query())) == 5
        assert await journal.forget_user("carol") == 0


async def test_a_programs_entries_are_gone_also_where_no_host_writes(opened: Opened, tmp_path: Path) -> None:
    async with opened() as journal:
        put(journal, text="of the shop")
        put(journal, app_id=OTHER, text="of the other")
    async with opened(None) as journal:
        assert await journal.forget_program(SHOP) == 2
        assert b"of the shop" not in everything(tmp_path)
        assert [line.text for line in await journal.lines(Query())] == ["of the other"]


async def test_a_torn_line_of_a_users_goes_too(opened: Opened, tmp_path: Path) -> None:
    async with opened() as journal:
        put(journal, text="planted-mark and more that is cut")
    for path in files(tmp_path):
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 15)
    assert b"planted-mark" in everything(tmp_path)
    async with opened() as journal:
        await journal.forget_user("alice")
        assert b"planted-mark" not in everything(tmp_path)


async def test_an_erasure_that_the_disk_refuses_says_so_and_can_be_done_again(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as journal:
        put(journal, text="planted-mark")
        await journal.flush()
        real = os.fsync

        def refused(descriptor: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", refused)
        with pytest.raises(ApiError) as raised:
            await journal.forget_user("alice")
        assert raised.value.code is ErrorCode.BUSY
        monkeypatch.setattr(os, "fsync", real)
        assert await journal.forget_user("alice") == 2
        assert not [path for path in files(tmp_path) if path.suffix == ".part"]
        assert b"planted-mark" not in everything(tmp_path)


# ---- following -------------------------------------------------------------------------------------------------------
async def test_a_tail_sees_what_it_asked_for_as_it_comes(opened: Opened) -> None:
    async with opened() as journal:
        put(journal, text="before")
        async with journal.follow("logs", Query(app_id=SHOP, least_level="warning")) as tail:
            put(journal, text="too quiet")
            put(journal, app_id=OTHER, text="of another", level="error")
            put(journal, text="wanted", level="error")
            async for line in tail:
                assert line is not None and line.text == "wanted"
                break
        assert journal.status().tails == 0


async def test_a_slow_watcher_loses_lines_and_is_told_so(opened: Opened) -> None:
    async with opened() as journal, journal.follow("logs", Query()) as tail:
        for n in range(100):
            put(journal, text=f"{n:04}" + "x" * 16_000)
        seen = []
        with trio.move_on_after(0.2):
            async for line in tail:
                seen.append(None if line is None else line.text[:4])
        assert seen[-1] is None and seen.count(None) == 1 and tail.dropped == 100 - len(seen) + 1
        put(journal, text="later")
        async for line in tail:
            assert line is not None and line.text == "later"
            break


async def test_no_more_than_so_many_watch(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "TAILS_MOST", 1)
    async with opened() as journal:
        async with journal.follow("logs", Query()):
            with pytest.raises(UsageError, match="follow the journal already"):
                async with journal.follow("receipts", Query()):
                    pass
        async with journal.follow("logs", Query()):
            pass


async def test_a_tail_of_receipts_sees_calls_as_they_end(opened: Opened) -> None:
    async with opened() as journal, journal.follow("receipts", Query(app_id=SHOP)) as tail:
        put(journal, app_id=OTHER)
        mine = put(journal)
        told = await anext(tail)
        assert (told.receipt.call_id, told.trace_id) == (mine.call_id, mine.trace_id)


@pytest.mark.parametrize("kind", ["receipts", "logs"])
async def test_what_was_there_and_what_comes_is_told_once_and_nothing_is_missed(opened: Opened, kind: Kind) -> None:
    """Entries come all the while, before, during and after the reading of what was there."""
    wanted: list[str] = []

    async def come(*, task_status: trio.TaskStatus[None]) -> None:
        for n in range(400):
            wanted.append(put(journal, text=str(n)).call_id)
            if n == 50:
                task_status.started()
            await trio.lowlevel.checkpoint()

    async with opened() as journal, trio.open_nursery() as nursery:
        await nursery.start(come)
        async with journal.follow(kind, Query(), 10_000) as tail:
            entries = [await anext(tail) for _ in range(400)]
    assert [entry.receipt.call_id if kind == "receipts" else entry.call_id for entry in entries] == wanted


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        Query(least_level="loud")
    assert SEGMENTS == 16


async def test_who_writes_nothing_deletes_nothing_for_its_age(opened: Opened, clock: VirtualClock) -> None:
    async with opened(JournalSettings(logs_days=30)) as journal:
        put(journal, text="kept")
    clock.advance(s=20 * DAY_S)
    async with opened(None) as journal:
        assert await journal.forget_user("bob") == 0
        assert [line.text for line in await journal.lines(Query())] == ["kept"]
