"""What an operator decides about the daemon itself: where it keeps things, how it logs, what it insists on.

Values only, checked when they are made. The host's, the servers' and the workers' settings are beside their own code;
config.py reads all of them from one file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from runtime import bounds

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Where the daemon keeps its state, whose signatures it trusts, and below what it does not start."""

    state: Path | None = None
    """The state directory: all that is to be kept. There is no default: name one here or with --state."""
    keyring: Path | None = None
    """Whose signatures are trusted beside developers who signed up: a file, or a folder of them."""
    http: bool = True
    """Whether the HTTP door is opened; the control socket always is."""
    keep_awake_ms: int = 0
    """How long after the last piece of work the machine's processors are kept from sleeping, so that the next one finds
    them awake: a call alone takes about half the time in a virtual machine, at the price of electricity, or of credits.
    0: they sleep when they like. Needs the right to write to /dev/cpu_dma_latency; from 0 to 1000."""

    def __post_init__(self) -> None:
        bounds.check(self, {"keep_awake_ms": (0, 1_000)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The daemon's own log, on standard error. What programs log goes to the journal."""

    level: LogLevel = "info"
    """debug, info, warning or error: lines below it are not written."""
    format: Literal["auto", "json", "console"] = "auto"
    """json: one object a line; console: for people; auto: console on a terminal, else json."""
