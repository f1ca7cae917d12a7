"""Identity, the signed bytes and the block: fixed vectors, and that no byte of a signed bundle can change."""

import hashlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bundle import Bundle, SigningKey, pack_contents, sign
from runtime.bundle.archive_writer import place_block
from runtime.bundle.signature import BLOCK_BYTES, BLOCK_MAGIC, Claim, bundle_identity, decode_block
from runtime.errors import BundleError, SignatureError


def test_identity_vector() -> None:
    digests = {"b": hashlib.sha256(b"2").digest(), "a/ü": hashlib.sha256(b"1").digest()}
    told = b"hostel bundle identity v1\0" + b"\2\0\0\0"
    told += b"\4\0\0\0a/\xc3\xbc" + hashlib.sha256(b"1").digest() + b"\1\0\0\0b" + hashlib.sha256(b"2").digest()
    assert bundle_identity(digests) == hashlib.sha256(told).digest()


def test_identity_is_of_contents_only(zips: Any, unsigned: bytes, signed: bytes, contents: dict[str, bytes]) -> None:
    """Signed or not, pressed or stored, in another order, at another time: the same."""
    members = [
        zips.member(name=path.encode(), content=content, both={"time": 7, "needed": 10})
        for path, content in sorted(contents.items(), reverse=True)
    ]
    identities = {Bundle.from_bytes(data).identity for data in (unsigned, signed, zips.build(*members))}
    assert len(identities) == 1


@pytest.mark.parametrize("change", ["content", "path", "more", "less"])
def test_identity_changes_with_contents(contents: dict[str, bytes], unsigned: bytes, change: str) -> None:
    changed = dict(contents, extra=b"")
    other = {
        "content": {**changed, "extra": b"x"},
        "path": {**contents, "extrb": b""},
        "more": {**changed, "more": b""},
        "less": contents,
    }[change]
    assert Bundle.from_bytes(pack_contents(other)).identity != Bundle.from_bytes(pack_contents(changed)).identity


def test_signed_bytes_vector(key: SigningKey) -> None:
    claim = Claim(identity=b"i" * 32, unsigned_sha256=b"u" * 32, app_id="org.a", version_code=7)
    told = b"hostel bundle signature v1\0" + b"i" * 32 + b"u" * 32 + bytes.fromhex(key.public_key.key_id)
    assert claim.message(key.public_key) == told + b"\7\0\0\0\0\0\0\0" + b"\5\0org.a"


def test_block_vector(unsigned: bytes, signed: bytes, key: SigningKey) -> None:
    """156 bytes right before the central directory, as docs/protocol.md draws them."""
    start = len(unsigned) - 22 - struct.unpack_from("<I", unsigned, len(unsigned) - 10)[0]
    block = signed[start : start + BLOCK_BYTES]
    assert BLOCK_BYTES == 156 == len(signed) - len(unsigned)
    signature = Bundle.from_bytes(signed).signature
    assert signature is not None
    assert block == (
        struct.pack("<QQ", 148, 116) + b"HTL1" + bytes.fromhex(key.public_key.key_id) + key.public_key.raw
        + signature.value + struct.pack("<Q", 148) + b"hostel sig block"
    )  # fmt: skip
    assert signed[start + BLOCK_BYTES :][:4] == b"PK\1\2"
    assert signed[:start] == unsigned[:start]


def test_signing_is_deterministic_and_replaces(unsigned: bytes, signed: bytes, key: SigningKey) -> None:
    other = SigningKey.from_seed(b"o" * 32)
    assert sign(unsigned, key) == signed == sign(signed, key) == sign(sign(unsigned, other), key)
    assert place_block(signed, b"") == unsigned


def test_signing_replaces_a_broken_signature(unsigned: bytes, signed: bytes, key: SigningKey) -> None:
    broken = place_block(unsigned, bytes(140) + BLOCK_MAGIC)
    with pytest.raises(SignatureError):
        Bundle.from_bytes(broken)
    assert sign(broken, key) == signed


def test_no_flipped_bit_passes(contents: dict[str, bytes], key: SigningKey) -> None:
    """Each bit, and all bits, of each byte of a small signed bundle: headers, times, deflate padding, block, end."""
    small = {
        "manifest.json": contents["manifest.json"].replace(b"common/icon.png", b"i"),
        "program.wasm": b"",
        "i": b"",
    }
    signed = sign(pack_contents(small), key)
    passed = []
    for at in range(len(signed)):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            flipped = bytearray(signed)
            flipped[at] ^= mask
            try:
                Bundle.from_bytes(bytes(flipped))
            except BundleError:
                continue
            passed.append((at, mask))
    assert passed == []


@given(st.data())
def test_no_change_passes(signed: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(signed)))
    changed = signed[:at] + data.draw(st.binary(max_size=4)) + signed[at + data.draw(st.integers(0, 4)) :]
    if changed != signed:
        with pytest.raises(BundleError):
            Bundle.from_bytes(changed)


