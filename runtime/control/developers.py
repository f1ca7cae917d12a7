"""Methods for developers: who may upload, with which keys, how far they are trusted."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from host_api.contract import Result
from host_api.releases.values import Developer, DeveloperKey, Status
from runtime.control.method import ControlMethod, ControlParams, Id, Role

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Moment = Annotated[int, Meta(ge=0, le=2**63 - 1)]
PublicKeyText = Annotated[str, Meta(min_length=1, max_length=128)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Reason = Annotated[str, Meta(max_length=1_024)]
PageSize = Annotated[int, Meta(ge=1, le=1_000)]
_DEVELOPER: Final = {
    "id": "d0" * 16, "name": "Fresh at home", "trust": "unreviewed", "limits": {}, "created_us": 1_800_000_000_000_000,
}  # fmt: skip
_KEY: Final = {
    "key_id": "ab" * 16, "developer": "d0" * 16, "public_key": "ed25519:" + "A" * 43,
    "valid_from_us": 1_800_000_000_000_000, "valid_until_us": 0, "revoked_us": 0, "revoke_reason": "",
    "rotated_from": "", "created_us": 1_800_000_000_000_000,
}  # fmt: skip


class SignUp(ControlParams, frozen=True, kw_only=True):
    name: Name
    """One clean line of 1 to 64 characters, nobody else's."""


class DeveloperTold(Result, frozen=True, kw_only=True):
    developer: Developer


class OneDeveloper(ControlParams, frozen=True, kw_only=True):
    developer: Name
    """By id or by name."""


class DevelopersAfter(ControlParams, frozen=True, kw_only=True):
    after: Annotated[str, Meta(max_length=256)] = ""
    """Only those with a higher id."""
    limit: PageSize = 100


class DevelopersTold(Result, frozen=True, kw_only=True):
    developers: tuple[Developer, ...]


class SetTrust(OneDeveloper, frozen=True, kw_only=True):
    trust: Annotated[str, Meta(max_length=64)]
    """platform, reviewed or unreviewed."""


class SetDeveloperLimits(OneDeveloper, frozen=True, kw_only=True):
    limits: dict[str, int]
    """What differs from the host's, in the place of what did."""


class AddKey(OneDeveloper, frozen=True, kw_only=True):
    public_key: PublicKeyText
    """`ed25519:` and base64url."""
    valid_from_us: Moment | None = None
    """Left out: from now on."""
    valid_until_us: Moment | None = None
    """Left out: for ever."""


class RotateKey(OneDeveloper, frozen=True, kw_only=True):
    old_key_id: Id
    new_public_key: PublicKeyText
    signature_by_old: Signature
    signature_by_new: Signature
    valid_until_us: Moment | None = None


class KeyTold(Result, frozen=True, kw_only=True):
    key: DeveloperKey


class KeysTold(Result, frozen=True, kw_only=True):
    keys: tuple[DeveloperKey, ...]


class RevokeKey(ControlParams, frozen=True, kw_only=True):
    key_id: Id
    reason: Reason


class InstalledByKey(ControlParams, frozen=True, kw_only=True):
    key_id: Id
    after: tuple[Annotated[str, Meta(max_length=140)], Annotated[int, Meta(ge=0, le=2**31 - 1)]] = ("", 0)
    """App id and version code of the last one of the page before."""
    limit: PageSize = 100


class SignedRelease(Result, frozen=True, kw_only=True):
    app_id: str
    code: int
    status: Status


class InstalledTold(Result, frozen=True, kw_only=True):
    releases: tuple[SignedRelease, ...]


SIGN_UP: Final = ControlMethod(
    name="developers.sign_up", role=Role.OPERATOR, params=SignUp, result=DeveloperTold, effect=True,
    summary="A new developer, unreviewed and without keys.", example={"name": "Fresh at home"},
    answer={"developer": _DEVELOPER},
)  # fmt: skip
GET: Final = ControlMethod(
    name="developers.get", role=Role.AUDITOR, params=OneDeveloper, result=DeveloperTold, effect=False, waits=False,
    summary="One developer.", example={"developer": "Fresh at home"}, answer={"developer": _DEVELOPER},
)  # fmt: skip
LIST: Final = ControlMethod(
    name="developers.list", role=Role.AUDITOR, params=DevelopersAfter, result=DevelopersTold, effect=False,
    waits=False, summary="Developers by id, page by page.", example={"limit": 100},
    answer={"developers": [_DEVELOPER]},
)  # fmt: skip
SET_TRUST: Final = ControlMethod(
    name="developers.set_trust", role=Role.OPERATOR, params=SetTrust, result=DeveloperTold, effect=True,
    summary="How far a developer is trusted: which programs theirs share workers with.",
    example={"developer": "Fresh at home", "trust": "reviewed"},
    answer={"developer": {**_DEVELOPER, "trust": "reviewed"}},
)  # fmt: skip
SET_LIMITS: Final = ControlMethod(
    name="developers.set_limits", role=Role.OPERATOR, params=SetDeveloperLimits, result=DeveloperTold, effect=True,
    summary="What all programs of a developer use together.",
    example={"developer": "Fresh at home", "limits": {"calls_per_s": 1_000}},
    answer={"developer": {**_DEVELOPER, "limits": {"calls_per_s": 1_000}}},
)  # fmt: skip
KEYS: Final = ControlMethod(
    name="developers.keys", role=Role.AUDITOR, params=OneDeveloper, result=KeysTold, effect=False, waits=False,
    summary="All keys of a developer, revoked ones too.", example={"developer": "Fresh at home"},
    answer={"keys": [_KEY]},
)  # fmt: skip
ADD_KEY: Final = ControlMethod(
    name="developers.add_key", role=Role.OPERATOR, params=AddKey, result=KeyTold, effect=True,
    summary="The operator vouches that this key is the developer's.",
    example={"developer": "Fresh at home", "public_key": "ed25519:" + "A" * 43}, answer={"key": _KEY},
)  # fmt: skip
ROTATE_KEY: Final = ControlMethod(
    name="developers.rotate_key", role=Role.OPERATOR, params=RotateKey, result=KeyTold, effect=True,
    summary="A developer's new key, vouched for by an old one.",
    example={"developer": "Fresh at home", "old_key_id": "ab" * 16, "new_public_key": "ed25519:" + "B" * 43,
             "signature_by_old": bytes(64), "signature_by_new": bytes(64)},
    answer={"key": {**_KEY, "rotated_from": "ab" * 16}},
)  # fmt: skip
REVOKE_KEY: Final = ControlMethod(
    name="developers.revoke_key", role=Role.OPERATOR, params=RevokeKey, result=KeyTold, effect=True,
    summary="No bundle that the key signed is taken from now on; what is installed stays.",
    example={"key_id": "ab" * 16, "reason": "lost with a laptop"},
    answer={"key": {**_KEY, "revoked_us": 1_800_000_000_000_001, "revoke_reason": "lost with a laptop"}},
)  # fmt: skip
INSTALLED_BY_KEY: Final = ControlMethod(
    name="developers.installed_by_key", role=Role.AUDITOR, params=InstalledByKey, result=InstalledTold, effect=False,
    waits=False, summary="The releases that a key signed, page by page.", example={"key_id": "ab" * 16},
    answer={"releases": [{"app_id": "org.example.grocery", "code": 3, "status": "full"}]},
)  # fmt: skip

METHODS: Final = (
    SIGN_UP, GET, LIST, SET_TRUST, SET_LIMITS, KEYS, ADD_KEY, ROTATE_KEY, REVOKE_KEY, INSTALLED_BY_KEY,
)  # fmt: skip
