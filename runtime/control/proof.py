"""Methods for whoever has to prove or see what a host does: audit, verification, figures."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from host_api.audit import EFFECT_CHARS_MAX, Head
from host_api.contract import Result
from runtime.control.method import ControlMethod, ControlParams, Nothing, Role
from runtime.statistics import HostStatistics

RECORDS_MAX: Final = 1_000
FINDINGS_MAX: Final = 1_000
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_HEAD: Final = {"n": 12, "hash": bytes(32)}


class HeadTold(Result, frozen=True, kw_only=True):
    head: Head


class SignedHeadTold(Result, frozen=True, kw_only=True):
    format: str
    n: int
    hash: str
    at_us: int
    public_key: str
    signature: str


class KeyTold(Result, frozen=True, kw_only=True):
    public_key: str
    """`ed25519:` and base64url; '' before the first head was signed."""


class AuditRecords(ControlParams, frozen=True, kw_only=True):
    after: _Number = 0
    """Only records with a higher number."""
    limit: Annotated[int, Meta(ge=1, le=RECORDS_MAX)] = 100
    """So many are looked at, at most."""
    effect: Annotated[str, Meta(max_length=EFFECT_CHARS_MAX)] = ""
    """Only this effect, or all that begin so where it ends with a full stop."""
    app: Annotated[str, Meta(max_length=140)] = ""
    """Only what concerns the program with this id."""


class AuditRecord(Result, frozen=True, kw_only=True):
    n: int
    record: str
    """As it is hashed: JSON."""


class AuditPage(Result, frozen=True, kw_only=True):
    records: tuple[AuditRecord, ...]
    last: int
    """The number of the last one looked at; that of the request where there are no more."""


class Verify(ControlParams, frozen=True, kw_only=True):
    head: Head | None = None
    """What the audit has to begin with."""
    audit_only: bool = False


class Part(Result, frozen=True, kw_only=True):
    part: str
    """What is looked at now."""
    rows: int
    """Read so far, of all parts."""


class Verified(Result, frozen=True, kw_only=True):
    findings: tuple[str, ...]
    """What is wrong, the first difference first, 1,000 at most; none: all of it holds."""
    count: int
    """Of all findings."""
    head: Head
    """Of the audit, when it was looked at."""
    rows: dict[str, int]
    """Table → how many rows it has."""


class StatisticsTold(Result, frozen=True, kw_only=True):
    statistics: HostStatistics


AUDIT_HEAD: Final = ControlMethod(
    name="audit_head", role=Role.AUDITOR, params=Nothing, result=HeadTold, effect=False, waits=False,
    summary="Where the audit's chain is now.", example={}, answer={"head": _HEAD},
)  # fmt: skip
SIGNED_HEAD: Final = ControlMethod(
    name="signed_head", role=Role.AUDITOR, params=Nothing, result=SignedHeadTold, effect=False,
    summary="The audit's head, signed with the host's key: to be kept outside of the machine.", example={},
    answer={"format": "hostel audit head 1", "n": 12, "hash": "00" * 32, "at_us": 1_800_000_000_000_000,
            "public_key": "ed25519:" + "00" * 32, "signature": "00" * 64},
)  # fmt: skip
AUDIT_KEY: Final = ControlMethod(
    name="audit_key", role=Role.AUDITOR, params=Nothing, result=KeyTold, effect=False,
    summary="The public key that heads of the audit are signed with.", example={},
    answer={"public_key": "ed25519:" + "A" * 43},
)  # fmt: skip
AUDIT_RECORDS: Final = ControlMethod(
    name="audit_records", role=Role.AUDITOR, params=AuditRecords, result=AuditPage, effect=False, waits=False,
    summary="Records of the audit, in their order, page by page; `verify` proves them.",
    example={"after": 0, "limit": 100, "effect": "order."},
    answer={"records": [{"n": 1, "record": '{"at_us":1800000000000000,"effect":"order.created"}'}], "last": 100},
)  # fmt: skip
VERIFY: Final = ControlMethod(
    name="verify", role=Role.AUDITOR, params=Verify, result=Verified, stream=Part, effect=False,
    summary="Recomputes ledger, payments, events and audit from what they were made of.",
    example={"head": _HEAD},
    answer={"findings": [], "count": 0, "head": _HEAD, "rows": {"accounts": 4}},
)  # fmt: skip
STATISTICS: Final = ControlMethod(
    name="statistics", role=Role.AUDITOR, params=Nothing, result=StatisticsTold, effect=False, waits=False,
    summary="Figures of the host, now.", example={},
    answer={"statistics": {
        "programs": 1, "calls_in_flight": 0, "calls_queued": 0, "sandboxes": 0, "slots": 512, "prompts_open": 0,
        "fetches": 0, "ticker": "signal", "sandbox_level": "full",
    }},
)  # fmt: skip

METHODS: Final = (AUDIT_HEAD, SIGNED_HEAD, AUDIT_KEY, AUDIT_RECORDS, VERIFY, STATISTICS)
