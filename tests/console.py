"""`hostel` as a person meets it: a child process with a home of its own. For tests of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HANG_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str
    seconds: float


def command() -> list[str]:
    """The installed console script; where there is none, the module it calls."""
    script = Path(sys.executable).with_name("hostel")
    return [str(script)] if script.exists() else [sys.executable, "-m", "runtime.cli"]


def environment(home: Path) -> dict[str, str]:
    """Nothing of the tester's own settings; everything that could be written to lies in `home`."""
    return {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TMPDIR": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "COLUMNS": "200",
    }


def hostel(home: Path, *words: str | Path, stdin: bytes = b"") -> Finished:
    """Runs a command to its end, in the folder `home`, without a terminal."""
    began = time.perf_counter()
    done = subprocess.run(
        [*command(), *map(str, words)],
        input=stdin, capture_output=True, cwd=home, env=environment(home), timeout=HANG_S, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return Finished(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode(), seconds=seconds)
