"""From a folder to a bundle: what is taken, what is left out by name, what is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bundle import Bundle, pack, pack_contents
from runtime.errors import BundleError, ManifestError, UsageError


@pytest.fixture
def folder(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    root = tmp_path / "grocery"
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def test_folder_and_contents_give_the_same(folder: Path, unsigned: bytes) -> None:
    assert pack(folder) == unsigned == pack(str(folder))


def test_same_files_same_bytes(folder: Path, unsigned: bytes) -> None:
    """Times, modes and the order of creation change nothing."""
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    (folder / "program.wasm").rename(folder / "later")
    (folder / "later").rename(folder / "program.wasm")
    assert pack(folder) == unsigned


def test_left_out_is_told(folder: Path, unsigned: bytes) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    (folder / "common" / ".DS_Store").write_text("")
    (folder / "drafts").mkdir()
    told: list[tuple[str, str]] = []
    assert pack(folder, on_left_out=lambda path, why: told.append((path, why))) == unsigned
    stop = "its name begins with a full stop"
    assert told == [(".git", stop), ("common/.DS_Store", stop), ("drafts", "it is an empty folder")]


@pytest.mark.parametrize("name", [".env", "drafts/"])
def test_left_out_is_refused_where_nobody_is_told(folder: Path, name: str) -> None:
    if name.endswith("/"):
        (folder / name).mkdir()
    else:
        (folder / name).write_text("SECRET=1")
    with pytest.raises(BundleError, match="does not go into a bundle"):
        pack(folder)


@pytest.mark.parametrize("kind", ["link", "link_to_folder", "dangling", "fifo"])
def test_only_regular_files(folder: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(folder / "odd")
    else:
        (folder / "odd").symlink_to({"link": "program.wasm", "link_to_folder": "common", "dangling": "nowhere"}[kind])
    with pytest.raises(BundleError, match="'odd' is a link or device"):
        pack(folder, on_left_out=lambda path, why: None)


@pytest.mark.parametrize("name", ["a:b", "a\\b", "e\u0301", "a\nb", "a ", "Program.wasm", b"\xff"])
def test_names_a_bundle_cannot_have(folder: Path, name: str | bytes) -> None:
    (folder / os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(BundleError) as caught:
        pack(folder)
    assert caught.value.message.isascii() and "\n" not in caught.value.message


def test_too_much_in_a_folder(folder: Path) -> None:
    for number in range(254):
        (folder / f"{number}").write_bytes(b"")
    with pytest.raises(BundleError, match="members_max = 256"):
        pack(folder)
    (folder / "0").unlink()
    assert len(Bundle.from_bytes(pack(folder)).members) == 256


def test_too_large_a_file(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate((8 << 20) + 1)
    with pytest.raises(BundleError, match="member_bytes_max = 8388608"):
        pack(folder)


def test_too_much_content(folder: Path) -> None:
    for number in range(4):
        with (folder / f"large{number}").open("wb") as file:
            file.truncate(8 << 20)
    with pytest.raises(BundleError, match="content_bytes_max"):
        pack(folder)


def test_too_deep_a_folder(folder: Path) -> None:
    deep = folder.joinpath(*["d"] * 16)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="path_depth_max = 16"):
        pack(folder)


def test_folder_whose_bundle_would_be_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"app_id": 7}')
    with pytest.raises(ManifestError):
        pack(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        pack(tmp_path / "missing")
    with pytest.raises(BundleError, match="no file to pack"):
        pack(tmp_path)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).map(lambda name: f"x/{name}")


@given(st.dictionaries(NAMES, st.binary(max_size=100), max_size=5))
def test_packed_is_read_unchanged(contents: dict[str, bytes]) -> None:
    least = b'{"app_id": "a", "name": "A", "version": {"name": "1", "code": 1}, "program": {"module": "m"}}'
    whole = {"manifest.json": least, "m": b"\0asm", **contents}
    try:
        bundle = Bundle.from_bytes(pack_contents(whole))
    except BundleError:
        return
    assert {path: bundle.asset(path) for path in contents} == contents
    assert pack_contents(whole) == pack_contents(dict(reversed(whole.items())))
