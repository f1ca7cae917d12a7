"""`hostel uninstall`: the end of a program, and of what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.arguments import Program
from runtime.cli.door import UNNAMED, Door, Yes, be_sure
from runtime.errors import NotInstalled

if TYPE_CHECKING:
    from host_api.erasure.program import Uninstalled
    from runtime.client import Client


def uninstall(
    app: Program,
    /,
    *,
    door: Door = UNNAMED,
    erase: Annotated[
        bool, Parameter(help="Also erase what it kept and said, on the disk too; of payments only amounts stay.")
    ] = False,
    yes: Yes = False,
    as_json: report.AsJson = False,
) -> None:
    """End a program's payments that nobody has paid yet: open orders close, and what they held is their users' again.

    A program that is gone already, and whose data stayed, is erased with --erase.

    With --erase upgrade backups in the state directory are removed: they hold what was there before.
    """
    if erase:
        be_sure(f"erase all that {shown(app)} kept", yes)

    async def work(client: Client) -> Uninstalled:
        unknown: NotInstalled | None = None
        try:
            await client.program(app)
        except NotInstalled as error:
            if not erase:
                raise
            unknown = error  # what it kept may be there still
        gone = await client.uninstall(app, erase=erase)
        if unknown is not None and not gone.orders_closed + gone.rows_erased:
            raise unknown
        return gone

    gone = door.ask(work)
    if as_json:
        report.show_json({"orders_closed": gone.orders_closed, "rows_erased": gone.rows_erased})
    else:
        rest = f", {gone.rows_erased} rows erased" if erase else "; its data stays"
        report.say(f"{gone.orders_closed} open orders closed{rest}")
