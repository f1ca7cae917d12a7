"""Compiled modules kept between runs, and the verdicts on those that were refused or cost too much to compile.

What lives here: the authenticated record of one module and engine, the key it is authenticated with, and the verdicts,
which stay in memory: a refused bundle leaves nothing on the disk. Where records lie is artifact_shelves.py. An
artifact is native code that the host will trust: it is read whole, its tag is checked over the very bytes that are
handed out, and whatever is not exactly what this host wrote for this module and this engine is a miss and is
removed. Nothing is ever mapped from a file. All calls are synchronous.

The tag is AES-GCM's over no plain text: the processor does it at memory speed, where a keyed hash took as long as all
the rest of a get. What such a tag must not meet is one number twice under one key: here a key makes one tag. It follows
from this host's, the record's name and 32 bytes drawn for the record, which stand in it; who changes those has another
key to guess.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import struct
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.errors import ModuleError, StartupError, UsageError
from runtime.limits import KIB, MIB
from runtime.sandbox.artifact_shelves import FolderShelf, MemoryShelf, Shelf, make_private
from runtime.sandbox.checks import ModuleFacts

KEY_BYTES: Final = 32
FACTS_MOST: Final = 64 * KIB
_MAGIC: Final = b"hostelA3"
_HEAD: Final = struct.Struct(">8s32s16s")
"""Magic, what was drawn for the key, tag of all that follows."""
_LENGTHS: Final = struct.Struct(">IQ")
"""Of the JSON and of the artifact, which follow."""
_BEGIN: Final = _HEAD.size + _LENGTHS.size
_DRAWN_BYTES: Final = 32
_NONCE: Final = bytes(12)
_decode_facts: Final = msgspec.json.Decoder(ModuleFacts).decode
_VERDICTS_MOST: Final = 4_096
_METERED: Final = "-fuel"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Native code of a module and what the checks found out about it."""

    artifact: bytes
    facts: ModuleFacts


