"""`hostel release …` and `hostel program …`: the ladder from an upload to the release that everybody gets, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from runtime.bundle.files import read_archive_file
from runtime.cli import report
from runtime.cli.arguments import After, Program
from runtime.cli.door import UNNAMED, Door
from runtime.cli.registry import must_be_known, plain, show, when
from runtime.cli.review import name_of, named, not_given, show_release
from runtime.cli.words import read_grants, read_limits, read_object
from runtime.errors import SignatureError, UsageError

if TYPE_CHECKING:
    from host_api.releases.values import ProgramStatus, Upload
    from runtime.client import Client

Code = Annotated[int, Parameter(help="The version code.")]
Reason = Annotated[str, Parameter(help="Why: 1 to 200 characters, kept in the audit.")]


def upload(
    file: Path,
    /,
    *,
    door: Door = UNNAMED,
    developer: Annotated[str, Parameter(help="Whose upload it is: id or name. One of their keys signed it.")],
    as_json: report.AsJson = False,
) -> None:
    """Upload a developer's bundle: it is checked, compiled, and waits for a review.

    Parameters
    ----------
    file
        The signed bundle.
    """
    data = read_archive_file(file)

    async def work(client: Client) -> tuple[Upload, str]:
        try:
            found = await client.releases.upload(developer, data)
        except SignatureError as error:
            if error.code != "key_unknown":
                raise
            raise SignatureError(
                error.message, code=error.code, details={**error.details, "developer": developer}
            ) from error
        return found, await name_of(client, found.developer)

    found, name = door.ask(work)
    _tell_whole(found, name, as_json)


def list_(app: Program = "", /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """List the releases of a program; without one, the uploads that wait for a review."""

    async def read(client: Client) -> Sequence[Upload]:
        if not app:
            return await client.releases.submitted()
        releases = await client.releases.list(app)
        if not releases:
            await must_be_known(client, app)
        return releases

    found = door.ask(read)
    if as_json:
        report.show_json(plain(found))
        return
    report.show_table(
        ("program", ">code", "version", "status", "uploaded", "reason"),
        [(one.app_id, one.code, one.name, one.status.value, when(one.uploaded_us), one.reason) for one in found],
    )


def show_(app: Program, code: Code, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Show a release with the report of its upload: what it imports, asks for and wants, and what is new in it."""

    async def read(client: Client) -> tuple[Upload, str]:
        found = await client.releases.show(app, code)
        return found, await name_of(client, found.developer)

    found, name = door.ask(read)
    _tell_whole(found, name, as_json)


def approve(
    app: Program,
    code: Code,
    /,
    *,
    door: Door = UNNAMED,
    grant: Annotated[tuple[str, ...], Parameter(help="A capability, such as payment:amount_max=5000.")] = (),
    limit: Annotated[tuple[str, ...], Parameter(help="NAME=NUMBER that differs from the host's limits.")] = (),
    config: Annotated[str | None, Parameter(help="JSON for session.info; @FILE reads a file.")] = None,
    payee: Annotated[str | None, Parameter(help="Who receives its payments.")] = None,
    note: Annotated[str, Parameter(help="For the developer.")] = "",
    dedicated: Annotated[bool, Parameter(help="It shares its workers with no other program.")] = False,
    as_json: report.AsJson = False,
) -> None:
    """Approve an upload and say what it is given. Nobody gets it before trial, gray or full."""
    given: dict[str, Any] = {
        "grant": read_grants(grant), "limits": read_limits(limit), "config": read_object(config, "--config"),
        "payee": payee, "note": note, "isolation": "dedicated" if dedicated else None,
    }  # fmt: skip

    async def work(client: Client) -> tuple[Upload, tuple[int, list[str]]]:
        found = await client.releases.approve(app, code, **given)
        return found, await not_given(client, found)

    found, (current, names) = door.ask(work)
    _tell(found, as_json, goes_with_full=names)
    if names:
        report.say(f"{current} has {', '.join(names)}, this release has not: {_it(names, 'goes', 'go')} with full")


def reject(
    app: Program, code: Code, /, *, door: Door = UNNAMED, reason: Reason, as_json: report.AsJson = False
) -> None:
    """Reject an upload, with a reason that its developer reads."""
    _tell(door.ask(lambda client: client.releases.reject(app, code, reason)), as_json)


def trial(
    app: Program,
    code: Code,
    /,
    *,
    door: Door = UNNAMED,
    user: Annotated[tuple[str, ...], Parameter(help="A user who gets it; again for each.")],
    as_json: report.AsJson = False,
) -> None:
    """Let named users have a release, beside the one that everybody gets."""
    _tell(door.ask(lambda client: client.releases.trial(app, code, user)), as_json)


