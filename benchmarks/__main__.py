"""`python -m benchmarks`: every subject in one run. Ends with 0 whatever the figures are."""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import trio
from rich.console import Console

from benchmarks import (
    busy_thread,
    cpu_budget,
    daemon,
    daemon_company,
    first_call,
    host_calls,
    in_process,
    javascript,
    kill,
    languages,
    many_programs,
    payments,
    registry,
    suspended,
    workers,
)
from benchmarks.measure import FULL, QUICK, Scale
from benchmarks.report import Row, machine, show, write

Subject = Callable[[Scale], Awaitable[list[Row]]]

SUBJECTS: Mapping[str, Subject] = {
    "in_process": in_process.rows,
    "host_calls": host_calls.rows,
    "javascript": javascript.rows,
    "languages": languages.rows,
    "first_call": first_call.rows,
    "busy_thread": busy_thread.rows,
    "many_programs": many_programs.rows,
    "cpu_budget": cpu_budget.rows,
    "payments": payments.rows,
    "registry": registry.rows,
    "kill": kill.rows,
    "suspended": suspended.rows,
    "workers": workers.rows,
    "daemon": daemon.rows,
    "daemon_company": daemon_company.rows,
}


async def measure(scale: Scale, subjects: Sequence[str], told: Callable[[str], None]) -> list[Row]:
    """All rows of these subjects. `told` hears which one begins."""
    gc.collect()
    gc.freeze()
    rows: list[Row] = []
    for name in subjects:
        told(name)
        rows += await SUBJECTS[name](scale)
        gc.collect()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subject", nargs="*", help=f"only these: {', '.join(SUBJECTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, about a quarter of the time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    options = parser.parse_args()
    for name in options.subject:
        if name not in SUBJECTS:
            parser.error(f"no subject {name!r}; there are {', '.join(SUBJECTS)}")
    console = Console(stderr=True)
    rows = trio.run(measure, QUICK if options.quick else FULL, options.subject or list(SUBJECTS), console.log)
    about = machine(Path(tempfile.gettempdir()))
    show(rows, about, Console(width=None if Console().is_terminal else 130))
    if options.json:
        write(options.json, rows, about)


if __name__ == "__main__":
    main()
