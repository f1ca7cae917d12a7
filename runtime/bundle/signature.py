"""The identity of a bundle, and the signature over it.

What lives here: the exact bytes that are hashed and signed, and the block that carries the signature. Who is trusted is
keyring.py's. No I/O.

Identity: SHA-256 over
    b"hostel bundle identity v1" 00
    number of members                    u32
    for each member, by its path's UTF-8 bytes ascending:
        length of the path in bytes      u32
        path                             UTF-8
        SHA-256 of the member's content  32 bytes
so it is the same however the members were packed, signed or not.

What is signed (Ed25519, RFC 8032, no pre-hash):
    b"hostel bundle signature v1" 00
    identity                             32 bytes
    SHA-256 of the file without block    32 bytes: no byte of the container can be changed by who carries it
    key id                               16 bytes
    version code                         u64
    length of the app id in bytes        u16
    app id                               ASCII

The signing block lies right before the central directory (W3C MiniApp Packaging, "Digital Signature Requirements": its
last 16 bytes are the magic number) and has the shape of the draft's example, one ID-value pair between two sizes:
    size of all that follows             u64 = 148
    size of the pair                     u64 = 116
    ID of the pair                       u32 = 0x314C5448 (b"HTL1")
    key id, public key, signature        16 + 32 + 64 bytes
    size again                           u64 = 148
    magic number                         16 bytes b"hostel sig block"
All integers are little-endian and unsigned. The block is exactly these 156 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.bundle.keys import SIGNATURE_BYTES, PublicKey
from runtime.bundle.refusal import refused
from runtime.errors import SignatureError

IDENTITY_TAG = b"hostel bundle identity v1\0"
SIGNATURE_TAG = b"hostel bundle signature v1\0"
BLOCK_MAGIC = b"hostel sig block"
BLOCK_PAIR_ID = 0x314C5448
_BLOCK = struct.Struct("<QQI16s32s64sQ16s")
BLOCK_BYTES = _BLOCK.size
_SIZE = BLOCK_BYTES - 8
_PAIR_SIZE = 4 + 16 + 32 + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a signature covers."""

    identity: bytes
    unsigned_sha256: bytes
    app_id: str
    version_code: int

    def message(self, key: PublicKey) -> bytes:
        """The bytes that `key`'s owner signs."""
        app_id = self.app_id.encode()
        fixed = SIGNATURE_TAG + self.identity + self.unsigned_sha256 + bytes.fromhex(key.key_id)
        return fixed + struct.pack("<QH", self.version_code, len(app_id)) + app_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who signed, and the 64 bytes. Whether it is right is known after `verify`."""

    public_key: PublicKey
    value: bytes

    @property
    def key_id(self) -> str:
        return self.public_key.key_id

    def verify(self, claim: Claim) -> None:
        """Raises:
        SignatureError: this is no signature of `claim` by this key (code `signature_invalid`).
        """
        if not self.public_key.signed(claim.message(self.public_key), self.value):
            raise SignatureError(
                f"the signature by key {self.key_id} does not fit the bundle: it was changed after it was signed;"
                " get it again from its developer, or sign it again",
                details={"key_id": self.key_id},
            )


def bundle_identity(digests: Mapping[str, bytes]) -> bytes:
    """The identity of a bundle with these members: path → SHA-256 of the content."""
    whole = hashlib.sha256(IDENTITY_TAG + struct.pack("<I", len(digests)))
    for path, digest in sorted((path.encode(), digest) for path, digest in digests.items()):
        whole.update(struct.pack("<I", len(path)) + path + digest)
    return whole.digest()


def encode_block(signature: Signature) -> bytes:
    """The signing block, `BLOCK_BYTES` long."""
    key = signature.public_key
    return _BLOCK.pack(
        _SIZE, _PAIR_SIZE, BLOCK_PAIR_ID, bytes.fromhex(key.key_id), key.raw, signature.value, _SIZE, BLOCK_MAGIC
    )


def decode_block(block: bytes) -> Signature:
    """Read what lies before the central directory.

    Raises:
        BundleError: it is no signing block of ours at all.
        SignatureError: it is one, and not in order (code `signature_invalid`).
    """
    if not block.endswith(BLOCK_MAGIC):
        raise refused(f"{len(block)} bytes between the last member and the central directory are no signing block")
    if len(block) != BLOCK_BYTES:
        raise SignatureError(f"the signing block has {len(block)} bytes; it must have {BLOCK_BYTES}")
    size, pair_size, pair_id, key_id, raw, value, size_again, _ = _BLOCK.unpack(block)
    if (size, pair_size, pair_id, size_again) != (_SIZE, _PAIR_SIZE, BLOCK_PAIR_ID, _SIZE):
        raise SignatureError(f"the signing block's sizes or ID are wrong: {size}, {pair_size}, {pair_id}, {size_again}")
    signature = Signature(public_key=PublicKey(raw), value=value)
    if signature.key_id != key_id.hex():
        raise SignatureError(f"the signing block's key id {key_id.hex()} is not that of its key, {signature.key_id}")
    return signature
