"""The way from a command to a state: through the host that runs on it, or into the directory where none does.

What lives here: finding the one or the other. Commands speak to a `runtime.Client` in both cases: without a host, its
other end is in this process (offline.py), so that a command says and ends the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from cyclopts import Parameter

from runtime.cli import report
from runtime.errors import AnswerRefused, ConnectionLost, HostelError, UsageError

if TYPE_CHECKING:
    from runtime.client import Client
    from runtime.statistics import HostStatus

T = TypeVar("T")
VARIABLE: Final = "HOSTEL_SOCKET"
LOOK_EVERY_S: Final = 0.05

Yes = Annotated[bool, Parameter(name="--yes", help="Do not ask whether it is meant.")]
_NO_PLACE: Final = f"which host? Say --state DIR or --socket PATH, or set {VARIABLE}"


@Parameter(name="*")  # its fields are options of the command itself
@dataclass(frozen=True, slots=True)
class Door:
    """Where a command finds its host: two options that every such command has, and the asking."""

    state: Annotated[
        Path | None,
        Parameter(help="The state directory: the host that runs on it is asked, else it is opened itself."),
    ] = None
    socket: Annotated[
        Path | None, Parameter(help=f"The control socket of a host; else ${VARIABLE}, else in --state.")
    ] = None

    def ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """What `work` gives for the host there, or for the state directory where none runs. Raises HostelError's
        family."""
        return _run(self._connected(offline=True), work, HostelError)

    def ask_desk(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """As `ask`, for answers to prompts: what keeps one from being taken is raised as AnswerRefused."""
        return _run(self._connected(offline=True), work, AnswerRefused)

    def ask_host(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """As `ask`, for what needs a host that runs. Where there is none it raises ConnectionLost, which says how one
        is started."""
        return _run(self._connected(offline=False), work, HostelError)

    def until_ready(self, seconds: float) -> HostStatus:
        """As soon as a host answers there and is ready, its status. Raises ConnectionLost (`unreachable`, `not_ready`)
        when so long is over; AccessDenied at once."""
        import trio

        return trio.run(_ready, self._place(), seconds)

    @asynccontextmanager
    async def _connected(self, *, offline: bool) -> AsyncIterator[Client]:
        from runtime.client import Client

        place = self._place()
        if offline and self.state is not None and self.socket is None and not await _answers(place):
            from runtime.cli.offline import opened

            async with opened(self.state) as client:
                yield client
            return
        async with Client.connect(place) as client:
            yield client

    def _place(self) -> Path:
        from runtime.control.sockets import default_socket

        if self.socket is not None:
            return self.socket
        if self.state is not None:
            return default_socket(self.state)
        if named := os.environ.get(VARIABLE):
            return Path(named)
        raise UsageError(_NO_PLACE)


UNNAMED: Final = Door()
"""Neither option was said."""


async def _ready(place: Path, seconds: float) -> HostStatus:
    import trio

    from runtime.client import Client

    why = ConnectionLost("no host answers", code="unreachable")
    with trio.move_on_after(seconds):
        while True:
            try:
                async with Client.connect(place) as client:
                    told = await client.status()
                if told.ready:
                    return told
                why = ConnectionLost("the host there drains, or opens its doors still", code="not_ready")
            except ConnectionLost as lost:
                why = lost
            await trio.sleep(LOOK_EVERY_S)
    raise ConnectionLost(f"not ready within {seconds:g} s: {why.message}", code=why.code, details=why.details)


def _run(
    connection: AbstractAsyncContextManager[Client], work: Callable[[Client], Awaitable[T]], refused: type[HostelError]
) -> T:
    """`refused`: as what a refusal of the store or a service is raised."""
    import trio

    from host_api.errors import ApiError
    from host_api.prompts.prompt import PromptError

    async def run() -> T:
        async with connection as client:
            return await work(client)

    try:
        return trio.run(run)
    except ApiError as error:
        raise refused(error.message, code=error.code.code, details=error.details) from error
    except PromptError as error:
        raise AnswerRefused(error.message, code=error.code, retry_after_ms=error.retry_after_ms) from error


async def _answers(place: Path) -> bool:
    """Whether somebody listens there: not one who was killed and left the socket's file."""
    from runtime.client.places import connect

    try:
        connection, _ = await connect(place, None)
    except (OSError, ConnectionLost):
        return False
    connection.close()
    return True


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
