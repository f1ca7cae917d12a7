"""Developers and their keys in the store: jobs of `Store.write` and `Store.read`.

What lives here: rows, rules between them, and one audit record for each change, in its transaction. That a public key
is one that can be trusted to mean something, and that a rotation is signed, is checked before. A key is never deleted:
whose it was stays known, and nobody else can register it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from host_api import audit
from host_api.one_line import one_line
from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import Developer, DeveloperKey, Trust
from host_api.store.protocol import Row, Transaction

NAME_CHARS_MAX: Final = 64
REASON_CHARS_MAX: Final = 200
KEYS_MAX: Final = 64
"""Of one developer, revoked ones counted."""
LISTED_MAX: Final = 1_000
"""Rows of one page of any list."""
_DEVELOPER: Final = "id, name, trust, limits, created_us"
_KEY: Final = (
    "key_id, developer, public_key, valid_from_us, valid_until_us, revoked_us, revoke_reason, rotated_from, created_us"
)


def clean(what: str, text: str, chars_max: int) -> str:
    """One clean line. Raises RegistryRefused `text_refused`."""
    try:
        return one_line(what, text, chars_max)
    except ValueError as error:
        raise RegistryRefused("text_refused", str(error)) from None


def page_size(limit: int) -> int:
    """Raises RegistryRefused for a page that is none, or too large."""
    if type(limit) is not int or not 1 <= limit <= LISTED_MAX:
        raise RegistryRefused("page_refused", f"limit = {ascii(limit)[:40]}: must be a number from 1 to {LISTED_MAX}")
    return limit


# ---- developers ------------------------------------------------------------------------------------------------------
def sign_up(tx: Transaction, developer_id: str, name: str) -> Developer:
    """A new developer, unreviewed. Raises RegistryRefused: `text_refused`, `developer_exists`."""
    name = clean("the developer's name", name, NAME_CHARS_MAX)
    if tx.execute("SELECT 1 FROM developers WHERE name = :name", {"name": name}):
        raise RegistryRefused("developer_exists", f"a developer is called {name!a} already: choose another name")
    tx.execute(
        "INSERT INTO developers (id, name, trust, limits, created_us) VALUES (:id, :name, :trust, '{}', :now_us)",
        {"id": developer_id, "name": name, "trust": Trust.UNREVIEWED.value, "now_us": tx.now_us},
    )
    audit.record(tx, "developer.signed_up", developer=developer_id)
    return get(tx, developer_id)


def get(tx: Transaction, developer: str) -> Developer:
    """By id, or by name. Raises RegistryRefused `developer_unknown`."""
    for column in ("id", "name"):
        rows = tx.execute(f"SELECT {_DEVELOPER} FROM developers WHERE {column} = :one", {"one": developer})
        if rows:
            return _developer(rows[0])
    raise RegistryRefused(
        "developer_unknown", f"no developer {ascii(developer)[:80]}: hostel developer list shows them"
    )


def listed(tx: Transaction, after: str, limit: int) -> list[Developer]:
    """By id, those behind `after`."""
    rows = tx.execute(
        f"SELECT {_DEVELOPER} FROM developers WHERE id > :after ORDER BY id LIMIT :at_most",
        {"after": after, "at_most": page_size(limit)},
    )
    return [_developer(row) for row in rows]


def set_trust(tx: Transaction, developer: str, trust: str) -> Developer:
    """Raises RegistryRefused: `developer_unknown`, `trust_unknown`."""
    found = get(tx, developer)
    if trust not in tuple(Trust):
        raise RegistryRefused("trust_unknown", f"trust {ascii(trust)[:40]}: one of {', '.join(Trust)}")
    tx.execute("UPDATE developers SET trust = :trust WHERE id = :id", {"trust": str(trust), "id": found.id})
    audit.record(tx, "developer.trusted", developer=found.id, trust=str(trust), before=found.trust.value)
    return get(tx, found.id)


def set_limits(tx: Transaction, developer: str, limits: Mapping[str, int]) -> Developer:
    """What differs from the host's, in the place of what was; checked before. Raises RegistryRefused."""
    found = get(tx, developer)
    text = json.dumps(dict(limits), sort_keys=True)
    tx.execute("UPDATE developers SET limits = :limits WHERE id = :id", {"limits": text, "id": found.id})
    audit.record(tx, "developer.limits", developer=found.id, limits=text[: audit.FIELD_CHARS_MAX])
    return get(tx, found.id)


