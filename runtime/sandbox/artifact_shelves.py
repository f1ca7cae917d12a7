"""Where records of compiled modules lie: in a folder or in memory, bounded in bytes, the least recently used go first.

What lives here: named bytes and their bound. What is in a record, and whether to believe it, is artifacts.py's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

from runtime.errors import StartupError

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FULL: Final = 0.9
"""How full a folder is after making room; the rest is room until it has to look again."""


class Shelf(Protocol):
    """Records by name. `read` gives None for what is not there, and bytes that are no record for what cannot be one."""

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, record: bytes) -> None: ...
    def remove(self, name: str) -> None: ...


class MemoryShelf:
    """Records in memory."""

    def __init__(self, bytes_max: int) -> None:
        self._records: OrderedDict[str, bytes] = OrderedDict()
        self._bytes, self._bytes_max = 0, bytes_max

    def read(self, name: str) -> bytes | None:
        if name in self._records:
            self._records.move_to_end(name)
        return self._records.get(name)

    def write(self, name: str, record: bytes) -> None:
        self.remove(name)
        self._records[name] = record
        self._bytes += len(record)
        while self._bytes > self._bytes_max:
            self.remove(next(iter(self._records)))

    def remove(self, name: str) -> None:
        self._bytes -= len(self._records.pop(name, b""))


class FolderShelf:
    """Records as files (0600) of a folder only this user may write to. A file's time is that of its last use.

    The folder is made with the first record, so that a host which refuses whatever it is given leaves no trace.
    Writing is atomic (a file aside, then a rename) and not flushed: after a crash a torn record is no record. The bytes
    that are there are counted at the first write and again when they seem too many, so that a write costs no listing.
    """

    def __init__(self, folder: Path, bytes_max: int, record_max: int) -> None:
        self._folder, self._bytes_max, self._record_max = folder, bytes_max, record_max
        self._bytes: int | None = None
        try:
            state = folder.lstat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StartupError(f"the artifact folder {folder} cannot be used: {error.strerror}; name another") from None
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
            mode = stat.filemode(state.st_mode)
            raise StartupError(
                f"the artifact folder {folder} must be a folder of this user that nobody else may write to: it has"
                f" owner {state.st_uid}, mode {mode}; chown and chmod 700 it, or name another",
                details={"folder": str(folder), "owner": state.st_uid, "mode": mode},
            )

    def read(self, name: str) -> bytes | None:
        try:
            descriptor = os.open(f"{self._folder}/{name}", _READ)
        except FileNotFoundError:
            return None
        except OSError:  # a link, no descriptor left: no record
            return b""
        try:
            size = os.fstat(descriptor).st_size
            if size > self._record_max:
                return b""
            record = os.read(descriptor, size)  # one that is written meanwhile has another name
            os.utime(descriptor)
        except OSError:  # a folder, a failing disk
            return b""
        finally:
            os.close(descriptor)
        return record

    def write(self, name: str, record: bytes) -> None:
        aside = self._folder / f"{name}.{secrets.token_hex(8)}"
        try:
            make_private(self._folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(aside, flags, 0o600), "wb") as file:
                file.write(record)
            aside.rename(self._folder / name)
            self._bytes = None if self._bytes is None else self._bytes + len(record)
            if self._bytes is None or self._bytes > self._bytes_max:
                self._make_room()
        except OSError:
            self.remove(aside.name)

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()

    def _make_room(self) -> None:
        """Counts what is there; over the bound, removes the least recently used."""
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process made room
                    state = entry.stat(follow_symlinks=False)
                    files.append((state.st_mtime_ns, state.st_size, entry.name))
        self._bytes = sum(size for _, size, _ in files)
        if self._bytes <= self._bytes_max:
            return
        for _, size, name in sorted(files):
            if self._bytes <= self._bytes_max * _FULL:
                break
            self.remove(name)
            self._bytes -= size


def make_private(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, for this user alone (0700). Raises OSError."""
    for each in reversed((folder, *folder.parents)):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
