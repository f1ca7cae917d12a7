"""What an endpoint is: declared once; routes, checks of bodies and the OpenAPI document follow from it.

What lives here: the declaration, what an endpoint is handed, and the form of an answer. No endpoint.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from host_api.front_end.token import FrontEndSession
from runtime.daemon.http.refusal import Refused
from runtime.daemon.http.trace import Trace
from runtime.host import Host


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what a request's body may be: JSON with these fields and no others."""


class Nothing(Body, frozen=True, kw_only=True):
    """An empty object; a body that is empty counts as one."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what an answer is. Clients ignore fields they do not know: some may be added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to an endpoint: checked as far as its declaration says."""

    host: Host
    request: Request
    session: FrontEndSession
    body: Any
    """Of the declared type; bytes where the endpoint takes any JSON."""
    trace: Trace

    def of(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path, for a front end that speaks for a user."""

    name: str
    """What generated clients call it."""
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    run: Callable[[Ask], Awaitable[Answer | Response]]
    answer: type[Answer] | None
    """None: bytes, with a type of their own; `run` gives the response."""
    body: type[Body] | None = None
    any_object: bool = False
    """The body is a JSON object of the program's own; `Ask.body` is its bytes."""

    @property
    def takes_body(self) -> bool:
        return self.method == "POST"


def read_body(endpoint: Endpoint, content_type: str, data: bytes) -> Any:
    """The body as declared. Raises Refused: another type than JSON, no JSON, or other fields.

    JSON alone: a page of another site can send forms and plain texts in its user's name without asking, JSON it cannot.
    """
    if not endpoint.takes_body:
        return None
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused("unsupported_media_type", "send JSON, with Content-Type: application/json")
    if endpoint.body is None:
        return data
    try:
        return msgspec.json.decode(data or b"{}", type=endpoint.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("body_malformed", f"the body cannot be taken: {str(error)[:200]}") from None


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
