"""What the registry tells: developers, keys, releases and programs, as values that go to operators and over the wire.

What lives here: frozen Structs, and the words that stand in the store. Which step leads where is transitions.py's, what
is written is developers.py's, uploads.py's and steps.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec


class Trust(StrEnum):
    """How far the operator trusts a developer. Programs of different trust never share a worker."""

    PLATFORM = "platform"
    """The operator's own."""
    REVIEWED = "reviewed"
    UNREVIEWED = "unreviewed"


class Status(StrEnum):
    """Where a release stands."""

    SUBMITTED = "submitted"
    REJECTED = "rejected"
    APPROVED = "approved"
    TRIAL = "trial"
    """Named users get it."""
    GRAY = "gray"
    """A share of all users gets it, and the named ones."""
    FULL = "full"
    """Everybody gets it who gets no candidate; at most one release of a program."""
    SUPERSEDED = "superseded"
    """It was full, and another one followed: what a rollback goes back to."""
    ROLLED_BACK = "rolled_back"
    """It was full, and the one before came back."""
    OFFLINE = "offline"
    """It was full, and nobody gets it now."""


class Stage(StrEnum):
    """How far a program's candidate is out."""

    NONE = ""
    TRIAL = "trial"
    GRAY = "gray"


class Developer(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns programs and the keys that they are signed with."""

    id: str
    """128 random bits, hex: never given twice."""
    name: str
    """One clean line, for people; no two developers have the same."""
    trust: Trust
    limits: Mapping[str, int]
    """What differs from the host's limits of a developer."""
    created_us: int


class DeveloperKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key of a developer's, and when it counts."""

    key_id: str
    developer: str
    """The developer's id."""
    public_key: str
    """`ed25519:` and base64url."""
    valid_from_us: int
    valid_until_us: int
    """0: for ever."""
    revoked_us: int
    """0: it is not."""
    revoke_reason: str
    rotated_from: str
    """The key whose owner vouched for this one; '' where the operator did."""
    created_us: int


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a bundle that is neither manifest nor module."""

    path: str
    sha256: str
    content: bytes


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a call needs to know of a release's manifest and module: all that is read of it then."""

    program_name: str
    reasons: Mapping[str, Mapping[str, str]]
    """Capability → language → why the manifest asks for it; '' for a text without a language."""
    notices: Mapping[str, Mapping[str, str]]
    """Id → language → the template's text, in the same way."""
    requested: Mapping[str, Mapping[str, Any]]
    """Capability → constraints, as the manifest asks for them."""
    required: tuple[str, ...]
    """Capabilities that it cannot work without, as it says itself."""
    limits_wanted: Mapping[str, int]
    memory_max_pages: int | None
    """As the module declares it."""
    takes_events: bool = False
    lifetime: str = "fresh"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator gives a release with its approval."""

    grants: Mapping[str, Mapping[str, Any]]
    limits: Mapping[str, int]
    """What differs from the host's."""
    config: bytes
    """Encoded as on the wire; at most 16 KiB."""
    payee: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was read, checked and compiled: what is stored of it."""

    app_id: str
    code: int
    name: str
    """Of the version."""
    identity: str
    developer: str
    """Who vouches for it; '' for nobody."""
    signed_by: str
    """Id of the key; '' where nobody vouches for it."""
    module_sha256: str
    wasm: bytes
    assets: tuple[Asset, ...]
    facts: Facts
    report: Mapping[str, Any]
    script_sha256: str = ""
    """'' where the program is a module; else `wasm` is the engine it was checked with."""
    script_image: bytes = b""
    file_sha256: bytes = b""
    """Of the file that a developer sent; empty: it is not to be known again by it."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One release, as developers and operators see it."""

    app_id: str
    code: int
    name: str
    status: Status
    identity: str
    developer: str
    signed_by: str
    module_sha256: str
    """Of a program that is a script: the JavaScript engine it was checked with."""
    reviewed: bool
    payee: str
    """'' before its approval."""
    grants: Mapping[str, Mapping[str, Any]]
    limits: Mapping[str, int]
    uploaded_us: int
    decided_us: int
    """When it was approved or rejected; 0: it waits."""
    reason: str
    """The reviewer's, for the developer to read."""
    report: Mapping[str, Any]
    """What the static checks found: see docs/protocol.md, Programs, developers and releases."""
    script_sha256: str = ""
    """Of the script image; '' where the program is a module."""


class ProgramStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One program, as operators see it."""

    app_id: str
    owner: str
    """The developer's id, or the name that a keyring has; '' for nobody's."""
    current_code: int
    """0: no release of it was full yet."""
    candidate_code: int
    """0: there is none."""
    stage: Stage
    share: int
    """Of 10,000 users, in stage gray."""
    trial_users: int
    min_code: int
    offline: bool
    killed: str
    """Why; '' if it is not."""
    quarantined: str
    unrecorded: bool = False
    """It is killed or quarantined in the running host, and the disk refuses the record so far: a restart before it is
    written would bring the program back."""
    leaving: bool
    """It is being uninstalled."""
    sector: str
    isolation: str
    grants: Mapping[str, Mapping[str, Any]]
    """Of the release that everybody gets; of the candidate where there is no such."""
    limits: Mapping[str, int]
    payee: str
    installed_us: int
    changed_us: int
