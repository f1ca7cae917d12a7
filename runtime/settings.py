"""What an operator decides about a host as a whole. Values only, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import UsageError
from runtime.limits import KIB, MIB, CompileLimits, Limits, ModuleCaps

SLOTS_MOST = 20_000
"""Each slot takes about five of a process's mappings (vm.max_map_count is 65,530 by default), three when in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Defaults are for a library in a service; benchmarks and tests name what they change."""

    slots: int = 512
    """Sandboxes alive at once, all programs together; more wait. A program keeps fast while it has two warm ones."""
    keep_resident_bytes: int = 128 * KIB
    """Memory kept mapped in an idle slot, zeroed between calls: more is faster and costs that much for each slot."""
    limits: Limits = field(default_factory=Limits)
    """What a program gets unless its operator gives it more or less."""
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
    drain_s: float = 5.0
    """How long closing waits for calls in flight before it ends them as `cancelled`."""
    cache_dir: Path | None = None
    """Where compiled modules are kept between runs (in `artifacts`, with their key in `keys`, both made with the first
    of them); None: in the state directory, or in memory where there is none."""

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= SLOTS_MOST:
            raise UsageError(f"slots = {self.slots}: must be from 1 to {SLOTS_MOST}")
        if not 0 <= self.keep_resident_bytes <= 16 * MIB:
            raise UsageError(f"keep_resident_bytes = {self.keep_resident_bytes}: must be from 0 to {16 * MIB}")
        if self.drain_s < 0:
            raise UsageError(f"drain_s = {self.drain_s}: must not be negative")
        if self.ticker not in ("auto", "signal", "thread"):
            raise UsageError(f"ticker = {self.ticker!r}: must be auto, signal or thread")
