"""Backups of a state directory: made while a host runs on it, and restored to where none is.

What lives here: what a backup is made of, and the proof that one is whole. A backup is a folder (0700) of its own:

    manifest.json     what is in it, with a hash of each file, and the signed head of its audit
    hostel.sqlite3    the store, as of one moment
    keys/             the host's keys: whoever has the backup has them too
    journal/          receipts and programs' log lines, if they were asked for

Compiled modules are not in it: they are made anew. A backup holds what was there when it was made: people who are
erased later are still in it, and come back when it is restored; made_backups.py lists those that this concerns.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import Annotated, Final

import msgspec
import trio

from host_api import audit
from host_api.contract import Clock
from host_api.errors import ApiError
from host_api.store import Store, StoreError, Transaction, open_store, state_directory
from host_api.store.key_file import FOLDER as KEYS
from host_api.store.key_file import KEY_BYTES, open_key
from host_api.store.sqlite import FILE_NAME
from runtime import signed_head, verification
from runtime.bundle.files import read_file
from runtime.bundle.refusal import shown
from runtime.errors import HostelError, StartupError, UsageError
from runtime.journal.journal import FOLDER as JOURNAL

FORMAT: Final = "hostel backup 1"
MANIFEST: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 4 << 20
FILES_MOST: Final = 16_384
"""More than a journal has with all its shelves (journal/shelves.py)."""
_FILE: Final = re.compile(
    rf"{re.escape(FILE_NAME)}|{KEYS}/[a-z0-9_-]{{1,64}}|{JOURNAL}/[a-z]{{1,16}}(-[0-9]{{2}})?-[0-9]{{1,20}}\.jsonl"
)


class BackupRefused(HostelError):
    """It is not whole, or not what it says: nothing was restored."""

    code = "backup_damaged"
    exit_code = 20


class BackedUpFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    path: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    format: str
    made_us: int
    schema: str
    """The last of the schema's files that the store was made with."""
    head: dict[str, str | int]
    """Of the audit in it, signed (runtime/signed_head.py)."""
    files: Annotated[tuple[BackedUpFile, ...], msgspec.Meta(max_length=FILES_MOST)]


# ---- making ----------------------------------------------------------------------------------------------------------
async def back_up(store: Store, state: Path, to: Path, *, journal: bool) -> Manifest:
    """A backup of `state`, whose open store `store` is, as the new folder `to`. Everything acknowledged before this
    call is in it. `journal`: with the files of the journal, written as far as they are.

    Raises UsageError (`to` is there already, or cannot be made) and ApiError of the store; nothing is left then.
    """
    _refuse_existing(to)
    key = await open_key(store, state, signed_head.KEY_PURPOSE, lambda: secrets.token_bytes(KEY_BYTES))
    with _made_aside(to) as part:
        head, schema = await store.backup(part / FILE_NAME, _head_and_schema)
        made_us = store.now_us()
        signed = signed_head.sign(head, made_us, key)
        manifest = await trio.to_thread.run_sync(partial(_complete, part, state, signed, schema, journal))
    await store.write(
        lambda tx: audit.record(tx, "state.backed_up", path=str(to)[-audit.FIELD_CHARS_MAX :], head_n=head.n,
                                hash=head.hash.hex())
    )  # fmt: skip
    return manifest


def _head_and_schema(tx: Transaction) -> tuple[audit.Head, str]:
    number, name = tx.execute("SELECT number, name FROM schema_migrations ORDER BY number DESC LIMIT 1")[0]
    return audit.head(tx), f"{number:04}_{name}"


def _complete(part: Path, state: Path, head: signed_head.SignedHead, schema: str, journal: bool) -> Manifest:
    """In a thread: everything beside the store, and the manifest, durable."""
    for folder in (KEYS, JOURNAL) if journal else (KEYS,):
        _copy_folder(state / folder, part / folder)
    files = tuple(_told(part, path) for path in sorted(part.rglob("*")) if path.is_file())
    manifest = Manifest(format=FORMAT, made_us=head.at_us, schema=schema, head=head.as_dict(), files=files)
    text = json.dumps(msgspec.to_builtins(manifest), indent=2).encode() + b"\n"
    _write_private(part / MANIFEST, text)
    for directory in (part, *(path for path in part.iterdir() if path.is_dir())):
        state_directory.sync(directory)
    return manifest


