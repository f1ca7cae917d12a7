"""`hostel status` and `hostel top`: a host that runs, at one moment, or as it goes on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.door import UNNAMED, Door
from runtime.errors import UsageError
from runtime.statistics import HostStatus, ProgramFigures, Top

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from runtime.client import Client

EVERY_S: Final = 1.0
FRAME_LINES: Final = 4
"""Of a table beside its rows."""
WAIT_S_MAX: Final = 3_600.0
_COLUMNS: Final = (
    "program", ">calls/s", ">failed/s", ">in flight", ">p50 ms", ">p99 ms", ">cpu %", ">memory MiB", ">denials/s",
    ">all calls", ">all cpu s",
)  # fmt: skip
_LEFT_OUT: Final = (">all cpu s", ">all calls", ">denials/s", ">memory MiB", ">in flight", ">p50 ms", ">failed/s")
"""What a narrow terminal goes without, the first of them first: half a figure is worse than none."""
_NAME_CELLS: Final = 32
"""Of a program's name, before other columns go; what is longer is cut."""
_WORKERS: Final = (">worker", "group", "state", ">calls", ">memory MiB", ">restarts")
_BY: Final = {"cpu": "cpu_us_per_s", "calls": "calls_per_s", "failed": "failed_per_s", "p99": "p99_us",
              "memory": "memory_bytes", "denials": "denials_per_s", "in-flight": "calls_in_flight"}  # fmt: skip
_COLUMN_OF: Final = {"memory_bytes": ">memory MiB", "denials_per_s": ">denials/s", "calls_in_flight": ">in flight",
                     "failed_per_s": ">failed/s"}  # fmt: skip
"""Order → the column that shows it, where a narrow terminal might go without."""


def status(
    *,
    door: Door = UNNAMED,
    wait: Annotated[
        float | None, Parameter(help="Wait so many seconds for a host to answer and to be ready; else it ends with 23.")
    ] = None,
    as_json: report.AsJson = False,
) -> None:
    """Say how a host does that runs: version, workers, memory, what is under way."""
    if wait is not None and not 0 <= wait <= WAIT_S_MAX:
        raise UsageError(f"--wait {wait}: must be from 0 to {WAIT_S_MAX:g}")

    told = door.ask_host(lambda client: client.status()) if wait is None else door.until_ready(wait)
    if as_json:
        report.show_json(plain(told))
        return
    for line in heading(told):
        report.show_line(line)
    if told.workers:
        report.show_table(_WORKERS, worker_rows(told))


def top(
    *,
    door: Door = UNNAMED,
    by: Annotated[str, Parameter(help="What puts programs in order: cpu, calls, failed, p99, memory, denials,"
                                      " in-flight.")] = "cpu",
    limit: Annotated[int, Parameter(help="So many programs.")] = 20,
    once: Annotated[bool, Parameter(help="Print it once and end; so it is where there is no terminal.")] = False,
    as_json: report.AsJson = False
) -> None:  # fmt: skip
    """Show the busiest programs of a host that runs, once a second, until q or Ctrl-C. Rates, p50 and p99 are those of
    the last whole five seconds; "all" counts since the host started."""
    if by not in _BY:
        raise UsageError(f"--by {report.printable(by)[:40]}: must be one of {', '.join(_BY)}")
    if not 1 <= limit <= 200:
        raise UsageError(f"--limit {limit}: must be from 1 to 200")

    if not as_json and not once and sys.stdout.isatty():
        _watch(door, limit, _BY[by])
        return
    told = door.ask_host(lambda client: client.top(limit, by=_BY[by]))
    if as_json:
        report.show_json(plain(told))
    else:
        _print(told)


def _print(told: Top) -> None:
    for line in heading(told.status, told):
        report.show_line(line)
    report.show_table(_COLUMNS, map(program_row, told.programs))


def _watch(door: Door, limit: int, by: str) -> None:
    """Until `q` or Ctrl-C: both are how somebody ends who has seen enough."""
    from rich.console import Console
    from rich.live import Live

    async def follow(client: Client) -> None:
        console = Console()
        with _keys() as quit_within, Live(console=console, screen=True, auto_refresh=False) as screen:
            while True:
                screen.update(drawn(await client.top(limit, by=by), console, by), refresh=True)
                if await quit_within(EVERY_S):
                    return

    with suppress(KeyboardInterrupt):
        door.ask_host(follow)


