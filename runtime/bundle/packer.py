"""From a folder to a bundle, and from a bundle to a signed one.

What lives here: collecting files, with a name for everything that is not taken, and signing. What is made here is read
back before it is given away, so nothing is packed that `Bundle.from_bytes` would refuse. Writing the file is the
caller's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from runtime.bundle.archive_writer import place_block, write_archive
from runtime.bundle.bundle import Bundle
from runtime.bundle.files import read_file, unreadable
from runtime.bundle.names import PATH_DEPTH_MAX
from runtime.bundle.refusal import over_limit, refused, shown
from runtime.bundle.signature import encode_block
from runtime.bundle.signing_key import SigningKey
from runtime.bundle.zip_format import CONTENT_BYTES_MAX, MEMBER_BYTES_MAX, MEMBERS_MAX
from runtime.errors import UsageError

LeftOut = Callable[[str, str], None]
"""Called with a path inside the folder and why it is not in the bundle."""


def pack(folder: Path | str, *, on_left_out: LeftOut | None = None) -> bytes:
    """The unsigned bundle of all files in `folder`; the same files give the same bytes.

    Names that begin with a full stop, and empty folders, never come into a bundle: each is told to `on_left_out`, and
    without it the folder is refused. Links and devices are always refused.

    Raises:
        UsageError: the folder, or something in it, cannot be read.
        BundleError: as `Bundle.from_bytes` on the result, or the folder holds what cannot be packed.
    """
    return pack_contents(_collect(Path(folder), on_left_out))


def bundle_folder(folder: Path) -> Path:
    """Where a bundle's files lie: in `bundle` of a project's folder, or in the folder itself. Raises UsageError."""
    for place in (folder / "bundle", folder):
        if (place / "manifest.json").is_file():
            return place
    raise UsageError(
        f"{shown(str(folder))} is no project and no bundle's folder: no manifest.json lies there, or in its folder"
        " bundle; hostel new NAME --lang LANGUAGE makes a project"
    )


def pack_contents(contents: Mapping[str, bytes]) -> bytes:
    """The unsigned bundle of these members: path → content.

    Raises:
        BundleError: as `Bundle.from_bytes` on the result.
    """
    data = write_archive(contents)
    Bundle.from_bytes(data)
    return data


def sign(data: bytes, key: SigningKey) -> bytes:
    """The bundle `data` with `key`'s signature, in place of any it has, also one that does not fit.

    Raises:
        BundleError: as `Bundle.from_bytes` on the bundle without signature.
    """
    unsigned = place_block(data, b"")
    return place_block(unsigned, encode_block(key.sign(Bundle.from_bytes(unsigned).claim)))


def _collect(folder: Path, on_left_out: LeftOut | None) -> dict[str, bytes]:
    """Path → content of every file, bounded before it is read."""
    contents: dict[str, bytes] = {}
    total = 0
    for path in _walk(folder, "", on_left_out or _refuse_left_out):
        if len(contents) == MEMBERS_MAX:
            raise over_limit("the folder", MEMBERS_MAX + 1, "members_max", MEMBERS_MAX, "files or more")
        contents[path] = read_file(folder / path, "member_bytes_max", MEMBER_BYTES_MAX, follow=False)
        total += len(contents[path])
        if total > CONTENT_BYTES_MAX:
            raise over_limit("the folder", total, "content_bytes_max", CONTENT_BYTES_MAX, "bytes or more")
    if not contents:
        raise refused(f"{shown(str(folder))} holds no file to pack")
    return contents


def _walk(folder: Path, prefix: str, left_out: LeftOut) -> list[str]:
    """Paths of the regular files below `folder`/`prefix`; at most one more than a bundle may have."""
    paths: list[str] = []
    try:
        with os.scandir(folder / prefix) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder / prefix, error) from error
    if prefix and not entries:
        left_out(prefix, "it is an empty folder")
    for entry in entries:
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        if entry.name.startswith("."):
            left_out(path, "its name begins with a full stop")
        elif entry.is_file(follow_symlinks=False):
            paths.append(path)
        elif not entry.is_dir(follow_symlinks=False):
            raise refused(f"{shown(path)} is a link or device; a bundle holds regular files only")
        elif path.count("/") + 1 >= PATH_DEPTH_MAX:
            raise refused(
                f"{shown(path)} is a folder at level {PATH_DEPTH_MAX}: over path_depth_max = {PATH_DEPTH_MAX}"
            )
        else:
            paths += _walk(folder, path, left_out)
        if len(paths) > MEMBERS_MAX:
            return paths[: MEMBERS_MAX + 1]
    return paths


def _refuse_left_out(path: str, why: str) -> None:
    raise refused(
        f"{shown(path)} does not go into a bundle: {why}; take it out of the folder, or accept leaving it out"
    )
