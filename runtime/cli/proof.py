"""Proving what a state directory holds: what `hostel audit` and `hostel ledger` share. With its progress, as it is long
work."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.state import on_state
from runtime.errors import HostelError, StartupError

if TYPE_CHECKING:
    from host_api.audit import Head
    from host_api.store import Store, Transaction
    from runtime.signed_head import SignedHead

T = TypeVar("T")
HeadFile = Annotated[Path | None, Parameter(name="--head", help="A head kept outside, from hostel audit head.")]
Proof = Callable[["Transaction", "Head | None", Callable[[str], None]], list[str]]
FINDINGS_TOLD: Final = 100


class StateDiffers(HostelError):
    """What is kept does not hold together."""

    code = "verification_failed"
    exit_code = 20


def proved(state: Path, head: Path | None, proof: Proof, then: Callable[[Transaction, Head | None], T]) -> T:
    """`then`, of a state that `proof` found nothing wrong with. Both are given the head that was kept outside; `proof`
    also what to tell each part's name to before it is looked at. Raises StateDiffers with the first finding."""
    from runtime import signed_head

    signed = None if head is None else signed_head.read(head)

    async def work(store: Store) -> T:
        if signed is not None:
            await _check_key(store, state, signed)
        kept = signed.head if signed is not None else None
        with Progress() as progress:
            findings = store.read(lambda tx: proof(_Counted(tx, progress.rows), kept, progress.part))
        if findings:
            more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
            raise StateDiffers(
                f"{findings[0]}{more}: restore a backup, and find out who wrote to the state directory",
                details={"findings": findings[:FINDINGS_TOLD], "count": len(findings)},
            )
        return store.read(lambda tx: then(tx, kept))

    return on_existing(state, work)


def on_existing(state: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """`on_state`, which makes a state where a folder has none: not for who wants to look at one."""
    from host_api.store.sqlite import FILE_NAME

    if not (state / FILE_NAME).is_file():
        raise StartupError(f"there is no state of a host in {shown(str(state))}", code="state_missing")
    return on_state(state, work)


async def audit_key(store: Store, state: Path) -> bytes:
    """The host's key for heads of its audit, made with the first of them."""
    from host_api.store.key_file import open_key
    from runtime.signed_head import KEY_PURPOSE

    return await open_key(store, state, KEY_PURPOSE, lambda: secrets.token_bytes(32))


async def _check_key(store: Store, state: Path, signed: SignedHead) -> None:
    from host_api.store.key_file import FOLDER
    from runtime.signed_head import KEY_PURPOSE, public_key

    known = (state / FOLDER / KEY_PURPOSE).exists()
    if not known or public_key(await audit_key(store, state)) != signed.public_key:
        raise StateDiffers(
            f"the head was signed with {signed.public_key}, which is not the key of this state directory"
            f" ({FOLDER}/{KEY_PURPOSE}): name a head of this host, or find out who changed the key"
        )


class Progress:
    """What is looked at, on standard error: on a terminal with the rows read so far, else one line a part."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

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


class _Counted:
    """A `Transaction` that tells how many rows were read."""

    def __init__(self, tx: Transaction, count: Callable[[int], None]) -> None:
        self._tx, self._count = tx, count
        self.now_us = tx.now_us

    def execute(self, sql: str, bindings: Any = ()) -> list[tuple[Any, ...]]:
        rows = self._tx.execute(sql, bindings)
        self._count(len(rows))
        return rows

    def savepoint(self) -> Any:
        return self._tx.savepoint()
