"""A developer's private key: made, kept in a file, used.

What lives here: the private half of keys.py, with its file: PKCS#8 in PEM, unencrypted, mode 0600, so that other tools
read it and secret scanners find it where it should not be.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from runtime.bundle.files import read_file
from runtime.bundle.keys import PublicKey
from runtime.bundle.refusal import shown
from runtime.bundle.signature import Claim, Signature
from runtime.errors import UsageError

KEY_FILE_BYTES_MAX = 4096


class SigningKey:
    """An Ed25519 private key. Its text forms show the public half only."""

    __slots__ = ("_private", "public_key")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key = PublicKey(private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key of a 32-byte secret (RFC 8032's private key): for tests and for keys kept elsewhere.

        Raises:
            UsageError: `seed` has another length.
        """
        if len(seed) != 32:
            raise UsageError(f"a seed of {len(seed)} bytes; an Ed25519 seed has 32")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path | str) -> SigningKey:
        """Read a key's file.

        Raises:
            UsageError: it cannot be read, holds no Ed25519 key, or others than its owner may use it.
            BundleError: it is over `KEY_FILE_BYTES_MAX`.
        """
        data = read_file(Path(path), "key_file_bytes_max", KEY_FILE_BYTES_MAX, private=True)
        try:
            private = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UsageError(f"{shown(str(path))} holds no unencrypted private key (PKCS#8, PEM)") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError(f"{shown(str(path))} holds a key of another kind; make one with hostel keygen")
        return cls(private)

    def save(self, path: Path | str) -> None:
        """Write the key to a new file of mode 0600; on an error no file is left.

        Raises:
            UsageError: there is something at `path` already, or it cannot be written.
        """
        pem = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise UsageError(
                f"{shown(str(path))} exists: a key is never written over another; choose a new name"
            ) from None
        except OSError as error:
            raise UsageError(f"cannot write {shown(str(path))}: {error.strerror}") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            with contextlib.suppress(OSError):
                Path(path).unlink()
            if isinstance(error, OSError):
                raise UsageError(f"cannot write {shown(str(path))}: {error.strerror}") from error
            raise

    def sign(self, claim: Claim) -> Signature:
        """This key's signature over `claim`."""
        return Signature(public_key=self.public_key, value=self._private.sign(claim.message(self.public_key)))

    def __repr__(self) -> str:
        return f"SigningKey({self.public_key.key_id})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")
