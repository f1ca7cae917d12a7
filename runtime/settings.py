"""What an operator decides about a host as a whole. Values only, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runtime.bounds import check, check_choice
from runtime.javascript import Interpreter
from runtime.limits import KIB, MIB, CompileLimits, DeveloperLimits, Limits, ModuleCaps
from runtime.worker_settings import TICKERS, WorkerSettings

SLOTS_MOST = 20_000
"""Each slot takes about five of a process's mappings (vm.max_map_count is 65,530 by default), three when in use."""
LABELLED_PROGRAMS_MOST = 200
_HOST_BOUNDS: Final = {
    "slots": (1, SLOTS_MOST), "keep_resident_bytes": (0, 16 * MIB), "programs_in_memory": (1, 1_000_000),
    "resident_idle_s": (0.001, 86_400), "drain_s": (0, 86_400),
}  # fmt: skip
_JOURNAL_BOUNDS: Final = {
    "receipts_days": (1, 3_650), "receipts_bytes_max": (4 * MIB, 1 << 40),
    "logs_days": (1, 3_650), "logs_bytes_max": (4 * MIB, 1 << 40),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """How long receipts and programs' log lines are kept: what is older, or more, goes first."""

    receipts_days: int = 7
    """Receipts older than this are deleted."""
    receipts_bytes_max: int = 512 * MIB
    """All receipts together, on the disk; one takes about 500 bytes."""
    logs_days: int = 7
    """Programs' log lines older than this are deleted."""
    logs_bytes_max: int = 100 * MIB
    """All programs' log lines together, on the disk."""

    def __post_init__(self) -> None:
        check(self, _JOURNAL_BOUNDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """What is counted for `Host.metrics`: figures of the host, and of each program for `hostel top`."""

    programs: int = 0
    """So many programs, the busiest, have metrics with their id as a label."""

    def __post_init__(self) -> None:
        check(self, {"programs": (0, LABELLED_PROGRAMS_MOST)})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Defaults are for a library in a service; benchmarks and tests name what they change."""

    slots: int = 512
    """Sandboxes alive at once, all programs together; more wait. A program keeps fast while it has two warm ones."""
    keep_resident_bytes: int = 128 * KIB
    """Memory kept mapped in an idle slot, zeroed between calls: more is faster and costs that much for each slot."""
    limits: Limits = field(default_factory=Limits)
    """What a program gets unless its operator gives it more or less."""
    developer_limits: DeveloperLimits = field(default_factory=DeveloperLimits)
    """What all programs of one developer get together, unless the operator gives them more or less."""
    programs_in_memory: int = 2_048
    """Programs kept in memory between calls, about 10 KB each; another is read from the store when it is called."""
    caps: ModuleCaps = field(default_factory=ModuleCaps)
    compile_limits: CompileLimits = field(default_factory=CompileLimits)
    loaded_bytes_max: int = 256 * MIB
    """Artifacts kept loaded, all programs together; least recently used go first."""
    cache_bytes_max: int = 1024 * MIB
    """Artifacts kept on disk."""
    allow_unsigned: bool = False
    """True: bundles without a trusted signature may be installed."""
    ticker: str = "auto"
    """signal, thread, or the best there is."""
    resident_idle_s: float = 60.0
    """How long a resident sandbox is kept after its last call."""
    drain_s: float = 5.0
    """How long closing waits for calls in flight before it ends them as `cancelled`."""
    workers: WorkerSettings | None = None
    """Jailed processes that programs run in; None: they run in this one."""
    journal: JournalSettings | None = None
    """Receipts and programs' log lines kept in the state directory; None: none are written, and programs' lines go to
    the log sink alone."""
    metrics: MetricsSettings | None = None
    """None: nothing is counted, which spares each call 2 µs."""
    engine: Interpreter | None = None
    """What programs that are scripts run on; None: the engine that is shipped."""
    cache_dir: Path | None = None
    """Where compiled modules are kept between runs (in `artifacts`, with their key in `keys`, both made with the first
    of them); None: in the state directory, or in memory where there is none."""

    def __post_init__(self) -> None:
        check(self, _HOST_BOUNDS)
        check_choice(self, "ticker", TICKERS)
