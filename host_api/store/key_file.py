"""Secret keys of the host: one file each in the state directory's `keys/`, and the key's id in the store.

What lives here: making a key file once, reading it safely, and noticing that it is not the key that was used before.
What a key is for is its user's business. All of it happens when a host opens: the calls block for a moment.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from host_api.store import state_directory
from host_api.store.protocol import Store, StoreError, Transaction

KEY_BYTES: Final = 32
FOLDER: Final = "keys"
_DOMAIN: Final = b"hostel key id 1\0"


def key_id(purpose: str, key: bytes) -> str:
    """32 hex digits that tell one key from another and nothing about it."""
    return sha256(_DOMAIN + purpose.encode() + b"\0" + key).hexdigest()[:32]


async def open_key(store: Store, state: Path | None, purpose: str, new_key: Callable[[], bytes]) -> bytes:
    """The key for `purpose` (a file name), KEY_BYTES long: from `state`/keys/`purpose`, made with `new_key` at the very
    first time; None: a new one for a store in memory.

    Raises StoreError `key_lost` where the store says that another key was used before (what was made with it would
    silently change), `state_unsafe` for a file that is not this user's alone or holds no key; OSError.
    """
    if state is None:
        return new_key()
    path = state / FOLDER / purpose
    known = store.read(lambda tx: _known(tx, purpose))
    if known and not path.exists():
        raise _lost(path, "is gone")
    key = _load_or_make(path, new_key)
    if not known:
        await store.write(lambda tx: _remember(tx, purpose, key_id(purpose, key)))
    elif known != key_id(purpose, key):
        raise _lost(path, "holds another key than the one that was used before")
    return key


def is_made(store: Store, purpose: str) -> bool:
    """Whether there ever was a key for it."""
    return bool(store.read(lambda tx: _known(tx, purpose)))


def _lost(path: Path, what: str) -> StoreError:
    return StoreError(
        "key_lost", f"the key file {path} {what}: restore it from the backup this state directory came from"
    )


def _known(tx: Transaction, purpose: str) -> str:
    rows = tx.execute("SELECT key_id FROM host_keys WHERE purpose = :purpose", {"purpose": purpose})
    return rows[0][0] if rows else ""


def _remember(tx: Transaction, purpose: str, id_: str) -> None:
    tx.execute(
        "INSERT INTO host_keys (purpose, key_id, created_us) VALUES (:purpose, :key_id, :now_us)"
        " ON CONFLICT (purpose) DO NOTHING",  # two who ask for it first read the same file
        {"purpose": purpose, "key_id": id_, "now_us": tx.now_us},
    )


def _load_or_make(path: Path, new_key: Callable[[], bytes]) -> bytes:
    if not path.exists():
        _make(path, new_key())
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        state, key = os.fstat(file.fileno()), file.read(KEY_BYTES + 1)
    if state.st_uid != os.geteuid() or state.st_mode & 0o077 or len(key) != KEY_BYTES:
        raise StoreError(
            "state_unsafe",
            f"the key file {path} must hold {KEY_BYTES} bytes and be this user's alone (chmod 600): it has {len(key)}"
            f" bytes, owner {state.st_uid}, mode {stat.filemode(state.st_mode)}",
        )
    return key


def _make(path: Path, key: bytes) -> None:
    """Whole or not at all, and never over a file that is there: written aside, made durable, then linked into place."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(aside, path)
    aside.unlink()
    state_directory.sync(path.parent)
    state_directory.sync(path.parent.parent)
