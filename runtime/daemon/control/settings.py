"""What an operator decides about the control sockets: where they are, whom they serve, and how much they bear.

Values only, checked when they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import Final

from runtime.bounds import check
from runtime.control.method import Role
from runtime.daemon import bounds
from runtime.errors import UsageError
from runtime.limits import KIB, MIB

_BOUNDS: Final = {
    "frame_bytes": (4 * KIB, 16 * MIB), "outstanding": (1, 65_536), "outstanding_all": (1, 1_048_576),
    "streams": (0, 64), "connections": bounds.CONNECTIONS, "reserved": (0, 1_000), "strangers": (1, 10_000),
    "outbox_bytes": (64 * KIB, 64 * MIB), "buffered_bytes": (MIB, 16 * 1024 * MIB), "idle_s": bounds.IDLE_S,
    "hello_s": bounds.FIRST_S, "frame_s": bounds.WHOLE_S, "write_s": bounds.WRITE_S, "token_delay_s": (0.0, 10.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that clients on TCP show. The token itself stands nowhere."""

    name: str
    """For the log."""
    role: Role
    sha256: str
    """Of the token's UTF-8 bytes, as 64 hexadecimal digits."""

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or not set(self.sha256) <= set(hexdigits):
            raise UsageError(f"token {self.name!r}: sha256 must be 64 hexadecimal digits (hostel token makes them)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """Where clients connect, who they are taken for, and the bounds on what they may take up."""

    socket: Path | None = None
    """The Unix socket; left out: hostel.sock in the state directory."""
    socket_mode: int = 0o600
    """Of the socket's file: who may connect at all; 0o660 lets a group in, of whom those count that are named below."""
    socket_group: str = ""
    """The group that the socket's file is given to; empty: as the system gives it."""
    operators: tuple[int, ...] = ()
    """User ids that may do everything, besides the daemon's own and root."""
    callers: tuple[int, ...] = ()
    """User ids of services and front ends: they call programs and answer for users."""
    auditors: tuple[int, ...] = ()
    """User ids that may look at money, audit and figures."""
    listen: str = ""
    """host:port for TCP, with TLS and tokens only; empty: none."""
    tls_certificate: Path | None = None
    """PEM file with the chain of certificates."""
    tls_key: Path | None = None
    """PEM file with the private key."""
    tokens: tuple[Token, ...] = ()
    """Who may connect over TCP."""
    frame_bytes: int = MIB
    """Of one message to the host; bundles of operators are taken up to their own limit."""
    outstanding: int = 1_024
    """Requests of one connection that wait for their answers; one more is answered with an error."""
    outstanding_all: int = 8_192
    """Of all connections together."""
    streams: int = 8
    """Of one connection: logs, receipts, events."""
    connections: int = 10_240
    """At once, of everybody."""
    reserved: int = 16
    """Of these, kept for operators on the Unix socket."""
    strangers: int = 64
    """Connections over TCP that have not shown a token yet."""
    outbox_bytes: int = 16 * MIB
    """Answers that a client does not fetch; when there are more the connection is closed."""
    buffered_bytes: int = 256 * MIB
    """Of unfinished frames and unfetched answers, all connections together."""
    idle_s: float = 3_600.0
    """A connection that asks for nothing is closed after this."""
    hello_s: float = 5.0
    """Within this a token has to be shown."""
    frame_s: float = 30.0
    """Within this a frame has to come whole."""
    write_s: float = 30.0
    """A client that takes nothing of its answers is cut off after this."""
    token_delay_s: float = 1.0
    """How long the answer to a wrong token takes."""

    def __post_init__(self) -> None:
        check(self, _BOUNDS)
        if self.reserved >= self.connections:
            raise UsageError(f"reserved = {self.reserved}: must be less than connections = {self.connections}")
        if self.socket_mode & ~0o666:
            raise UsageError(f"socket_mode = {oct(self.socket_mode)}: must be of read and write bits, such as 0o660")
        twice = {uid for uids in (self.operators, self.callers, self.auditors) for uid in uids}
        if len(twice) < len(self.operators) + len(self.callers) + len(self.auditors):
            raise UsageError("operators, callers, auditors: a user id has one role")
        if self.listen and (self.tls_certificate is None or self.tls_key is None or not self.tokens):
            raise UsageError("listen: TCP needs tls_certificate, tls_key and at least one of tokens")
        if self.listen:
            address(self.listen)


def address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not int(port) < 65_536:
        raise UsageError(f"{text!r} is no address; write host:port, such as 127.0.0.1:7310")
    return host.removeprefix("[").removesuffix("]"), int(port)