# ---- keys ------------------------------------------------------------------------------------------------------------
def add_key(tx: Transaction, key: DeveloperKey) -> DeveloperKey:
    """Registers it. Raises RegistryRefused: `developer_unknown`, `key_exists` (whoever's it is), `keys_max`,
    `key_window`."""
    developer = get(tx, key.developer).id
    if tx.execute("SELECT 1 FROM developer_keys WHERE key_id = :key_id", {"key_id": key.key_id}):
        raise RegistryRefused("key_exists", f"key {key.key_id} is registered already, and stays whose it is")
    if 0 < key.valid_until_us <= key.valid_from_us:
        raise RegistryRefused("key_window", f"key {key.key_id} would be valid until before it is valid from")
    (count,) = tx.execute("SELECT count(*) FROM developer_keys WHERE developer = :id", {"id": developer})[0]
    if count >= KEYS_MAX:
        raise RegistryRefused(
            "keys_max", f"{count} keys are registered, and keys_max is {KEYS_MAX}", limit="keys_max", value=KEYS_MAX,
            used=count,
        )  # fmt: skip
    tx.execute(
        f"INSERT INTO developer_keys ({_KEY}) VALUES (:key_id, :developer, :public_key, :valid_from_us,"
        " :valid_until_us, 0, '', :rotated_from, :now_us)",
        {
            "key_id": key.key_id, "developer": developer, "public_key": key.public_key,
            "valid_from_us": key.valid_from_us, "valid_until_us": key.valid_until_us,
            "rotated_from": key.rotated_from, "now_us": tx.now_us,
        },
    )  # fmt: skip
    audit.record(
        tx, "developer.key_added", developer=developer, key_id=key.key_id, valid_from_us=key.valid_from_us,
        valid_until_us=key.valid_until_us, rotated_from=key.rotated_from,
    )  # fmt: skip
    return get_key(tx, key.key_id)


def rotate_key(tx: Transaction, old_key_id: str, new: DeveloperKey) -> DeveloperKey:
    """A new key that the old one's owner vouched for: the old one counts now, or this counts for nothing. It goes on
    until it is revoked or over. Raises RegistryRefused: `key_unknown`, `key_revoked`, `key_expired`, as `add_key`."""
    old = get_key(tx, old_key_id)
    if old.developer != new.developer:
        raise RegistryRefused("key_unknown", f"key {old_key_id} is not one of this developer's", key_id=old_key_id)
    check_key(old, tx.now_us)
    return add_key(tx, new)


def revoke_key(tx: Transaction, key_id: str, reason: str) -> DeveloperKey:
    """From now on no bundle that it signed is taken. What is installed stays: `releases_by_key`. Raises
    RegistryRefused: `key_unknown`, `key_revoked`, `text_refused`."""
    key = get_key(tx, key_id)
    reason = clean("the reason", reason, REASON_CHARS_MAX)
    if key.revoked_us:
        raise RegistryRefused("key_revoked", f"key {key_id} is revoked already: {key.revoke_reason}")
    tx.execute(
        "UPDATE developer_keys SET revoked_us = :now_us, revoke_reason = :reason WHERE key_id = :key_id",
        {"now_us": max(1, tx.now_us), "reason": reason, "key_id": key_id},
    )
    audit.record(tx, "developer.key_revoked", developer=key.developer, key_id=key_id, reason=reason)
    return get_key(tx, key_id)


def find_key(tx: Transaction, key_id: str) -> DeveloperKey | None:
    rows = tx.execute(f"SELECT {_KEY} FROM developer_keys WHERE key_id = :key_id", {"key_id": key_id})
    return _key(rows[0]) if rows else None


def get_key(tx: Transaction, key_id: str) -> DeveloperKey:
    """Raises RegistryRefused `key_unknown`."""
    found = find_key(tx, key_id)
    if found is None:
        raise RegistryRefused("key_unknown", f"no developer registered key {ascii(key_id)[:40]}", key_id=key_id[:40])
    return found


def keys_of(tx: Transaction, developer: str) -> list[DeveloperKey]:
    """All of them, by id. Raises RegistryRefused `developer_unknown`."""
    rows = tx.execute(
        f"SELECT {_KEY} FROM developer_keys WHERE developer = :id ORDER BY key_id", {"id": get(tx, developer).id}
    )
    return [_key(row) for row in rows]


def check_key(key: DeveloperKey, now_us: int) -> None:
    """Whether it counts now. Raises RegistryRefused: `key_revoked`, `key_expired`, the first that holds."""
    if key.revoked_us:
        raise RegistryRefused(
            "key_revoked", f"key {key.key_id} is revoked ({key.revoke_reason}): sign with another key of the developer",
            key_id=key.key_id,
        )  # fmt: skip
    if now_us < key.valid_from_us or 0 < key.valid_until_us <= now_us:
        raise RegistryRefused(
            "key_expired",
            f"key {key.key_id} is valid from {key.valid_from_us} until {key.valid_until_us} µs since 1970 only (0: for"
            " ever): sign with a valid key, or register one",
            key_id=key.key_id, not_before_us=key.valid_from_us, not_after_us=key.valid_until_us,
        )  # fmt: skip


def _developer(row: Row) -> Developer:
    identity, name, trust, limits, created_us = row
    return Developer(id=identity, name=name, trust=Trust(trust), limits=json.loads(limits), created_us=created_us)


def _key(row: Row) -> DeveloperKey:
    fields: dict[str, Any] = dict(zip(_KEY.split(", "), row, strict=True))
    return DeveloperKey(**fields)
