"""`hostel conformance`: the suite that judges hosts by the protocol, as a process of its own.

What lives here: where the suite is, and its command line. It imports nothing of this package, and this file nothing of
it: what judges a host is not part of one.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from runtime.cli.exit_codes import BROKEN_PIPE, INTERRUPTED
from runtime.errors import HostelError, UsageError

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_SUITES: Final = (_PACKAGE / "conformance", _PACKAGE.parent / "tests" / "conformance")
"""Where a wheel carries it; where a checkout has it."""
_WRONG_USAGE: Final = 2


class CasesFailed(HostelError):
    """Some cases are not as they should be."""

    code = "cases_failed"


def conformance(
    *ids: str,
    target: Annotated[str, Parameter(help="The command that is the host under test; left out: this host.")] = "",
    socket: Annotated[Path | None, Parameter(help="The control socket of a daemon that runs, instead.")] = None,
    daemon: Annotated[bool, Parameter(help="This host as daemons of the suite's own, through their sockets.")] = False,
    level: Annotated[Literal["MUST", "SHOULD"] | None, Parameter(help="Only cases of this level.")] = None,
    expectations: Annotated[Path | None, Parameter(help="A file with what is known to fail, or to be skipped.")] = None,
    jobs: Annotated[int | None, Parameter(help="How many targets run at once; one a core, with --daemon two.")] = None,
    json_file: Annotated[Path | None, Parameter(name="--json", help="Write the whole result there.")] = None,
    junit: Annotated[Path | None, Parameter(help="Write JUnit's XML there.")] = None,
    html: Annotated[Path | None, Parameter(help="Write a page there.")] = None,
    list_: Annotated[bool, Parameter(name="--list", help="Only list the cases.")] = False,
) -> None:
    """Judge a host of mini-programs, in any language, by the protocol: each case is played on it, and what came is held
    against what must come. Without a target it is this host, in process; with --daemon it is this host as
    `hostel serve` runs it, with jailed workers, each case through a control socket.

    It ends with 1 where a case is not as it should be. docs/conformance.md says how to write a target, and how to
    certify a host.

    Parameters
    ----------
    ids
        Cases to play: an id, such as 4.5/fresh-sandbox-echo, or the beginning of one; all where none is given.
    """
    if sum(map(bool, (target, socket, daemon))) > 1:
        raise UsageError("give one of --target, --socket and --daemon")
    if daemon and jobs is None:
        jobs = min(8, 2 * (os.cpu_count() or 1))  # much of a case there is waiting for a process to start or to end
    this_host = (sys.executable, "-P", "-m", "runtime.cli", "target", *(("--daemon",) if daemon else ()))
    words = {
        "target": target or (None if socket else shlex.join(this_host)),
        "socket": socket, "level": level, "expectations": expectations, "jobs": jobs, "json": json_file,
        "junit": junit, "html": html,
    }  # fmt: skip
    options = [f"--{name}={value}" for name, value in words.items() if value is not None]
    _play([*options, *(["--list"] if list_ else []), "--", *ids])


def _play(words: list[str]) -> None:
    """Raises CasesFailed, UsageError, BrokenPipeError, KeyboardInterrupt."""
    sys.stdout.flush()
    # the target is this package wherever it was imported from, and not a folder `runtime` of whoever calls
    paths = (str(_PACKAGE.parent), *filter(None, (os.environ.get("PYTHONPATH"),)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, str(suite()), *words], env=environment, check=False)
    if done.returncode == BROKEN_PIPE:
        raise BrokenPipeError
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode == _WRONG_USAGE:
        raise UsageError("the suite did not begin: the lines before say why")
    if done.returncode:
        raise CasesFailed("not every case is as it should be: the lines before say which")


def suite() -> Path:
    """The suite's folder. Raises HostelError where there is none."""
    for folder in _SUITES:
        if (folder / "__main__.py").is_file():
            return folder
    raise HostelError(f"the conformance suite is not beside this installation: {_SUITES[0]}")