def test_repacked_signed_bundle_is_refused(
    zips: Any, signed: bytes, unsigned: bytes, contents: dict[str, bytes]
) -> None:
    """The same contents pressed otherwise under the same signature: the container is covered too."""
    members = [zips.member(name=path.encode(), content=content) for path, content in sorted(contents.items())]
    block = signed[len(unsigned) - 22 - struct.unpack_from("<I", unsigned, len(unsigned) - 10)[0] :][:BLOCK_BYTES]
    with pytest.raises(SignatureError, match="does not fit"):
        Bundle.from_bytes(zips.build(*members, block=block))


@pytest.mark.parametrize("what", ["identity", "unsigned_sha256", "app_id", "version_code", "key"])
def test_signature_covers(key: SigningKey, what: str) -> None:
    words: dict[str, Any] = {"identity": b"i" * 32, "unsigned_sha256": b"u" * 32, "app_id": "org.a", "version_code": 7}
    signature = key.sign(Claim(**words))
    signature.verify(Claim(**words))
    changed = {"identity": b"j" * 32, "unsigned_sha256": b"v" * 32, "app_id": "org.b", "version_code": 8}
    claim = Claim(**(words if what == "key" else {**words, what: changed[what]}))
    if what == "key":
        signature = type(signature)(public_key=SigningKey.from_seed(b"o" * 32).public_key, value=signature.value)
    with pytest.raises(SignatureError, match="does not fit") as caught:
        signature.verify(claim)
    assert caught.value.code == "signature_invalid"


def block(**changes: Any) -> bytes:
    raw = SigningKey.from_seed(b"k" * 32).public_key
    words = {
        "size": 148, "pair": 116, "id": 0x314C5448, "key_id": bytes.fromhex(raw.key_id), "raw": raw.raw,
        "value": bytes(64), "again": 148, "magic": BLOCK_MAGIC, **changes,
    }  # fmt: skip
    return struct.pack("<QQI16s32s64sQ16s", *words.values())


BLOCKS: dict[str, tuple[bytes, str, str]] = {
    "empty_gap": (b"\0", "bundle_invalid", "1 bytes between the last member"),
    "other_magic": (block(magic=b"RPK Sig Block 42"), "bundle_invalid", "are no signing block"),
    "too_short": (block()[1:], "signature_invalid", "has 155 bytes"),
    "too_long": (b"\0" + block(), "signature_invalid", "has 157 bytes"),
    "size": (block(size=147), "signature_invalid", "147, 116"),
    "pair_size": (block(pair=117), "signature_invalid", "148, 117"),
    "pair_id": (block(id=1), "signature_invalid", "sizes or ID"),
    "size_again": (block(again=0), "signature_invalid", "sizes or ID"),
    "key_id": (block(key_id=bytes(16)), "signature_invalid", "is not that of its key"),
    "small_order_key": (block(raw=bytes(32)), "signature_invalid", "small order"),
    "no_curve_point": (block(raw=b"\2" + bytes(31)), "signature_invalid", "no point of the curve"),
}


@pytest.mark.parametrize("trick", BLOCKS)
def test_block_refused(unsigned: bytes, trick: str) -> None:
    told, code, words = BLOCKS[trick]
    with pytest.raises(BundleError) as caught:
        Bundle.from_bytes(place_block(unsigned, told))
    assert caught.value.code == code
    assert words in caught.value.message


def test_constant_signature_of_a_small_order_key_is_refused(unsigned: bytes) -> None:
    """Without the rule on keys this forged bundle would verify: nobody holds a private key for it."""
    neutral = (1).to_bytes(32, "little")
    key_id = hashlib.sha256(b"hostel key id v1\0" + neutral).digest()[:16]
    forged = place_block(unsigned, block(key_id=key_id, raw=neutral, value=neutral + bytes(32)))
    with pytest.raises(SignatureError, match="small order"):
        Bundle.from_bytes(forged)


def test_high_s_is_refused(signed: bytes, unsigned: bytes) -> None:
    """S plus the group's order signs the same for careless verifiers (RFC 8032 §5.1.7)."""
    signature = Bundle.from_bytes(signed).signature
    assert signature is not None
    order = 2**252 + 27742317777372353535851937790883648493
    high = (int.from_bytes(signature.value[32:], "little") + order).to_bytes(32, "little")
    with pytest.raises(SignatureError, match="does not fit"):
        Bundle.from_bytes(signed.replace(signature.value[32:], high))


@given(st.binary(max_size=200) | st.binary(max_size=140).map(lambda some: some.rjust(140, b"\0") + BLOCK_MAGIC))
def test_any_block(data: bytes) -> None:
    try:
        decode_block(data)
    except BundleError as error:
        assert error.message.isascii()
