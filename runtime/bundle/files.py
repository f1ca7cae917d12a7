"""Bounded, whole reads of local files: the only place of this package, but for walking and writing, that does I/O.

The files are the operator's or the developer's own; their contents are hostile all the same, so nothing is read past
its limit, and no pipe or device is waited for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from runtime.bundle.refusal import over_limit, shown
from runtime.bundle.zip_format import ARCHIVE_BYTES_MAX
from runtime.errors import UsageError


def read_file(
    path: Path,
    limit: str,
    bytes_max: int,
    *,
    follow: bool = True,
    private: bool = False,
    of_folder: str = "name a file in it",
) -> bytes:
    """The whole content of a regular file.

    Args:
        limit: the name of `bytes_max` in the refusal.
        follow: False refuses a symbolic link.
        private: True refuses a file that anybody but its owner may read or write.
        of_folder: what to do where it is a folder.

    Raises:
        UsageError: it cannot be read, is no regular file, or is not private though it must be.
        BundleError: it is over `bytes_max`.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"{shown(str(path))} is no regular file")
            if private and found.st_mode & 0o077:
                mode = stat.S_IMODE(found.st_mode)
                raise UsageError(f"{shown(str(path))} has mode {mode:04o}: others may use the key; run chmod 600 on it")
            data = file.read(bytes_max + 1)
    except IsADirectoryError:
        raise UsageError(f"{shown(str(path))} is a folder: {of_folder}") from None
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > bytes_max:
        raise over_limit(shown(str(path)), max(found.st_size, len(data)), limit, bytes_max, "bytes")
    return data


def read_archive_file(path: Path) -> bytes:
    """The content of what is to be a bundle, at most `ARCHIVE_BYTES_MAX`. Raises as `read_file`."""
    return read_file(path, "archive_bytes_max", ARCHIVE_BYTES_MAX, of_folder="make a bundle of it with hostel pack")


def unreadable(path: Path, error: OSError) -> UsageError:
    """The error for a file or folder that the system would not give."""
    return UsageError(f"cannot read {shown(str(path))}: {error.strerror}; check the path and its permissions")
