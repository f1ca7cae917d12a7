"""`hostel dev`: the daemon on a project's folder, and what happens there, told on the terminal.

What lives here: the options and the words. The daemon and the reload are runtime.dev's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from runtime.cli import report
from runtime.errors import Ending, HostelError, StartupError

if TYPE_CHECKING:
    from host_api.errors import ApiError
    from host_api.prompts.cashier import Cashier
    from runtime.dev.project import Project
    from runtime.dev.serve import DevSettings
    from runtime.executor.job import Outcome
    from runtime.receipt import Receipt
    from runtime.registry import App
    from runtime.session import CallSession

Answers = Literal["confirm", "decline", "ask", "later"]
PATHS_SHOWN: Final = 3
STACK_LINES: Final = 12


def dev(
    folder: Path = Path(),
    /,
    *,
    answer: Annotated[
        Answers, Parameter(help="Who answers payments and consent: always yes, always no, the terminal, or nobody yet.")
    ] = "ask",
    fault: Annotated[
        tuple[str, ...],
        Parameter(help="What goes wrong: storage.put=busy, payment.request=slow:2000, METHOD=error:CODE; *TIMES."),
    ] = (),
    scenario: Annotated[
        str, Parameter(help="Whose users, money, network and grants there are; else those of the first scenario.")
    ] = "",
    state: Annotated[
        Path | None, Parameter(help="Keep storage, orders and ledger in this folder; without it, until the end.")
    ] = None,
    http: Annotated[int | None, Parameter(help="Open the HTTP door on this port of 127.0.0.1, too.")] = None,
    as_json: report.AsJson = False,
) -> None:
    """Run a project's program in a daemon of its own, and install it anew whenever a file changes. Ends with Ctrl-C.

    Limits, checks, jail and money are those of production. Users and their wallets, what lies outside, and what the
    program is granted are as the head of a scenario says; without one, alice has 1,000.00 CNY, and what the manifest
    asks for is granted. Every call is told, with what was refused and what to do about it; with --json each as one
    JSON object a line on standard output.

    Parameters
    ----------
    folder
        The project, or the folder of a bundle.
    """
    if sys.platform == "win32":
        raise StartupError("hostel dev does not run on Windows: it needs Linux or macOS")
    import trio

    from runtime.cli.run import cache_dir
    from runtime.dev.project import open_project
    from runtime.dev.serve import DevSettings, serve
    from runtime.faults import Fault, Faults
    from runtime.log import write_to

    faults = Faults()
    for each in fault:
        faults.add(Fault.parse(each))
    project = open_project(folder, scenario)
    os.umask(0o077)
    write_to(sys.stderr, level="warning", as_json=False)
    with ExitStack() as stack:
        place = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostel-dev-")))
        settings = DevSettings(state=place, http_port=http, cache_dir=cache_dir())
        listener = Lines() if as_json else Told()
        trio.run(
            _run,
            partial(serve, project, settings, listener, cashier=_cashier(answer), faults=faults),
            project,
            settings,
        )


async def _run(begin: Any, project: Project, settings: DevSettings) -> None:
    import trio

    async with trio.open_nursery() as nursery:

        async def until_stopped(task_status: trio.TaskStatus[Any]) -> None:
            await begin(task_status=task_status)
            nursery.cancel_scope.cancel()

        host = await nursery.start(until_stopped)
        _say_where(project, settings, host.statistics().sandbox_level)


def _say_where(project: Project, settings: DevSettings, level: str) -> None:
    """How it is reached, once it is."""
    if level != "full":
        report.say(f"warning: programs are jailed at level {level} here, not full: hostel doctor says what is missing")
    names = ", ".join(project.users) or "nobody"
    world = "" if project.scenario is None else f" of {project.scenario.name}.json"
    report.say(f"users{world}: {names}; state in {settings.state}")
    report.say(f"in another terminal: hostel call APP METHOD '{{}}' --user alice --state {settings.state}")
    if settings.http_port is not None:
        report.say(f"HTTP on http://127.0.0.1:{settings.http_port}; hostel user token makes a token")
    report.say("watching; Ctrl-C ends it")


def _cashier(answer: Answers) -> Cashier | None:
    from runtime.cli.cashier import cashier_of

    return cashier_of(
        approve=answer == "confirm", decline=answer == "decline", ask=answer == "ask", later=answer == "later"
    )


class Told:
    """A `runtime.dev.serve.Listener`: what happens, line by line on standard error, the call after what it did."""

    def ended(self, outcome: Outcome, receipt: Receipt, session: CallSession) -> None:
        used, who = receipt.usage, f" for {session.user}" if session.user else ""
        _write(
            f"{receipt.method}{who}: {receipt.ending.value} in {used.wall_us / 1_000:.1f} ms"
            f" ({used.cpu_us / 1_000:.1f} ms of processor time, {used.host_calls} host calls,"
            f" {used.memory_bytes_peak >> 10} KiB)"
        )
        if receipt.ending is not Ending.COMPLETED:
            _write(f"  {outcome.detail}")
            for line in _stack(outcome)[:STACK_LINES]:
                _write(f"    {line}")

    def refused(self, session: CallSession, method: str, error: ApiError) -> None:
        cure = "" if error.code.cure in error.message else f"; {error.code.cure}"
        _write(f"  {method} refused: {error.code.code}: {error.message}{cure}")

    def line(self, session: CallSession, level: str, text: str) -> None:
        _write(f"  {level}: {text}")

    def installed(self, app: App, paths: list[str], ms: float) -> None:
        if not paths:
            _write(f"{app.app_id} {app.release_name} is installed")
            return
        more = f" and {len(paths) - PATHS_SHOWN} more" if len(paths) > PATHS_SHOWN else ""
        _write(f"{', '.join(paths[:PATHS_SHOWN])}{more}: reloaded in {ms:.0f} ms")

    def failed(self, error: HostelError) -> None:
        _write(f"not loaded ({error.code}); what ran before goes on:")
        for line in error.message.splitlines():
            _write(f"  {line}")


class Lines:
    """As `Told`, for programs: one JSON object a line on standard output."""

    def ended(self, outcome: Outcome, receipt: Receipt, session: CallSession) -> None:
        details = {} if receipt.ending is Ending.COMPLETED else dict(outcome.details)
        _put("call", user=session.user, detail=outcome.detail, details=details, receipt=receipt.as_dict())

    def refused(self, session: CallSession, method: str, error: ApiError) -> None:
        _put("refused", method=method, cure=error.code.cure, call_id=session.call_id, **error.as_wire())

    def line(self, session: CallSession, level: str, text: str) -> None:
        _put("log", level=level, text=text, call_id=session.call_id)

    def installed(self, app: App, paths: list[str], ms: float) -> None:
        _put("installed", app_id=app.app_id, release=app.release_name, changed=paths, ms=round(ms, 1))

    def failed(self, error: HostelError) -> None:
        _put("not_loaded", **error.as_dict())


def _put(event: str, **told: Any) -> None:
    text = json.dumps({"event": event, **told}, ensure_ascii=True, default=repr)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _stack(outcome: Outcome) -> list[str]:
    """Of a script's error."""
    error = outcome.details.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    stack = details.get("stack") if isinstance(details, dict) else None
    return stack.splitlines() if isinstance(stack, str) else []


def _write(line: str) -> None:
    """Programs wrote part of it."""
    sys.stderr.write(f"{report.printable(line)}\n")
    sys.stderr.flush()
