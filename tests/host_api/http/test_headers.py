"""Header fields: what a program may send, and what it is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.http import headers
from host_api.http.headers import HeaderRefused


def test_names_go_in_lower_case_and_the_host_adds_its_own() -> None:
    assert headers.of_request({"X-Key": "a b", "Accept": ""}) == (
        ("accept-encoding", "identity"), ("user-agent", "hostel"), ("x-key", "a b"), ("accept", ""),
    )  # fmt: skip


def test_a_program_may_name_itself_and_take_what_it_can_inflate() -> None:
    sent = headers.of_request({"user-agent": "shop/1", "Accept-Encoding": "gzip"})
    assert sent == (("accept-encoding", "gzip"), ("user-agent", "shop/1"))


@pytest.mark.parametrize(
    "name",
    ["Host", "host", "Connection", "Keep-Alive", "Proxy-Authorization", "proxy-connection", "Proxy-Anything", "TE",
     "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect", "Sec-Fetch-Site"],
)  # fmt: skip
def test_what_is_the_hosts_is_refused(name: str) -> None:
    with pytest.raises(HeaderRefused, match="is the host's to send"):
        headers.of_request({name: "x"})


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "a\n", "ü", "a\x00", "ｈost", "(a)", "a/b", "[a]"])
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(HeaderRefused):
        headers.of_request({name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nb: c", "a\n", "\na", "a\r", "a\x00b", " a", "a ", "\ta", " ", "ü", "\x7f", "a\x85b"]
)
def test_a_value_is_one_line_of_ascii(value: str) -> None:
    with pytest.raises(HeaderRefused):
        headers.of_request({"x": value})


def test_a_name_that_is_there_twice_is_refused() -> None:
    with pytest.raises(HeaderRefused, match="x-a is there twice"):
        headers.of_request({"X-A": "1", "x-a": "2"})


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5))
def test_no_header_ever_breaks_its_line(given_headers: dict[str, str]) -> None:
    try:
        fields = headers.of_request(given_headers)
    except HeaderRefused:
        return
    written = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("ascii")
    assert len(written.split(b"\r\n")) == len(fields) + 1 == len(written.splitlines()) + 1
    assert {name for name, _ in fields}.isdisjoint(headers.HOP_BY_HOP | {"host", "content-length"})


def test_another_origin_gets_nothing_that_could_be_a_secret() -> None:
    fields = headers.of_request(
        {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k", "Accept": "*/*", "Accept-Language": "en"}
    )
    kept = dict(headers.across_origins(fields))
    assert kept == {"accept-encoding": "identity", "user-agent": "hostel", "accept": "*/*", "accept-language": "en"}


def test_a_request_that_loses_its_body_loses_what_describes_it() -> None:
    fields = headers.of_request({"Content-Type": "text/plain", "Content-MD5": "x", "X-A": "1"})
    assert dict(headers.without_body(fields)) == {"accept-encoding": "identity", "user-agent": "hostel", "x-a": "1"}


def test_equal_names_are_joined_and_cookies_left_out() -> None:
    fields = [
        ("via", "a"),
        ("set-cookie", "s=1"),
        ("via", "b"),
        ("connection", "close"),
        ("keep-alive", "5"),
        ("x", ""),
    ]
    assert headers.of_answer(fields) == {"via": "a, b", "x": ""}
