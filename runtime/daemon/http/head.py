"""The head of a request, as bytes: strict, bounded, and in time linear in its length. No I/O.

What lives here: what may be a request at all (RFC 9112). Everything that two readers could read differently is refused:
there is one way to end a line, one way to say how long a body is (Content-Length, once), and no upgrade. What comes out
is written anew, so the server behind sees nothing but this form. Why not leave it to h11: docs/decisions/0022.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote_to_bytes

from runtime.daemon.http.refusal import Refused, over
from runtime.daemon.http.settings import HttpSettings

END: Final = b"\r\n\r\n"
_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = re.compile(rb"[0-9]{1,10}")
_ONCE: Final = frozenset({b"host", b"content-length", b"content-type", b"authorization", b"expect"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a request's head says of what follows."""

    data: bytes
    """The head to hand on, with its empty line."""
    body_bytes: int
    asks_to_go_on: bool
    """Expect: 100-continue: the client waits for a word before it sends the body."""


def read_head(head: bytes, settings: HttpSettings) -> Head:
    """`head`: all before the empty line. Raises Refused."""
    first, *lines = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise malformed("this does not begin like a request of HTTP/1.1")
    if _BAD_ESCAPE.search(line[2]):
        raise malformed("a % in the path is not followed by two hex digits")
    try:
        unquote_to_bytes(line[2]).decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("the path is not UTF-8") from None
    if len(lines) > settings.head_fields:
        raise over("head_fields", settings.head_fields, len(lines), "headers", "head_too_large")
    fields = [_field(each) for each in lines]
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _ONCE and name in found:
            raise malformed("a header is there twice that may be there once")
        found[name] = value
    if line[3] == b"1" and not found.get(b"host"):
        raise malformed("a request of HTTP/1.1 needs the header Host")
    kept = b"".join(b"%b: %b\r\n" % field for field in fields if field[0] != b"expect")
    return Head(
        data=b"%b\r\n%b\r\n" % (first, kept), body_bytes=_body_bytes(found, settings.body_bytes),
        asks_to_go_on=_asks_to_go_on(found),
    )  # fmt: skip


def is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine for itself. A page of another site whose name was made to lead here
    (DNS rebinding) sends that name: the browser took it for the page's own site."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() in ("", "localhost")


def malformed(why: str) -> Refused:
    return Refused("request_malformed", why)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise malformed("a header is none")
    return name.lower(), value.strip(b" \t")


def _body_bytes(found: dict[bytes, bytes], body_bytes_max: int) -> int:
    length = found.get(b"content-length")
    if b"transfer-encoding" in found:
        if length is not None:
            raise malformed("Content-Length and Transfer-Encoding do not go together")
        raise Refused("length_required", "bodies are taken with Content-Length only, not in chunks")
    if b"upgrade" in found:
        raise Refused("upgrade_refused", "this speaks HTTP/1.1 and nothing else: no WebSocket, no h2c")
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise malformed("Content-Length is no number")
    if int(length) > body_bytes_max:
        raise over("body_bytes", body_bytes_max, int(length), "bytes", "body_too_large")
    return int(length)


def _asks_to_go_on(found: dict[bytes, bytes]) -> bool:
    expected = found.get(b"expect")
    if expected is not None and expected.lower() != b"100-continue":
        raise Refused("expectation_failed", "nothing but 100-continue can be expected")
    return expected is not None
