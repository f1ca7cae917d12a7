"""The bytes of a key's rotation, and that nothing else is taken for them."""

from __future__ import annotations

import pytest

from runtime.bundle import SigningKey
from runtime.bundle.rotation import check_rotation, rotation_message
from runtime.errors import SignatureError

OLD, NEW, OTHER = (SigningKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3))


def test_these_bytes_are_signed() -> None:
    old, new = OLD.public_key, NEW.public_key
    told = b"hostel key rotation v1\0" + bytes.fromhex(old.key_id) + new.raw + b"\x03\x00" + b"ann"
    assert rotation_message("ann", old, new) == told


def test_whatever_is_changed_the_signatures_do_not_fit() -> None:
    message = rotation_message("ann", OLD.public_key, NEW.public_key)
    by_old, by_new = OLD._private.sign(message), NEW._private.sign(message)
    check_rotation("ann", OLD.public_key, NEW.public_key, by_old, by_new)
    for developer, old, new, one, other in (
        ("bob", OLD, NEW, by_old, by_new), ("ann", OTHER, NEW, by_old, by_new), ("ann", OLD, OTHER, by_old, by_new),
        ("ann", OLD, NEW, by_new, by_old), ("ann", OLD, NEW, by_old, by_old), ("ann", OLD, NEW, b"", by_new),
        ("ann", OLD, NEW, by_old, bytes(64)),
    ):  # fmt: skip
        with pytest.raises(SignatureError) as refused:
            check_rotation(developer, old.public_key, new.public_key, one, other)
        assert refused.value.code == "signature_invalid"
