"""Heads of requests: what is one, what is none, to the last byte of each limit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.daemon.http.head import read_head
from runtime.daemon.http.refusal import Refused
from runtime.daemon.http.settings import HttpSettings

SETTINGS = HttpSettings()
GET = b"GET / HTTP/1.1\r\nHost: x"


def refused(head: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        read_head(head, SETTINGS)
    return caught.value.status, caught.value.code


def test_a_head_is_written_anew() -> None:
    head = read_head(b"POST /a?b HTTP/1.1\r\nHoSt:  x \r\nContent-Length: 5\r\nExpect: 100-Continue", SETTINGS)
    assert head.data == b"POST /a?b HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"
    assert (head.body_bytes, head.asks_to_go_on) == (5, True)


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"", 400, "request_malformed"),
        (b"GET  / HTTP/1.1\r\nHost: x", 400, "request_malformed"),
        (b"GET / HTTP/2.0\r\nHost: x", 400, "request_malformed"),
        (b"PRI * HTTP/2.0", 400, "request_malformed"),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x", 400, "request_malformed"),
        (b"GET http://x/ HTTP/1.1\r\nHost: x", 400, "request_malformed"),
        (b"GET /%zz HTTP/1.1\r\nHost: x", 400, "request_malformed"),
        (b"GET /%ff HTTP/1.1\r\nHost: x", 400, "request_malformed"),
        (b"GET /%ed%a0%80?a HTTP/1.1\r\nHost: x", 400, "request_malformed"),
        (b"GET /\xff HTTP/1.1\r\nHost: x", 400, "request_malformed"),
        (b"GET / HTTP/1.1", 400, "request_malformed"),
        (GET + b"\r\nHost: y", 400, "request_malformed"),
        (GET + b"\r\n folded: x", 400, "request_malformed"),
        (GET + b"\r\nname : x", 400, "request_malformed"),
        (GET + b"\r\nname", 400, "request_malformed"),
        (GET + b"\r\nname: a\nb: c", 400, "request_malformed"),
        (GET + b"\r\nname: a\rb: c", 400, "request_malformed"),
        (GET + b"\r\nname: a\x00", 400, "request_malformed"),
        (GET + b"\r\nContent-Length: +1", 400, "request_malformed"),
        (GET + b"\r\nContent-Length: 1, 1", 400, "request_malformed"),
        (GET + b"\r\nContent-Length: 1\r\nContent-Length: 1", 400, "request_malformed"),
        (GET + b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400, "request_malformed"),
        (GET + b"\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b", 400, "request_malformed"),
        (GET + b"\r\nTransfer-Encoding: chunked", 411, "length_required"),
        (GET + b"\r\nTransfer-Encoding: xchunked", 411, "length_required"),
        (GET + b"\r\nContent-Length: %d" % (SETTINGS.body_bytes + 1), 413, "body_too_large"),
        (GET + b"\r\nConnection: Upgrade\r\nUpgrade: websocket", 400, "upgrade_refused"),
        (GET + b"\r\nUpgrade: h2c", 400, "upgrade_refused"),
        (GET + b"\r\nExpect: everything", 417, "expectation_failed"),
        (GET + b"\r\na: b" * SETTINGS.head_fields, 431, "head_too_large"),
    ],
)
def test_what_is_no_request(head: bytes, status: int, code: str) -> None:
    assert refused(head) == (status, code)


def test_limits_of_a_head_to_the_last_one() -> None:
    read_head(GET + b"\r\na: b" * (SETTINGS.head_fields - 1), SETTINGS)
    head = read_head(GET + b"\r\nContent-Length: %d" % SETTINGS.body_bytes, SETTINGS)
    assert head.body_bytes == SETTINGS.body_bytes


@given(st.binary(max_size=400) | st.from_regex(rb"GET / HTTP/1\.1(\r\n[a-z-]{1,12}: ?[ -~\t\r\n\x00]{0,30}){1,5}"))
def test_any_head_is_written_anew_or_refused(head: bytes) -> None:
    try:
        data = read_head(head, SETTINGS).data
    except Refused:
        return
    assert data.endswith(b"\r\n\r\n") and not re.search(rb"[^\r]\n|\r[^\n]|[\x00-\x08]", data)
    again = read_head(data.removesuffix(b"\r\n\r\n"), SETTINGS)
    assert again.data == data
