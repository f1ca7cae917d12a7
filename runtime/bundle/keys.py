"""Ed25519 public keys: their text, their id, and which of them are refused.

`cryptography` verifies what OpenSSL verifies, and that accepts a public key of small order, for which one constant
signature fits any message. So a key is checked when it is made, and a held `PublicKey` is one that can be trusted to
mean something. No I/O, no randomness.

The curve: RFC 8032 §5.1, -x² + y² = 1 + d·x²·y² over the field of p = 2^255 - 19; an encoding is y with the sign of x
in the top bit. Points whose order divides 8 have y = 1 (order 1), -1 (2), 0 (4), or y² = (√(1 + d) - 1) / d (8: twice
such a point has y = 0; the other root of 1 + d gives no square). With both signs, and with y + p where that still fits
in 255 bits, these are 14 encodings, as many as C2SP's test vectors (CCTV, ed25519) count; y is looked at modulo p, so
none can be left out. The tests derive all of it again by adding points.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from runtime.bundle.refusal import shown
from runtime.errors import SignatureError

KEY_BYTES = 32
KEY_ID_BYTES = 16
SIGNATURE_BYTES = 64
_KEY_ID_TAG = b"hostel key id v1\0"
_TEXT = re.compile(r"ed25519:[A-Za-z0-9_-]{43}")

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
_Y_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL_ORDER_Y = frozenset({1, P - 1, 0, _Y_ORDER_8, P - _Y_ORDER_8})
"""y of every point whose order divides 8: 1, 2, 4, 8 and 8."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that is on the curve, encoded in the one canonical way, and not of small order.

    Raises:
        SignatureError: it is none of that (code `signature_invalid`).
    """

    raw: bytes

    def __post_init__(self) -> None:
        problem = _problem(self.raw)
        if problem is not None:
            raise SignatureError(f"public key {shown(self.raw.hex())} {problem}")

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Read `ed25519:` and 43 characters of unpadded base64url; the only text of a key is the one `str()` gives."""
        if not _TEXT.fullmatch(text):
            raise SignatureError(f"{shown(text)} is no public key: write ed25519: and 43 characters of base64url")
        key = cls(base64.urlsafe_b64decode(text.removeprefix("ed25519:") + "="))
        if str(key) != text:
            raise SignatureError(f"{shown(text)} is no public key: its last character has bits of no meaning set")
        return key

    def __str__(self) -> str:
        return "ed25519:" + base64.urlsafe_b64encode(self.raw).decode().rstrip("=")

    @property
    def key_id(self) -> str:
        """32 hex digits: the first half of SHA-256 over a domain tag and the key."""
        return hashlib.sha256(_KEY_ID_TAG + self.raw).digest()[:KEY_ID_BYTES].hex()

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key's owner made `signature` over `message` (RFC 8032 §5.1.7, S below the group's order)."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def _problem(raw: bytes) -> str | None:
    if len(raw) != KEY_BYTES:
        return f"has {len(raw)} bytes; an Ed25519 key has {KEY_BYTES}"
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y % P in SMALL_ORDER_Y:
        return "is of small order: anybody can sign for it"
    if y >= P:
        return "is not encoded canonically (y is not below 2^255 - 19)"
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P)
    if pow(x_squared, (P - 1) // 2, P) != 1:
        return "is no point of the curve"
    return None
