"""`hostel run --record` and `hostel replay`: a call written down, and run again.

What lives here: the file, and what people are told. The record itself is runtime.recording's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from runtime.bundle import Bundle
from runtime.cli import report
from runtime.errors import HostelError

if TYPE_CHECKING:
    from runtime.recording.record import Record
    from runtime.recording.replay import Replayed
    from runtime.recording.tape import Recorder


class ReplayDiffers(HostelError):
    """The call did something else than was recorded."""

    code = "replay_differs"
    exit_code = 24


def recorder_for(path: Path | None) -> Recorder | None:
    """What a host is opened with to have a call recorded; None where nothing is."""
    from runtime.recording.tape import Recorder

    return None if path is None else Recorder()


@contextmanager
def recorded(recorder: Recorder | None, bundle: Bundle, path: Path | None) -> Iterator[None]:
    """Around the call: the file is there before it begins, and is written however it ends. Of a call that never began
    nothing is left. Raises UsageError where the file cannot be made."""
    if recorder is None or path is None:
        yield
        return
    from runtime.recording import record as records

    descriptor = records.claim(path)
    try:
        yield
    finally:
        found = recorder.record(bundle)
        with os.fdopen(descriptor, "wb") as file:
            if found is not None:
                file.write(records.encoded(found))
        if found is None:
            path.unlink()
        else:
            _tell(found, path)


def _tell(found: Record, path: Path) -> None:
    cut = "; it was cut, as it grew too large" if found.end.is_cut else ""
    report.say(
        f"recorded in {path}: {len(found.events)} imports{cut}. It holds the message, every answer and the program:"
        " personal data, if any of them do"
    )


def replay(
    file: Path,
    /,
    *,
    bundle: Annotated[
        Path | None,
        Parameter(help="Run this bundle's program in the place of the recorded one."),
    ] = None,
    as_json: report.AsJson = False,
) -> None:
    """Run a recorded call again, with no host and no store behind it, and say whether it did the same.

    It must equal the record in everything but processor and wall time: each import with what it was asked, the answer,
    the ending, fuel and memory. The first difference is shown. A call that ended by its processor time or its deadline
    is run to its last import.

    Parameters
    ----------
    file
        What `hostel run --record` wrote.
    """
    import trio

    from runtime.cli.run import cache_dir
    from runtime.recording import record as records
    from runtime.recording.replay import run_again
    from runtime.settings import HostSettings

    record = records.read(file)
    other = None if bundle is None else Bundle.read(bundle)
    if other is not None and other.identity != record.head.identity:
        report.say(f"another bundle than the one recorded: {other.identity[:16]}, not {record.head.identity[:16]}")
    settings = HostSettings(slots=1, allow_unsigned=True, cache_dir=cache_dir())
    replayed = trio.run(run_again, record, other, settings)
    if not as_json:
        _show(record, replayed)
    elif replayed.difference is None:
        report.show_json(_plain(record, replayed))
    if (found := replayed.difference) is not None:
        where = found.at if found.at.startswith("after ") else f"at {found.at}"
        raise ReplayDiffers(
            f"it differs {where}: recorded {found.recorded}; found {found.found}",
            details={"at": found.at, "recorded": found.recorded, "found": found.found},
        )


def _show(record: Record, replayed: Replayed) -> None:
    """For people; a difference is told by the refusal."""
    head, receipt = record.head, record.end.receipt
    report.show_line(f"{head.app_id} {head.release}, {receipt.method}: recorded: ended {receipt.ending.value}")
    report.show_line(f"{replayed.imports} of {len(record.events)} imports answered from the record")
    if replayed.difference is not None:
        return
    if replayed.stopped:
        report.show_line(f"the same as far as it goes: {replayed.stopped} ({receipt.ending.value})")
    else:
        report.show_line(f"the same: answer, ending, {replayed.receipt.usage.fuel:,} of fuel, memory")


def _plain(record: Record, replayed: Replayed) -> dict[str, Any]:
    return {
        "same": True, "stopped": replayed.stopped, "imports": replayed.imports,
        "recorded": record.end.receipt.as_dict(), "replayed": replayed.receipt.as_dict(),
    }  # fmt: skip
