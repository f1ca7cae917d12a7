"""`hostel developer …`: who may upload, with which keys, and how far they are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.arguments import After, Developer
from runtime.cli.door import UNNAMED, Door
from runtime.cli.registry import plain, show, when
from runtime.cli.words import read_limits

if TYPE_CHECKING:
    from host_api.releases import values
    from host_api.releases.values import DeveloperKey
    from runtime.client import Client


def add(name: str, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Sign a developer up: without keys, unreviewed.

    Parameters
    ----------
    name
        For people: one line, nobody else's.
    """
    show(door.ask(lambda client: client.developers.sign_up(name)), "developer", as_json)


def list_(*, door: Door = UNNAMED, after: After = "", as_json: report.AsJson = False) -> None:
    """List developers by their ids, a hundred at most."""
    found = door.ask(lambda client: client.developers.list(after))
    if as_json:
        report.show_json(plain(found))
        return
    rows = [(one.id, one.name, one.trust.value, when(one.created_us)) for one in found]
    report.show_table(("id", "name", "trust", "since"), rows)


def show_(developer: Developer, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Show a developer and their keys."""

    async def both(client: Client) -> tuple[values.Developer, Sequence[DeveloperKey]]:
        developers = client.developers
        return await developers.get(developer), await developers.keys(developer)

    found, keys = door.ask(both)
    if as_json:
        report.show_json({**plain(found), "keys": plain(keys)})
        return
    show(found, "developer", as_json=False)
    report.show_table(
        ("key", "from", "until", "revoked"),
        [(key.key_id, when(key.valid_from_us), when(key.valid_until_us), key.revoke_reason) for key in keys],
    )


def trust(developer: Developer, level: str, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Say how far a developer is trusted. Programs of different trust never share a worker.

    Parameters
    ----------
    level
        platform, reviewed or unreviewed.
    """
    show(door.ask(lambda client: client.developers.set_trust(developer, level)), "developer", as_json)


def limits(developer: Developer, /, *limit: str, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Set what all programs of a developer may use together, where it differs from the host's: calls_per_s=20000. In
    the place of what was set before; none: the host's again.

    Parameters
    ----------
    limit
        NAME=NUMBER; hostel limits lists them.
    """
    given = read_limits(limit)
    show(door.ask(lambda client: client.developers.set_limits(developer, given)), "developer", as_json)


# ---- keys ------------------------------------------------------------------------------------------------------------
def key_add(
    developer: Developer,
    public_key: str,
    /,
    *,
    door: Door = UNNAMED,
    valid_from_us: Annotated[int | None, Parameter(help="µs since 1970; from now on, if left out.")] = None,
    valid_until_us: Annotated[int | None, Parameter(help="µs since 1970; for ever, if left out.")] = None,
    as_json: report.AsJson = False,
) -> None:
    """Register a developer's public key. Make sure first that it is theirs: whatever it signed counts as their own.

    Parameters
    ----------
    public_key
        ed25519:…, as hostel keygen prints it.
    """
    found = door.ask(
        lambda client: client.developers.add_key(developer, public_key, valid_from_us, valid_until_us),
    )
    show(found, "key", as_json)


def key_revoke(
    key_id: str,
    /,
    *,
    door: Door = UNNAMED,
    reason: Annotated[str, Parameter(help="For the developer, and the audit.")],
    as_json: report.AsJson = False,
) -> None:
    """Revoke a key: nothing that it signed is taken any more. What it signed and is installed is listed, and stays.

    Parameters
    ----------
    key_id
        From hostel developer show.
    """

    async def revoke(client: Client) -> tuple[DeveloperKey, list[tuple[str, int, str]]]:
        key = await client.developers.revoke_key(key_id, reason)
        found: list[tuple[str, int, str]] = []
        after = ("", 0)
        while page := await client.developers.installed_by_key(key_id, after, 1_000):
            found += [(app_id, code, str(status)) for app_id, code, status in page]
            after = found[-1][:2]
        return key, found

    key, signed = door.ask(revoke)
    if as_json:
        report.show_json({**plain(key), "releases": [list(one) for one in signed]})
        return
    show(key, "key", as_json=False)
    report.show_table(("it signed", ">version code", "status"), signed)
