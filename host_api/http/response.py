"""Bytes of a hostile server to one HTTP/1.1 response: strict, bounded, and in time linear in what was received.

What lives here: the reading of status, header fields and body (RFC 9112), as bytes are fed; no I/O. A connection
carries one response and is closed, so nothing has to be recovered: what is not plainly a response is refused. Why this
is no library's: docs/decisions/0014.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from host_api.errors import limit_exceeded
from host_api.http.headers import Fields

HEAD_BYTES_MAX: Final = 32 << 10
"""Status line and header fields; for interim (1xx) responses each, and for trailers too."""
FIELDS_MAX: Final = 128
INTERIM_MAX: Final = 8
"""1xx responses before the response."""
CHUNK_LINE_BYTES_MAX: Final = 256
FRAMING_BYTES_MAX: Final = 64 << 10
"""Lines of chunk sizes together, beyond as many bytes as there are of the body: no body in chunks of a byte."""

_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_END: Final = b"\r\n"


class Malformed(Exception):
    """What came is no response. The message is free of what it said."""


class ResponseReader:
    """Feed it what is received until it is `done`; then `status`, `fields` and `body` are the response.

    Any bytes give a response, Malformed, or ApiError LIMIT_EXCEEDED naming what they were over; it holds at most
    `body_max` bytes of body, one piece that was fed, and HEAD_BYTES_MAX.
    """

    def __init__(self, *, to_head: bool, body_max: int) -> None:
        """`to_head`: it answers a HEAD request, and so has no body whatever it says."""
        self.status = 0
        self.fields: Fields = ()
        self.done = False
        self._body = bytearray()
        self._to_head = to_head
        self._body_max = body_max
        self._received = bytearray()
        self._read: Callable[[], bool] = self._read_head
        self._interim = self._left = self._framing = self._searched = 0
        self._until_closed = False

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def feed(self, data: bytes) -> None:
        """The next bytes; none: the server closed. Raises Malformed and ApiError, and is of no use then."""
        if not data:
            if not self._until_closed:
                raise Malformed("the answer breaks off")
            self.done = True
            return
        self._received += data
        while not self.done and self._read():
            pass

    # ---- each reads one thing, and says whether there may be another; False: more bytes are needed -------------------
    def _read_head(self) -> bool:
        head = self._block(b"\r\n\r\n", HEAD_BYTES_MAX, "headers")
        if head is None:
            return False
        first, *lines = head.split(_END)
        status = _STATUS.fullmatch(first)
        if status is None:
            raise Malformed("the answer does not begin with a status of HTTP/1.1")
        if len(lines) > FIELDS_MAX:
            raise limit_exceeded("fetch_header_fields", FIELDS_MAX, len(lines), "fields", "the answer's headers")
        fields = tuple(map(_field, lines))
        self.status = int(status[2])
        if self.status < 200:
            self._interim += 1
            if self.status == 101 or self._interim > INTERIM_MAX:
                raise Malformed("the answer is no answer but a 1xx status")
            return True
        self.fields = fields
        self._begin_body(is_1_0=status[1] == b"0")
        return True

    def _begin_body(self, *, is_1_0: bool) -> None:
        """RFC 9112 §6.3, with nothing guessed where two rules disagree."""
        codings = [value for name, value in self.fields if name == "transfer-encoding"]
        lengths = {v.strip() for name, value in self.fields if name == "content-length" for v in value.split(",")}
        if self._to_head or self.status in (204, 304):
            self.done = True
        elif codings:
            if is_1_0 or lengths or [coding.lower() for coding in codings] != ["chunked"]:
                raise Malformed("the answer's length is told in no known way")
            self._read = self._read_chunk_size
        elif lengths:
            if len(lengths) != 1 or not _LENGTH.fullmatch(length := lengths.pop()):
                raise Malformed("the answer's length is no number")
            self._left = int(length)
            self._within(self._left)
            self._read, self.done = self._read_known, self._left == 0
        else:
            self._until_closed = True
            self._read = self._read_rest

    def _read_known(self) -> bool:
        self._take()
        self.done = self._left == 0
        return False

    def _read_rest(self) -> bool:
        self._left = len(self._received)
        self._within(len(self._body) + self._left)
        self._take()
        return False

    def _read_chunk_size(self) -> bool:
        line = self._block(_END, CHUNK_LINE_BYTES_MAX, "")
        if line is None:
            return False
        self._framing += len(line) + 4
        if self._framing > FRAMING_BYTES_MAX + len(self._body):
            raise Malformed("the answer is all chunks and no body")
        size = line.partition(b";")[0].rstrip(b" \t")
        if not _CHUNK_SIZE.fullmatch(size):
            raise Malformed("a chunk's size is no number")
        self._left = int(size, 16)
        self._within(len(self._body) + self._left)
        self._read = self._read_chunk if self._left else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        self._take()
        if self._left or len(self._received) < len(_END):
            return False
        if not self._received.startswith(_END):
            raise Malformed("a chunk does not end where it says")
        del self._received[: len(_END)]
        self._read = self._read_chunk_size
        return True

    def _read_trailer(self) -> bool:
        """Trailers are read over: nobody asked for them."""
        line = self._block(_END, HEAD_BYTES_MAX, "trailers")
        if line is None:
            return False
        self._left += len(line) + len(_END)
        if self._left > HEAD_BYTES_MAX:
            raise _long("trailers", self._left)
        self.done = not line
        return True

    # ---- of what was received ----------------------------------------------------------------------------------------
    def _block(self, end: bytes, most: int, what: str) -> bytes | None:
        """All up to `end`, which is taken too; None until it is there. Raises where there is too much without it."""
        at = self._received.find(end, self._searched, most + len(end))
        self._searched = 0
        if at < 0:
            if len(self._received) < most + len(end):
                self._searched = max(0, len(self._received) - len(end) + 1)
                return None
            raise _long(what, len(self._received)) if what else Malformed("a chunk's size is no number")
        block = bytes(self._received[:at])
        del self._received[: at + len(end)]
        return block

    def _take(self) -> None:
        """What there is of the `_left` bytes to come goes to the body."""
        piece = self._received[: self._left]
        self._body += piece
        self._left -= len(piece)
        del self._received[: len(piece)]

    def _within(self, size: int) -> None:
        if size > self._body_max:
            raise limit_exceeded("fetch_response_bytes", self._body_max, size, "bytes", "the answer's body, at least")


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise Malformed("a header of the answer is none")
    return name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")


def _long(what: str, size: int) -> Exception:
    return limit_exceeded("fetch_header_bytes", HEAD_BYTES_MAX, size, "bytes", f"the answer's {what}, at least")