def gray(
    app: Program,
    code: Code,
    /,
    *,
    door: Door = UNNAMED,
    percent: Annotated[str, Parameter(help="Of all users, with up to two decimals: 0.5, 25, 100.")],
    as_json: report.AsJson = False,
) -> None:
    """Let a share of all users have a release: always the same ones, and a larger share adds to them."""
    share = _share(percent)
    _tell(door.ask(lambda client: client.releases.gray(app, code, share)), as_json)


def full(app: Program, code: Code, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Let everybody have a release."""

    async def work(client: Client) -> tuple[Upload, tuple[int, list[str]]]:
        lost = await not_given(client, await client.releases.show(app, code))
        return await client.releases.full(app, code), lost

    found, (before, names) = door.ask(work)
    _tell(found, as_json, gone=names)
    if names:
        report.say(f"{before} had {', '.join(names)}, this release has not: {_it(names, 'is', 'are')} gone")


def offline(app: Program, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Let nobody have any release of a program. hostel release full brings it back."""
    found = door.ask(lambda client: client.releases.offline(app))
    code = found.current_code or "CODE"
    _done(found, f"{app} is offline; undo: hostel release full {app} {code}", as_json)


def rollback(app: Program, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Go back to the last full release: take a candidate back, or else bring back the release before."""
    found = door.ask(lambda client: client.releases.rollback(app))
    out = f"everybody gets {found.current_code}" if found.current_code else "nobody gets a release"
    _done(found, f"{app} is rolled back: {out}", as_json)


def minimum(app: Program, code: Code, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Let no release below a version code ever run again, by a rollback neither."""
    _status(door.ask(lambda client: client.releases.set_minimum(app, code)), as_json)


def kill(app: Program, /, *, door: Door = UNNAMED, reason: Reason, as_json: report.AsJson = False) -> None:
    """Stop a program at once: nobody can call it until it is revived."""
    found = door.ask(lambda client: client.releases.kill(app, reason))
    _done(found, f"{app} is killed: {found.killed}; undo: hostel release revive {app}", as_json)
    if found.unrecorded:
        report.say(f"the disk refuses the record: make room on it. Until it is written, a restart brings {app} back")


def revive(app: Program, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Let a program be called again that was killed, or that the host quarantined."""
    found = door.ask(lambda client: client.releases.revive(app))
    now = _state(found)
    _done(found, f"{app} is neither killed nor quarantined any more" + ("" if now == "on" else f": {now}"), as_json)


# ---- programs --------------------------------------------------------------------------------------------------------
def programs(*, door: Door = UNNAMED, after: After = "", as_json: report.AsJson = False) -> None:
    """List installed programs by their ids, a hundred at most."""
    found = door.ask(lambda client: client.programs(after))
    if as_json:
        report.show_json(plain(found))
        return
    rows = [(one.app_id, one.current_code, _candidate(one), _state(one), one.owner) for one in found]
    report.show_table(("program", ">full", "candidate", "state", "owner"), rows)


def program_show(app: Program, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Show a program: which releases are out, what it may do, whose it is."""

    async def read(client: Client) -> tuple[ProgramStatus, str]:
        found = await client.program(app)
        return found, await name_of(client, found.owner)

    found, name = door.ask(read)
    if as_json:
        _status(found, as_json)
    else:
        show({**plain(found), "owner": named(found.owner, name)}, "program", as_json)


def _candidate(one: ProgramStatus) -> str:
    if not one.candidate_code:
        return ""
    return f"{one.candidate_code} ({one.stage.value}{f' {one.share / 100:g} %' if one.stage.value == 'gray' else ''})"


def _state(one: ProgramStatus) -> str:
    states = (
        ("killed", one.killed),
        ("quarantined", one.quarantined),
        ("leaving", one.leaving),
        ("offline", one.offline),
    )
    return next(
        (name for name, holds in states if holds), "on" if one.current_code or one.candidate_code else "approved"
    )


def _share(percent: str) -> int:
    whole, _, part = percent.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 3 and len(part) <= 2 and (part + "0").isdigit()):
        raise UsageError(f"--percent {ascii(percent)[:40]}: write a number such as 0.5, 25 or 100")
    return int(whole) * 100 + int((part + "00")[:2])


def _tell(found: Upload, as_json: bool, **more: object) -> None:
    """`more`: beside it in JSON."""
    if as_json:
        report.show_json({**plain(found), **more})
    else:
        report.show_line(f"{found.app_id} {found.code} is {found.status.value}")


def _tell_whole(found: Upload, developer: str, as_json: bool) -> None:
    if as_json:
        report.show_json(plain(found))
    else:
        show_release(found, developer)


def _it(names: Sequence[str], one: str, more: str) -> str:
    return f"it {one}" if len(names) == 1 else f"they {more}"


def _done(found: ProgramStatus, sentence: str, as_json: bool) -> None:
    if as_json:
        report.show_json(plain(found))
    else:
        report.show_line(sentence)


def _status(found: ProgramStatus, as_json: bool) -> None:
    show(found, "program", as_json)
