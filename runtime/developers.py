"""`Host.developers`: who may upload, with which keys, how far they are trusted, and what they may use together.

What lives here: the operator's methods, which check keys and signatures and hand jobs to the store; and whose signature
counts for a bundle. Rows and rules are host_api/releases/developers.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from host_api.releases import developers, records
from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import Developer, DeveloperKey, Status
from host_api.store.protocol import Store, Transaction
from runtime.bundle import Bundle, Keyring, PublicKey, check_policy
from runtime.bundle.rotation import check_rotation
from runtime.limits import DeveloperLimits
from runtime.state_changes import StateChanges, told


class Signer(NamedTuple):
    """Who vouches for a bundle."""

    developer: str
    """The developer's id, or what a keyring calls the owner; '' for nobody."""
    key_id: str
    """'' for nobody."""
    registered: bool
    """A developer of the registry."""
    also_known_as: tuple[str, ...]
    """What the same developer was called before the key was registered."""


def signer(store: Store, bundle: Bundle, keyring: Keyring, *, allow_unsigned: bool) -> Signer:
    """By the registry's keys, else by the keyring; a key in both has to count in both. Raises SignatureError:
    `unsigned_bundle`, `key_unknown`, `key_revoked`, `key_expired`."""
    now_us = store.now_us()
    key_id = "" if bundle.signature is None else bundle.signature.key_id
    registered = store.read(lambda tx: developers.find_key(tx, key_id)) if key_id else None
    if registered is None:
        trusted = check_policy(bundle, keyring, allow_unsigned=allow_unsigned, now_us=now_us)
        if trusted is None:
            return Signer("", "", False, ())
        return Signer(trusted.owner or key_id, key_id, False, (key_id,))
    try:
        developers.check_key(registered, now_us)
    except RegistryRefused as error:
        raise told(error) from None
    known = keyring.keys.get(key_id)
    if known is not None:
        known.check(now_us)
    names = (key_id,) if known is None or not known.owner else (key_id, known.owner)
    return Signer(registered.developer, key_id, True, names)


class Developers:
    """The developers of one host. Used from the trio thread that opened it. Every change is audited in its own
    transaction; every method that writes raises ApiError of the store."""

    def __init__(self, *, changes: StateChanges, new_id: Callable[[], str]) -> None:
        self._changes, self._new_id = changes, new_id

    async def sign_up(self, name: str) -> Developer:
        """A new developer, unreviewed and without keys. `name`: one clean line of 1 to 64 characters, nobody else's.
        Raises UsageError: `text_refused`, `developer_exists`."""
        developer_id = self._new_id()
        return await self._changes.write(lambda tx: developers.sign_up(tx, developer_id, name))

    def get(self, developer: str) -> Developer:
        """By id or by name. Raises UsageError `developer_unknown`."""
        return self._changes.read(lambda tx: developers.get(tx, developer))

    def list(self, after: str = "", limit: int = 100) -> Sequence[Developer]:
        """By id, those behind `after`; at most 1,000."""
        return self._changes.read(lambda tx: developers.listed(tx, after, limit))

    async def set_trust(self, developer: str, trust: str) -> Developer:
        """`platform`, `reviewed` or `unreviewed`: which programs theirs share workers with. Raises UsageError:
        `developer_unknown`, `trust_unknown`."""
        return await self._of_owner(lambda tx: developers.set_trust(tx, developer, trust))

    async def set_limits(self, developer: str, limits: Mapping[str, int]) -> Developer:
        """What all of their programs use together, where it differs from the host's (`DeveloperLimits`); in the place
        of what was set before. Raises UsageError."""
        DeveloperLimits().changed(limits)
        return await self._of_owner(lambda tx: developers.set_limits(tx, developer, limits))

    async def _of_owner(self, job: Callable[[Transaction], Developer]) -> Developer:
        changed = await self._changes.write(job)
        self._changes.followed_by_owner(changed.id)
        return changed

    # ---- keys --------------------------------------------------------------------------------------------------------
    def keys(self, developer: str) -> Sequence[DeveloperKey]:
        """All of a developer's, revoked ones too. Raises UsageError `developer_unknown`."""
        return self._changes.read(lambda tx: developers.keys_of(tx, developer))

    async def add_key(
        self, developer: str, public_key: str, valid_from_us: int | None = None, valid_until_us: int | None = None
    ) -> DeveloperKey:
        """The operator vouches that this key (`ed25519:…`) is the developer's. From now on, for ever, unless said.

        Raises SignatureError for what is no key to be trusted (small order, not canonical); UsageError:
        `developer_unknown`, `key_exists`, `keys_max`, `key_window`.
        """
        key = self._key(developer, PublicKey.from_text(public_key), valid_from_us, valid_until_us, "")
        return await self._changes.write(lambda tx: developers.add_key(tx, key))

    async def rotate_key(
        self, developer: str, old_key_id: str, new_public_key: str, signature_by_old: bytes, signature_by_new: bytes,
        valid_until_us: int | None = None,
    ) -> DeveloperKey:  # fmt: skip
        """A developer's new key, vouched for by an old one that counts still; what both sign is in docs/protocol.md.
        The old one goes on until it is revoked or over.

        Raises SignatureError (`signature_invalid`, `key_unknown`, `key_revoked`, `key_expired`), UsageError as
        `add_key`.
        """
        found = self.get(developer)
        old = self._changes.read(lambda tx: developers.get_key(tx, old_key_id))
        new = PublicKey.from_text(new_public_key)
        check_rotation(found.id, PublicKey.from_text(old.public_key), new, signature_by_old, signature_by_new)
        key = self._key(found.id, new, None, valid_until_us, old.key_id)
        return await self._changes.write(lambda tx: developers.rotate_key(tx, old.key_id, key))

    async def revoke_key(self, key_id: str, reason: str) -> DeveloperKey:
        """No bundle that it signed is taken from now on, and no release that it signed goes further. What is installed
        stays, and is listed by `installed_by_key`. Raises SignatureError: `key_unknown`, `key_revoked`; UsageError."""
        return await self._changes.write(lambda tx: developers.revoke_key(tx, key_id, reason))

    def installed_by_key(
        self, key_id: str, after: tuple[str, int] = ("", 0), limit: int = 100
    ) -> Sequence[tuple[str, int, Status]]:
        """(app id, version code, status) of each release that the key signed, behind `after`; at most 1,000."""
        return self._changes.read(lambda tx: records.releases_by_key(tx, key_id, after, limit))

    def _key(
        self, developer: str, public: PublicKey, from_us: int | None, until_us: int | None, rotated_from: str
    ) -> DeveloperKey:
        return DeveloperKey(
            key_id=public.key_id, developer=developer, public_key=str(public),
            valid_from_us=self._changes.now_us() if from_us is None else from_us, valid_until_us=until_us or 0,
            revoked_us=0, revoke_reason="", rotated_from=rotated_from, created_us=0,
        )  # fmt: skip
