"""Proving what a state directory holds: what `hostel audit` and `hostel ledger` share. With its progress, as it is long
work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.door import Door
from runtime.errors import HostelError

if TYPE_CHECKING:
    from host_api.audit import Head
    from runtime.client import Client
    from runtime.control.proof import Part, Verified
    from runtime.signed_head import SignedHead

HeadFile = Annotated[Path | None, Parameter(name="--head", help="A head kept outside, from hostel audit head.")]
FINDINGS_TOLD: Final = 100


class StateDiffers(HostelError):
    """What is kept does not hold together."""

    code = "verification_failed"
    exit_code = 20


def proved(door: Door, head: Path | None, *, audit_only: bool = False) -> tuple[Verified, Head | None]:
    """What was looked at, and the head that was kept outside, of a state that holds together. Raises StateDiffers with
    the first finding."""
    from runtime import signed_head

    signed = None if head is None else signed_head.read(head)

    async def work(client: Client) -> tuple[Verified, Head | None]:
        if signed is not None:
            await _check_key(client, signed)
        kept = None if signed is None else signed.head
        with Progress() as progress:
            found = await client.survey(kept, audit_only=audit_only, on_part=progress.told)
        if found.findings:
            more = f" (and {found.count - 1} more)" if found.count > 1 else ""
            raise StateDiffers(
                f"{found.findings[0]}{more}: restore a backup, and find out who wrote to the state directory",
                details={"findings": list(found.findings[:FINDINGS_TOLD]), "count": found.count},
            )
        return found, kept

    return door.ask(work)


async def _check_key(client: Client, signed: SignedHead) -> None:
    from host_api.store.key_file import FOLDER
    from runtime.signed_head import KEY_PURPOSE

    if await client.audit_key() != str(signed.public_key):
        raise StateDiffers(
            f"the head was signed with {signed.public_key}, which is not the key of this state directory"
            f" ({FOLDER}/{KEY_PURPOSE}): name a head of this host, or find out who changed the key"
        )


class Progress:
    """What is looked at, on standard error: on a terminal with the rows read so far, else one line a part."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._part, self._rows = "", 0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,} rows"), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def told(self, part: Part) -> None:
        """What a host tells while it proves."""
        if part.part != self._part:
            self._part = part.part
            self.part(part.part)
        self.rows(part.rows - self._rows)
        self._rows = part.rows

    def part(self, name: str) -> None:
        if self._bar is None:
            report.say(f"checking the {name}")
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(f"checking the {name}", total=None)

    def rows(self, count: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, count)
