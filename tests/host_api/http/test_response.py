"""The reader of responses: every framing, every bound at its value and one over, and any bytes at all."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.errors import ApiError, ErrorCode
from host_api.http.response import (
    CHUNK_LINE_BYTES_MAX,
    FIELDS_MAX,
    FRAMING_BYTES_MAX,
    HEAD_BYTES_MAX,
    INTERIM_MAX,
    Malformed,
    ResponseReader,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def read(data: bytes, *, to_head: bool = False, body_max: int = 1_000, closes: bool = True) -> ResponseReader:
    """Fed at once, then closed if the reader wants more."""
    reader = ResponseReader(to_head=to_head, body_max=body_max)
    reader.feed(data)
    if not reader.done and closes:
        reader.feed(b"")
    return reader


def over(data: bytes, **given: int) -> tuple[str, int, int]:
    with pytest.raises(ApiError) as caught:
        read(data, **given)  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
    details = caught.value.details
    return details["limit"], details["value"], details["used"]


# ---- framing ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more", 200, b"hello"),
        (b"HTTP/1.1 200\r\nContent-Length: 5, 5\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, b""),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.0 200 OK\r\nserver: old\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.1 204 No\r\ncontent-length: 9\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 No\r\ntransfer-encoding: chunked\r\n\r\n", 304, b""),
        (b"HTTP/1.1 999 \xff\r\ncontent-length: 0\r\n\r\n", 999, b""),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 200, b"hello"),
        (CHUNKED + b"1;a=b\r\nh\r\n04 \r\nello\r\n000\r\nx-check: 1\r\n\r\n", 200, b"hello"),
        (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103\r\nlink: x\r\n\r\nHTTP/1.1 200\r\n\r\n", 200, b""),
    ],
)
def test_a_response_is_read_however_it_is_cut(data: bytes, status: int, body: bytes) -> None:
    whole = read(data)
    piecewise = ResponseReader(to_head=False, body_max=1_000)
    for byte in data:
        if not piecewise.done:
            piecewise.feed(bytes([byte]))
    if not piecewise.done:
        piecewise.feed(b"")
    assert (whole.status, whole.body) == (piecewise.status, piecewise.body) == (status, body)
    assert whole.fields == piecewise.fields


def test_an_answer_to_head_has_no_body() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n", to_head=True, closes=False)
    assert (reader.done, reader.body) == (True, b"")


def test_fields_are_in_lower_case_and_in_order() -> None:
    reader = read(b"HTTP/1.1 204 No\r\nX-B:  1 \t\r\nx-a:2\r\nX-b:\r\nx-c: caf\xe9 \t x\r\n\r\n")
    assert reader.fields == (("x-b", "1"), ("x-a", "2"), ("x-b", ""), ("x-c", "café \t x"))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n\r\n", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 099 X\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n", b"\nHTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\n: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", b"HTTP/1.1 200 OK\r\na: x\r\n\tmore\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: x\ry: z\r\n\r\n", b"HTTP/1.1 200 OK\r\na: x\ny: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: \x00\r\n\r\n", b"HTTP/1.1 200 OK\r\n\xc3\xbc: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n1", b"HTTP/1.1 200 OK\r\ncontent-length: 1 1\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n12", b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x1\r\n\r\n1", b"HTTP/1.1 200 OK\r\ncontent-length: \xb2\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\ncontent-length: " + b"1" * 19 + b"\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED, CHUNKED + b"5\r\nhello", CHUNKED + b"5\r\nhello\r\n", CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhelloxx0\r\n\r\n", CHUNKED + b"\r\n", CHUNKED + b"x\r\n", CHUNKED + b"-1\r\n",
        CHUNKED + b"+1\r\na",
        CHUNKED + b"0x1\r\na\r\n", CHUNKED + b" 1\r\na\r\n", CHUNKED + b"1\na\n0\n\n",
        CHUNKED + b"0" * 16 + b"\r\n\r\n",
        CHUNKED + b"1_0\r\n", b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data) if data else ResponseReader(to_head=False, body_max=9).feed(b"")


# ---- bounds ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("framing", ["length", "chunked", "to the end"])
def test_the_body_at_its_limit_and_one_over(framing: str) -> None:
    def response(size: int) -> bytes:
        body = b"x" * size
        if framing == "length":
            return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + body
        return (
            CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)
            if framing == "chunked"
            else b"HTTP/1.1 200\r\n\r\n" + body
        )

    assert len(read(response(1_000)).body) == 1_000
    assert over(response(1_001)) == ("fetch_response_bytes", 1_000, 1_001)


def test_a_length_over_the_limit_is_refused_before_a_byte_of_the_body() -> None:
    assert over(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n") == ("fetch_response_bytes", 1_000, 1_001)
    assert over(CHUNKED + b"f" * 15 + b"\r\n") == ("fetch_response_bytes", 1_000, 16**15 - 1)
    assert over(CHUNKED + b"3e8\r\n" + b"x" * 1_000 + b"\r\n1\r\n") == ("fetch_response_bytes", 1_000, 1_001)


def test_no_body_is_allowed_where_the_limit_is_none() -> None:
    assert read(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", body_max=0).done
    assert over(b"HTTP/1.1 200 OK\r\n\r\nx", body_max=0) == ("fetch_response_bytes", 0, 1)


def head_of(size: int) -> bytes:
    start = b"HTTP/1.1 204 No\r\nx: "
    return start + b"y" * (size - len(start)) + b"\r\n\r\n"


def test_the_head_at_its_limit_and_one_over() -> None:
    assert read(head_of(HEAD_BYTES_MAX)).done
    assert over(head_of(HEAD_BYTES_MAX + 1))[:2] == ("fetch_header_bytes", HEAD_BYTES_MAX)


def test_a_head_without_an_end_is_refused_at_its_limit() -> None:
    reader = ResponseReader(to_head=False, body_max=9)
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    fed = 0
    with pytest.raises(ApiError, match="fetch_header_bytes"):
        while fed := fed + 6:
            reader.feed(b"a: b\r\n")
    assert fed <= HEAD_BYTES_MAX + 6


def test_the_fields_at_their_limit_and_one_over() -> None:
    def response(count: int) -> bytes:
        return b"HTTP/1.1 204 No\r\n" + b"a: b\r\n" * count + b"\r\n"

    assert len(read(response(FIELDS_MAX)).fields) == FIELDS_MAX
    assert over(response(FIELDS_MAX + 1)) == ("fetch_header_fields", FIELDS_MAX, FIELDS_MAX + 1)


def test_interim_responses_at_their_limit_and_one_over() -> None:
    end = b"HTTP/1.1 204 No\r\n\r\n"
    assert read(b"HTTP/1.1 100 Go on\r\n\r\n" * INTERIM_MAX + end).done
    with pytest.raises(Malformed):
        read(b"HTTP/1.1 100 Go on\r\n\r\n" * (INTERIM_MAX + 1) + end)


def test_a_chunks_line_at_its_limit_and_one_over() -> None:
    line = b"1;" + b"x" * (CHUNK_LINE_BYTES_MAX - 2)
    assert read(CHUNKED + line + b"\r\na\r\n0\r\n\r\n").body == b"a"
    for refused in (CHUNKED + line + b"x\r\na\r\n0\r\n\r\n", CHUNKED + line + b"xxx"):
        with pytest.raises(Malformed):
            read(refused, closes=False)


def test_trailers_at_their_limit_and_one_over() -> None:
    lines = b"a: 1\r\n" * (HEAD_BYTES_MAX // 6)
    assert read(CHUNKED + b"0\r\n" + lines + b"\r\n").done
    assert over(CHUNKED + b"0\r\n" + lines + b"a: 1\r\n\r\n")[0] == "fetch_header_bytes"
    assert over(CHUNKED + b"0\r\n" + b"x" * (HEAD_BYTES_MAX + 2))[0] == "fetch_header_bytes"


def test_a_body_in_chunks_of_a_byte_ends_before_it_costs_much() -> None:
    reader = ResponseReader(to_head=False, body_max=1 << 20)
    reader.feed(CHUNKED)
    fed = 0
    with pytest.raises(Malformed, match="all chunks"):
        while fed := fed + 1:
            reader.feed(b"1\r\nx\r\n")
    assert fed <= FRAMING_BYTES_MAX // 4 + 1


def test_honest_chunks_are_far_from_that() -> None:
    chunk = b"10\r\n" + b"x" * 16 + b"\r\n"
    assert len(read(CHUNKED + chunk * 16_384 + b"0\r\n\r\n", body_max=1 << 18).body) == 1 << 18


# ---- cost ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "line",
    [b"x:" + b" " * 32_000 + b"\x00", b"x:" + b" \t" * 16_000 + b"y", b"x" * 32_000, b":" * 32_000,
     b"x: " + b"y " * 15_000],
    ids=["spaces and a zero", "white space", "a name", "colons", "words"],
)  # fmt: skip
def test_a_hostile_line_costs_no_more_than_an_honest_one(line: bytes) -> None:
    """A library's expression took seconds for the first, in the thread that serves every program."""
    began = time.process_time()
    with suppress(Malformed):
        read(b"HTTP/1.1 204 No\r\n" + line + b"\r\n\r\n")
    assert time.process_time() - began < 0.05


