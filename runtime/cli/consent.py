"""`hostel consent`: what users allowed which program, and what programs wait to be allowed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

from host_api.prompts.prompt import Prompt
from host_api.user.asking import KIND
from host_api.user.consent import Consent
from runtime.cli import front_end, report
from runtime.cli.cashier import sentence
from runtime.cli.door import UNNAMED, Door, Yes
from runtime.cli.front_end import FrontEnd, Whose
from runtime.cli.registry import must_be_known


def list_(
    *, door: Door = UNNAMED, user: Annotated[str, Parameter(help="Whose consents.")], as_json: report.AsJson = False
) -> None:
    """List what a user decided: for which program, which scope, with which words, and until when it holds."""

    async def look(desk: FrontEnd) -> tuple[list[Consent], int]:
        return await desk.client.consents.of_user(user), desk.now_us

    consents, now_us = front_end.at_desk(door, look)
    rows = [
        {
            "program": one.app_id,
            "scope": one.scope,
            "given": one.given,
            "holds": now_us < one.expires_us,
            "decided_at": _time(one.decided_us),
            "until": _time(one.expires_us),
            "purpose": one.purpose.text,
            "language": one.purpose.language,
        }
        for one in consents
    ]
    if as_json:
        report.show_json(rows)
        return
    report.show_table(
        ("program", "scope", "answer", "decided", "until", "purpose"),
        [
            (row["program"], row["scope"], "yes" if row["given"] else "no", row["decided_at"],
             row["until"] if row["holds"] else "over", row["purpose"]) for row in rows
        ],
    )  # fmt: skip


def pending(*, door: Door = UNNAMED, user: Whose = None, as_json: report.AsJson = False) -> None:
    """List the questions for consent that wait for an answer, the oldest first.

    Of a host that runs, or of a state directory as hostel run --later leaves it. Each waits two minutes for its user.
    """

    async def look(desk: FrontEnd) -> tuple[list[Prompt], int]:
        return await desk.waiting(KIND, user), desk.now_us

    prompts, now_us = front_end.at_desk(door, look)
    rows = [front_end.told(prompt, now_us) for prompt in prompts]
    if as_json:
        report.show_json(rows)
        return
    report.show_table(
        ("prompt", "user", "program", "scopes", "what for", ">expires in"),
        [
            (prompt.id, prompt.user, prompt.app_id, prompt.about, sentence(prompt),
             f"{row['expires_in_s']} s") for prompt, row in zip(prompts, rows, strict=True)
        ],
    )  # fmt: skip


def allow(prompt: str, /, *, door: Door = UNNAMED, yes: Yes = False, as_json: report.AsJson = False) -> None:
    """Say yes for the user: shows what is asked for and why, asks, and remembers it with these very words.

    Parameters
    ----------
    prompt
        The prompt's id.
    """
    _tell(_answered(door, prompt, approved=True, yes=yes), "allowed", as_json)


def refuse(prompt: str, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Say no for the user. It is remembered: the program may ask again after seven days.

    Parameters
    ----------
    prompt
        The prompt's id.
    """
    _tell(_answered(door, prompt, approved=False), "refused", as_json)


def revoke(
    *,
    door: Door = UNNAMED,
    user: Annotated[str, Parameter(help="Whose consent.")],
    program: Annotated[str, Parameter(help="The program's app_id.")],
    scope: Annotated[
        str | None, Parameter(help="Only this one; without it, everything the program was allowed.")
    ] = None,
    as_json: report.AsJson = False,
) -> None:
    """Take back what a user allowed a program: from now on it is not told any more. Remembered as a no."""

    async def take_back(desk: FrontEnd) -> int:
        count = await desk.client.consents.revoke(program, user, scope)
        if not count and all(one.app_id != program for one in await desk.client.consents.of_user(user)):
            await must_be_known(desk.client, program)
        return count

    count = front_end.at_desk(door, take_back)
    if as_json:
        report.show_json({"program": program, "user": user, "scope": scope, "revoked": count})
    else:
        report.show_line(
            f"{count} taken back from {program}" if count else f"{program} was allowed nothing of that kind"
        )


def _answered(door: Door, prompt: str, *, approved: bool, yes: bool = True) -> Prompt:
    """`yes`: it is not asked for on the terminal."""

    async def answer(desk: FrontEnd) -> Prompt:
        found = await desk.find(KIND, prompt)
        await front_end.ask(found, yes=yes)
        await desk.answer(found, approved=approved)
        return found

    return front_end.at_desk(door, answer)


def _tell(prompt: Prompt, answer: str, as_json: bool) -> None:
    if as_json:
        told = {"prompt": prompt.id, "program": prompt.app_id, "user": prompt.user, "scopes": prompt.about.split()}
        report.show_json({**told, "answer": answer})
    else:
        report.show_line(f"{prompt.about} for {prompt.app_id}: {answer}")


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
