"""Floods of log lines: each pushes out its own, and nobody else's, on the disk and in the buffer before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.journal import journal as journals
from runtime.journal import shelves
from runtime.journal.entries import Query
from runtime.settings import JournalSettings
from runtime.testing import VirtualClock
from tests.runtime.journal.test_journal import DAY_S, MIB, OTHER, SHOP, Opened, clock, files, opened, put

__all__ = ["clock", "opened"]
LINE = "x" * 4_000
SMALL = JournalSettings(logs_bytes_max=4 * MIB)


def log_bytes(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in files(tmp_path) if path.name.startswith("logs"))


async def test_one_program_that_floods_pushes_out_only_its_own_lines(
    opened: Opened, clock: VirtualClock, tmp_path: Path
) -> None:
    async with opened(SMALL) as journal:
        for n in range(3_000):  # three times what may be kept
            clock.advance(ms=1)
            put(journal, app_id=OTHER, text=f"{n:06}" + LINE)
            if n % 300 == 0:
                put(journal, app_id=SHOP, text=f"hello {n}")
            if n % 50 == 0:
                await journal.flush()
                assert log_bytes(tmp_path) <= 4 * MIB
        quiet = [line.text for line in await journal.lines(Query(app_id=SHOP))]
        assert quiet == [f"hello {n}" for n in range(0, 3_000, 300)]
        flood = [int(line.text[:6]) for line in await journal.lines(Query(app_id=OTHER), 5_000)]
        assert flood[-1] == 2_999 and flood == sorted(flood) and len(flood) > 300
        mixed = await journal.lines(Query(), 5_000)
        assert [line.at_us for line in mixed] == sorted(line.at_us for line in mixed)
        assert [line.text for line in mixed if line.app_id == SHOP] == quiet
        assert [int(line.text[:6]) for line in mixed if line.app_id == OTHER] == flood


async def test_many_floods_push_out_each_other_and_nobody_else(
    opened: Opened, clock: VirtualClock, tmp_path: Path
) -> None:
    apps = [f"org.example.flood{number}" for number in range(shelves.APART + 5)]
    async with opened(SMALL) as journal:
        put(journal, app_id=SHOP, text="hello")
        for _ in range(12):
            for app in apps:
                clock.advance(ms=1)
                for _ in range(5):
                    put(journal, app_id=app, text=LINE)
            await journal.flush()
            assert log_bytes(tmp_path) <= 4 * MIB
        assert [line.text for line in await journal.lines(Query(app_id=SHOP))] == ["hello"]
        assert all([await journal.lines(Query(app_id=app)) for app in apps])


async def test_who_has_been_silent_for_a_day_shares_again(opened: Opened, clock: VirtualClock, tmp_path: Path) -> None:
    def apart() -> int:
        return sum(path.stat().st_size for path in files(tmp_path) if path.name.count("-") == 2)

    async with opened(SMALL) as journal:
        for _ in range(10):
            put(journal, app_id=OTHER, text=LINE)
        await journal.flush()
        before = apart()
        assert before
        clock.advance(s=DAY_S)
        await journal.flush()
        put(journal, app_id=OTHER, text="few words")
        await journal.flush()
        assert apart() == before


async def test_shelves_are_found_again_and_forgotten_with_their_last_line(
    opened: Opened, clock: VirtualClock, tmp_path: Path
) -> None:
    async with opened(SMALL) as journal:
        for n in range(100):
            clock.advance(ms=1)
            put(journal, app_id=OTHER, text=f"{n:06}" + LINE)
    async with opened(SMALL) as journal:
        clock.advance(ms=1)
        put(journal, app_id=OTHER, text="000100")
        told = [int(line.text[:6]) for line in await journal.lines(Query(app_id=OTHER), 1_000)]
        assert told == list(range(101))
        assert await journal.forget_program(OTHER) == 101 + 101  # a line and a receipt each
        assert not any(LINE.encode() in path.read_bytes() for path in files(tmp_path))
        clock.advance(s=8 * DAY_S)
        await journal.flush()
        assert not [path for path in files(tmp_path) if path.name.count("-") == 2]


async def test_a_flood_leaves_others_room_in_the_buffer(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "BUFFER_BYTES_MOST", 40_000)
    async with opened() as journal:
        for _ in range(100):
            put(journal, app_id=OTHER, text="x" * 1_000)
        put(journal, app_id=SHOP, text="hello")
        assert journal.status().dropped
        assert [line.text for line in await journal.lines(Query(app_id=SHOP))] == ["hello"]
