"""`hostel backup`, `hostel backups` and `hostel restore`: all that is kept, kept once more."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runtime.backup import Manifest
from runtime.cli import report
from runtime.cli.door import UNNAMED, Door
from runtime.cli.proof import Progress


def backup(
    to: Path,
    /,
    *,
    door: Door = UNNAMED,
    journal: Annotated[bool, Parameter(help="With receipts and programs' log lines.")] = False,
    as_json: report.AsJson = False,
) -> None:
    """Make a backup of all that is kept, while the host runs or not. It holds the host's keys, and people who are
    erased later are still in it: hostel backups lists those.

    Parameters
    ----------
    to
        A new folder, on the machine that the host runs on.
    """

    whole = to.absolute()

    made = door.ask(lambda client: client.backup(whole, journal=journal))
    if as_json:
        report.show_json({"to": made.to, "made_us": made.made_us, "files": made.files, "bytes": made.bytes,
                          "head": made.head})  # fmt: skip
        return
    report.say(f"backup of {_time(made.made_us)} in {made.to}: {made.files} files, {made.bytes:,} bytes")
    report.show_line(f"audit head {made.head['n']} {made.head['hash']}")


def backups(*, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """List the backups that were made, newest first, each with how many erasures came after it: a backup still holds
    whom they erased."""
    found = door.ask(lambda client: client.backups())
    if as_json:
        report.show_json([{"made_us": one.made_us, "path": one.path, "head_n": one.head_n,
                           "erasures_since": one.erasures_since} for one in found])  # fmt: skip
        return
    rows = [(_time(one.made_us), one.path, one.head_n, one.erasures_since) for one in found]
    report.show_table(("made", "path", ">audit records", ">erasures since"), rows)


def restore(
    source: Path,
    /,
    *,
    state: Annotated[Path, Parameter(help="The new state directory: nothing may be there.")],
    as_json: report.AsJson = False,
) -> None:
    """Make a state directory of a backup: hashes are compared, and ledger, payments, events and audit recomputed.

    What was acknowledged after the backup was made is not in it; people erased since are.

    Parameters
    ----------
    source
        The backup's folder.
    """
    import trio

    from runtime.backup import restore as restore_to
    from runtime.sources import SystemClock

    async def work() -> Manifest:
        with Progress() as progress:
            return await restore_to(source, state, SystemClock(), progress=progress.part)

    manifest = trio.run(work)
    if as_json:
        report.show_json({"made_us": manifest.made_us, "schema": manifest.schema, "head": manifest.head})
        return
    report.say(f"restored the backup of {_time(manifest.made_us)} to {state}: everything in it holds")
    report.show_line(f"audit head {manifest.head['n']} {manifest.head['hash']}")


def _time(at_us: int) -> str:
    return f"{datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
