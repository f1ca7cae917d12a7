"""`hostel uninstall`: what a program leaves in a state directory once it is not to run any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.state import State, Yes, be_sure, on_state
from runtime.cli.user import erasure

if TYPE_CHECKING:
    from host_api.store import Store


def uninstall(
    app: str,
    /,
    *,
    state: State,
    erase: Annotated[
        bool, Parameter(help="Also erase what it kept and said, on the disk too; of payments only amounts stay.")
    ] = False,
    yes: Yes = False,
    as_json: report.AsJson = False,
) -> None:
    """End a program's payments that nobody has paid yet: open orders close, and what they held is their users' again.

    With --erase upgrade backups in the state directory are removed: they hold what was there before.

    Parameters
    ----------
    app
        The program's id.
    """
    if erase:
        be_sure(f"erase all that {shown(app)} kept", yes)

    async def work(store: Store) -> tuple[int, int]:
        its = erasure(store)
        closed = await its.uninstalled(app)
        return closed, await its.erase_program(app) if erase else 0

    closed, rows = on_state(state, work)
    if as_json:
        report.show_json({"orders_closed": closed, "rows_erased": rows})
    else:
        report.say(f"{closed} open orders closed" + (f", {rows} rows erased" if erase else "; its data stays"))
