"""The command line: `hostel`. One file a command group; commands.py names them, report.py words what came of one.

What lives here: the console script's first moment. What takes time to import is imported by it, so that Ctrl-C is
answered with a line, not a traceback, then too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from runtime.cli.exit_codes import INTERRUPTED

__all__ = ["main", "run"]


def main() -> None:
    """The console script."""
    try:
        from runtime.cli.entry import main as enter
    except KeyboardInterrupt:
        sys.stderr.write("hostel: interrupted\n")
        sys.exit(INTERRUPTED)
    enter()


def run(words: Sequence[str]) -> int:
    """As `runtime.cli.entry.run`."""
    from runtime.cli.entry import run as enter

    return enter(words)