class ArtifactCache:
    """Artifacts and verdicts by the module's SHA-256 (hex), for two engines: one counts fuel, one does not.

    `folder`: None keeps artifacts in memory. Else it is made with the first of them (0700); one that belongs to another
    user, or that others may write to, raises `StartupError`. `key`: a secret of this host, or the file of it
    (`load_or_create_key`), which is made with the first artifact too. `fingerprint`: what an artifact is valid for
    besides its module (`engine.fingerprint()`). `bytes_max`: of all records; the least recently used go first. Holds
    nothing open: there is nothing to close.
    """

    def __init__(
        self, folder: Path | None, key: bytes | Path, *, fingerprint: str, bytes_max: int = 1024 * MIB,
        artifact_bytes_max: int = 32 * MIB,
    ) -> None:  # fmt: skip
        if isinstance(key, Path) and key.exists():
            key = load_or_create_key(key)
        if isinstance(key, bytes) and len(key) != KEY_BYTES:
            raise UsageError(f"an artifact key has {KEY_BYTES} bytes, this one has {len(key)}")
        self._verdicts: OrderedDict[str, tuple[ModuleError, Hashable]] = OrderedDict()
        record_max = _BEGIN + FACTS_MOST + artifact_bytes_max
        self._bytes_max, self._artifact_bytes_max = bytes_max, artifact_bytes_max
        self._key = key
        self._fingerprint = fingerprint
        self._shelf: Shelf = MemoryShelf(bytes_max) if folder is None else FolderShelf(folder, bytes_max, record_max)

    def get(self, module_sha256: str, *, metered: bool = False) -> Compiled | None:
        """The artifact of a module, if it is here. Its facts are of the caps it was checked under: `check_facts`.
        `metered`: the one for the engine that counts fuel."""
        name = self._name(module_sha256, metered)
        found = self._open(name)
        if found is None:
            return None
        try:
            facts = _decode_facts(found[0])
        except msgspec.MsgspecError:  # of another release of this host: the tag holds, the fields do not
            self._shelf.remove(name)
            return None
        return Compiled(artifact=found[1], facts=facts)

    def put(self, module_sha256: str, compiled: Compiled) -> None:
        """Keeps an artifact. If it is over its bound, or the disk full or failing, the next get is a miss; no error."""
        with contextlib.suppress(OSError):
            name = self._name(module_sha256, compiled.facts.metered)
            self._seal(name, msgspec.json.encode(compiled.facts), compiled.artifact)

    def verdict(self, module_sha256: str, under: Hashable) -> ModuleError | None:
        """Why the module was refused under exactly these caps and limits; None if that is not known."""
        kept = self._verdicts.get(module_sha256)
        if kept is None or kept[1] != under:
            return None
        return type(kept[0])(kept[0].message, details=kept[0].details)

    def put_verdict(self, module_sha256: str, error: ModuleError, under: Hashable) -> None:
        """Keeps a verdict, but not one that another try could change (`error.retryable`)."""
        if error.retryable:
            return
        self._verdicts[module_sha256] = error.with_traceback(None), under
        if len(self._verdicts) > _VERDICTS_MOST:
            self._verdicts.popitem(last=False)

    # ---- records -----------------------------------------------------------------------------------------------------
    def _name(self, module_sha256: str, metered: bool) -> str:
        if not _SHA256.fullmatch(module_sha256):
            raise UsageError(f"not a SHA-256 in hex: {ascii(module_sha256)[:80]}")
        return f"{module_sha256}-{self._fingerprint}{_METERED if metered else ''}"

    def _sealing(self, name: str, drawn: bytes) -> AESGCM:
        """With the key of one record. The name ends where the last bytes, always as many, begin."""
        if isinstance(self._key, Path):
            make_private(self._key.parent)
            self._key = load_or_create_key(self._key)
        return AESGCM(
            hashlib.blake2b(
                name.encode() + drawn, key=self._key, digest_size=KEY_BYTES, person=b"hostel artifact"
            ).digest()
        )

    def _seal(self, name: str, told: bytes, artifact: bytes) -> None:
        size = _BEGIN + len(told) + len(artifact)
        if len(told) > FACTS_MOST or len(artifact) > self._artifact_bytes_max or size > self._bytes_max:
            return
        body = _LENGTHS.pack(len(told), len(artifact)) + told + artifact
        drawn = secrets.token_bytes(_DRAWN_BYTES)
        tag = self._sealing(name, drawn).encrypt(_NONCE, b"", body)
        self._shelf.write(name, _HEAD.pack(_MAGIC, drawn, tag) + body)

    def _open(self, name: str) -> tuple[bytes, bytes] | None:
        """JSON and artifact of an authentic record; anything else is removed."""
        record = self._shelf.read(name)
        if record is None:
            return None
        if len(record) >= _BEGIN:
            magic, drawn, tag = _HEAD.unpack_from(record)
            told_bytes, artifact_bytes = _LENGTHS.unpack_from(record, _HEAD.size)
            end = _BEGIN + told_bytes
            if magic == _MAGIC and end + artifact_bytes == len(record):
                with contextlib.suppress(InvalidTag):
                    self._sealing(name, drawn).decrypt(_NONCE, tag, memoryview(record)[_HEAD.size :])
                    return record[_BEGIN:end], record[end:]
        self._shelf.remove(name)
        return None


def load_or_create_key(path: Path) -> bytes:
    """The secret that tags are made with, from a file of its own (0600), made on first use.

    Raises `StartupError` for a file that is not this user's alone or not a key. Two processes that start at once get
    the same key: it is written aside, flushed, and linked into place, which only one can.
    """
    if not path.exists():
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        state, key = os.fstat(file.fileno()), file.read(KEY_BYTES + 1)
    if state.st_uid != os.geteuid() or state.st_mode & 0o077 or len(key) != KEY_BYTES:
        raise StartupError(
            f"the key file {path} must hold {KEY_BYTES} bytes and be readable by this user only (chmod 600): it has"
            f" {len(key)} bytes, owner {state.st_uid}, mode {stat.filemode(state.st_mode)}; a removed key is made"
            " anew, and what was compiled under it is compiled again",
            details={"path": str(path), "owner": state.st_uid, "mode": stat.filemode(state.st_mode)},
        )
    return key
