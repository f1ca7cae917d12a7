"""Signed heads: what is written is read back, and nothing else is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host_api.audit import Head
from runtime.bundle.keys import PublicKey
from runtime.errors import UsageError
from runtime.signed_head import FILE_BYTES_MAX, public_key, read, sign

KEY = bytes(range(32))
HEAD = Head(n=12, hash=b"\xab" * 32)
AT_US = 1_800_000_000_000_000


def write(folder: Path, told: Any) -> Path:
    path = folder / "head.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return path


def test_what_was_signed_is_read(tmp_path: Path) -> None:
    signed = sign(HEAD, AT_US, KEY)
    assert read(write(tmp_path, signed.as_dict())) == signed
    assert (signed.head, signed.at_us, signed.public_key) == (HEAD, AT_US, public_key(KEY))


def test_signed_are_these_bytes() -> None:
    message = b"hostel audit head 1\0" + (12).to_bytes(8, "big") + b"\xab" * 32 + AT_US.to_bytes(8, "big")
    signed = sign(HEAD, AT_US, KEY)
    assert public_key(KEY).signed(message, signed.signature)
    assert isinstance(signed.public_key, PublicKey)


@pytest.mark.parametrize(
    "change",
    [{"n": 13}, {"hash": "ac" + "ab" * 31}, {"at_us": AT_US + 1}, {"signature": "00" * 64},
     {"public_key": str(public_key(bytes(32)))}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_whatever_is_changed_the_signature_does_not_fit(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="signature does not fit"):
        read(write(tmp_path, {**sign(HEAD, AT_US, KEY).as_dict(), **change}))


@pytest.mark.parametrize(
    "told",
    ["", "[]", "{}", "\x00", "null"]
    + [
        {**sign(HEAD, AT_US, KEY).as_dict(), **change}
        for change in (
            {"n": -1}, {"n": "12"}, {"n": 1.0}, {"n": 2**63}, {"hash": "AB" * 32}, {"hash": "ab" * 32 + "\n"},
            {"signature": "ab"}, {"public_key": "ed25519:x"}, {"format": "hostel audit head 2"}, {"more": 1},
            {"public_key": "ed25519:" + "A" * 43},
        )
    ],
)  # fmt: skip
def test_what_is_no_head(tmp_path: Path, told: Any) -> None:
    with pytest.raises(UsageError, match="no head of an audit"):
        read(write(tmp_path, told))


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, " " * (FILE_BYTES_MAX + 1)).parent)  # a long path is cut, and the number with it
    with pytest.raises(UsageError):
        read(Path("none"))
    with pytest.raises(UsageError, match=str(FILE_BYTES_MAX)):
        read(next(Path().iterdir()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_give_a_head_or_a_refusal(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "any").write_bytes(data)
    with pytest.raises(UsageError):
        read(tmp_path / "any")
