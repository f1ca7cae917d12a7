"""URLs that may be fetched: one strict reading of them, and whether a grant names where they point.

What lives here: text to `Url` or to a reason why not. Whatever two programs could read differently is refused (user
names, backslashes, white space, percent signs in a host, numbers for hosts), so there is nothing to be confused about:
the host that is compared with the grant is the one that is resolved, connected to, and named in the certificate.
No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urljoin

URL_CHARS_MAX: Final = 8_192
PORT: Final = 443
HOST_CHARS_MAX: Final = 253

_HTTPS: Final = "https://"
_PARTS: Final = re.compile(r"(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?", re.DOTALL)
_TARGET: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LAST_LABEL: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


class UrlRefused(ValueError):
    """The message is one line that says what is wrong, free of what the text said."""


class Origin(NamedTuple):
    """Where a request goes. `host` is in lower case, without a dot at its end."""

    host: str
    port: int

    def __str__(self) -> str:
        return self.host if self.port == PORT else f"{self.host}:{self.port}"


class Url(NamedTuple):
    """An https URL without its fragment."""

    origin: Origin
    target: str
    """Path and query, as they are sent."""

    def __str__(self) -> str:
        return f"{_HTTPS}{self.origin}{self.target}"


def parse(text: str) -> Url:
    """Raises UrlRefused."""
    if len(text) > URL_CHARS_MAX:
        raise UrlRefused(f"the URL is longer than {URL_CHARS_MAX} characters")
    if text[: len(_HTTPS)].lower() != _HTTPS:
        raise UrlRefused("the URL must begin with https://")
    parts = _PARTS.fullmatch(text, len(_HTTPS))
    if parts is None:
        raise UrlRefused("the URL has no such form as https://host/path")
    target = (parts["path"] or "/") + (parts["query"] or "")
    if not _TARGET.fullmatch(target):
        raise UrlRefused("path and query take ASCII only, everything else percent-encoded, and no backslash")
    return Url(parse_origin(parts["authority"]), target)


def parse_origin(text: str) -> Origin:
    """`host` or `host:port`, as in a URL or a grant. Raises UrlRefused."""
    host, colon, digits = text.partition(":")
    if colon and not (_PORT.fullmatch(digits) and int(digits) <= 65_535):
        raise UrlRefused("what follows the host's colon is no port from 1 to 65535")
    host = host.removesuffix(".").lower() if host.isascii() else ""
    *labels, last = host.split(".")
    if not labels or len(host) > HOST_CHARS_MAX:
        raise UrlRefused("the host must be a full name in ASCII, such as shop.example (xn--… for other scripts)")
    if not all(map(_LABEL.fullmatch, labels)) or not _LAST_LABEL.fullmatch(last):
        raise UrlRefused("the host must be a name: no address, no user, only letters, digits, hyphens and dots")
    return Origin(host, int(digits) if colon else PORT)


def join(base: Url, reference: str) -> Url:
    """Where a redirect leads that `base` answered with. Raises UrlRefused."""
    if not reference.isascii() or not reference.isprintable() or " " in reference:
        raise UrlRefused("the redirect's location is no URL")
    try:
        return parse(urljoin(str(base), reference))
    except UrlRefused:
        raise
    except ValueError:
        raise UrlRefused("the redirect's location is no URL") from None


def allowed(origin: Origin, hosts: Iterable[str]) -> bool:
    """Whether a grant's `hosts` name it: that very host and port. What is no host there allows nothing."""
    return any(_granted(entry) == origin for entry in hosts)


@lru_cache(maxsize=4_096)
def _granted(entry: str) -> Origin | None:
    try:
        return parse_origin(entry)
    except UrlRefused:
        return None
