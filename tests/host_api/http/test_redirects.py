"""Redirects: the table of RFC 9110 cell by cell, and what never goes to another origin."""

from __future__ import annotations

import pytest

from host_api.http import headers, url
from host_api.http.redirects import REDIRECTS, Request, following
from host_api.http.url import UrlRefused

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def request(method: str = "GET", body: bytes = b"") -> Request:
    fields = headers.of_request({"Authorization": "secret", "Content-Type": "text/plain", "Accept": "*/*"})
    return Request(method=method, url=url.parse("https://shop.example/a"), fields=fields, body=body)


@pytest.mark.parametrize("method", VERBS)
@pytest.mark.parametrize("status", sorted(REDIRECTS))
def test_the_method_that_follows(status: int, method: str) -> None:
    to = following(request(method, b"body"), status, [("location", "/b")])
    assert to is not None
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    assert (to.method, to.body) == (("GET", b"") if becomes_get else (method, b"body"))
    assert str(to.url) == "https://shop.example/b"
    assert ("content-type" in dict(to.fields)) is not becomes_get
    assert dict(to.fields)["authorization"] == "secret"


@pytest.mark.parametrize("method", VERBS)
@pytest.mark.parametrize("status", sorted(REDIRECTS))
@pytest.mark.parametrize("location", ["https://other.example/b", "https://shop.example:8443/b", "//www.shop.example/"])
def test_another_origin_is_asked_only_with_get_and_head_and_without_secrets(
    status: int, method: str, location: str
) -> None:
    to = following(request(method, b"body" if method == "POST" else b""), status, [("location", location)])
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    if not becomes_get and method not in ("GET", "HEAD"):
        assert to is None
    else:
        assert to is not None
        assert (to.method, to.body) == ("HEAD" if method == "HEAD" else "GET", b"")
        assert set(dict(to.fields)) == {"accept", "accept-encoding", "user-agent"}


def test_what_was_left_out_does_not_come_back() -> None:
    there = following(request(), 302, [("location", "https://other.example/")])
    assert there is not None
    back = following(there, 302, [("location", "https://shop.example/a")])
    assert back is not None
    assert "authorization" not in dict(back.fields)


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 404])
def test_nothing_else_is_a_redirect(status: int) -> None:
    assert following(request(), status, [("location", "/b")]) is None


@pytest.mark.parametrize("fields", [[], [("location", "/a"), ("location", "/b")], [("content-location", "/b")]])
def test_without_exactly_one_location_nothing_follows(fields: list[tuple[str, str]]) -> None:
    assert following(request(), 302, fields) is None


@pytest.mark.parametrize("location", ["http://shop.example/", "https://127.0.0.1/", "https://u@shop.example/", "x:y"])
def test_a_location_that_is_no_https_url_is_refused(location: str) -> None:
    with pytest.raises(UrlRefused):
        following(request(), 302, [("location", location)])
