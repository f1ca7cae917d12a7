"""A head of the audit, signed: the paper that is taken out of the machine, and held against its audit later.

What lives here: its JSON text and its signature. The chain itself is host_api/audit.py's; no key is kept here.

    {"format": "hostel audit head 1", "n": 12, "hash": "…", "at_us": …, "public_key": "ed25519:…", "signature": "…"}

Signed is, with Ed25519: "hostel audit head 1\\0" ‖ n in 8 bytes ‖ hash ‖ at_us in 8 bytes, numbers big-endian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host_api.audit import Head
from runtime.bundle.files import read_file
from runtime.bundle.keys import PublicKey
from runtime.bundle.refusal import shown
from runtime.errors import HostelError, UsageError

FORMAT: Final = "hostel audit head 1"
FILE_BYTES_MAX: Final = 4_096
KEY_PURPOSE: Final = "audit"
"""Its key file in the state directory's `keys/` (host_api/store/key_file.py), made with the first head."""
_NUMBER_MAX: Final = 2**63 - 1


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: str
    n: Annotated[int, msgspec.Meta(ge=0, le=_NUMBER_MAX)]
    hash: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    at_us: Annotated[int, msgspec.Meta(ge=0, le=_NUMBER_MAX)]
    public_key: str
    signature: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{128}\Z")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """A head, when it was taken, and whose word that is. From `sign` or `read`: its signature fits."""

    head: Head
    at_us: int
    public_key: PublicKey
    signature: bytes

    def as_dict(self) -> dict[str, str | int]:
        """As it is written to JSON."""
        return {
            "format": FORMAT,
            "n": self.head.n,
            "hash": self.head.hash.hex(),
            "at_us": self.at_us,
            "public_key": str(self.public_key),
            "signature": self.signature.hex(),
        }


def sign(head: Head, at_us: int, key: bytes) -> SignedHead:
    """Sign with the host's key: its 32 secret bytes."""
    private = Ed25519PrivateKey.from_private_bytes(key)
    return SignedHead(head=head, at_us=at_us, public_key=public_key(key), signature=private.sign(_message(head, at_us)))


def public_key(key: bytes) -> PublicKey:
    """The public half of those 32 bytes."""
    return PublicKey(Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw())


def read(path: Path) -> SignedHead:
    """Read a head's file. Raises UsageError: it cannot be read, is none, or its signature does not fit."""
    try:
        data = read_file(path, "head_bytes_max", FILE_BYTES_MAX)
    except UsageError:
        raise
    except HostelError as error:
        raise UsageError(f"{shown(str(path))} is no head of an audit: {shown(str(error))}") from None
    return _checked(lambda: msgspec.json.decode(data, type=_Text), shown(str(path)))


def from_dict(told: Mapping[str, str | int], what: str = "this") -> SignedHead:
    """What `as_dict` gave. Raises as `read`."""
    return _checked(lambda: msgspec.convert(told, _Text), what)


def _checked(text_of: Callable[[], _Text], what: str) -> SignedHead:
    try:
        text = text_of()
        public = PublicKey.from_text(text.public_key)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, HostelError) as error:
        raise UsageError(f"{what} is no head of an audit: {shown(str(error))}; hostel audit head makes one") from None
    if text.format != FORMAT:
        raise UsageError(f"{what} is no head of an audit that this hostel reads; hostel audit head makes one")
    head, signature = Head(n=text.n, hash=bytes.fromhex(text.hash)), bytes.fromhex(text.signature)
    if not public.signed(_message(head, text.at_us), signature):
        raise UsageError(f"{what}: its signature does not fit: it is not as it was made")
    return SignedHead(head=head, at_us=text.at_us, public_key=public, signature=signature)


def _message(head: Head, at_us: int) -> bytes:
    return FORMAT.encode() + b"\0" + head.n.to_bytes(8, "big") + head.hash + at_us.to_bytes(8, "big")
