"""Methods for installed programs: what is installed, and what it may do."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, field

from host_api.contract import Result
from host_api.erasure.program import Uninstalled
from host_api.payment.fees import FeeTerms
from host_api.releases.values import ProgramStatus
from runtime.bundle.zip_format import ARCHIVE_BYTES_MAX
from runtime.control.method import AppId, ControlMethod, ControlParams, Done, Role
from runtime.registry import App

Capability = Annotated[str, Meta(min_length=1, max_length=64)]
Grant = list[Capability] | dict[Capability, dict[str, Any]]
"""Names of capabilities, or capability → constraints."""
Isolation = Annotated[str, Meta(max_length=64)]
"""shared, or dedicated: workers of its own."""
PROGRAM: Final = {
    "app_id": "org.example.grocery", "owner": "d0" * 16, "current_code": 2, "candidate_code": 0, "stage": "",
    "share": 0, "trial_users": 0, "min_code": 0, "offline": False, "killed": "", "quarantined": "", "leaving": False,
    "sector": "org.example.grocery", "isolation": "shared", "grants": {"payment": {"amount_max": 5000}}, "limits": {},
    "payee": "Fresh at home", "installed_us": 1_800_000_000_000_000, "changed_us": 1_800_000_000_000_000,
}  # fmt: skip
_APP: Final = {
    "app_id": "org.example.grocery", "release_name": "1.0.0", "release_code": 1,
    "identity": "9d5e3c1b7f2a4e68b0c1d2e3f4a5968778695a4b3c2d1e0f1a2b3c4d5e6f7081", "signed_by": None,
}  # fmt: skip


class Install(ControlParams, frozen=True, kw_only=True):
    bundle: Annotated[bytes, Meta(min_length=1, max_length=ARCHIVE_BYTES_MAX)]
    """The bundle's file."""
    grant: Grant = field(default_factory=list)
    """Capabilities given, by name or with constraints; what is not named is not given."""
    limits: dict[str, int] | None = None
    """What differs from the host's limits."""
    payee: Annotated[str, Meta(max_length=256)] | None = None
    """Who receives its payments; left out: the manifest's name."""
    sector: Annotated[str, Meta(max_length=256)] | None = None
    """Programs of one sector see one id of a user; left out: its own."""
    config: dict[str, Any] | None = None
    """What `session.info` gives it; 16 KiB at most."""
    allow_unsigned: bool | None = None
    new_owner: bool = False
    """The program has changed hands."""
    isolation: Isolation | None = None
    """shared, or dedicated for workers of its own; left out: as it was."""


class Installed(Result, frozen=True, kw_only=True):
    app: App


class Uninstall(ControlParams, frozen=True, kw_only=True):
    app: AppId
    end_calls: bool = False
    """Those in flight end now, as `revoked`."""
    erase: bool = False
    """What it kept and wrote is erased, on the disk too."""


class UninstallTold(Result, frozen=True, kw_only=True):
    uninstalled: Uninstalled


class Revoke(ControlParams, frozen=True, kw_only=True):
    app: AppId
    capabilities: list[Capability]


class OneProgram(ControlParams, frozen=True, kw_only=True):
    app_id: AppId


class ProgramTold(Result, frozen=True, kw_only=True):
    program: ProgramStatus


class ProgramOf(ControlParams, frozen=True, kw_only=True):
    app: AppId


class ProgramsAfter(ControlParams, frozen=True, kw_only=True):
    after: Annotated[str, Meta(max_length=140)] = ""
    """Only those with a higher app id."""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class ProgramsTold(Result, frozen=True, kw_only=True):
    programs: tuple[ProgramStatus, ...]


class SetGrants(ControlParams, frozen=True, kw_only=True):
    app: AppId
    grant: Grant
    """In the place of what was granted."""


class SetLimits(ControlParams, frozen=True, kw_only=True):
    app: AppId
    limits: dict[str, int]
    """What differs from the host's, in the place of what did."""


class SetFees(ControlParams, frozen=True, kw_only=True):
    app: AppId
    terms: FeeTerms


INSTALL: Final = ControlMethod(
    name="install", role=Role.OPERATOR, params=Install, result=Installed, effect=True, bundle=True,
    summary="Checks, compiles and installs a bundle, or a newer release of it, for calls from now on.",
    example={"bundle": b"PK\x03\x04", "grant": {"payment": {"amount_max": 5000}}},
    answer={"app": _APP},
)  # fmt: skip
UNINSTALL: Final = ControlMethod(
    name="uninstall", role=Role.OPERATOR, params=Uninstall, result=UninstallTold, effect=True,
    summary="The program is gone for new calls; open prompts are withdrawn and unpaid orders closed.",
    example={"app": "org.example.grocery"}, answer={"uninstalled": {"orders_closed": 2, "rows_erased": 0}},
)  # fmt: skip
REVOKE: Final = ControlMethod(
    name="revoke", role=Role.OPERATOR, params=Revoke, result=Done, effect=True,
    summary="Takes capabilities away at once, from calls in flight too.",
    example={"app": "org.example.grocery", "capabilities": ["payment"]}, answer={},
)  # fmt: skip
SET_FEES: Final = ControlMethod(
    name="set_fees", role=Role.OPERATOR, params=SetFees, result=Done, effect=True,
    summary="What the program's payee pays the platform, from the next capture on.",
    example={"app": "org.example.grocery", "terms": {"bps": 60, "fixed": 0}}, answer={},
)  # fmt: skip

SHOW: Final = ControlMethod(
    name="program", role=Role.AUDITOR, params=ProgramOf, result=ProgramTold, effect=False, waits=False,
    summary="One program: its releases, what it was granted, how it stands.", example={"app": "org.example.grocery"},
    answer={"program": PROGRAM},
)  # fmt: skip
LIST: Final = ControlMethod(
    name="programs", role=Role.AUDITOR, params=ProgramsAfter, result=ProgramsTold, effect=False, waits=False,
    summary="Installed programs by app id, page by page.", example={"limit": 100}, answer={"programs": [PROGRAM]},
)  # fmt: skip
SET_GRANTS: Final = ControlMethod(
    name="set_grants", role=Role.OPERATOR, params=SetGrants, result=ProgramTold, effect=True,
    summary="What the program may do from now on; what is granted no more is gone for calls in flight too.",
    example={"app": "org.example.grocery", "grant": {"payment": {"amount_max": 5000}}}, answer={"program": PROGRAM},
)  # fmt: skip
SET_LIMITS: Final = ControlMethod(
    name="set_limits", role=Role.OPERATOR, params=SetLimits, result=ProgramTold, effect=True,
    summary="What differs from the host's limits, for calls that begin from now on.",
    example={"app": "org.example.grocery", "limits": {"cpu_us": 100_000}},
    answer={"program": {**PROGRAM, "limits": {"cpu_us": 100_000}}},
)  # fmt: skip

METHODS: Final = (INSTALL, UNINSTALL, REVOKE, SET_FEES, SHOW, LIST, SET_GRANTS, SET_LIMITS)
