"""Commands that work on a state directory while no host runs on it: opening it, and being sure that it is meant."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from host_api.errors import ApiError
from host_api.store import Store, StoreError, open_store
from host_api.store.sqlite import FILE_NAME
from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.errors import HostelError, StartupError, UsageError

T = TypeVar("T")

State = Annotated[Path, Parameter(name="--state", help="The state directory; no host may be running on it.")]
Yes = Annotated[bool, Parameter(name="--yes", help="Do not ask whether it is meant.")]


@asynccontextmanager
async def opened(state: Path) -> AsyncIterator[Store]:
    """The store in that directory. Raises StartupError: there is none, or it cannot be used now."""
    from runtime.sources import SystemClock

    _there(state)
    try:
        async with open_store(state, SystemClock()) as store:
            yield store
    except StoreError as error:
        raise StartupError(str(error), code=error.code) from error
    except OSError as error:
        raise StartupError(f"the state directory {shown(str(state))} cannot be used: {error.strerror}") from error


def _there(state: Path) -> None:
    """Opening would make one where there is none: that is not for who wants to look at what is kept."""
    if not (state / FILE_NAME).is_file():
        raise StartupError(f"there is no state directory {shown(str(state))}", code="state_missing")


def on_state(state: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """What `work` gives for the store in the directory. Raises as `opened`; HostelError: the store refused."""
    import trio

    async def run() -> T:
        async with opened(state) as store:
            return await work(store)

    try:
        return trio.run(run)
    except ApiError as error:
        raise HostelError(error.message, code=error.code.code, details=error.details) from error


def be_sure(what: str, yes: bool) -> None:
    """Asks on the terminal whether `what` is to happen, unless `yes` was said beforehand. Raises UsageError: it is not,
    or there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: this cannot be undone; say --yes", code="not_confirmed")
    report.say(f"{what}. This cannot be undone.")
    sys.stderr.write("hostel: really? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline(256).strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done", code="not_confirmed")
