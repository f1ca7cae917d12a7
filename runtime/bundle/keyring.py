"""Whose signatures the operator trusts, and the verdict on a bundle's.

What lives here: the list of trusted keys with their windows and revocations, its file form, and the policy over a
bundle. Whether a signature fits its bundle was settled when the bundle was read. Time is handed in. Which key may
release which program is the registry's to remember: a trusted key is trusted for any app id here.

The file is TOML:
    [[key]]
    public_key = "ed25519:..."               # as `hostel keygen` prints it
    owner = "Example Ltd"                     # optional, for people
    not_before = 2026-01-01T00:00:00Z         # optional; from then on
    not_after = 2027-01-01T00:00:00Z          # optional; before then
    revoked = false                           # optional
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import msgspec

from runtime.bundle.bundle import Bundle
from runtime.bundle.files import read_file, unreadable
from runtime.bundle.keys import PublicKey
from runtime.bundle.refusal import shown
from runtime.errors import SignatureError, UsageError
from runtime.limits import MIB

KEYRING_BYTES_MAX = MIB
"""One file."""
KEYRING_FILES_MAX = 1_000
"""Of a folder."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A key, and when it counts: from `not_before_us` on, before `not_after_us` (µs since 1970; None: no bound)."""

    public_key: PublicKey
    owner: str = ""
    not_before_us: int | None = None
    not_after_us: int | None = None
    revoked: bool = False

    def __post_init__(self) -> None:
        early, late = self.not_before_us, self.not_after_us
        if early is not None and late is not None and early >= late:
            raise UsageError(f"key {self.public_key.key_id}: not_before is not before not_after")

    def check(self, now_us: int) -> None:
        """Raises:
        SignatureError: the key does not count now: `key_revoked` or `key_expired`, the first that holds.
        """
        details = {"key_id": self.public_key.key_id}
        if self.revoked:
            message = f"key {self.public_key.key_id} is revoked; have the bundle signed by the developer's new key"
            raise SignatureError(message, code="key_revoked", details=details)
        early = self.not_before_us is not None and now_us < self.not_before_us
        late = self.not_after_us is not None and now_us >= self.not_after_us
        if early or late:
            bound = self.not_before_us if early else self.not_after_us
            when = (_EPOCH + timedelta(microseconds=bound or 0)).isoformat()
            message = f"key {self.public_key.key_id} is valid {'from' if early else 'until'} {when} only"
            raise SignatureError(
                f"{message}; have the bundle signed by a valid key, or change the key's window",
                code="key_expired",
                details={**details, "not_before_us": self.not_before_us, "not_after_us": self.not_after_us},
            )


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    public_key: str
    owner: Annotated[str, msgspec.Meta(max_length=200)] = ""
    not_before: _Moment | None = None
    not_after: _Moment | None = None
    revoked: bool = False

    def trusted(self) -> TrustedKey:
        return TrustedKey(
            public_key=PublicKey.from_text(self.public_key),
            owner=self.owner,
            not_before_us=_microseconds(self.not_before),
            not_after_us=_microseconds(self.not_after),
            revoked=self.revoked,
        )


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    key: tuple[_Entry, ...] = ()


class Keyring:
    """Trusted keys by id. Never changes; an empty one trusts nobody."""

    __slots__ = ("keys",)

    keys: Mapping[str, TrustedKey]

    def __init__(self, keys: Iterable[TrustedKey] = ()) -> None:
        """Raises:
        UsageError: a key is there twice (of two entries, one could be revoked).
        """
        by_id: dict[str, TrustedKey] = {}
        for key in keys:
            if key.public_key.key_id in by_id:
                raise UsageError(f"key {key.public_key.key_id} is listed twice; keep one entry")
            by_id[key.public_key.key_id] = key
        self.keys = MappingProxyType(by_id)

    @classmethod
    def parse(cls, text: str, source: str = "keyring") -> Keyring:
        """Read the TOML of one file; `source` names it in refusals.

        Raises:
            UsageError: no TOML, an unknown key or a wrong value, a refused public key, a key twice.
        """
        return cls(_parsed(text, source))

    @classmethod
    def load(cls, path: Path | str) -> Keyring:
        """Read one file, or all `*.toml` of a folder; a folder with anything else in it is refused.

        Raises:
            UsageError: as `parse`, or it cannot be read.
            BundleError: a file is over `KEYRING_BYTES_MAX`.
        """
        keys: list[TrustedKey] = []
        for file in _files(Path(path)):
            data = read_file(file, "keyring_bytes_max", KEYRING_BYTES_MAX)
            try:
                keys += _parsed(data.decode(), shown(str(file)))
            except UnicodeDecodeError:
                raise UsageError(f"{shown(str(file))} is not UTF-8") from None
        return cls(keys)


def check_policy(bundle: Bundle, keyring: Keyring, *, allow_unsigned: bool, now_us: int) -> TrustedKey | None:
    """The key that vouches for `bundle`; None where none does and the operator allows that.

    With `allow_unsigned` a signature by an unknown key counts as none (whoever carries a bundle could take it off),
    while a revoked or expired key is still refused: the operator has said something about it.

    Raises:
        SignatureError: `unsigned_bundle`, `key_unknown`, `key_revoked` or `key_expired`.
    """
    if bundle.signature is None:
        if allow_unsigned:
            return None
        raise SignatureError(
            "the bundle is not signed; sign it with hostel sign, or allow unsigned bundles", code="unsigned_bundle"
        )
    key_id = bundle.signature.key_id
    key = keyring.keys.get(key_id)
    if key is not None:
        key.check(now_us)
        return key
    if allow_unsigned:
        return None
    raise SignatureError(
        f"the bundle is signed by key {key_id}, which is not among the {len(keyring.keys)} of the keyring;"
        " add its public key if you trust its owner",
        code="key_unknown",
        details={"key_id": key_id, "public_key": str(bundle.signature.public_key)},
    )


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(path.iterdir())
    except OSError as error:
        raise unreadable(path, error) from error
    strangers = [file for file in files if file.suffix != ".toml"]
    if strangers:
        raise UsageError(f"{shown(str(strangers[0]))} is no .toml file; a keyring's folder holds nothing else")
    if len(files) > KEYRING_FILES_MAX:
        raise UsageError(f"{shown(str(path))} has {len(files)} files: over keyring_files_max = {KEYRING_FILES_MAX}")
    return files


def _parsed(text: str, source: str) -> list[TrustedKey]:
    try:
        entries = msgspec.convert(tomllib.loads(text), _File).key
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{source}: {error}") from None
    keys = []
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(entry.trusted())
        except (SignatureError, UsageError) as error:
            raise UsageError(f"{source}: key {number}: {error.message}") from None
    return keys


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