# ---- any bytes -------------------------------------------------------------------------------------------------------
_PIECES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Go\r\n\r\n", b"transfer-encoding: chunked\r\n", b"content-length: 3\r\n",
     b"a: b\r\n", b"\r\n", b"\n", b"\r", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b"1", b";x", b" ", b"\x00"]
)  # fmt: skip


@given(st.lists(_PIECES | st.binary(max_size=20), max_size=20), st.booleans())
def test_any_bytes_give_a_response_or_a_refusal(pieces: Iterable[bytes], to_head: bool) -> None:
    reader = ResponseReader(to_head=to_head, body_max=10)
    try:
        for piece in pieces:
            if not reader.done and piece:
                reader.feed(piece)
        if not reader.done:
            reader.feed(b"")
    except (Malformed, ApiError):
        return
    assert 200 <= reader.status <= 999
    assert len(reader.body) <= 10


@given(
    st.binary(max_size=300), st.lists(st.integers(1, 60), max_size=10), st.sampled_from(["length", "chunked", "end"])
)
def test_what_is_written_is_read_back_however_it_is_cut(body: bytes, cuts: list[int], framing: str) -> None:
    if framing == "length":
        data = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
        data = CHUNKED + b"".join(b"%X\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        data = b"HTTP/1.1 200 OK\r\n\r\n" + body
    reader, at = ResponseReader(to_head=False, body_max=300), 0
    for cut in [*cuts, len(data)]:
        if data[at : at + cut]:
            reader.feed(data[at : at + cut])
        at += cut
    if not reader.done:
        reader.feed(b"")
    assert reader.body == body
