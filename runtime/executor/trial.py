"""Loading a script once to see whether it loads: in a sandbox like any call's, under a program's limits, with no
message.

What lives here: the job, and what its outcome says of the script. Verdicts are kept by program_code.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NoReturn

import msgspec

from host_api.errors import ApiError
from host_api.releases.values import Trust
from runtime import wire
from runtime.bundle.refusal import shown
from runtime.deadline import Deadline
from runtime.errors import Ending, HostBusy, ScriptError
from runtime.executor.job import Executor, Job, Outcome
from runtime.limits import Limits
from runtime.receipt import Usage
from runtime.sandbox.script import REPORT_BYTES_MAX
from runtime.wire import MalformedMessage

PROGRAM: Final = "script trial"
"""In the place of an app id: all trials share CPU time as one program."""
_OF_THE_SCRIPT: Final = frozenset(
    (Ending.FAILED, Ending.EXITED, Ending.TRAPPED, Ending.CPU_EXCEEDED, Ending.DEADLINE_EXCEEDED,
     Ending.PROTOCOL_VIOLATION)
)  # fmt: skip
"""Endings that say something of the script; the others are the host's, and another try may end otherwise."""
_Position = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine tells of a script that does not load. It saw hostile bytes: shown escaped and cut."""

    message: str
    path: str = ""
    line: _Position = 0
    column: _Position = 0


class _NoHost:
    """The host side of an instance that may ask for nothing."""

    def __init__(self, limits: Limits) -> None:
        self.deadline = Deadline(wall_s=limits.wall_ms / 1_000)

    def answer(self, request: bytes) -> NoReturn:
        raise MalformedMessage("a script that is loaded asks for nothing")

    def refuse(self, request: bytes, error: ApiError) -> NoReturn:
        raise MalformedMessage("a script that is loaded asks for nothing")

    def refused_elsewhere(self, count: int) -> None:
        """Nothing counts them."""

    def log(self, stream: int, data: bytes) -> None:
        """What is written while a script loads is written nowhere."""

    def hold(self, size: int) -> bool:
        return False

    def release(self, size: int) -> None:
        """Nothing was held."""


async def try_script(executor: Executor, module: Any, limits: Limits) -> None:
    """Loads the script of that module (`Executor.scripted`), with no fuel counted.

    Raises ScriptError: it does not load, or is over its limits meanwhile (`retryable` where the machine may be to
    blame); HostBusy: it could not be tried.
    """
    job = Job(PROGRAM, Trust.UNREVIEWED.value, module, b"", limits, False, trial=True)
    outcome = await executor.run(job, _NoHost(limits), Usage())
    if outcome.ending is Ending.COMPLETED:
        if outcome.response:
            raise _told(outcome.response)
        return
    if outcome.ending not in _OF_THE_SCRIPT:
        raise HostBusy(
            f"the script could not be tried ({outcome.ending}): try again", details={"ending": outcome.ending.value},
            retry_after_ms=1_000,
        )  # fmt: skip
    raise _ended(outcome)


def _ended(outcome: Outcome) -> ScriptError:
    error = ScriptError(
        f"the script is over before it is loaded: {outcome.detail}; what it does outside of functions has the limits"
        " of one call",
        details={"ending": outcome.ending.value, **outcome.details},
    )
    error.retryable = outcome.ending is Ending.DEADLINE_EXCEEDED
    return error


def _told(response: bytes) -> ScriptError:
    try:
        report = msgspec.convert(wire.decode(response, REPORT_BYTES_MAX), _Report)
    except (wire.MalformedMessage, msgspec.ValidationError):
        return ScriptError("the script does not load, and the engine does not say why")
    where = ", ".join(
        word
        for word, is_known in (
            (shown(report.path)[1:-1], report.path),
            (f"line {report.line}", report.line),
            (f"column {report.column}", report.column),
        )
        if is_known
    )
    return ScriptError(
        f"{where or 'the script'}: {shown(report.message)[1:-1]}",
        details={"path": shown(report.path)[1:-1], "line": report.line, "column": report.column},
    )
