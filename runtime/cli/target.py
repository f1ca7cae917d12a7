"""`hostel target`: this host as the conformance suite judges it, one case a line."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter


def target(
    *, as_json: Annotated[bool, Parameter(name="--json", help="As ever: all that it writes is JSON.")] = False
) -> None:
    """Play conformance cases: each line of standard input is a case as JSON, each line of standard output its result.
    Every case gets a host of its own, in this process, with a clock that stands still; nothing is kept.

    For hostel conformance, which starts it; docs/conformance.md has the contract.
    """
    from runtime.target import play_lines

    def write(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    play_lines(sys.stdin.buffer, write)
