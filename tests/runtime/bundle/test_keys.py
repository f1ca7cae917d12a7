"""Public keys: their text and id, and the points that are refused, derived here a second time by adding points."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from runtime.bundle import PublicKey, SigningKey
from runtime.bundle.keys import SMALL_ORDER_Y, D, P
from runtime.errors import SignatureError

L = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]


def root(square: int) -> int | None:
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if x * x % P == square % P else None


def add(a: Point, b: Point) -> Point:
    (x, y), (u, v) = a, b
    k = D * x * u * y * v
    return (x * v + y * u) * pow(1 + k, -1, P) % P, (y * v + x * u) * pow(1 - k, -1, P) % P


def times(n: int, point: Point) -> Point:
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def torsion() -> set[Point]:
    """All points of order 1, 2, 4, 8: what is left of any point times the large prime L, until eight are found."""
    found: set[Point] = set()
    y = 2
    while len(found) < 8:
        x = root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)
        if x is not None:
            small = times(L, (x, y))
            found |= {times(n, small) for n in range(8)}
        y += 1
    return found


def encodings() -> set[bytes]:
    """Every 32 bytes that some reader takes for a point of small order: y or y + p, and either sign where x is 0."""
    found = set()
    for x, y in torsion():
        for wide in (y, y + P):
            for sign in {x & 1} if x else {0, 1}:
                if wide < 2**255:
                    found.add((wide | sign << 255).to_bytes(32, "little"))
    return found


def test_table_of_small_order_points() -> None:
    points = torsion()
    assert len(points) == 8
    assert all(times(8, point) == (0, 1) for point in points)
    assert {y for _, y in points} == SMALL_ORDER_Y


def test_every_encoding_of_small_order_is_refused() -> None:
    assert len(encodings()) == 14
    for raw in encodings():
        with pytest.raises(SignatureError, match="small order") as caught:
            PublicKey(raw)
        assert caught.value.code == "signature_invalid"


def test_why_they_are_refused() -> None:
    """The library alone takes one constant signature for any message under the neutral element."""
    neutral = (1).to_bytes(32, "little")
    for message in (b"one", b"other"):
        Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), message)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "has 0 bytes"),
        (bytes(31), "has 31 bytes"),
        (bytes(33), "has 33 bytes"),
        ((2).to_bytes(32, "little"), "no point of the curve"),
        ((P + 3).to_bytes(32, "little"), "not encoded canonically"),
        ((P + 18 | 1 << 255).to_bytes(32, "little"), "not encoded canonically"),
    ],
)
def test_no_public_key(raw: bytes, words: str) -> None:
    with pytest.raises(SignatureError, match=words):
        PublicKey(raw)


def test_id_and_text(key: SigningKey) -> None:
    """Fixed vectors: RFC 8032's public key of the seed 00..1f, and what docs/protocol.md derives from it."""
    public = key.public_key
    assert public.raw.hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert public.key_id == hashlib.sha256(b"hostel key id v1\0" + public.raw).hexdigest()[:32]
    assert str(public) == "ed25519:A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
    assert PublicKey.from_text(str(public)) == public


@pytest.mark.parametrize(
    "text",
    [
        "", "ed25519:", "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        "ed25519:A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg\n", "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        "ed25519:A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "ED25519:A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        "ed25519:A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbh",
    ],
)  # fmt: skip
def test_only_one_text_of_a_key(text: str) -> None:
    with pytest.raises(SignatureError, match="is no public key"):
        PublicKey.from_text(text)


@given(st.binary(min_size=30, max_size=34) | st.text(max_size=60))
def test_anything(value: bytes | str) -> None:
    try:
        public = PublicKey(value) if isinstance(value, bytes) else PublicKey.from_text(value)
    except SignatureError as error:
        assert error.message.isascii()
        return
    assert PublicKey.from_text(str(public)) == public


def test_honest_keys_are_taken() -> None:
    for number in range(50):
        key = SigningKey.from_seed(number.to_bytes(32, "big"))
        assert key.public_key.signed(b"message", key._private.sign(b"message"))
