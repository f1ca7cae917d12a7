"""`hostel call` and `notify`: one message to a program on a host that runs."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.arguments import Program
from runtime.cli.door import UNNAMED, Door
from runtime.cli.receipt import show_receipt
from runtime.cli.words import read_object
from runtime.errors import CallEnded, UsageError

Whose = Annotated[str, Parameter(name="--user", help="Whom it acts for; without it, nobody.")]
WithReceipt = Annotated[bool, Parameter(name="--receipt", help="Show what it cost, on standard error.")]
Params = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


def call(
    app: Program,
    method: str,
    params: Params = None,
    /,
    *,
    door: Door = UNNAMED,
    user: Whose = "",
    receipt: WithReceipt = False,
    as_json: report.AsJson = False,
) -> None:
    """Send one message to an installed program and print its answer as JSON.

    Parameters
    ----------
    method
        What to call.
    params
        A JSON object, @FILE, or - for standard input; {} where it is left out.
    """
    given = read_object(_no_option(params, "call"), "params")

    try:
        reply = door.ask_host(lambda client: client.call(app, method, given, user=user))
    except CallEnded as ended:
        if ended.receipt and receipt and not as_json:
            show_receipt(ended.receipt)
        raise
    if as_json:
        report.show_json({"result": reply.value, "receipt": reply.receipt.as_dict()})
        return
    report.show_json(reply.value)
    if receipt:
        sys.stdout.flush()
        show_receipt(reply.receipt)


def notify(
    app: Program,
    method: str,
    params: Params = None,
    /,
    *,
    door: Door = UNNAMED,
    user: Whose = "",
    receipt: WithReceipt = False,
    as_json: report.AsJson = False,
) -> None:
    """Send a notification to an installed program: it is handled like a call, and the program answers nothing.

    Parameters
    ----------
    method
        What it is told.
    params
        A JSON object, @FILE, or - for standard input; {} where it is left out.
    """
    given = read_object(_no_option(params, "notify"), "params")

    told = door.ask_host(lambda client: client.notify(app, method, given, user=user))
    if as_json:
        report.show_json({"receipt": told.as_dict()})
    elif receipt:
        show_receipt(told)


def _no_option(params: str | None, command: str) -> str | None:
    if params is not None and params.startswith("--"):
        raise UsageError(f"unknown option {shown(params)}; see hostel {command} --help")
    return params
