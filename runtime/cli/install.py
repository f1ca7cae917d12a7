"""`hostel install`, `grant`, `limit` and `revoke`: a program on a host that runs, and what it may do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runtime.bundle.files import read_archive_file
from runtime.cli import report
from runtime.cli.arguments import Program
from runtime.cli.door import UNNAMED, Door
from runtime.cli.registry import show
from runtime.cli.words import read_grants, read_limits, read_object

if TYPE_CHECKING:
    from runtime.client import Client
    from runtime.registry import App

Grants = Annotated[
    tuple[str, ...], Parameter(help="A capability: payment, payment:amount_max=5000, or JSON. Again for more.")
]


def install(
    file: Path,
    /,
    *,
    door: Door = UNNAMED,
    grant: Grants = (),
    limit: Annotated[tuple[str, ...], Parameter(help="NAME=NUMBER; see hostel limits. Again for more.")] = (),
    config: Annotated[str | None, Parameter(help="What session.info gives it: a JSON object, @FILE, or -.")] = None,
    payee: Annotated[str | None, Parameter(help="Who receives its payments, as users read it.")] = None,
    sector: Annotated[str | None, Parameter(help="Programs of one sector see one id of a user.")] = None,
    isolation: Annotated[str | None, Parameter(help="shared, or dedicated for workers of its own.")] = None,
    allow_unsigned: Annotated[bool, Parameter(help="Take a bundle that no trusted key vouches for.")] = False,
    new_owner: Annotated[bool, Parameter(help="The program has changed hands: another developer signed it.")] = False,
    as_json: report.AsJson = False,
) -> None:
    """Install a bundle on a host that runs, for all its users and for calls from now on: upload, approval and full
    release in one. What is not granted is denied.

    Parameters
    ----------
    file
        The bundle.
    """
    data, grants, limits = read_archive_file(file), read_grants(grant), read_limits(limit)
    settings = None if config is None else read_object(config, "--config")

    async def work(client: Client) -> App:
        return await client.install(
            data, grant=grants, limits=limits, config=settings, payee=payee, sector=sector, isolation=isolation,
            allow_unsigned=True if allow_unsigned else None, new_owner=new_owner,
        )  # fmt: skip

    app = door.ask_host(work)
    if as_json:
        report.show_json(
            {"app_id": app.app_id, "release_name": app.release_name, "release_code": app.release_code,
             "identity": app.identity, "signed_by": app.signed_by}
        )  # fmt: skip
    else:
        signed = f"signed by {app.signed_by}" if app.signed_by else "signed by nobody who is trusted"
        report.show_line(f"{app.app_id} {app.release_name} (code {app.release_code}) is installed, {signed}")


def grant(app: Program, /, *capability: str, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Say what a program may do, in the place of what it was granted; none: nothing. What is granted no more is gone
    for calls in flight too.

    Parameters
    ----------
    capability
        payment, payment:amount_max=5000, or JSON.
    """
    grants = read_grants(capability)

    show(door.ask(lambda client: client.set_grants(app, grants)), "program", as_json)


def limit(app: Program, /, *limit: str, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Set what a program may use, where it differs from the host's: cpu_us=200000. In the place of what was set before;
    none: the host's again.

    Parameters
    ----------
    limit
        NAME=NUMBER; see hostel limits.
    """
    limits = read_limits(limit)

    show(door.ask(lambda client: client.set_limits(app, limits)), "program", as_json)


def revoke(app: Program, /, *capability: str, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Take capabilities away from a program at once, and for good: from calls in flight and from releases to come.

    Parameters
    ----------
    capability
        Such as payment.
    """
    door.ask(lambda client: client.revoke(app, *capability))
    if as_json:
        report.show_json({"program": app, "revoked": list(capability)})
    else:
        report.say(f"{', '.join(capability)} taken from {app}")
