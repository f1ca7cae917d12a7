"""A private key's file: its mode, that it is never written over, and what is no key."""

import os
import pickle
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from runtime.bundle import SigningKey
from runtime.errors import BundleError, UsageError


@pytest.mark.parametrize("umask", [0, 0o777])
def test_saved_key_is_loaded(tmp_path: Path, umask: int) -> None:
    key = SigningKey.generate()
    mask = os.umask(umask)
    try:
        key.save(tmp_path / "key.pem")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert SigningKey.load(tmp_path / "key.pem").public_key == key.public_key


def test_generated_keys_differ() -> None:
    assert SigningKey.generate().public_key != SigningKey.generate().public_key


@pytest.mark.parametrize("there", ["file", "dangling_link", "folder"])
def test_nothing_is_written_over(tmp_path: Path, there: str) -> None:
    path = tmp_path / "key.pem"
    if there == "file":
        path.write_text("precious")
    elif there == "dangling_link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(UsageError, match="exists"):
        SigningKey.generate().save(path)
    assert not (tmp_path / "elsewhere").exists()
    if there == "file":
        assert path.read_text() == "precious"


def test_no_file_is_left_where_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        SigningKey.generate().save(tmp_path / "no folder" / "key.pem")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o601])
def test_shared_key_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    SigningKey.generate().save(path)
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"mode {mode:04o}.*chmod 600"):
        SigningKey.load(path)


@pytest.mark.parametrize("what", ["missing", "folder", "fifo", "text", "other_kind", "encrypted", "too_large"])
def test_no_key(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key.pem"
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    written = {"text": b"hello", "other_kind": other, "encrypted": locked, "too_large": bytes(4097)}
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path, 0o600)
    elif what != "missing":
        path.write_bytes(written[what])
        path.chmod(0o600)
    expected = BundleError if what == "too_large" else UsageError
    with pytest.raises(expected):
        SigningKey.load(path)


def test_seed_length() -> None:
    with pytest.raises(UsageError, match="31 bytes"):
        SigningKey.from_seed(bytes(31))


def test_private_half_stays_private(key: SigningKey) -> None:
    assert repr(key) == f"SigningKey({key.public_key.key_id})"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