@contextmanager
def _keys() -> Iterator[Callable[[float], Awaitable[bool]]]:
    """The terminal gives each key at once, until the end of the block; what waits so many seconds for a `q`."""
    import termios
    import tty

    import trio

    keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None

    async def quit_within(seconds: float) -> bool:
        if keyboard is None:
            await trio.sleep(seconds)
            return False
        with trio.move_on_after(seconds):
            while True:
                await trio.lowlevel.wait_readable(keyboard)
                typed = os.read(keyboard, 64)
                if not typed or b"q" in typed.lower():  # nothing: the terminal is gone
                    return True
        return False

    if keyboard is None:
        yield quit_within
        return
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield quit_within
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def drawn(told: Top, console: Console, by: str = "") -> Group:
    """One picture of the screen: programs first, and of the workers what there is room for. The column that programs
    are in order of, `by`, is there on any terminal."""
    from rich.console import Group
    from rich.text import Text

    head = Text("\n".join(heading(told.status, told)))
    workers = told.status.workers
    room = console.height - len(console.render_lines(head)) - FRAME_LINES - bool(workers)
    programs = told.programs[: max(1, room)]
    columns, rows = _fitted(list(map(program_row, programs)), console.width, _COLUMN_OF.get(by, ""))
    parts: list[Any] = [head, _table(columns, rows)]
    if not workers:
        return Group(*parts)
    spare = room - len(programs) - FRAME_LINES  # one line is for how many there are
    if spare > 0:
        parts.append(_table(_WORKERS, worker_rows(told.status)[:spare]))
    parts.append(Text(workers_line(told.status)))
    return Group(*parts)


def _fitted(rows: list[tuple[object, ...]], width: int, kept: str) -> tuple[list[str], list[list[object]]]:
    """The columns that can be read side by side on a screen of that width, and their cells."""
    cells = {column: [row[at] for row in rows] for at, column in enumerate(_COLUMNS)}
    needed = {column: max(len(column.removeprefix(">")), *(len(str(cell)) for cell in cells[column]), 0) + 3
              for column in _COLUMNS}  # fmt: skip  # three: what stands between two columns
    needed["program"] = min(needed["program"], _NAME_CELLS + 3)
    for column in _LEFT_OUT:
        if sum(needed[left] for left in cells) > width and column != kept:
            del cells[column]
    return list(cells), [[cells[column][at] for column in cells] for at in range(len(rows))]


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Names of programs are shown as they are, never as markup."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Any = "right" if column.startswith(">") else "left"
        made.add_column(Text(column.removeprefix(">")), justify=justify, no_wrap=True)
    for row in rows:
        made.add_row(*(Text(report.printable(str(cell))) for cell in row))
    return made


# ---- words -----------------------------------------------------------------------------------------------------------
def heading(told: HostStatus, top: Top | None = None) -> list[str]:
    """The host in a few lines."""
    now, figures, journal = time.strftime("%H:%M:%S"), told.statistics, told.journal
    rates = (
        ""
        if top is None
        else (f"last 5 s: {top.calls_per_s:,.1f} calls/s · {top.cpu_us_per_s / 1e6:.2f} cores in guests · ")
    )
    lines = [
        f"hostel {told.version} · up {duration(told.up_us)} · {now}{_standing(told)}",
        f"{rates}{figures.calls_in_flight} in flight · {figures.calls_queued} queued"
        f" · {told.calls_ended:,} calls in all",
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


def workers_line(told: HostStatus) -> str:
    """All workers in one line."""
    workers = told.workers
    ready = sum(one.state == "ready" for one in workers)
    return (
        f"{len(workers)} worker{'s' if len(workers) != 1 else ''}, {ready} ready"
        f" · {sum(one.calls for one in workers)} calls on them"
        f" · {mib(sum(one.resident_bytes for one in workers))} MiB"
        f" · {sum(one.restarts for one in workers)} restarts"
    )


def _standing(told: HostStatus) -> str:
    return "" if told.ready else " · draining" if told.draining else " · not ready"


def program_row(row: ProgramFigures) -> tuple[object, ...]:
    return (
        row.app_id, f"{row.calls_per_s:,.1f}", f"{row.failed_per_s:,.1f}", row.calls_in_flight,
        f"{row.p50_us / 1e3:,.2f}", f"{row.p99_us / 1e3:,.2f}", f"{row.cpu_us_per_s / 1e4:,.1f}",
        mib(row.memory_bytes), f"{row.denials_per_s:,.1f}", f"{row.calls:,}", f"{row.cpu_us / 1e6:,.2f}",
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
