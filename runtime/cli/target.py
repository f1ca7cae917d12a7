"""`hostel target`: this host as the conformance suite judges it, one case a line."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter


def target(
    *,
    daemon: Annotated[bool, Parameter(help="Through the socket of daemons with jailed workers.")] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="As ever: all that it writes is JSON.")] = False,
) -> None:
    """Play conformance cases: each line of standard input is a case as JSON, each line of standard output its result.
    Every case gets a host of its own, in this process, with a clock that stands still; nothing is kept. With --daemon
    it is played through the socket of a daemon instead: one that runs for all cases, or one of its own where a case
    needs that nothing was before it, a clock to move, settings or a restart.

    For hostel conformance, which starts it; docs/conformance.md has the contract.
    """

    def write(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    if daemon:
        from runtime.target.through_daemon import play_lines_through_daemons

        play_lines_through_daemons(sys.stdin.buffer, write)
    else:
        from runtime.target.play import play_lines

        play_lines(sys.stdin.buffer, write)
