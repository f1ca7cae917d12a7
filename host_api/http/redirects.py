"""Redirects: what the next request is, if there is one. RFC 9110 §15.4, and stricter between origins. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from host_api.http import headers, url
from host_api.http.headers import Fields
from host_api.http.url import Url

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods without an effect: asking again does no harm (RFC 9110 §9.2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, before it is written."""

    method: str
    url: Url
    fields: Fields
    body: bytes


def following(request: Request, status: int, fields: Iterable[tuple[str, str]]) -> Request | None:
    """The request that a redirect asks for. None where the answer is no redirect, or one that is not followed: without
    exactly one location, or to another origin with anything but GET or HEAD.

    303, and 301 and 302 after POST, make it a GET without the body. To another origin go only the fields that can be no
    secret, and what was left out does not come back. Raises UrlRefused for a location that is no https URL.
    """
    locations = [value for name, value in fields if name == "location"]
    if status not in REDIRECTS or len(locations) != 1:
        return None
    to = url.join(request.url, locations[0])
    if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
        request = replace(request, method="GET", fields=headers.without_body(request.fields), body=b"")
    if to.origin == request.url.origin:
        return replace(request, url=to)
    if request.method not in SAFE:
        return None
    return replace(request, url=to, fields=headers.across_origins(request.fields))
