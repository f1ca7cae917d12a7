"""The audit: one record for each effect, in the transaction of the effect, chained by hash.

What lives here: what a record is, how it is appended, and how the chain is proved. Whoever changes money, consent, a
grant or what is kept calls `record` in the job that does it. No clock: the transaction's time is used. Nothing personal
goes in: a user stands here as `subject`, a commitment under a salt of their own that goes when they are erased.

A chain shows that nothing in it was changed; it cannot show that its end was cut off. For that its head is taken out of
the machine (`Head`) and handed to `verify` later.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from host_api import acting
from host_api.store.protocol import Transaction

Field = str | int | bool | None
EFFECT_CHARS_MAX: Final = 64
FIELD_CHARS_MAX: Final = 256
FIELDS_MAX: Final = 32
INTEGER_BITS_MAX: Final = 64
SALT_BYTES: Final = 16

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_DOMAIN: Final = b"hostel audit 1\0"
_GENESIS: Final = bytes(32)
_CHUNK: Final = 10_000
_LAST = "SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The chain up to a record. Kept outside, it proves later that the chain still begins with all of it."""

    n: int
    """How many records there were; 0 for none."""
    hash: bytes
    """Of the last one; 32 zero bytes for none."""


def record(tx: Transaction, effect: str, /, **fields: Field) -> int:
    """Append one record: `effect` (such as "order.captured") and fields, all plain values and none of them personal.
    Gives its number in the chain. Where the job is part of an operator's request (acting.py), `by` says whose.

    Raises ValueError for what cannot be a record: a bug of the caller's, and its job is undone.
    """
    if not 1 <= len(effect) <= EFFECT_CHARS_MAX or len(fields) > FIELDS_MAX:
        raise ValueError(f"an audit record has an effect of 1 to {EFFECT_CHARS_MAX} characters, {FIELDS_MAX} fields")
    if (by := acting.name()) and "by" not in fields:
        fields["by"] = by
    for name, value in fields.items():
        if value is None or type(value) is bool or (type(value) is int and value.bit_length() <= INTEGER_BITS_MAX):
            continue
        if type(value) is not str or len(value) > FIELD_CHARS_MAX:
            raise ValueError(f"audit field {name}: a plain value of at most {FIELD_CHARS_MAX} characters is needed")
    text = _encode({"effect": effect, "at_us": tx.now_us, **fields}).decode()
    last = head(tx)
    tx.execute("INSERT INTO audit (n, record, hash) VALUES (?, ?, ?)", (last.n + 1, text, link(last, text)))
    return last.n + 1


def link(before: Head, text: str) -> bytes:
    """SHA-256("hostel audit 1\\0" ‖ n as 8 bytes, big-endian ‖ the hash before ‖ the record's UTF-8)."""
    return sha256(_DOMAIN + (before.n + 1).to_bytes(8, "big") + before.hash + text.encode()).digest()


def head(tx: Transaction) -> Head:
    rows = tx.execute(_LAST)
    return Head(n=rows[0][0], hash=bytes(rows[0][1])) if rows else Head(n=0, hash=_GENESIS)


def records_after(tx: Transaction, n: int, at_most: int) -> list[tuple[int, str]]:
    """(number, record as JSON) of up to `at_most` records after number `n`, in the chain's order; unproved."""
    rows = tx.execute(
        "SELECT n, record FROM audit WHERE n > :n ORDER BY n LIMIT :at_most", {"n": n, "at_most": at_most}
    )
    return [(int(number), str(text)) for number, text in rows]


def verify(tx: Transaction, known: Head | None = None) -> str | None:
    """Recompute the whole chain. None if it holds and contains `known`, else the first thing that is wrong."""
    now = Head(n=0, hash=_GENESIS)
    known_seen = known is None or (known.n == 0 and known.hash == _GENESIS)
    while rows := tx.execute(
        "SELECT n, record, hash FROM audit WHERE n > :last ORDER BY n LIMIT :at_most",
        {"last": now.n, "at_most": _CHUNK},
    ):
        for n, text, stored in rows:
            if n != now.n + 1:
                return f"record {now.n + 1} is missing"
            if not hmac.compare_digest(link(now, text), stored):
                return f"record {n} is not what was written: its hash does not follow from it and the one before"
            now = Head(n=n, hash=bytes(stored))
            known_seen = known_seen or now == known
    if known is not None and not known_seen:
        return (
            f"the chain has another record {known.n} than the head that was kept"
            if now.n >= known.n
            else f"the chain ends at record {now.n}, and the head that was kept is record {known.n}"
        )
    return None


def subject(tx: Transaction, user: str, new_salt: Callable[[], bytes]) -> str:
    """What the audit says of a user: a commitment, the same for one user until they are erased; '' for nobody.

    `new_salt` gives 16 random bytes; asked for a user's first record only.
    """
    if not user:
        return ""
    rows = tx.execute("SELECT salt FROM subjects WHERE user_id = :user", {"user": user})
    if rows:
        salt = bytes(rows[0][0])
    else:
        salt = new_salt()
        if len(salt) != SALT_BYTES:
            raise ValueError(f"a salt has {SALT_BYTES} bytes")
        tx.execute("INSERT INTO subjects (user_id, salt) VALUES (:user, :salt)", {"user": user, "salt": salt})
    return hmac.digest(salt, b"hostel subject 1\0" + user.encode(), "sha256").hex()[:32]
