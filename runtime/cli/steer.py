"""`hostel reload`, `drain` and `stop`: what signals do too, through the control socket. All of it is audited."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.door import UNNAMED, Door


def reload(*, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Have the host read its configuration again, as SIGHUP does, and say what changed. A file that is wrong changes
    nothing."""
    told = door.ask_host(lambda client: client.host.reload())
    if as_json:
        changes = [{"setting": one.setting, "before": one.before, "after": one.after} for one in told.changes]
        report.show_json({"changes": changes, "waiting": list(told.waiting)})
        return
    for one in told.changes:
        report.show_line(f"{one.setting}: {one.before} -> {one.after}")
    for name in told.waiting:
        report.say(f"{name} changes with a new start")
    if not told.changes:
        report.say("nothing changes now")


def drain(
    *,
    door: Door = UNNAMED,
    seconds: Annotated[float | None, Parameter(help="How long calls in flight have; else as configured.")] = None,
    as_json: report.AsJson = False,
) -> None:
    """Have the host take no new calls until it is started anew, and wait until none is in flight. All else goes on."""
    in_flight = door.ask_host(lambda client: client.host.drain(seconds))
    if as_json:
        report.show_json({"calls_in_flight": in_flight})
    else:
        report.say(f"drained: {in_flight} calls were in flight")


def stop(*, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Have the host begin to end, as SIGTERM does. It is not waited for."""
    door.ask_host(lambda client: client.host.stop())
    if as_json:
        report.show_json({"stopping": True})
    else:
        report.say("the host stops when its calls in flight have had their time")
