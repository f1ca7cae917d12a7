"""http.*: the method as it is declared. What answers it is in service.py."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode
from host_api.http.url import URL_CHARS_MAX

CAPABILITY: Final = "http"
REQUEST_HEADERS_MAX: Final = 32
HEADER_NAME_CHARS_MAX: Final = 64
HEADER_VALUE_CHARS_MAX: Final = 4_096
REDIRECTS_MAX: Final = 5
TIMEOUT_MS_MAX: Final = 600_000

_Verb: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=HEADER_NAME_CHARS_MAX)]
_Value: TypeAlias = Annotated[str, msgspec.Meta(max_length=HEADER_VALUE_CHARS_MAX)]


class FetchParams(Params, frozen=True, kw_only=True):
    """One HTTPS request."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=URL_CHARS_MAX)]
    """`https://host/path?query`, also with `:port`; the host a full name in ASCII, that the grant names."""
    method: _Verb = "GET"
    """GET and HEAD have no body, and can be tried again."""
    headers: Annotated[dict[_Name, _Value], msgspec.Meta(max_length=REQUEST_HEADERS_MAX)] = msgspec.field(
        default_factory=dict
    )
    """Name to value, printable ASCII; not those that are the connection's (`host`, `content-length`, …)."""
    body: bytes = b""
    """At most `fetch_request_bytes`."""
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=TIMEOUT_MS_MAX)] = 5_000
    """For all of it, redirects included; the call's deadline may come sooner."""
    redirects: Annotated[int, msgspec.Meta(ge=0, le=REDIRECTS_MAX)] = 3
    """How many are followed; the next one is the answer."""


class FetchResult(Result, frozen=True, kw_only=True):
    """The answer, whatever its status."""

    status: int
    """From 200 to 999."""
    headers: dict[str, str]
    """Names in lower case; equal ones joined by ", "; no cookies, and none of the connection's own."""
    body: bytes
    """As it was sent, at most `fetch_response_bytes`; nothing is inflated."""
    url: str
    """Where the answer came from, after redirects."""


FETCH = Method(
    name="http.fetch",
    capability=CAPABILITY,
    params=FetchParams,
    result=FetchResult,
    errors=(
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.ADDRESS_REFUSED,
        ErrorCode.FETCH_FAILED,
        ErrorCode.UNKNOWN_OUTCOME,
        ErrorCode.BUSY,
    ),
    waits=True,
    summary="One HTTPS request to a host that the operator granted.",
    example={"url": "https://prices.example/today", "headers": {"accept": "application/json"}},
    answer={
        "status": 200,
        "headers": {"content-type": "application/json"},
        "body": b'{"apple":120}',
        "url": "https://prices.example/today",
    },
)
