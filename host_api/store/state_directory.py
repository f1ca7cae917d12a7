"""The state directory: who may read it, and that one host at a time uses it.

What lives here: permissions and the lock. What is in the directory is sqlite.py's business.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType

from host_api.store.protocol import StoreError

LOCK_NAME = "hostel.lock"
_PID_BYTES = 20


def prepare(path: Path) -> None:
    """Make the directory (0700), or refuse one that others can look into. An empty one is closed to others in passing.

    Raises StoreError `state_unsafe`.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.is_dir():
        raise StoreError("state_unsafe", f"state directory {path} is not a directory")
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise StoreError("state_unsafe", f"state directory {path} belongs to uid {found.st_uid}, not to this process")
    if stat.S_IMODE(found.st_mode) & 0o077:
        if any(path.iterdir()):
            raise StoreError(
                "state_unsafe", f"others may look into the state directory {path}: close it with chmod 700 {path}"
            )
        path.chmod(0o700)


def private_file(path: Path) -> None:
    """Make an empty file that only its owner may read (0600), if there is none; else take others' rights away.

    SQLite gives its -wal and -shm files the rights of the database file, so this one call covers them.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Make a directory's entries, or a file's content, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DirectoryLock:
    """Held from construction to `close`. A second host on the same directory is refused, in this process too.

    The kernel drops it with the process, however that ends, so there is no stale lock to clean up. The descriptor
    is not inherited by programs this process starts.
    """

    def __init__(self, directory: Path) -> None:
        """Raises StoreError `state_in_use`."""
        path = directory / LOCK_NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, _PID_BYTES, 0).strip()
            os.close(self._descriptor)
            who = f"process {int(holder)}" if holder.isdigit() else "another process"
            raise StoreError(
                "state_in_use", f"state directory {directory} is in use by {who}: stop it, or use another directory"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Let go. The file stays: removing it would let two hosts lock two files of one name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
