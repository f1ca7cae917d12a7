"""Keys of the host: made once, read only where they are safe, and never another one in silence."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from host_api.store import StoreError, open_store
from host_api.store.key_file import KEY_BYTES, key_id, open_key
from runtime.testing import VirtualClock

KEYS = [bytes([n]) * KEY_BYTES for n in range(4)]


async def opened(state: Path | None, key: bytes, purpose: str = "pairwise") -> bytes:
    async with open_store(state, VirtualClock()) as store:
        return await open_key(store, state, purpose, lambda: key)


async def refused(state: Path, key: bytes = KEYS[1]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await opened(state, key)
    return caught.value


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


async def test_a_key_is_made_once_and_stays(state: Path) -> None:
    assert await opened(state, KEYS[0]) == KEYS[0]
    assert await opened(state, KEYS[1]) == KEYS[0]
    file = state / "keys" / "pairwise"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [each.name for each in file.parent.iterdir()] == ["pairwise"]


async def test_each_purpose_has_its_own(state: Path) -> None:
    assert await opened(state, KEYS[0]) == KEYS[0]
    assert await opened(state, KEYS[1], "other") == KEYS[1]
    assert key_id("pairwise", KEYS[0]) != key_id("other", KEYS[0])


async def test_in_memory_each_host_has_a_new_one() -> None:
    assert [await opened(None, key) for key in KEYS[:2]] == KEYS[:2]


async def test_a_key_that_is_gone_is_not_made_anew(state: Path) -> None:
    await opened(state, KEYS[0])
    (state / "keys" / "pairwise").unlink()
    error = await refused(state)
    assert error.code == "key_lost"
    assert not (state / "keys" / "pairwise").exists()


async def test_another_key_is_noticed_and_the_right_one_taken_again(state: Path) -> None:
    await opened(state, KEYS[0])
    file = state / "keys" / "pairwise"
    file.write_bytes(KEYS[1])
    assert (await refused(state)).code == "key_lost"
    file.write_bytes(KEYS[0])
    assert await opened(state, KEYS[1]) == KEYS[0]


async def test_a_key_that_was_made_before_the_store_knew_of_it_is_taken(state: Path) -> None:
    """As after a crash between the two."""
    await opened(state, KEYS[3], "first")
    folder = state / "keys"
    os.close(os.open(folder / "pairwise", os.O_CREAT, 0o600))
    (folder / "pairwise").write_bytes(KEYS[0])
    (folder / "other.new").write_bytes(b"half")
    assert await opened(state, KEYS[1]) == KEYS[0]
    assert await opened(state, KEYS[2], "other") == KEYS[2]
    assert await opened(state, KEYS[3], "other") == KEYS[2]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
async def test_a_key_others_may_use_is_refused(state: Path, mode: int) -> None:
    await opened(state, KEYS[0])
    (state / "keys" / "pairwise").chmod(mode)
    error = await refused(state)
    assert (error.code, str(state) in str(error), "chmod 600" in str(error)) == ("state_unsafe", True, True)


@pytest.mark.parametrize("content", [b"", KEYS[0][1:], KEYS[0] + b"\0"])
async def test_a_file_that_holds_no_key_is_refused(state: Path, content: bytes) -> None:
    await opened(state, KEYS[0])
    (state / "keys" / "pairwise").write_bytes(content)
    assert (await refused(state)).code == "state_unsafe"


@pytest.mark.parametrize("kind", ["symbolic link", "pipe", "folder"])
async def test_what_is_no_file_is_refused(state: Path, kind: str, tmp_path: Path) -> None:
    await opened(state, KEYS[0])
    file = state / "keys" / "pairwise"
    file.unlink()
    if kind == "symbolic link":
        (tmp_path / "elsewhere").write_bytes(KEYS[0])
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(file, 0o600)
    else:
        file.mkdir()
    with pytest.raises((StoreError, OSError)):
        await opened(state, KEYS[1])
