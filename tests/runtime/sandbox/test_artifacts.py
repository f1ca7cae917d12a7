"""Kept artifacts: what this host wrote for this module and engine comes back, all else is a miss and is removed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import CompileLimitExceeded, StartupError, UsageError
from runtime.limits import KIB, MIB, CompileLimits, ModuleCaps
from runtime.sandbox.artifacts import _HEAD, _VERDICTS_MOST, ArtifactCache, Compiled, load_or_create_key
from runtime.sandbox.checks import check_module
from tests.runtime.sandbox.proposals import module

KEY = bytes(range(32))
SHA, OTHER = "ab" * 32, "cd" * 32
FACTS = check_module(module(), ModuleCaps(), 16 * MIB)
COMPILED = Compiled(artifact=b"native code" * 50, facts=FACTS)
LIMITS = CompileLimits()
VERDICT = CompileLimitExceeded("too dear", details={"limit": "cpu_s", "value": 10})


def cache(folder: Path | None, key: bytes = KEY, fingerprint: str = "f" * 64, bytes_max: int = MIB) -> ArtifactCache:
    return ArtifactCache(folder, key, fingerprint=fingerprint, bytes_max=bytes_max, artifact_bytes_max=256 * KIB)


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "artifacts" if request.param == "folder" else None


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


# ---- what was put comes back -----------------------------------------------------------------------------------------
def test_an_artifact_comes_back_with_its_facts(place: Path | None) -> None:
    kept = cache(place)
    assert kept.get(SHA) is None
    kept.put(SHA, COMPILED)
    assert kept.get(SHA) == COMPILED
    assert kept.get(OTHER) is None
    assert kept.verdict(SHA, LIMITS) is None


def test_a_second_cache_of_the_same_folder_finds_it(tmp_path: Path) -> None:
    cache(tmp_path / "a").put(SHA, COMPILED)
    assert cache(tmp_path / "a").get(SHA) == COMPILED


def test_the_latest_put_holds(place: Path | None) -> None:
    kept = cache(place)
    kept.put(SHA, COMPILED)
    kept.put(SHA, Compiled(artifact=b"newer", facts=FACTS))
    found = kept.get(SHA)
    assert found is not None
    assert found.artifact == b"newer"


def test_a_verdict_comes_back_for_the_limits_it_was_reached_under(place: Path | None) -> None:
    kept = cache(place)
    kept.put_verdict(SHA, VERDICT, LIMITS)
    found = kept.verdict(SHA, LIMITS)
    assert found is not None
    assert (found.message, found.details, found.code) == (VERDICT.message, VERDICT.details, "compile_limit")
    assert kept.verdict(SHA, LIMITS.changed({"cpu_s": 20})) is None
    assert kept.get(SHA) is None


def test_verdicts_are_bounded_and_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    kept = cache(tmp_path / "a")
    for number in range(_VERDICTS_MOST + 1):
        kept.put_verdict(f"{number:064x}", VERDICT, LIMITS)
    assert kept.verdict(f"{0:064x}", LIMITS) is None
    assert kept.verdict(f"{1:064x}", LIMITS) is not None
    assert list(tmp_path.iterdir()) == []


def test_a_verdict_that_another_try_could_change_is_not_kept(place: Path | None) -> None:
    kept = cache(place)
    slow = CompileLimitExceeded("slow machine", details={"limit": "wall_ms", "value": 1})
    slow.retryable = True
    kept.put_verdict(SHA, slow, LIMITS)
    assert kept.verdict(SHA, LIMITS) is None


def test_a_name_that_is_no_hash_never_reaches_the_disk(place: Path | None) -> None:
    for name in ("", "../" + "a" * 61, "A" * 64, SHA + "\n"):
        with pytest.raises(UsageError, match="not a SHA-256"):
            cache(place).get(name)


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="32 bytes, this one has 5"):
        cache(None, key=b"short")


# ---- anything else is a miss -----------------------------------------------------------------------------------------
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_any_bytes_in_the_file_are_a_miss(tmp_path: Path, data: bytes) -> None:
    kept = cache(tmp_path / "a")
    kept.put(SHA, COMPILED)
    path = only_file(tmp_path / "a")
    path.write_bytes(data)
    assert kept.get(SHA) is None
    assert not path.exists()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_byte_anywhere_is_a_miss(tmp_path: Path, data: st.DataObject) -> None:
    kept = cache(tmp_path / "a")
    kept.put(SHA, COMPILED)
    path = only_file(tmp_path / "a")
    record = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(record)
    assert kept.get(SHA) is None
    assert not path.exists()


def _moved(folder: Path, path: Path) -> None:
    path.rename(folder / path.name.replace(SHA, OTHER))


def _cut(folder: Path, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _longer(folder: Path, path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _huge(folder: Path, path: Path) -> None:
    os.truncate(path, 1 << 40)


def _linked(folder: Path, path: Path) -> None:
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def _fifo(folder: Path, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [_moved, _cut, _longer, _huge, _linked, _fifo])
def test_a_record_in_the_wrong_place_or_shape_is_a_miss_and_removed(
    tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    folder = tmp_path / "a"
    kept = cache(folder)
    kept.put(SHA, COMPILED)
    spoil(folder, only_file(folder))
    assert kept.get(SHA) is None
    assert kept.get(OTHER) is None
    assert list(folder.iterdir()) == []


def test_a_folder_in_the_place_of_a_record_is_a_miss(tmp_path: Path) -> None:
    kept = cache(tmp_path / "a")
    kept.put(SHA, COMPILED)
    path = only_file(tmp_path / "a")
    path.unlink()
    path.mkdir()
    assert kept.get(SHA) is None
    kept.put(SHA, COMPILED)
    assert kept.get(SHA) is None


def test_no_key_makes_two_tags(tmp_path: Path) -> None:
    """The tag gives its key away where it is used twice: each record has one of its own, drawn in its head."""
    records, kept = [], cache(tmp_path / "a")
    for number in range(20):
        kept.put(SHA, Compiled(artifact=b"%d" % number, facts=FACTS))
        records.append(only_file(tmp_path / "a").read_bytes())
    drawn = slice(8, _HEAD.size - 16)
    assert len({record[drawn] for record in records}) == len(records)
    assert drawn.stop - drawn.start == 32
    for record in records[:-1]:  # what was drawn for one is no use for another
        only_file(tmp_path / "a").write_bytes(record[: drawn.stop] + records[-1][drawn.stop :])
        assert kept.get(SHA) is None
        kept.put(SHA, COMPILED)


def test_another_key_or_another_engine_finds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    cache(folder).put(SHA, COMPILED)
    assert cache(folder, fingerprint="e" * 64).get(SHA) is None
    path = only_file(folder)
    path.rename(folder / path.name.replace("f" * 64, "e" * 64))
    assert cache(folder, fingerprint="e" * 64).get(SHA) is None
    cache(folder).put(SHA, COMPILED)
    assert cache(folder, key=bytes(32)).get(SHA) is None
    assert cache(folder).get(SHA) is None


def test_facts_of_another_release_are_a_miss(tmp_path: Path) -> None:
    kept = cache(tmp_path / "a")
    kept._seal(kept._name(SHA, False), msgspec.json.encode({"sha256": SHA}), b"code")
    assert kept.get(SHA) is None
    assert list((tmp_path / "a").iterdir()) == []


# ---- bounds ----------------------------------------------------------------------------------------------------------
def _sized(size: int) -> Compiled:
    return Compiled(artifact=bytes(size), facts=FACTS)


def test_the_least_recently_used_go_first(place: Path | None) -> None:
    kept = cache(place, bytes_max=100 * KIB)
    names = [f"{number:02x}" * 32 for number in range(4)]
    for second, name in enumerate(names[:3]):
        kept.put(name, _sized(29 * KIB))
        if place:
            os.utime(next(path for path in place.iterdir() if path.name.startswith(name)), (second, second))
    assert kept.get(names[0]) is not None
    kept.put(names[3], _sized(29 * KIB))
    assert [kept.get(name) is not None for name in names] == [True, False, True, True]


def test_a_folder_never_holds_more_than_its_bound(tmp_path: Path) -> None:
    kept = cache(tmp_path / "a", bytes_max=64 * KIB)
    for number in range(40):
        kept.put(f"{number:02x}" * 32, _sized(10 * KIB))
        assert sum(path.stat().st_size for path in (tmp_path / "a").iterdir()) <= 64 * KIB


def test_what_is_larger_than_the_bound_is_not_kept(place: Path | None) -> None:
    kept = cache(place, bytes_max=8 * KIB)
    kept.put(SHA, _sized(9 * KIB))
    assert kept.get(SHA) is None


def test_an_artifact_over_its_bound_is_not_kept(place: Path | None) -> None:
    kept = cache(place)
    kept.put(SHA, _sized(256 * KIB + 1))
    assert kept.get(SHA) is None
    kept.put(SHA, _sized(256 * KIB))
    assert kept.get(SHA) is not None


# ---- files and their owners ------------------------------------------------------------------------------------------
def test_folder_and_key_are_made_with_the_first_artifact(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    kept = ArtifactCache(root / "a", root / "keys" / "k", fingerprint="f" * 64)
    kept.put_verdict(SHA, VERDICT, LIMITS)
    assert kept.get(SHA) is None
    assert list(tmp_path.iterdir()) == []
    kept.put(SHA, COMPILED)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "a", root / "keys")] == [0o700] * 3
    assert ArtifactCache(root / "a", root / "keys" / "k", fingerprint="f" * 64).get(SHA) == COMPILED


def test_a_key_that_cannot_be_written_keeps_nothing_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"a file where a folder should be")
    kept = ArtifactCache(tmp_path / "a", tmp_path / "keys" / "k", fingerprint="f" * 64)
    kept.put(SHA, COMPILED)
    assert kept.get(SHA) is None


def test_folder_and_files_are_this_users_alone(tmp_path: Path) -> None:
    cache(tmp_path / "deep" / "a").put(SHA, COMPILED)
    folder = tmp_path / "deep" / "a"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StartupError, match="nobody else may write to"):
        cache(folder)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(StartupError, match="a folder of this user"):
        cache(tmp_path / "a")


def test_a_link_or_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file"):
        with pytest.raises(StartupError, match="the artifact folder"):
            cache(tmp_path / name)


def test_a_disk_that_fails_keeps_nothing_and_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = cache(tmp_path / "a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", full)
        kept.put(SHA, COMPILED)
    assert list((tmp_path / "a").iterdir()) == []
    assert kept.get(SHA) is None


# ---- the key ---------------------------------------------------------------------------------------------------------
def test_a_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path / "key")
    assert len(key) == 32
    assert load_or_create_key(tmp_path / "key") == key
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert load_or_create_key(tmp_path / "other") != key


@pytest.mark.parametrize(("content", "mode"), [(bytes(31), 0o600), (bytes(33), 0o600), (bytes(32), 0o640)])
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, content: bytes, mode: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(StartupError, match="the key file"):
        load_or_create_key(path)
