"""Methods for releases: from a developer's upload to what everybody gets, and back."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, field

from host_api.contract import Result
from host_api.releases.values import Upload
from runtime.bundle.zip_format import ARCHIVE_BYTES_MAX
from runtime.control.developers import Name, PageSize, Reason
from runtime.control.method import AppId, ControlMethod, ControlParams, Role, User
from runtime.control.programs import PROGRAM, Grant, Isolation, OneProgram, ProgramTold

Code = Annotated[int, Meta(ge=1, le=2**31 - 1)]
TRIAL_USERS_MAX: Final = 1_000
_UPLOAD: Final = {
    "app_id": "org.example.grocery", "code": 3, "name": "1.2.0", "status": "submitted", "identity": "9d" * 32,
    "developer": "d0" * 16, "signed_by": "ab" * 16, "module_sha256": "5e" * 32, "reviewed": False, "payee": "",
    "grants": {}, "limits": {}, "uploaded_us": 1_800_000_000_000_000, "decided_us": 0, "reason": "", "report": {},
    "script_sha256": "",
}  # fmt: skip


class UploadBundle(ControlParams, frozen=True, kw_only=True):
    developer: Name
    bundle: Annotated[bytes, Meta(min_length=1, max_length=ARCHIVE_BYTES_MAX)]
    """The bundle's file, signed with a key of the developer's."""


class UploadTold(Result, frozen=True, kw_only=True):
    upload: Upload


class ReleasesOf(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    after: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Only those with a higher version code."""
    limit: PageSize = 100


class Submitted(ControlParams, frozen=True, kw_only=True):
    limit: PageSize = 100


class UploadsTold(Result, frozen=True, kw_only=True):
    uploads: tuple[Upload, ...]


