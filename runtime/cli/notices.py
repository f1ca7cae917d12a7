"""`hostel notices …`: messages from programs that wait for their users, as a front end sees them."""

from __future__ import annotations

import datetime
from typing import Annotated

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.door import UNNAMED, Door
from runtime.errors import UsageError


def list_(
    *,
    door: Door = UNNAMED,
    user: Annotated[str | None, Parameter(name="--user", help="Only this user's.")] = None,
    as_json: report.AsJson = False,
) -> None:
    """List the messages that wait, the oldest first, a hundred at most."""
    waiting = door.ask(lambda client: client.notices.pending(user))
    if as_json:
        report.show_json(
            [
                {"id": one.id, "app_id": one.app_id, "user": one.user, "template": one.template, "text": one.text,
                 "language": one.language, "created_us": one.created_us}
                for one in waiting
            ]
        )  # fmt: skip
        return
    report.show_table(
        ("id", "when", "program", "user", "text"),
        [(one.id, _when(one.created_us), one.app_id, one.user, one.text) for one in waiting],
    )


def take(notice: str, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Say that a message was shown: the host forgets its text.

    Parameters
    ----------
    notice
        Its id, from hostel notices list.
    """

    if not door.ask(lambda client: client.notices.take(notice)):
        raise UsageError(
            f"no message {shown(notice)} waits: it was taken, or its time is over", code="notice_not_found"
        )
    if as_json:
        report.show_json({"taken": notice})
    else:
        report.say("taken")


def _when(at_us: int) -> str:
    return f"{datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
