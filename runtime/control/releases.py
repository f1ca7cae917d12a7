"""Methods for releases: from a developer's upload to what everybody gets, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, field

from host_api.contract import Result
from host_api.releases.values import Upload
from runtime.bundle.zip_format import ARCHIVE_BYTES_MAX
from runtime.control.developers import Name, PageSize, Reason
from runtime.control.method import ControlMethod, ControlParams, P, Role, User
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


class ReleasesOf(OneProgram, frozen=True, kw_only=True):
    after: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Only those with a higher version code."""
    limit: PageSize = 100


class Submitted(ControlParams, frozen=True, kw_only=True):
    limit: PageSize = 100


class UploadsTold(Result, frozen=True, kw_only=True):
    uploads: tuple[Upload, ...]


class OneRelease(OneProgram, frozen=True, kw_only=True):
    code: Code


class Approve(OneRelease, frozen=True, kw_only=True):
    grant: Grant = field(default_factory=list)
    """As of `install`, and so the next three."""
    limits: dict[str, int] | None = None
    config: dict[str, Any] | None = None
    payee: Annotated[str, Meta(max_length=256)] | None = None
    note: Reason = ""
    """For the developer to read."""
    isolation: Isolation | None = None


class Reject(OneRelease, frozen=True, kw_only=True):
    reason: Reason
    """For the developer to read: 1 to 200 characters."""


class Trial(OneRelease, frozen=True, kw_only=True):
    users: Annotated[list[User], Meta(min_length=1, max_length=TRIAL_USERS_MAX)]


class Gray(OneRelease, frozen=True, kw_only=True):
    share: Annotated[int, Meta(ge=0, le=10_000)]
    """Of 10,000 users."""


class StopProgram(OneProgram, frozen=True, kw_only=True):
    reason: Reason


def _step(
    name: str, params: type[P], summary: str, example: Mapping[str, Any] | None = None, **answer: Any
) -> ControlMethod[P, UploadTold]:
    """What an operator does with one release. `answer`: what becomes of the upload in the example."""
    return ControlMethod(
        name=name, role=Role.OPERATOR, params=params, result=UploadTold, effect=True, summary=summary,
        example={"app_id": "org.example.grocery", "code": 3, **(example or {})},
        answer={"upload": {**_UPLOAD, **answer}},
    )  # fmt: skip


def _whole(
    name: str, params: type[P], summary: str, example: Mapping[str, Any] | None = None, **answer: Any
) -> ControlMethod[P, ProgramTold]:
    """What an operator does with a program, all its releases together."""
    return ControlMethod(
        name=name, role=Role.OPERATOR, params=params, result=ProgramTold, effect=True, summary=summary,
        example={"app_id": "org.example.grocery", **(example or {})}, answer={"program": {**PROGRAM, **answer}},
    )  # fmt: skip


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
APPROVE: Final = _step(
    "releases.approve", Approve, "The operator looked at it, and gives it this; nobody gets it yet.",
    {"grant": ["payment"]}, status="approved", payee="Fresh at home", grants={"payment": {}},
)  # fmt: skip
REJECT: Final = _step(
    "releases.reject", Reject, "It will not be released; the developer reads why.",
    {"reason": "asks for the phone number without need"}, status="rejected",
)  # fmt: skip
TRIAL: Final = _step("releases.trial", Trial, "These users get it.", {"users": ["alice"]}, status="trial")
GRAY: Final = _step(
    "releases.gray", Gray, "A share of all users gets it, always the same ones.", {"share": 500}, status="gray"
)
FULL: Final = _step("releases.full", OneRelease, "Everybody gets it.", status="full")
OFFLINE: Final = _whole(
    "releases.offline", OneProgram, "Nobody gets any release of the program; calls in flight go on.", offline=True
)
ROLLBACK: Final = _whole("releases.rollback", OneProgram, "Back to the last full release.")
SET_MINIMUM: Final = _whole(
    "releases.set_minimum", OneRelease, "No release below this code runs ever again.", {"code": 3}, min_code=3
)
KILL: Final = _whole(
    "releases.kill", StopProgram, "At once nobody can call the program, and its calls in flight end as `revoked`.",
    {"reason": "fraud"}, killed="fraud",
)  # fmt: skip
QUARANTINE: Final = _whole(
    "releases.quarantine", StopProgram,
    "As `releases.kill`; what the host does by itself to a program that keeps ending workers.",
    {"reason": "ended 5 workers"}, quarantined="ended 5 workers",
)  # fmt: skip
REVIVE: Final = _whole("releases.revive", OneProgram, "Neither killed nor quarantined any more.")

METHODS: Final = (
    UPLOAD, LIST, SUBMITTED, SHOW, APPROVE, REJECT, TRIAL, GRAY, FULL, OFFLINE, ROLLBACK, SET_MINIMUM, KILL,
    QUARANTINE, REVIVE,
)  # fmt: skip
