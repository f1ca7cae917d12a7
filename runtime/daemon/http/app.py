"""The application: routes, who may use them, and what every answer carries. Plain ASGI, on any server that speaks it.

What lives here: the way of a request from the server to its endpoint and back. What the endpoints do is in gateway.py,
assets.py, cashier.py and people.py; bytes, connections and their limits are connection.py's.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Final

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime import sources
from runtime.daemon.http import assets, cashier, gateway, people
from runtime.daemon.http.endpoint import Ask, Endpoint, json_answer, read_body
from runtime.daemon.http.errors import error_answer
from runtime.daemon.http.gateway import ClientGone
from runtime.daemon.http.head import is_loopback_name
from runtime.daemon.http.openapi import document
from runtime.daemon.http.refusal import Refused
from runtime.daemon.http.settings import HttpSettings
from runtime.daemon.http.trace import Trace, trace_of
from runtime.host import Host

ENDPOINTS: Final[tuple[Endpoint, ...]] = (*gateway.ENDPOINTS, *assets.ENDPOINTS, *cashier.ENDPOINTS, *people.ENDPOINTS)
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_PREFLIGHT_S: Final = 600


def build_app(
    host: Host, settings: HttpSettings, *, metrics: Callable[[], bytes], ready: Callable[[], bool]
) -> ASGIApp:
    """The whole application. `metrics`, `ready`: see `serve`."""
    routes = [_route(host, endpoint) for endpoint in ENDPOINTS]
    routes += _own_routes(settings, metrics=metrics, ready=ready)
    app: ASGIApp = Router(routes, redirect_slashes=False)
    app = _Errors(app)
    if settings.origins:
        app = CORSMiddleware(
            app, allow_origins=settings.origins, allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("authorization", "content-type", "traceparent"),
            expose_headers=("traceresponse", "retry-after"), max_age=_PREFLIGHT_S,
        )  # fmt: skip
    return _Edge(app, (*_HEADERS, _HSTS) if settings.certificate is not None else _HEADERS)


# ---- what endpoints share --------------------------------------------------------------------------------------------
def _route(host: Host, endpoint: Endpoint) -> Route:
    async def respond(request: Request) -> Response:
        trace = trace_of(request.headers.getlist("traceparent")) or Trace(id=sources.new_id(), is_sampled=False)
        try:
            session = host.front_end.session_of(_bearer(request))
            data = await request.body() if endpoint.takes_body else b""
            body = read_body(endpoint, request.headers.get("content-type", ""), data)
            answer = await endpoint.run(Ask(host=host, request=request, session=session, body=body, trace=trace))
            response = answer if isinstance(answer, Response) else json_answer(answer)
        except Exception as error:
            if isinstance(error, ClientGone):
                raise
            response = error_answer(error)
        response.headers["traceresponse"] = trace.response(secrets.token_hex(8))
        return response

    path = endpoint.path.replace("{path}", "{path:path}")  # it has slashes
    return Route(path, respond, methods=[endpoint.method], name=endpoint.name)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip(" "):
        raise Refused("token_missing", "send the session's token: Authorization: Bearer hostel1.…")
    return token.strip(" ")


# ---- for the operator ------------------------------------------------------------------------------------------------
def _own_routes(settings: HttpSettings, *, metrics: Callable[[], bytes], ready: Callable[[], bool]) -> Iterable[Route]:
    async def healthz(request: Request) -> Response:
        return json_answer({"alive": True})

    async def readyz(request: Request) -> Response:
        if not ready():
            why = "the host takes no new work now: it drains, or no worker of its can take calls (hostel status)"
            raise Refused("not_ready", why, retry_after_ms=1_000)
        return json_answer({"ready": True})

    async def show_metrics(request: Request) -> Response:
        _check_metrics(request, settings)
        return Response(metrics(), media_type=METRICS_TYPE)

    async def openapi(request: Request) -> Response:
        return json_answer(document(ENDPOINTS))

    yield Route("/healthz", healthz)
    yield Route("/readyz", readyz)
    yield Route("/metrics", show_metrics)
    yield Route("/openapi.json", openapi)


def _check_metrics(request: Request, settings: HttpSettings) -> None:
    if settings.metrics_token_sha256:
        told = sha256(_bearer(request).encode()).hexdigest()
        if not hmac.compare_digest(told, settings.metrics_token_sha256):
            raise Refused("token_invalid", "this is not the token for metrics")
    elif not settings.is_local:
        raise Refused("not_found", "metrics are not told here: set metrics_token_sha256")
    elif not is_loopback_name(asked := request.headers.get("host", "")):
        why = "metrics without a token are told under a loopback address or localhost alone, and this request is for"
        raise Refused("not_found", f"{why} {ascii(asked)[:80]}: ask for 127.0.0.1, or set metrics_token_sha256")


# ---- around everything -----------------------------------------------------------------------------------------------
class _Errors:
    """What was raised on the way, as an answer; inside of CORS, so that a page is told of errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # then the router raises what it has to say, and does not say it in plain text
        try:
            await self._app(scope, receive, send)
        except HTTPException as error:  # the router's: no such path, or no such method on it
            headers, (code, why) = error.headers or {}, _NOT_FOUND
            if error.status_code == 405:
                code, why = "method_not_allowed", f"this path takes {headers.get('Allow', 'another method')}"
            response = error_answer(Refused(code, why))
            response.headers.update(headers)
            await response(scope, receive, send)
        except Refused as error:
            await error_answer(error)(scope, receive, send)


_NOT_FOUND: Final = ("not_found", "no such path; /openapi.json lists them")


class _Edge:
    """Puts on what every answer carries, and tells the connection when the request is dealt with."""

    def __init__(self, app: ASGIApp, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # nothing else gets through connection.py; the server closes it
            return
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        try:
            await self._answer(scope, receive, sending, lambda: began)
        finally:
            scope["state"]["connection"].answered()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, has_begun: Callable[[], bool]) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientGone:
            pass
        except Exception as error:
            answer: Callable[[Scope, Receive, Send], Awaitable[None]] = error_answer(error)
            if not has_begun():
                await answer(scope, receive, send)
