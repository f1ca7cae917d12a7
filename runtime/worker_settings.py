"""What an operator decides about executor workers: how many, how large, when one is given up, how far jailed.

Values only, checked when they are made; what they mean in action is runtime/executor/worker_pool.py's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from runtime.bounds import check, check_choice
from runtime.errors import UsageError
from runtime.limits import KIB, MIB

SLOTS_MOST: Final = 10_000
MAPPINGS_EACH: Final = 5
"""Of a process's mappings, for one sandbox in use with data of its own."""
MAPPINGS_KEPT: Final = 8_192
"""For the interpreter, its libraries and loaded modules."""
_MAPPINGS_DEFAULT: Final = 65_530
METERED: Final = "+fuel"
"""How the groups end whose programs have a limit of fuel: a worker has one engine, which counts it or does not."""
_BOUNDS: Final = {
    "count": (1, 256), "processes": (1, 4_096), "idle_s": (0.0, 86_400.0), "slots": (1, SLOTS_MOST),
    "queue": (0, 100_000), "keep_resident_bytes": (0, 16 * MIB), "loaded_bytes": (1 * MIB, 1 << 40),
    "memory_bytes": (128 * MIB, 1 << 44), "heartbeat_s": (0.1, 60.0), "start_s": (0.5, 600.0),
    "back_off_s": (0.0, 60.0), "back_off_most_s": (0.0, 600.0), "deaths": (1, 1_000), "deaths_s": (1.0, 86_400.0),
    "nice": (0, 19),
}  # fmt: skip
TICKERS: Final = ("auto", "signal", "thread")
"""What `ticker` may be, here and in HostSettings."""

Require = Literal["none", "partial", "full"]


def slots_that_fit() -> int:
    """How many sandboxes one process of this machine can map at once (vm.max_map_count)."""
    try:
        mappings = int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    except (OSError, ValueError):
        mappings = _MAPPINGS_DEFAULT
    return max(1, min(SLOTS_MOST, (mappings - MAPPINGS_KEPT) // MAPPINGS_EACH))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Defaults are for a daemon that has the machine to itself."""

    count: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Workers of one group, at most; a program that runs alone has one."""
    processes: int = 64
    """Workers of all groups, at most. Idle ones make room for others; where none is idle, calls are refused."""
    standing: tuple[str, ...] = ("unreviewed",)
    """Groups whose workers are started with the host and stay; others start with their first call."""
    idle_s: float = 300.0
    """After so long without a call a worker of any other group ends."""
    slots: int = field(default_factory=slots_that_fit)
    """Sandboxes alive at once in one worker."""
    queue: int = 1_024
    """Calls of one group that wait for a slot; more are refused as `overloaded`."""
    keep_resident_bytes: int = 128 * KIB
    """As HostSettings.keep_resident_bytes."""
    loaded_bytes: int = 256 * MIB
    """Artifacts kept loaded in one worker; least recently used go first."""
    memory_bytes: int = 2_048 * MIB
    """Resident memory of one worker; over it, it is killed and replaced."""
    heartbeat_s: float = 1.0
    """A worker with calls that shows no sign of life for so long is killed. Time in which it waited for a processor
    that others had does not count."""
    start_s: float = 10.0
    """From the start of the process until it is ready."""
    back_off_s: float = 0.1
    """Before a worker that died young is replaced; doubled with each further death in a row."""
    back_off_most_s: float = 5.0
    """It is not doubled beyond this."""
    deaths: int = 3
    """A program that has so many deaths of workers to answer for, within `deaths_s`, is to be quarantined."""
    deaths_s: float = 60.0
    """See deaths."""
    require: Require = "full"
    """The level of jail without which the host does not start (docs/protocol.md, Workers)."""
    nice: int = 0
    """Added to the niceness of every worker, so that the broker goes first on a full machine."""
    ticker: str = "auto"
    """As HostSettings.ticker. In a jail only the signal ticker can run."""

    def __post_init__(self) -> None:
        check(self, _BOUNDS)
        check_choice(self, "require", get_args(Require))
        check_choice(self, "ticker", TICKERS)
        if len(self.standing) * self.count > self.processes:
            raise UsageError(
                f"processes = {self.processes}: less than count = {self.count} for each of"
                f" {len(self.standing)} standing groups"
            )
