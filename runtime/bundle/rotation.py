"""A developer's new key, vouched for by the old one.

What lives here: the exact bytes that are signed, and the proof. Signed by both keys (Ed25519, RFC 8032, no pre-hash),
so that nobody takes over a key that is not theirs:
    b"hostel key rotation v1" 00
    id of the old key                    16 bytes
    the new public key                   32 bytes
    length of the developer's id         u16, little-endian
    the developer's id                   ASCII
"""

from __future__ import annotations

import struct
from typing import Final

from runtime.bundle.keys import SIGNATURE_BYTES, PublicKey
from runtime.errors import SignatureError

ROTATION_TAG: Final = b"hostel key rotation v1\0"


def rotation_message(developer: str, old: PublicKey, new: PublicKey) -> bytes:
    """The bytes that both keys' owner signs."""
    who = developer.encode()
    return ROTATION_TAG + bytes.fromhex(old.key_id) + new.raw + struct.pack("<H", len(who)) + who


def check_rotation(developer: str, old: PublicKey, new: PublicKey, by_old: bytes, by_new: bytes) -> None:
    """Raises:
    SignatureError: one of the two does not fit (code `signature_invalid`).
    """
    message = rotation_message(developer, old, new)
    for key, signature, which in ((old, by_old, "old"), (new, by_new, "new")):
        if len(signature) != SIGNATURE_BYTES or not key.signed(message, signature):
            raise SignatureError(
                f"the signature by the {which} key {key.key_id} does not fit this rotation of {developer}'s keys",
                details={"key_id": key.key_id},
            )
