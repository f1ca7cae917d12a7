"""Trusted keys: the file, the windows, and the verdict on a bundle."""

from pathlib import Path

import pytest

from runtime.bundle import Bundle, Keyring, SigningKey, TrustedKey, check_policy
from runtime.errors import BundleError, SignatureError, UsageError

OTHER = SigningKey.from_seed(b"o" * 32).public_key


@pytest.fixture
def bundle(signed: bytes) -> Bundle:
    return Bundle.from_bytes(signed)


def code_of(bundle: Bundle, keyring: Keyring, allow_unsigned: bool, now_us: int = 1_000) -> str:
    try:
        key = check_policy(bundle, keyring, allow_unsigned=allow_unsigned, now_us=now_us)
    except SignatureError as error:
        return error.code
    return "none" if key is None else key.owner


POLICY = [
    # signature, key in the ring, verdict, verdict where unsigned is allowed
    (False, "valid", "unsigned_bundle", "none"),
    (True, "valid", "owner", "owner"),
    (True, "absent", "key_unknown", "none"),
    (True, "revoked", "key_revoked", "key_revoked"),
    (True, "early", "key_expired", "key_expired"),
    (True, "late", "key_expired", "key_expired"),
    (True, "revoked_late", "key_revoked", "key_revoked"),
]


@pytest.mark.parametrize("allow_unsigned", [False, True])
@pytest.mark.parametrize("row", POLICY, ids=[f"{'signed' if row[0] else 'unsigned'}-{row[1]}" for row in POLICY])
def test_policy(
    signed: bytes, unsigned: bytes, key: SigningKey, row: tuple[bool, str, str, str], allow_unsigned: bool
) -> None:
    is_signed, state, strict, lax = row
    told = TrustedKey(
        public_key=OTHER if state == "absent" else key.public_key,
        owner="owner",
        revoked=state.startswith("revoked"),
        not_before_us=1_001 if state == "early" else None,
        not_after_us=1_000 if state.endswith("late") else None,
    )
    bundle = Bundle.from_bytes(signed if is_signed else unsigned)
    assert code_of(bundle, Keyring([told]), allow_unsigned) == (lax if allow_unsigned else strict)


@pytest.mark.parametrize(("now_us", "code"), [(99, "key_expired"), (100, ""), (199, ""), (200, "key_expired")])
def test_window_is_half_open(bundle: Bundle, key: SigningKey, now_us: int, code: str) -> None:
    keyring = Keyring([TrustedKey(public_key=key.public_key, not_before_us=100, not_after_us=200)])
    assert code_of(bundle, keyring, False, now_us) == code


def test_expiry_says_when(bundle: Bundle, key: SigningKey) -> None:
    keyring = Keyring.parse(f'[[key]]\npublic_key = "{key.public_key}"\nnot_after = 2026-01-01T00:00:00Z')
    with pytest.raises(SignatureError, match="until 2026-01-01T00:00:00") as caught:
        check_policy(bundle, keyring, allow_unsigned=False, now_us=1_767_225_600_000_000)
    assert caught.value.details["key_id"] == key.public_key.key_id
    assert check_policy(bundle, keyring, allow_unsigned=False, now_us=1_767_225_599_999_999) is not None


def test_empty_keyring_trusts_nobody(bundle: Bundle) -> None:
    assert code_of(bundle, Keyring(), False) == "key_unknown"


def test_every_field_is_read(key: SigningKey) -> None:
    text = f"""
    [[key]]
    public_key = "{key.public_key}"
    owner = "Example Ltd"
    not_before = 1970-01-01T00:00:01Z
    not_after = 1970-01-01T01:00:02+01:00
    revoked = true
    [[key]]
    public_key = "{OTHER}"
    """
    one, other = Keyring.parse(text).keys.values()
    assert one == TrustedKey(
        public_key=key.public_key, owner="Example Ltd", not_before_us=1_000_000, not_after_us=2_000_000, revoked=True
    )
    assert other == TrustedKey(public_key=OTHER)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[key]", "keys.toml: "),
        ("[[key]]\nowner = 'x'", "missing required field `public_key`"),
        ("[[keys]]\n", "unknown field `keys`"),
        ("[[key]]\npublic_key = '{key}'\nrevokd = true", "unknown field `revokd`"),
        ("[[key]]\npublic_key = '{key}'\nrevoked = 'yes'", "revoked"),
        ("[[key]]\npublic_key = '{key}'\nnot_after = 2026-01-01", "not_after"),
        ("[[key]]\npublic_key = '{key}'\nnot_after = 2026-01-01T00:00:00", "not_after"),
        ("[[key]]\npublic_key = '{key}'\nnot_before = 2026-01-02T00:00:00Z\nnot_after = 2026-01-01T00:00:00Z", "key 1"),
        ("[[key]]\npublic_key = 'ed25519:'", "key 1: 'ed25519:' is no public key"),
        ("[[key]]\npublic_key = 'ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'", "small order"),
        ("[[key]]\npublic_key = '{key}'\n[[key]]\npublic_key = '{key}'\nrevoked = true", "listed twice"),
    ],
)
def test_file_refused(key: SigningKey, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Keyring.parse(text.replace("{key}", str(key.public_key)), "keys.toml")
    assert words in caught.value.message


def entry(key: object) -> str:
    return f'[[key]]\npublic_key = "{key}"\n'


def test_file_and_folder(tmp_path: Path, key: SigningKey) -> None:
    (tmp_path / "a.toml").write_text(entry(key.public_key))
    (tmp_path / "b.toml").write_text(entry(OTHER))
    assert set(Keyring.load(tmp_path / "a.toml").keys) == {key.public_key.key_id}
    assert set(Keyring.load(tmp_path).keys) == {key.public_key.key_id, OTHER.key_id}


def test_folder_with_a_key_in_two_files(tmp_path: Path, key: SigningKey) -> None:
    """Two entries for one key are refused whatever they say: the revoked one must not lose to the other."""
    (tmp_path / "a.toml").write_text(entry(key.public_key))
    (tmp_path / "b.toml").write_text(entry(key.public_key) + "revoked = true\n")
    with pytest.raises(UsageError, match="listed twice"):
        Keyring.load(tmp_path)


@pytest.mark.parametrize("what", ["missing", "stranger", "no_utf8", "too_large", "folder_in_it"])
def test_folder_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / ("keys.txt" if what == "stranger" else "keys.toml")
    if what == "folder_in_it":
        path.mkdir()
    elif what != "missing":
        path.write_bytes({"stranger": b"", "no_utf8": b"\xff", "too_large": b"#" * (1 << 20) + b"#"}[what])
    with pytest.raises(BundleError if what == "too_large" else UsageError):
        Keyring.load(path if what == "missing" else tmp_path)
