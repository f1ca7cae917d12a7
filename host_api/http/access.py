"""What an operator decides about requests to outside, and how many run at once. Values, and their count; no I/O."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from host_api.errors import ApiError, ErrorCode
from host_api.http.addresses import Address, is_public
from host_api.http.redirects import Request
from host_api.http.resolver import Resolver

RETRY_AFTER_MS: Final = 250
Connect: TypeAlias = Callable[[Request, Sequence[Address]], Awaitable[trio.socket.SocketType]]
"""A connection for this request to one of these addresses, all of them checked, on which TLS is spoken next. Raises
OSError where there is none, trio.TooSlowError where none will be had in the time of the fetch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAccess:
    """How programs reach hosts outside. The default is the public Internet as this machine's resolver and trust store
    see it. Raises ValueError for TLS that verifies nothing."""

    fetches: int = 256
    """At once, all programs together. Each holds a socket and at most a request and a response."""
    fetches_per_program: int = 16
    resolver: Resolver | None = None
    """None: the operating system's."""
    tls: ssl.SSLContext | None = None
    """None: TLS 1.2 or newer, with the system's roots of trust."""
    connect: Connect | None = None
    """None: TCP. For networks that are not there: those of scenarios."""
    allow_address: Callable[[Address], bool] = is_public
    """Whether an address may be connected to. One that allows more than `is_public` opens the network behind the host
    to whoever owns a granted name; one that allows less keeps programs from public addresses of one's own."""

    def __post_init__(self) -> None:
        if not 1 <= self.fetches_per_program <= self.fetches <= 10_000:
            raise ValueError("fetches_per_program and fetches must be from 1 to 10,000, the first not above the second")
        if self.tls is not None and not (self.tls.check_hostname and self.tls.verify_mode is ssl.CERT_REQUIRED):
            raise ValueError("tls must require a certificate and check the host's name")


def default_tls() -> ssl.SSLContext:
    """Not `ssl.create_default_context`: that writes the connection's secrets where SSLKEYLOGFILE says."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_default_certs()
    tls.set_alpn_protocols(["http/1.1"])
    return tls


class Places:
    """How many fetches run, in all and for each program. Nothing waits here: whoever finds no place is told so."""

    def __init__(self, access: HttpAccess) -> None:
        self._most, self._most_each = access.fetches, access.fetches_per_program
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._taken.total()

    @contextmanager
    def one(self, app_id: str) -> Iterator[None]:
        """Raises ApiError BUSY."""
        if self._taken[app_id] >= self._most_each:
            raise _busy(f"the program has {self._most_each} fetches under way, the most at once", self._most_each)
        if self.taken >= self._most:
            raise _busy("the host has as many fetches under way as it takes at once", None)
        self._taken[app_id] += 1
        try:
            yield
        finally:
            self._taken[app_id] -= 1
            if not self._taken[app_id]:
                del self._taken[app_id]


def _busy(problem: str, most: int | None) -> ApiError:
    details = {} if most is None else {"limit": "fetches_per_program", "value": most, "used": most, "unit": "fetches"}
    return ApiError(ErrorCode.BUSY, f"{problem}: try again", details=details, retry_after_ms=RETRY_AFTER_MS)
