"""http.fetch: what may leave, where it may go, and what the program is told of it.

What lives here: the order of checks, the hops of one fetch, and how each way it can end is answered. The parts are
beside it: url.py, headers.py, redirects.py, addresses.py (rules), resolver.py, exchange.py (the network), response.py.

Each hop is checked as if it were the first, and twice: before its host's name is looked up, and again right before its
first byte leaves, which is the point of no return for a grant that is taken away.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import trio

from host_api.contract import Bound, Clock, Session
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.http import headers, url
from host_api.http.access import HttpAccess, Places, default_tls
from host_api.http.addresses import Address
from host_api.http.departures import Departures
from host_api.http.exchange import Broken, Progress, exchange
from host_api.http.headers import HeaderRefused
from host_api.http.methods import CAPABILITY, FETCH, FetchParams, FetchResult
from host_api.http.redirects import SAFE, Request, following
from host_api.http.resolver import SystemResolver
from host_api.http.response import Malformed, ResponseReader
from host_api.http.url import Origin, UrlRefused

RESOLVE_SECONDS: Final = 5.0
ADDRESSES_MAX: Final = 64
"""Of one name; one with more is taken for a fault."""


class HttpService:
    """Answers http.*; used from the trio thread only. Holds no connection between two fetches."""

    def __init__(self, *, access: HttpAccess, clock: Clock) -> None:
        """`clock`: what grants expire by."""
        self._resolve = access.resolver or SystemResolver()
        self._given_tls = access.tls
        self._allow_address, self._connect = access.allow_address, access.connect
        self._places = Places(access)
        self._now_us = clock.now_us
        self.departures = Departures()

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(FETCH, self.fetch),)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made for the first fetch: reading the system's roots takes tens of milliseconds."""
        return self._given_tls or default_tls()

    @property
    def under_way(self) -> int:
        """Fetches at this moment, all programs together."""
        return self._places.taken

    async def fetch(self, session: Session, params: FetchParams) -> FetchResult:
        """Cancelled at any point, it has closed its socket; a request that had begun to leave may have its effect."""
        request = self._first(session, params)
        with self._places.one(session.app_id):
            progress = Progress()
            try:
                with suppress(trio.TooSlowError), trio.move_on_after(params.timeout_ms / 1_000):
                    return await self._hops(session, request, params.redirects, progress)
                raise _failed(progress, f"not done within timeout_ms = {params.timeout_ms}")
            except (Broken, Malformed) as fault:
                raise _failed(progress, str(fault)) from None
            except ApiError as error:
                if progress.effect:
                    error.details["sent"] = True
                raise

    def _first(self, session: Session, params: FetchParams) -> Request:
        """The request as the program wants it. Raises ApiError, the grant's refusal before any other parameter's."""
        try:
            to = url.parse(params.url)
        except UrlRefused as refused:
            raise _invalid("url", str(refused)) from None
        self._require(session, to.origin)
        try:
            fields = headers.of_request(params.headers)
        except HeaderRefused as refused:
            raise _invalid("headers", str(refused)) from None
        if params.body and params.method in SAFE:
            raise _invalid("body", f"a {params.method} request has no body")
        if len(params.body) > session.limits.fetch_request_bytes:
            raise limit_exceeded(
                "fetch_request_bytes", session.limits.fetch_request_bytes, len(params.body), "bytes", "the body"
            )
        return Request(method=params.method, url=to, fields=fields, body=params.body)

    async def _hops(self, session: Session, request: Request, redirects: int, progress: Progress) -> FetchResult:
        while True:
            response = await self._hop(session, request, progress)
            to = _next(request, response) if redirects else None
            if to is None:
                return FetchResult(
                    status=response.status, headers=headers.of_answer(response.fields), body=response.body,
                    url=str(request.url),
                )  # fmt: skip
            request, redirects = to, redirects - 1
            self._require(session, request.url.origin)

    async def _hop(self, session: Session, request: Request, progress: Progress) -> ResponseReader:
        origin = request.url.origin

        def before_sending() -> None:
            self._require(session, origin)
            self.departures.count(session.app_id, str(origin))
            progress.effect = progress.effect or request.method not in SAFE

        progress.phase = "resolve"
        addresses = await self._addresses(session.app_id, origin.host)
        return await exchange(
            request, addresses, tls=self._tls, body_max=session.limits.fetch_response_bytes, progress=progress,
            before_sending=before_sending, connect=self._connect,
        )  # fmt: skip

    def _require(self, session: Session, origin: Origin) -> None:
        """What the grant says now: it may have been narrowed since the call began. Raises ApiError."""
        hosts = session.authority.require(CAPABILITY, self._now_us()).hosts
        if hosts is None or not url.allowed(origin, hosts):
            raise _not_granted(origin, hosts)

    async def _addresses(self, app_id: str, host: str) -> list[Address]:
        """All there are, and all of them allowed: a name with one address inside is an attempt to get there."""
        texts = None
        try:
            with trio.move_on_after(RESOLVE_SECONDS):
                texts = await self._resolve(host, app_id=app_id)
            found = [ipaddress.ip_address(text) for text in texts or ()]
        except (OSError, ValueError):
            found = []
        if not 1 <= len(found) <= ADDRESSES_MAX:
            raise Broken("the host's name has no address")
        if not all(map(self._allow_address, found)):
            raise ApiError(
                ErrorCode.ADDRESS_REFUSED,
                f"the host {host} has an address that is not public: {ErrorCode.ADDRESS_REFUSED.cure}",
                details={"host": host},
            )
        return found


# ---- what the program is told ----------------------------------------------------------------------------------------
def _next(request: Request, response: ResponseReader) -> Request | None:
    try:
        return following(request, response.status, response.fields)
    except UrlRefused as refused:
        raise ApiError(
            ErrorCode.GRANT_CONSTRAINT,
            f"a redirect leads to where no grant can: {refused}",
            details={"constraint": "hosts", "redirect": True},
        ) from None


def _not_granted(origin: Origin, hosts: tuple[str, ...] | None) -> ApiError:
    problem = (
        "the grant of http names no hosts, and so allows none: ask the operator to grant it with hosts"
        if hosts is None
        else f"{origin} is none of the hosts that the operator granted"
    )
    details: Mapping[str, Any] = {"constraint": "hosts", "value": list(hosts or ()), "host": str(origin)}
    return ApiError(ErrorCode.GRANT_CONSTRAINT, problem, details=details)


def _failed(progress: Progress, problem: str) -> ApiError:
    """The answer is lost. Where something may have happened by then, that is what has to be said."""
    details: dict[str, Any] = {"phase": progress.phase, "problem": problem}
    if progress.effect:
        code, details["sent"] = ErrorCode.UNKNOWN_OUTCOME, True
        return ApiError(code, f"the request was sent and its answer lost ({problem}): {code.cure}", details=details)
    return ApiError(ErrorCode.FETCH_FAILED, f"{problem} ({progress.phase})", details=details)


def _invalid(name: str, problem: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_PARAMS, problem, details={"path": f"$.{name}", "problem": problem})
