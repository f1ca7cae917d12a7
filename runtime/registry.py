"""Which programs there are: one release of each, with what it may do and use. In memory; nothing here runs anything.

A call takes one release and keeps it to its end: a new install changes later calls only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from host_api.capability import CAPABILITIES, NO_GRANTS, Authority, GrantError, Grants, parse_grants
from runtime.admission import Admission
from runtime.bundle import Bundle
from runtime.errors import NotInstalled, UsageError
from runtime.limits import Limits
from runtime.session import Holdings

CONFIG_BYTES_MAX = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An installed program, as `Host.install` gives it and `Host.call` takes it (or its `app_id` alone)."""

    app_id: str
    release_name: str
    release_code: int
    identity: str
    """SHA-256 over the bundle's content, hex; the same signed or not."""
    signed_by: str | None
    """Id of the trusted key that vouched for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a program with what the operator gave it: the snapshot a call runs under."""

    app: App
    wasm: bytes
    module_sha256: str
    memory_bytes: int
    """What one sandbox of it may grow to."""
    authority: Authority
    limits: Limits
    program_name: str
    payee: str
    sector: str
    """Programs of one sector see one id of a user."""
    reasons: Mapping[str, Mapping[str, str]]
    """Capability → language → why the manifest asks for it; '' for a text without a language."""
    notices: Mapping[str, Mapping[str, str]]
    """Id → language → the template's text, in the same way."""
    config: Mapping[str, Any]
    takes_events: bool
    """Its manifest says that `hostel_handle` takes notifications of events."""
    group: str = "unreviewed"
    """Programs of different groups never share a worker: the trust level, or the program alone."""


class Program:
    """What lives as long as the program is installed, over its releases."""

    __slots__ = ("_authorities", "admission", "holdings", "leaving", "release")

    def __init__(self, release: Release) -> None:
        self.release = release
        self.leaving = False
        """It is being uninstalled: nobody finds it any more."""
        self._authorities = WeakSet((release.authority,))
        self.holdings = Holdings()
        self.admission = Admission(release.limits, self.holdings)

    def replace(self, release: Release) -> None:
        """Calls in flight end under the release they began with."""
        self.release = release
        self._authorities.add(release.authority)
        self.admission.set_limits(release.limits)

    def take_away(self, gone: Grants) -> None:
        """From every release of it that a call still runs under."""
        for authority in self._authorities:
            authority.narrow(authority.grants().without(gone))


class Registry:
    """Installed programs by app_id."""

    def __init__(self) -> None:
        self._programs: dict[str, Program] = {}

    def __iter__(self) -> Iterator[Program]:
        return iter(self._programs.values())

    def __len__(self) -> int:
        return len(self._programs)

    def find(self, app: App | str) -> Program:
        """Raises NotInstalled."""
        app_id = app if isinstance(app, str) else app.app_id
        program = self._programs.get(app_id)
        if program is None or program.leaving:
            raise _not_installed(app_id)
        return program

    def authority(self, app_id: str) -> Authority | None:
        """Of the release that is installed; None where none is."""
        program = self._programs.get(app_id)
        return None if program is None else program.release.authority

    def takes_events(self, app_id: str) -> bool:
        """Whether a program of that id is installed and wants to be woken for its events."""
        program = self._programs.get(app_id)
        return program is not None and program.release.takes_events and not program.leaving

    def check(self, app: App) -> None:
        """Whether a release of it may be put. Raises UsageError: a version never goes down."""
        old = self._programs.get(app.app_id)
        if old is not None and not old.leaving and app.release_code < old.release.app.release_code:
            raise UsageError(
                f"{app.app_id} {old.release.app.release_code} is installed and the bundle's version code is"
                f" {app.release_code}: a version never goes down; uninstall it first",
                details={"installed": old.release.app.release_code, "offered": app.release_code},
            )

    def put(self, release: Release) -> Grants:
        """Installs, or replaces; what was granted before and is not now, which is gone for calls in flight too.

        Raises UsageError as `check`.
        """
        self.check(release.app)
        app_id = release.app.app_id
        old = self._programs.get(app_id)
        if old is None or old.leaving:
            self._programs[app_id] = Program(release)
            return NO_GRANTS
        gone = old.release.authority.grants().without(release.authority.grants())
        old.replace(release)
        old.take_away(gone)
        return gone

    def leave(self, app: App | str) -> Program:
        """The program is gone for later calls and for those that wait; those in flight go on without its grants. May be
        repeated until `remove`. Raises NotInstalled."""
        app_id = app if isinstance(app, str) else app.app_id
        program = self._programs.get(app_id)
        if program is None:
            raise _not_installed(app_id)
        program.leaving = True
        program.admission.close(NotInstalled(f"{app_id} was uninstalled", details={"app_id": app_id}))
        program.take_away(parse_grants(list(CAPABILITIES)))
        return program

    def remove(self, program: Program) -> None:
        """After `leave`, once all that belonged to it is ended; another one that was put meanwhile stays."""
        app_id = program.release.app.app_id
        if self._programs.get(app_id) is program:
            del self._programs[app_id]


def _not_installed(app_id: str) -> NotInstalled:
    return NotInstalled(
        f"no program {ascii(app_id)[:140]} is installed; install its bundle first", details={"app_id": app_id[:140]}
    )


def requested(bundle: Bundle) -> Grants:
    """What the manifest asks for. Raises UsageError for permissions that this host does not know."""
    try:
        return parse_grants({p.name: dict(p.constraints) for p in bundle.manifest.req_permissions})
    except GrantError as error:
        raise UsageError(f"manifest.json: $.req_permissions: {error}", code="manifest_invalid") from None


def reasons(bundle: Bundle) -> Mapping[str, Mapping[str, str]]:
    """Why the manifest asks for each capability: what a user is shown who is asked for consent."""
    return {asked.name: _by_language(asked.reason) for asked in bundle.manifest.req_permissions}


def notices(bundle: Bundle) -> Mapping[str, Mapping[str, str]]:
    """The templates of what the program may tell its users."""
    return {notice.id: _by_language(notice.text) for notice in bundle.manifest.notices}


def _by_language(text: str | Mapping[str, str]) -> Mapping[str, str]:
    return {"": text} if isinstance(text, str) else dict(text)


def authority_of(bundle: Bundle, grant: Any) -> Authority:
    """What the release may do: requested ∩ granted.

    Raises UsageError for what neither knows, and where a permission that the manifest requires is not granted: the
    program says itself that it cannot work so.
    """
    given = granted(grant)
    authority = Authority(requested=requested(bundle), granted=given)
    missing = [
        asked.name
        for asked in bundle.manifest.req_permissions
        if asked.required and given.constraints(asked.name) is None
    ]
    if missing:
        raise UsageError(
            f"the manifest requires {', '.join(missing)}, and the grant has not: grant it (--grant on the command"
            ' line), or have the developer set "required": false',
            code="permission_missing",
            details={"missing": missing},
        )
    return authority


def granted(grant: Any) -> Grants:
    """What the operator gives. Raises UsageError."""
    try:
        return parse_grants(grant)
    except GrantError as error:
        raise UsageError(f"grant: {error}", code="grant_invalid") from None


def effective_limits(bundle: Bundle, default: Limits, given: Mapping[str, int]) -> Limits:
    """The default, lowered where the manifest wants less, then what the operator gives. Raises UsageError."""
    known = {name: min(value, getattr(default, name)) for name, value in bundle.manifest.program.limits.items()}
    limits: Limits = default.changed({**known, **given})
    return limits