class OneRelease(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    code: Code


class Approve(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    code: Code
    grant: Grant = field(default_factory=list)
    """As of `install`, and so the next three."""
    limits: dict[str, int] | None = None
    config: dict[str, Any] | None = None
    payee: Annotated[str, Meta(max_length=256)] | None = None
    note: Reason = ""
    """For the developer to read."""
    isolation: Isolation | None = None


class Reject(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    code: Code
    reason: Reason
    """For the developer to read: 1 to 200 characters."""


class Trial(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    code: Code
    users: Annotated[list[User], Meta(min_length=1, max_length=TRIAL_USERS_MAX)]


class Gray(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    code: Code
    share: Annotated[int, Meta(ge=0, le=10_000)]
    """Of 10,000 users."""


class StopProgram(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    reason: Reason


UPLOAD: Final = ControlMethod(
    name="releases.upload", role=Role.OPERATOR, params=UploadBundle, result=UploadTold, effect=True, bundle=True,
    summary="A developer's bundle: checked, compiled, and put before the reviewer with a report.",
    example={"developer": "Fresh at home", "bundle": b"PK\x03\x04"}, answer={"upload": _UPLOAD},
)  # fmt: skip
LIST: Final = ControlMethod(
    name="releases.list", role=Role.AUDITOR, params=ReleasesOf, result=UploadsTold, effect=False, waits=False,
    summary="The releases of a program by version code, page by page.", example={"app_id": "org.example.grocery"},
    answer={"uploads": [_UPLOAD]},
)  # fmt: skip
SUBMITTED: Final = ControlMethod(
    name="releases.submitted", role=Role.AUDITOR, params=Submitted, result=UploadsTold, effect=False, waits=False,
    summary="What waits for a review, the oldest first.", example={}, answer={"uploads": [_UPLOAD]},
)  # fmt: skip
SHOW: Final = ControlMethod(
    name="releases.show", role=Role.AUDITOR, params=OneRelease, result=UploadTold, effect=False, waits=False,
    summary="One release, with the report on it.", example={"app_id": "org.example.grocery", "code": 3},
    answer={"upload": _UPLOAD},
)  # fmt: skip
APPROVE: Final = ControlMethod(
    name="releases.approve", role=Role.OPERATOR, params=Approve, result=UploadTold, effect=True,
    summary="The operator looked at it, and gives it this; nobody gets it yet.",
    example={"app_id": "org.example.grocery", "code": 3, "grant": ["payment"]},
    answer={"upload": {**_UPLOAD, "status": "approved", "payee": "Fresh at home", "grants": {"payment": {}}}},
)  # fmt: skip
REJECT: Final = ControlMethod(
    name="releases.reject", role=Role.OPERATOR, params=Reject, result=UploadTold, effect=True,
    summary="It will not be released; the developer reads why.",
    example={"app_id": "org.example.grocery", "code": 3, "reason": "asks for the phone number without need"},
    answer={"upload": {**_UPLOAD, "status": "rejected"}},
)  # fmt: skip
TRIAL: Final = ControlMethod(
    name="releases.trial", role=Role.OPERATOR, params=Trial, result=UploadTold, effect=True,
    summary="These users get it.", example={"app_id": "org.example.grocery", "code": 3, "users": ["alice"]},
    answer={"upload": {**_UPLOAD, "status": "trial"}},
)  # fmt: skip
GRAY: Final = ControlMethod(
    name="releases.gray", role=Role.OPERATOR, params=Gray, result=UploadTold, effect=True,
    summary="A share of all users gets it, always the same ones.",
    example={"app_id": "org.example.grocery", "code": 3, "share": 500},
    answer={"upload": {**_UPLOAD, "status": "gray"}},
)  # fmt: skip
FULL: Final = ControlMethod(
    name="releases.full", role=Role.OPERATOR, params=OneRelease, result=UploadTold, effect=True,
    summary="Everybody gets it.", example={"app_id": "org.example.grocery", "code": 3},
    answer={"upload": {**_UPLOAD, "status": "full"}},
)  # fmt: skip
OFFLINE: Final = ControlMethod(
    name="releases.offline", role=Role.OPERATOR, params=OneProgram, result=ProgramTold, effect=True,
    summary="Nobody gets any release of the program; calls in flight go on.",
    example={"app_id": "org.example.grocery"}, answer={"program": {**PROGRAM, "offline": True}},
)  # fmt: skip
ROLLBACK: Final = ControlMethod(
    name="releases.rollback", role=Role.OPERATOR, params=OneProgram, result=ProgramTold, effect=True,
    summary="Back to the last full release.", example={"app_id": "org.example.grocery"}, answer={"program": PROGRAM},
)  # fmt: skip
SET_MINIMUM: Final = ControlMethod(
    name="releases.set_minimum", role=Role.OPERATOR, params=OneRelease, result=ProgramTold, effect=True,
    summary="No release below this code runs ever again.", example={"app_id": "org.example.grocery", "code": 3},
    answer={"program": {**PROGRAM, "min_code": 3}},
)  # fmt: skip
KILL: Final = ControlMethod(
    name="releases.kill", role=Role.OPERATOR, params=StopProgram, result=ProgramTold, effect=True,
    summary="At once nobody can call the program, and its calls in flight end as `revoked`.",
    example={"app_id": "org.example.grocery", "reason": "fraud"}, answer={"program": {**PROGRAM, "killed": "fraud"}},
)  # fmt: skip
QUARANTINE: Final = ControlMethod(
    name="releases.quarantine", role=Role.OPERATOR, params=StopProgram, result=ProgramTold, effect=True,
    summary="As `releases.kill`; what the host does by itself to a program that keeps ending workers.",
    example={"app_id": "org.example.grocery", "reason": "ended 5 workers"},
    answer={"program": {**PROGRAM, "quarantined": "ended 5 workers"}},
)  # fmt: skip
REVIVE: Final = ControlMethod(
    name="releases.revive", role=Role.OPERATOR, params=OneProgram, result=ProgramTold, effect=True,
    summary="Neither killed nor quarantined any more.", example={"app_id": "org.example.grocery"},
    answer={"program": PROGRAM},
)  # fmt: skip

METHODS: Final = (
    UPLOAD, LIST, SUBMITTED, SHOW, APPROVE, REJECT, TRIAL, GRAY, FULL, OFFLINE, ROLLBACK, SET_MINIMUM, KILL,
    QUARANTINE, REVIVE,
)  # fmt: skip
