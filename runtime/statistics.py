"""Figures of a host at one moment. A value only: it travels to clients, who run no host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOP_BY: Final = (
    "cpu_us_per_s", "calls_per_s", "failed_per_s", "p99_us", "memory_bytes", "denials_per_s", "calls_in_flight",
)  # fmt: skip
"""Figures of programs that they can be put in order by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatistics:
    """A snapshot."""

    programs: int
    calls_in_flight: int
    calls_queued: int
    sandboxes: int
    slots: int
    prompts_open: int
    fetches: int
    ticker: str
    sandbox_level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFigures:
    """One executor worker."""

    pid: int
    group: str
    state: str
    """`starting`, `ready` or `leaving`."""
    calls: int
    """Under way on it."""
    resident_bytes: int
    restarts: int
    """How often its place was filled anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFigures:
    """One program: the last whole window of five seconds, and sums since the host was opened or the program was last
    forgotten."""

    app_id: str
    calls_per_s: float
    failed_per_s: float
    """Every ending but `completed`."""
    cpu_us_per_s: float
    p50_us: int
    p99_us: int
    memory_bytes: int
    """The most that a sandbox had."""
    denials_per_s: float
    calls_in_flight: int
    calls: int
    cpu_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFigures:
    """Receipts and programs' log lines, since the host was opened."""

    receipts: int
    lines: int
    dropped: int
    """Entries that found the buffer full, or the disk."""
    failing: bool
    """The disk refused the last write."""
    tails: int
    """Who follows them now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """A host as a process, at one moment."""

    version: str
    now_us: int
    up_us: int
    """How long it is open."""
    ready: bool
    """New work may come here: all doors are open, it does not drain, and a worker can take it."""
    draining: bool
    statistics: HostStatistics
    placement: str
    """`in_process` or `worker`."""
    workers: tuple[WorkerFigures, ...]
    resident_bytes: int
    """Of this process."""
    calls_ended: int
    """Of all endings, since it was opened; 0 where nothing is counted."""
    commits: int
    """Of the store, since it was opened; several writes share one."""
    writes: int
    journal: JournalFigures | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """What `hostel top` shows."""

    status: HostStatus
    calls_per_s: float
    """Of all programs, in the last whole window."""
    cpu_us_per_s: float
    programs: tuple[ProgramFigures, ...]
    """The first ones by what was asked for."""
