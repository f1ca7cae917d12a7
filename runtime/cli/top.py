"""`hostel status` and `hostel top`: a host that runs, at one moment, or as it goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.door import Socket, State, on_host, until_ready
from runtime.errors import UsageError
from runtime.statistics import HostStatus, ProgramFigures, Top

if TYPE_CHECKING:
    from rich.console import Group

    from runtime.client import Client

EVERY_S: Final = 1.0
WAIT_S_MAX: Final = 3_600.0
_COLUMNS: Final = (
    "program", ">calls/s", ">failed/s", ">in flight", ">p50 ms", ">p99 ms", ">cpu %", ">memory MiB", ">denials/s",
    ">calls",
)  # fmt: skip
_WORKERS: Final = (">worker", "group", "state", ">calls", ">memory MiB", ">restarts")
_BY: Final = {"cpu": "cpu_us_per_s", "calls": "calls_per_s", "failed": "failed_per_s", "p99": "p99_us",
              "memory": "memory_bytes", "denials": "denials_per_s", "in-flight": "calls_in_flight"}  # fmt: skip


def status(
    *,
    state: State = None,
    socket: Socket = None,
    wait: Annotated[
        float | None, Parameter(help="Wait so many seconds for a host to answer and to be ready; else it ends with 23.")
    ] = None,
    as_json: report.AsJson = False,
) -> None:
    """Say how a host does that runs: version, workers, memory, what is under way."""
    if wait is not None and not 0 <= wait <= WAIT_S_MAX:
        raise UsageError(f"--wait {wait}: must be from 0 to {WAIT_S_MAX:g}")

    async def ask(client: Client) -> HostStatus:
        return await client.status()

    told = on_host(state, socket, ask) if wait is None else until_ready(state, socket, wait)
    if as_json:
        report.show_json(plain(told))
        return
    for line in heading(told):
        report.show_line(line)
    if told.workers:
        report.show_table(_WORKERS, worker_rows(told))


def top(
    *,
    state: State = None,
    socket: Socket = None,
    by: Annotated[str, Parameter(help="What puts programs in order: cpu, calls, failed, p99, memory, denials,"
                                      " in-flight.")] = "cpu",
    limit: Annotated[int, Parameter(help="So many programs.")] = 20,
    once: Annotated[bool, Parameter(help="Print it once and end; so it is where there is no terminal.")] = False,
    as_json: report.AsJson = False,
) -> None:  # fmt: skip
    """Show the busiest programs of a host that runs, once a second, until Ctrl-C. Rates are those of the last whole
    five seconds."""
    if by not in _BY:
        raise UsageError(f"--by {report.printable(by)[:40]}: must be one of {', '.join(_BY)}")
    if not 1 <= limit <= 200:
        raise UsageError(f"--limit {limit}: must be from 1 to 200")

    async def ask(client: Client) -> Top:
        return await client.top(limit, by=_BY[by])

    if as_json:
        report.show_json(plain(on_host(state, socket, ask)))
    elif once or not sys.stdout.isatty():
        _print(on_host(state, socket, ask))
    else:
        _watch(state, socket, limit, _BY[by])


def _print(told: Top) -> None:
    for line in heading(told.status, told):
        report.show_line(line)
    report.show_table(_COLUMNS, map(program_row, told.programs))


def _watch(state: Any, socket: Any, limit: int, by: str) -> None:
    import trio
    from rich.console import Console
    from rich.live import Live

    async def follow(client: Client) -> None:
        with Live(console=Console(), screen=True, auto_refresh=False) as screen:
            while True:
                screen.update(drawn(await client.top(limit, by=by)), refresh=True)
                await trio.sleep(EVERY_S)

    on_host(state, socket, follow)


def drawn(told: Top) -> Group:
    """One picture of the screen. Names of programs are shown as they are, never as markup."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(columns: Sequence[str], rows: Any) -> Table:
        made = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            justify: Any = "right" if column.startswith(">") else "left"
            made.add_column(Text(column.removeprefix(">")), justify=justify, no_wrap=True)
        for row in rows:
            made.add_row(*(Text(report.printable(str(cell))) for cell in row))
        return made

    parts: list[Any] = [Text("\n".join(heading(told.status, told)))]
    if told.status.workers:
        parts.append(table(_WORKERS, worker_rows(told.status)))
    parts.append(table(_COLUMNS, map(program_row, told.programs)))
    return Group(*parts)


# ---- words -----------------------------------------------------------------------------------------------------------
def heading(told: HostStatus, top: Top | None = None) -> list[str]:
    """The host in a few lines."""
    now, figures, journal = time.strftime("%H:%M:%S"), told.statistics, told.journal
    rates = "" if top is None else f"{top.calls_per_s:,.0f} calls/s · {top.cpu_us_per_s / 1e6:.2f} cores in guests · "
    lines = [
        f"hostel {told.version} · up {duration(told.up_us)} · {now}{_standing(told)}",
        f"{rates}{figures.calls_in_flight} in flight · {figures.calls_queued} queued · {told.calls_ended:,} calls",
        f"{figures.programs:,} programs · {figures.sandboxes}/{figures.slots} sandboxes"
        f" · {figures.prompts_open} prompts · {told.placement}, jail {figures.sandbox_level}"
        f" · {mib(told.resident_bytes)} MiB",
        f"store: {told.writes:,} writes in {told.commits:,} commits",
    ]
    if journal is not None:
        failing = " · THE DISK REFUSES" if journal.failing else ""
        lines.append(
            f"journal: {journal.receipts:,} receipts, {journal.lines:,} lines, {journal.dropped:,} dropped{failing}"
        )
    return lines


def _standing(told: HostStatus) -> str:
    return "" if told.ready else " · draining" if told.draining else " · not ready"


def program_row(row: ProgramFigures) -> tuple[object, ...]:
    return (
        row.app_id, f"{row.calls_per_s:,.1f}", f"{row.failed_per_s:,.1f}", row.calls_in_flight,
        f"{row.p50_us / 1e3:,.2f}", f"{row.p99_us / 1e3:,.2f}", f"{row.cpu_us_per_s / 1e4:,.1f}",
        mib(row.memory_bytes), f"{row.denials_per_s:,.1f}", f"{row.calls:,}",
    )  # fmt: skip


def worker_rows(told: HostStatus) -> list[tuple[object, ...]]:
    return [(one.pid, one.group, one.state, one.calls, mib(one.resident_bytes), one.restarts) for one in told.workers]


def mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f}"


def duration(us: int) -> str:
    """The two largest units."""
    seconds = us // 1_000_000
    for unit, name, small, small_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            return f"{seconds // unit} {name} {seconds % unit // small} {small_name}"
    return f"{seconds} s"


def plain(value: Any) -> Any:
    """As JSON has it."""
    import msgspec

    return msgspec.to_builtins(value)
