"""`hostel logs`, `receipts` and `events tail`: what programs said, what their calls cost, what they are told."""

from __future__ import annotations

import datetime
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.arguments import AnyProgram
from runtime.cli.door import UNNAMED, Door
from runtime.cli.registry import must_be_known
from runtime.errors import UsageError
from runtime.journal.entries import LEVELS, LogLine, PastCall, Query

if TYPE_CHECKING:
    from host_api.events.telling import ToldEvent
    from runtime.client import Client

_DROPPED: Final = "[some were dropped here: they came faster than they were taken]"
_UNITS: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
Since = Annotated[
    str, Parameter(help="How far back: 90s, 15min, 2h, 7d; or a time such as 2026-11-23T08:00:00Z. Else: all.")
]
Limit = Annotated[int, Parameter(help="The newest so many.")]
Trace = Annotated[str, Parameter(help="Only this trace.")]
AsLines = Annotated[bool, Parameter(name="--json", help="One JSON document a line.")]


def logs(
    app: AnyProgram = "",
    /,
    *,
    door: Door = UNNAMED,
    since: Since = "",
    level: Annotated[str, Parameter(help="The least: debug, info, warning, error.")] = "debug",
    trace: Trace = "",
    follow: Annotated[bool, Parameter(help="Go on with lines as they come, until Ctrl-C.")] = False,
    limit: Limit = 100,
    as_json: AsLines = False,
) -> None:
    """Print what programs logged, the oldest line first."""
    if level not in LEVELS:
        raise UsageError(f"--level {report.printable(level)[:40]}: must be one of {', '.join(LEVELS)}")
    query = Query(app_id=app, trace_id=trace, least_level=level, since_us=_since_us(since))

    def show(line: LogLine | None) -> None:
        report.show_line(_as_json(line) if as_json else _line(line))
        sys.stdout.flush()

    async def go_on(client: Client) -> None:
        if app:
            await must_be_known(client, app)
        await client.follow_logs(query, show, limit)

    async def read(client: Client) -> None:
        lines = await client.logs(query, limit)
        if app and not lines:
            await must_be_known(client, app)
        for line in lines:
            show(line)

    if follow:
        door.ask_host(go_on)
    else:
        door.ask(read)


def receipts(
    app: AnyProgram = "",
    /,
    *,
    door: Door = UNNAMED,
    since: Since = "",
    call: Annotated[str, Parameter(help="Only the call with this id.")] = "",
    trace: Trace = "",
    follow: Annotated[bool, Parameter(help="Go on with calls as they end, until Ctrl-C.")] = False,
    limit: Limit = 20,
    as_json: AsLines = False,
) -> None:
    """Print what calls cost and how they ended, the oldest first. The table is one line a call where it is followed."""
    query = Query(app_id=app, call_id=call, trace_id=trace, since_us=_since_us(since))

    def show(told: PastCall | None) -> None:
        report.show_line(_call_as_json(told) if as_json else _call(told))
        sys.stdout.flush()

    if follow:
        door.ask_host(lambda client: client.follow_receipts(query, show, limit))
        return

    found = door.ask(lambda client: client.receipts(query, limit))
    if as_json:
        for one in found:
            report.show_line(_call_as_json(one))
        return
    columns = ("time", "program", "method", "ending", ">cpu ms", ">wall ms", ">host calls", ">denials", "call")
    report.show_table(columns, map(_receipt, found))


def events(
    app: AnyProgram = "",
    /,
    *,
    door: Door = UNNAMED,
    limit: Annotated[int, Parameter(help="The newest so many of what there is, first.")] = 0,
    as_json: AsLines = False,
) -> None:
    """Print which events programs are told, as they are written, until Ctrl-C: what happened to which order, without
    whose it is.
    """
    import msgspec

    def show(event: ToldEvent) -> None:
        if as_json:
            report.show_line(json.dumps(msgspec.structs.asdict(event), ensure_ascii=False))
        else:
            place = f"{event.stream} {event.stream_seq}"
            report.show_line(f"{_time(event.at_us)} {event.app_id} {event.app_seq} {event.topic} {place}")
        sys.stdout.flush()

    door.ask_host(lambda client: client.follow_events(show, app, limit))


def _call(told: PastCall | None) -> str:
    if told is None:
        return _DROPPED
    receipt, usage = told.receipt, told.receipt.usage
    cost = f"{usage.cpu_us / 1e3:,.3f} ms cpu, {usage.wall_us / 1e3:,.3f} ms"
    return f"{_time(told.at_us)} {receipt.app_id} {receipt.method} {receipt.ending.value} {cost} {receipt.call_id}"


def _call_as_json(told: PastCall | None) -> str:
    return json.dumps({"dropped": True} if told is None else told.as_dict(), ensure_ascii=False)


def _receipt(told: PastCall) -> tuple[object, ...]:
    receipt, usage = told.receipt, told.receipt.usage
    return (
        _time(told.at_us), receipt.app_id, receipt.method, receipt.ending.value, f"{usage.cpu_us / 1e3:,.3f}",
        f"{usage.wall_us / 1e3:,.3f}", usage.host_calls, usage.denials, receipt.call_id,
    )  # fmt: skip


def _line(line: LogLine | None) -> str:
    if line is None:
        return _DROPPED
    return f"{_time(line.at_us)} {line.app_id} {line.level} {line.call_id[:8]} {line.text}"


def _as_json(line: LogLine | None) -> str:
    import msgspec

    told: Any = {"dropped": True} if line is None else msgspec.structs.asdict(line)
    return json.dumps(told, ensure_ascii=False)


def _time(at_us: int) -> str:
    at = datetime.datetime.fromtimestamp(at_us / 1_000_000, datetime.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_us // 1_000 % 1_000:03}Z"


def _since_us(since: str) -> int:
    """Raises UsageError."""
    if not since:
        return 0
    if found := re.fullmatch(r"([0-9]{1,6})(s|min|h|d)", since):
        return max(0, time.time_ns() // 1_000 - int(found[1]) * _UNITS[found[2]] * 1_000_000)
    try:
        moment = datetime.datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(f"--since {report.printable(since)[:40]}: write 90s, 15min, 2h, 7d, or a time") from None
    return max(0, round(moment.astimezone(datetime.UTC).timestamp() * 1_000_000))
