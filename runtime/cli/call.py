"""`hostel call` and `notify`: one message to a program on a host that runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.door import Socket, State, on_host
from runtime.cli.receipt import show_receipt
from runtime.cli.words import read_object
from runtime.errors import CallEnded, UsageError

if TYPE_CHECKING:
    from runtime.client import Client
    from runtime.receipt import Receipt, Reply

Whose = Annotated[str, Parameter(name="--user", help="Whom it acts for; without it, nobody.")]
WithReceipt = Annotated[bool, Parameter(name="--receipt", help="Show what it cost, on standard error.")]
Params = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


def call(
    app: str,
    method: str,
    params: Params = None,
    /,
    *,
    state: State = None,
    socket: Socket = None,
    user: Whose = "",
    receipt: WithReceipt = False,
    as_json: report.AsJson = False,
) -> None:
    """Send one message to an installed program and print its answer as JSON.

    Parameters
    ----------
    app
        The program's id.
    method
        What to call.
    params
        A JSON object, @FILE, or - for standard input; {} where it is left out.
    """
    given = read_object(_no_option(params, "call"), "params")

    async def work(client: Client) -> Reply:
        return await client.call(app, method, given, user=user)

    try:
        reply = on_host(state, socket, work)
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
    app: str,
    method: str,
    params: Params = None,
    /,
    *,
    state: State = None,
    socket: Socket = None,
    user: Whose = "",
    receipt: WithReceipt = False,
    as_json: report.AsJson = False,
) -> None:
    """Send a notification to an installed program: it is handled like a call, and the program answers nothing.

    Parameters
    ----------
    app
        The program's id.
    method
        What it is told.
    params
        A JSON object, @FILE, or - for standard input; {} where it is left out.
    """
    given = read_object(_no_option(params, "notify"), "params")

    async def work(client: Client) -> Receipt:
        return await client.notify(app, method, given, user=user)

    told = on_host(state, socket, work)
    if as_json:
        report.show_json({"receipt": told.as_dict()})
    elif receipt:
        show_receipt(told)


def _no_option(params: str | None, command: str) -> str | None:
    if params is not None and params.startswith("--"):
        raise UsageError(f"unknown option {shown(params)}; see hostel {command} --help")
    return params
