"""Every byte of every file of the state directory is searched: what was erased is in none of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from host_api.store import open_store
from host_api.store.migrations import known_migrations
from runtime.testing import VirtualClock
from tests.host_api.erasure.conftest import OTHER, SHOP, opened, phone_of

USER, MARK = "alice-at-home", "planted-a-"
OTHERS = ["bob-at-work", "planted-b-", phone_of("planted-b-")]
MINE = [USER, MARK, phone_of(MARK)]


def found(state: Path, markers: list[str]) -> dict[str, list[str]]:
    """File → the markers in it, as they are and as JSON or MessagePack would hold them: as UTF-8."""
    held: dict[str, list[str]] = {}
    for file in (path for path in state.rglob("*") if path.is_file()):
        data = file.read_bytes()
        if in_it := [marker for marker in markers if marker.encode() in data]:
            held[str(file.relative_to(state))] = in_it
    return held


async def old_backup(state: Path) -> None:
    """A state directory that an older hostel wrote, upgraded: what it held of the user is in the backup too."""
    async with open_store(state, VirtualClock(), known=known_migrations()[:1]) as store:
        await store.write(
            lambda tx: tx.execute("INSERT INTO storage_values VALUES (?, ?, ?, ?, 1, 1)", (SHOP, USER, MARK, b"x"))
        )
        await store.write(lambda tx: tx.execute("INSERT INTO storage_usage VALUES (?, ?, 1, 1, 1)", (SHOP, USER)))


@pytest.mark.parametrize("closed_well", [True, False])
async def test_a_user_is_gone_from_the_disk(tmp_path: Path, closed_well: bool) -> None:
    state, crashed = tmp_path / "state", tmp_path / "crashed"
    await old_backup(state)
    async with opened(state, VirtualClock()) as site:
        for user, mark in ((USER, MARK), ("bob-at-work", "planted-b-")):
            for app_id in (SHOP, OTHER):
                await site.plant(user, mark, app_id)
        before = found(state, MINE)
        assert {"before-0002_money_and_people.sqlite3"} < before.keys()
        assert {marker for markers in before.values() for marker in markers} == set(MINE)
        await site.erasure.erase_user(USER, forfeit_balance=True)
        assert found(state, MINE) == {}
        assert set().union(*found(state, OTHERS).values()) == set(OTHERS)
        shutil.copytree(state, crashed)
    looked_at = state if closed_well else crashed
    assert found(looked_at, MINE) == {}
    async with opened(looked_at, VirtualClock(), seed=9) as site:
        assert len((await site.erasure.export_user("bob-at-work"))["orders"]) == 6
    assert found(looked_at, MINE) == {}


async def test_a_program_is_gone_from_the_disk(tmp_path: Path) -> None:
    state, crashed = tmp_path / "state", tmp_path / "crashed"
    async with opened(state, VirtualClock()) as site:
        await site.plant("alice", "planted-shop-")
        await site.plant("bob", "planted-other-", OTHER)
        await site.services.users.put("alice", {"nickname": None, "avatar": None, "phone": None, "address": None})
        assert found(state, ["planted-shop-"])
        await site.erasure.erase_program(SHOP)
        shutil.copytree(state, crashed)
    for looked_at in (state, crashed):
        assert found(looked_at, ["planted-shop-"]) == {}
        assert found(looked_at, ["planted-other-"])


async def test_a_crash_between_the_rows_and_the_bytes_is_made_good_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, crashed = tmp_path / "state", tmp_path / "crashed"
    async with opened(state, VirtualClock()) as site:
        await site.plant(USER, MARK)

        async def killed() -> None:
            shutil.copytree(state, crashed)

        monkeypatch.setattr(site.store, "scrub", killed)
        await site.erasure.erase_user(USER, forfeit_balance=True)
    assert found(crashed, MINE)
    async with opened(crashed, VirtualClock(), seed=9):
        assert found(crashed, MINE) == {}