def _copy_folder(source: Path, target: Path) -> None:
    if not source.is_dir():
        return
    target.mkdir(mode=0o700)
    for path in sorted(source.iterdir()):
        if _FILE.fullmatch(f"{source.name}/{path.name}") and path.is_file() and not path.is_symlink():
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    """What is deleted meanwhile (a segment of the journal that grew too old) is left out."""
    try:
        with source.open("rb") as read, os.fdopen(_private(target), "wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())
    except FileNotFoundError:
        target.unlink(missing_ok=True)


def _told(folder: Path, path: Path) -> BackedUpFile:
    with path.open("rb") as file:
        sha256 = file_digest(file, "sha256").hexdigest()
    return BackedUpFile(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=sha256)


# ---- restoring -------------------------------------------------------------------------------------------------------
async def restore(
    source: Path, state: Path, clock: Clock, *, progress: Callable[[str], None] = lambda part: None
) -> Manifest:
    """The backup `source` as the new state directory `state`: hashes are compared, the schema brought up to date, and
    ledger, payments, events and audit recomputed before the directory has its name.

    Raises BackupRefused, StartupError (`state` is there already, or the backup is of a newer hostel), UsageError (it
    cannot be read); nothing is left then.
    """
    manifest = _manifest(source)
    _refuse_full(state)
    with _made_aside(state) as part:
        progress("files")
        await trio.to_thread.run_sync(_fetch, manifest, source, part)
        await _prove(manifest, part, clock, progress)
    return manifest


def _manifest(source: Path) -> Manifest:
    data = read_file(source / MANIFEST, "manifest_bytes_max", MANIFEST_BYTES_MAX)
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BackupRefused(f"{shown(str(source))} is no backup: {shown(str(error))}") from None
    if manifest.format != FORMAT:
        raise BackupRefused(f"{shown(str(source))} is no backup that this hostel reads: {shown(manifest.format)}")
    paths = [file.path for file in manifest.files]
    if FILE_NAME not in paths or len(set(paths)) != len(paths) or not all(map(_FILE.fullmatch, paths)):
        raise BackupRefused(f"{shown(str(source))}: its manifest names files that no backup has, or no store")
    return manifest


def _fetch(manifest: Manifest, source: Path, part: Path) -> None:
    for file in manifest.files:
        target = part / file.path
        target.parent.mkdir(mode=0o700, exist_ok=True)
        origin = source / file.path
        if origin.is_symlink() or not origin.is_file():
            raise BackupRefused(f"{shown(str(origin))} is missing")
        _copy_file(origin, target)
        if _told(part, target) != file:
            raise BackupRefused(f"{shown(str(origin))} is not as it was made (its hash differs)")


async def _prove(manifest: Manifest, part: Path, clock: Clock, progress: Callable[[str], None]) -> None:
    try:
        signed = signed_head.from_dict(manifest.head)
        async with open_store(part, clock) as store:
            key = await open_key(store, part, signed_head.KEY_PURPOSE, lambda: secrets.token_bytes(KEY_BYTES))
            if signed_head.public_key(key) != signed.public_key:
                raise BackupRefused("the backup's head was not signed with the key in it: it is put together of two")
            findings = await store.survey(lambda tx: verification.verify(tx, signed.head, progress))
            if findings:
                raise BackupRefused(f"what is in the backup does not hold together: {findings[0]}")
            await store.write(
                lambda tx: audit.record(tx, "state.restored", made_us=manifest.made_us, head_n=signed.head.n)
            )
    except StoreError as error:
        raise StartupError(str(error), code=error.code) from error
    except ApiError as error:
        raise BackupRefused(f"the backup's store cannot be read: {error.message}") from error
    except UsageError as error:
        raise BackupRefused(error.message) from error


# ---- files -----------------------------------------------------------------------------------------------------------
def _refuse_full(state: Path) -> None:
    if state.is_symlink() or (state.exists() and (not state.is_dir() or any(state.iterdir()))):
        raise StartupError(f"{shown(str(state))} is there already: restore to a new directory", code="state_exists")


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise UsageError(f"{shown(str(path))} is there already: name a new folder for the backup")


@contextmanager
def _made_aside(path: Path) -> Iterator[Path]:
    """A folder (0700) that gets its name when the block ends well, and is gone else. Its own: what else is there, and
    another one of the same name that is being made, is left alone."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"{shown(str(path))} cannot be made: {error.strerror}") from error
    try:
        yield part
        if path.is_dir():
            path.rmdir()
        part.rename(path)
        state_directory.sync(path.parent)
    except OSError as error:
        raise UsageError(f"{shown(str(path))} cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(_private(path), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
