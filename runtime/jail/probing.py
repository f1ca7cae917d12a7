"""What level this machine gives, found out by entering the jail in a short-lived child and trying to get out again.

The child is a fresh interpreter, since the process that asks may have threads and must not be jailed. It reports what
was really refused: a layer that installs and does not bite counts as missing.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runtime.jail.entry import enter, nowhere
from runtime.jail.level import Grade, Level
from runtime.jail.syscalls import machine

_START: Final = "import sys; sys.path.append(sys.argv[1]); from runtime.jail.probing import report; report()"
_ROOT: Final = str(Path(__file__).parents[2])
_LONGEST_S: Final = 20


@functools.cache
def probe() -> Level:
    """The level a worker would reach here. Starts a child once (about 50 ms, blocking) and remembers its answer.

    Never raises: a child that fails is level `none` with the reason.
    """
    if machine() is None:
        return nowhere()
    command = [sys.executable, "-I", "-S", "-c", _START, _ROOT]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=dict[str, str](), cwd="/", timeout=_LONGEST_S,
            check=True,
        )  # fmt: skip
        grade, missing, notes = json.loads(done.stdout)
        return Level(Grade(grade), tuple(missing), tuple(notes))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Level(Grade.NONE, (f"the probe of the jail failed: {error}",))


def report() -> None:
    """The child's whole life. It enters in the mode that answers, so that it can tell."""
    attempts = _attempts()
    level = enter(deny="errno")
    missing = [
        *level.missing,
        *(f"inside the jail one can still {name}" for name, act in attempts.items() if _works(act)),
    ]
    grade = min(level.grade, Grade.PARTIAL) if missing else level.grade
    os.write(1, json.dumps([grade, missing, level.notes]).encode())
    os._exit(0)


def _attempts() -> dict[str, Callable[[], object]]:
    """One for each kind of wall. The datagram socket is there before, so that sending is what is tried."""
    datagrams, parent = socket.socket(type=socket.SOCK_DGRAM), os.getppid()
    return {
        "open a file": lambda: os.open(sys.executable, os.O_RDONLY),
        "make a socket": lambda: socket.socket(socket.AF_UNIX),
        "send to the network": lambda: datagrams.sendto(b"", ("127.0.0.1", 9)),
        "start a process": lambda: os.fork() or os._exit(0),
        "signal its parent": lambda: os.kill(parent, 0),
    }


def _works(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True
