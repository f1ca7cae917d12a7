"""A whole bundle: read, looked at, and that any bytes give one or a documented refusal."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bundle import Bundle, pack_contents
from runtime.errors import BundleError, ManifestError, UsageError

Make = Callable[..., dict[str, Any]]


def test_what_was_packed_is_read(unsigned: bytes, signed: bytes, contents: dict[str, bytes]) -> None:
    for data in (unsigned, signed):
        bundle = Bundle.from_bytes(data)
        assert bundle.manifest.app_id == "org.example.grocery"
        assert bundle.module == contents["program.wasm"]
        assert bundle.asset("common/icon.png") == b"\x89PNG"
        assert list(bundle.members) == sorted(contents)
        for path, content in contents.items():
            member = bundle.members[path]
            assert (member.path, member.size, member.sha256) == (
                path,
                len(content),
                hashlib.sha256(content).hexdigest(),
            )


def test_signature_is_told_apart(unsigned: bytes, signed: bytes) -> None:
    plain, bundle = Bundle.from_bytes(unsigned), Bundle.from_bytes(signed)
    assert plain.signature is None and bundle.signature is not None
    assert plain.identity == bundle.identity and plain.unsigned_sha256 == bundle.unsigned_sha256
    assert plain != bundle and bundle == Bundle.from_bytes(signed) and len({bundle, Bundle.from_bytes(signed)}) == 1


def test_bundle_cannot_be_changed(unsigned: bytes) -> None:
    bundle = Bundle.from_bytes(unsigned)
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.identity = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        bundle.members["x"] = bundle.members["manifest.json"]  # type: ignore[index]


@pytest.mark.parametrize("path", ["", "manifest.json", "program.wasm", "common", "common/Icon.png", "../x", "\udc80\n"])
def test_no_asset(unsigned: bytes, path: str) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle.from_bytes(unsigned).asset(path)
    assert caught.value.code == "asset_not_found"
    assert caught.value.message.isascii() and "\n" not in caught.value.message


def test_manifest_must_be_there(contents: dict[str, bytes]) -> None:
    without = {path: content for path, content in contents.items() if path != "manifest.json"}
    with pytest.raises(BundleError, match=r"no member manifest\.json among the 2"):
        pack_contents(without)


@pytest.mark.parametrize("path", ["program.wasm", "common/icon.png"])
def test_named_members_must_be_there(contents: dict[str, bytes], path: str) -> None:
    without = {name: content for name, content in contents.items() if name != path}
    with pytest.raises(ManifestError, match="is no member of the bundle"):
        pack_contents(without)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"program": {"module": "manifest.json"}}, "$.program.module"),
        ({"program": {"module": "../program.wasm"}}, "$.program.module"),
        ({"icons": [{"src": "common/icon.png"}, {"src": "Common/icon.png"}]}, "$.icons[1].src"),
    ],
)
def test_named_members(good: Make, contents: dict[str, bytes], changes: dict[str, Any], path: str) -> None:
    with pytest.raises(ManifestError) as caught:
        pack_contents({**contents, "manifest.json": json.dumps(good(**changes)).encode()})
    assert caught.value.details["path"] == path


def test_read_from_a_file(tmp_path: Path, signed: bytes) -> None:
    (tmp_path / "grocery.ma").write_bytes(signed)
    assert (
        Bundle.read(tmp_path / "grocery.ma") == Bundle.from_bytes(signed) == Bundle.read(str(tmp_path / "grocery.ma"))
    )


def test_no_file_to_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.ma", tmp_path / "a\nb", Path("/dev/zero")):
        with pytest.raises(UsageError) as caught:
            Bundle.read(path)
        assert "\n" not in caught.value.message


def test_file_is_read_to_its_limit_only(tmp_path: Path) -> None:
    with (tmp_path / "large.ma").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError) as caught:
        Bundle.read(tmp_path / "large.ma")
    assert caught.value.details["limit"] == "archive_bytes_max" and caught.value.details["used"] == 1 << 40


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(BundleError):
        Bundle.from_bytes(data)


@given(st.data())
def test_any_change(unsigned: bytes, data: st.DataObject) -> None:
    changed = bytearray(unsigned)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        bundle = Bundle.from_bytes(bytes(changed))
    except BundleError as error:
        assert error.message.isascii() and "\n" not in error.message
        return
    contents = {path: bundle._contents[path] for path in bundle.members}
    assert Bundle.from_bytes(pack_contents(contents)).identity == bundle.identity
