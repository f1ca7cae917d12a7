"""Methods for whoever keeps a host running: its figures, its journal, its backups."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from host_api.contract import Result
from host_api.events.telling import ToldEvent
from runtime.control.method import ControlMethod, ControlParams, Done, Nothing, Role
from runtime.journal.entries import LogLine, PastCall
from runtime.made_backups import MadeBackup
from runtime.statistics import HostStatus, Top

ROWS_MAX: Final = 200
ENTRIES_MAX: Final = 10_000
_Name = Annotated[str, Meta(max_length=140)]
_Moment = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Path = Annotated[str, Meta(min_length=2, max_length=1_024, pattern=r"\A/")]
_STATUS: Final = {
    "version": "1.0.0", "now_us": 1_800_000_000_000_000, "up_us": 60_000_000, "ready": True, "draining": False,
    "statistics": {
        "programs": 1, "calls_in_flight": 0, "calls_queued": 0, "sandboxes": 0, "slots": 512, "prompts_open": 0,
        "fetches": 0, "ticker": "signal", "sandbox_level": "full",
    },
    "placement": "worker",
    "workers": [
        {"pid": 4_711, "group": "unreviewed", "state": "ready", "calls": 0, "resident_bytes": 70_000_000, "restarts": 0}
    ],
    "resident_bytes": 90_000_000, "calls_ended": 12, "commits": 5, "writes": 9,
    "journal": {"receipts": 12, "lines": 3, "dropped": 0, "failing": False, "tails": 0},
}  # fmt: skip


class StatusTold(Result, frozen=True, kw_only=True):
    status: HostStatus


class TopOf(ControlParams, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = 50
    """So many programs."""
    by: Literal[
        "cpu_us_per_s", "calls_per_s", "failed_per_s", "p99_us", "memory_bytes", "denials_per_s", "calls_in_flight"
    ] = "cpu_us_per_s"
    """The figure that puts them in order."""


class TopTold(Result, frozen=True, kw_only=True):
    top: Top


class Which(ControlParams, frozen=True, kw_only=True):
    """Fields that are left out ask for all."""

    app: _Name = ""
    call: _Name = ""
    trace_id: _Name = ""
    since_us: _Moment = 0
    limit: Annotated[int, Meta(ge=1, le=ENTRIES_MAX)] = 100
    """The newest ones, if there are more."""


class WhichLines(Which, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "debug"
    """The least."""
    follow: bool = False
    """Go on with those that come, until the request is cancelled."""


class CallsTold(Result, frozen=True, kw_only=True):
    calls: tuple[PastCall, ...]


class Line(Result, frozen=True, kw_only=True):
    line: LogLine | None
    """None: lines were dropped here, because they came faster than they were taken."""


class WhichToCome(Which, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=0, le=ENTRIES_MAX)] = 0
    """So many of the newest that ended already, before those to come."""


class CallTold(Result, frozen=True, kw_only=True):
    call: PastCall | None
    """None: some were dropped here, because they came faster than they were taken."""


class WhichEvents(ControlParams, frozen=True, kw_only=True):
    app: _Name = ""
    """Left out: of all programs."""
    limit: Annotated[int, Meta(ge=0, le=ENTRIES_MAX)] = 0
    """So many of the newest that there are, before those to come."""


class EventTold(Result, frozen=True, kw_only=True):
    event: ToldEvent


class BackUp(ControlParams, frozen=True, kw_only=True):
    to: _Path
    """A new folder on the host's machine, by its whole path."""
    journal: bool = False
    """With receipts and programs' log lines."""


class BackedUp(Result, frozen=True, kw_only=True):
    to: str
    made_us: int
    files: int
    bytes: int
    head: dict[str, str | int]
    """The signed head of the audit in it."""


class BackupsTold(Result, frozen=True, kw_only=True):
    backups: tuple[MadeBackup, ...]


STATUS: Final = ControlMethod(
    name="status", role=Role.AUDITOR, params=Nothing, result=StatusTold, effect=False, waits=False,
    summary="The host as a process: version, workers, memory, what is under way.", example={},
    answer={"status": _STATUS},
)  # fmt: skip
TOP: Final = ControlMethod(
    name="top", role=Role.AUDITOR, params=TopOf, result=TopTold, effect=False, waits=False,
    summary="The host, and the programs that come first by a figure of the last five seconds.",
    example={"limit": 10, "by": "cpu_us_per_s"},
    answer={"top": {
        "status": _STATUS, "calls_per_s": 20.2, "cpu_us_per_s": 4_200.0,
        "programs": [{
            "app_id": "org.example.grocery", "calls_per_s": 20.2, "failed_per_s": 0.0, "cpu_us_per_s": 4_200.0,
            "p50_us": 640, "p99_us": 1_215, "memory_bytes": 1_179_648, "denials_per_s": 0.0, "calls_in_flight": 1,
            "calls": 1_024, "cpu_us": 215_040,
        }],
    }},
)  # fmt: skip
RECEIPTS: Final = ControlMethod(
    name="receipts", role=Role.AUDITOR, params=Which, result=CallsTold, effect=False,
    summary="Receipts of calls that ended, by program, call, trace or time; the oldest first.",
    example={"app": "org.example.grocery", "limit": 10}, answer={"calls": []},
)  # fmt: skip
RECEIPTS_TAIL: Final = ControlMethod(
    name="receipts.tail", role=Role.AUDITOR, params=WhichToCome, result=Done, stream=CallTold, effect=False,
    summary="Receipts of calls as they end, until the request is cancelled.",
    example={"app": "org.example.grocery"}, answer={},
)  # fmt: skip
EVENTS_TAIL: Final = ControlMethod(
    name="events.tail", role=Role.AUDITOR, params=WhichEvents, result=Done, stream=EventTold, effect=False,
    summary="Which events programs are told, as they are written, until the request is cancelled; none is dropped.",
    example={"app": "org.example.grocery", "limit": 10}, answer={},
)  # fmt: skip
LOGS: Final = ControlMethod(
    name="logs", role=Role.OPERATOR, params=WhichLines, result=Done, stream=Line, effect=False,
    summary="Lines that programs logged, the oldest first, and those to come if they are followed.",
    example={"app": "org.example.grocery", "level": "warning", "follow": True}, answer={},
)  # fmt: skip
BACKUP: Final = ControlMethod(
    name="backup", role=Role.OPERATOR, params=BackUp, result=BackedUp, effect=True,
    summary="A backup of all that is kept, made while everything goes on; it holds the host's keys.",
    example={"to": "/var/backups/hostel/2026-11-23"},
    answer={"to": "/var/backups/hostel/2026-11-23", "made_us": 1_800_000_000_000_000, "files": 4, "bytes": 602_112,
            "head": {"format": "hostel audit head 1", "n": 12}},
)  # fmt: skip
BACKUPS: Final = ControlMethod(
    name="backups", role=Role.AUDITOR, params=Nothing, result=BackupsTold, effect=False,
    summary="Backups that were made, newest first, each with how many erasures came after it.", example={},
    answer={"backups": [{"made_us": 1_800_000_000_000_000, "path": "/var/backups/hostel/2026-11-23", "head_n": 12,
                         "erasures_since": 1}]},
)  # fmt: skip

METHODS: Final = (STATUS, TOP, RECEIPTS, RECEIPTS_TAIL, EVENTS_TAIL, LOGS, BACKUP, BACKUPS)
