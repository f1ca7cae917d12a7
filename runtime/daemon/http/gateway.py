"""The gateway: a front end calls a program for its user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import trio
from starlette.types import Receive

from runtime.daemon.http.endpoint import Answer, Ask, Endpoint
from runtime.daemon.http.json_values import incoming, outgoing
from runtime.daemon.http.refusal import Refused

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody is left to answer."""


class CallAnswer(Answer, frozen=True, kw_only=True):
    """The program's result, and what the call cost."""

    result: Any
    """Any JSON; bytes stand in it as {"$bytes": base64}."""
    receipt: dict[str, Any]
    """As docs/protocol.md §10 lists it."""


async def call(ask: Ask) -> CallAnswer:
    app_id, session = ask.of("app_id"), ask.session
    if not session.may_reach(app_id):
        raise Refused("program_not_allowed", "this session was issued for other programs")
    params = incoming(ask.body)
    reply = await unless_gone(
        ask.request.receive,
        lambda: ask.host.call(
            app_id, ask.of("method"), params, user=session.user, interactive=session.interactive,
            locale=session.locale, time_zone=session.time_zone, currency=session.currency, trace_id=str(ask.trace),
        ),
    )  # fmt: skip
    return CallAnswer(result=outgoing(reply.value), receipt=reply.receipt.as_dict())


async def unless_gone(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives or raises; cancelled, with ClientGone, when the client leaves first. The body was read."""
    done: list[T] = []
    raised: Exception | None = None
    async with trio.open_nursery() as tasks:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            done.append(await work())
        except Exception as error:  # through the nursery it would come out wrapped in a group
            raised = error
        tasks.cancel_scope.cancel()
    if raised is not None:
        raise raised
    if not done:
        raise ClientGone
    return done[0]


ENDPOINTS: Final = (
    Endpoint(
        name="callProgram",
        method="POST",
        path="/v1/programs/{app_id}/call/{method}",
        summary="Call a program for the user; the body is the parameters. A client that leaves ends the call.",
        run=call,
        answer=CallAnswer,
        any_object=True,
    ),
)
