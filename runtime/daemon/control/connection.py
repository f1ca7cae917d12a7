"""One connection without its socket: bytes in, requests out; answers in, bytes out.

What lives here: the rules of a connection (docs/protocol.md §15.2) and its bounds. No I/O, no clock, no task; who it
speaks for is decided outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from runtime import wire
from runtime.bundle.zip_format import ARCHIVE_BYTES_MAX
from runtime.control.failures import ErrorMap, to_map
from runtime.control.frames import (
    RESPONSE_BYTES_MAX,
    Cancel,
    FrameReader,
    Pieces,
    Request,
    Violation,
    closing,
    frame,
    item,
    parse_large,
    parse_request,
)
from runtime.control.method import Role
from runtime.daemon.control.settings import ControlSettings
from runtime.errors import ControlError, HostBusy, HostelError
from runtime.limits import KIB

STRANGER_BYTES: Final = 4 * KIB
"""The longest message of who has not said yet who they are."""
BUNDLE_BYTES: Final = ARCHIVE_BYTES_MAX + 256 * KIB
"""The longest message of an operator: a bundle, and what is granted with it."""
Stop = Callable[[], None]


def _nothing() -> None:
    """There is nothing to stop yet."""


class Unread(NamedTuple):
    """A message that came whole and is too large to be read on the loop."""

    pieces: Pieces
    bytes_max: int

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    def read(self) -> Request | Cancel:
        """To be called in a thread. Raises Violation."""
        return parse_large(self.pieces, self.bytes_max)


class Connection:
    """What one client is owed. `role`: None until it is known whom it speaks for."""

    __slots__ = ("_out", "_outstanding", "_reader", "_settings", "closed", "out_bytes", "role")

    def __init__(self, settings: ControlSettings, role: Role | None) -> None:
        self._settings = settings
        self._reader = FrameReader(STRANGER_BYTES)
        self._outstanding: dict[int, Stop] = {}
        self._out: list[bytes] = []
        self.out_bytes = 0
        """Of answers that were not taken yet."""
        self.role: Role | None = None
        self.closed = False
        if role is not None:
            self.admit(role)

    @property
    def outstanding(self) -> int:
        return len(self._outstanding)

    @property
    def held(self) -> int:
        """Bytes of a message that has not come whole."""
        return self._reader.held

    @property
    def frame_bytes(self) -> int:
        return self._reader.bytes_max

    def admit(self, role: Role) -> None:
        """It is known now whom the connection speaks for."""
        self.role = role
        self._reader.bytes_max = BUNDLE_BYTES if role is Role.OPERATOR else self._settings.frame_bytes

    # ---- in ----------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes) -> Iterator[Request | Unread | None]:
        """The requests that are whole now, each to be answered once; None for what is dealt with here. To be used up
        before the next `receive`, and an Unread to be read and `taken` before the next one.

        Raises Violation: the connection is to be closed, with the reason.
        """
        for message in self._reader.messages(data):
            if isinstance(message, tuple):
                yield Unread(message, self._reader.bytes_max)
            else:
                yield self.taken(parse_request(message, self._reader.bytes_max))

    def taken(self, asked: Request | Cancel) -> Request | None:
        """Counts what was read; None: it is dealt with. Raises Violation."""
        if isinstance(asked, Cancel):
            self._outstanding.get(asked.msgid, _nothing)()
            return None
        if asked.msgid in self._outstanding:
            raise Violation("the msgid of an outstanding request was used again")
        if len(self._outstanding) >= self._settings.outstanding:
            self.fail(asked.msgid, too_many("outstanding", self._settings.outstanding))
            return None
        self._outstanding[asked.msgid] = _nothing
        return asked

    def stoppable(self, msgid: int, stop: Stop) -> None:
        """How the request is ended when it is not wanted any more. `stop` may be called more than once."""
        if msgid in self._outstanding:
            self._outstanding[msgid] = stop

    def close(self) -> list[Stop]:
        """Nothing is owed any more. Gives what is under way, to be stopped."""
        self.closed = True
        stops, self._outstanding = [stop for stop in self._outstanding.values() if stop is not _nothing], {}
        return stops

    # ---- out ---------------------------------------------------------------------------------------------------------
    def answer(self, msgid: int, result: msgspec.Struct) -> None:
        """Raises wire.Unencodable: a bug of ours."""
        self._respond(msgid, wire.response(msgid, result))

    def fail(self, msgid: int, error: HostelError) -> None:
        self.fail_as(msgid, to_map(error) or {})

    def fail_as(self, msgid: int, told: ErrorMap) -> None:
        self._respond(msgid, wire.error_response(msgid, told))

    def item(self, msgid: int, value: Any) -> None:
        """One item of a stream."""
        if not self.closed:
            self._put(item(msgid, value))

    def _respond(self, msgid: int, message: bytes) -> None:
        if self.closed:
            return
        if len(message) > RESPONSE_BYTES_MAX:
            error = ControlError(
                f"the answer has {len(message)} bytes; response_bytes is {RESPONSE_BYTES_MAX}: ask for less at once",
                code="response_too_large",
                details={"limit": "response_bytes", "value": RESPONSE_BYTES_MAX, "used": len(message)},
            )
            message = wire.error_response(msgid, to_map(error) or {})
        self._outstanding.pop(msgid, None)
        self._put(frame(message))

    def say_closing(self, error: HostelError) -> None:
        """The last message."""
        self._put(closing(to_map(error) or {}))

    def _put(self, framed: bytes) -> None:
        self._out.append(framed)
        self.out_bytes += len(framed)

    def take(self) -> bytes:
        """What is to be sent, joined."""
        out, self._out, self.out_bytes = self._out, [], 0
        return out[0] if len(out) == 1 else b"".join(out)


def too_many(limit: str, value: int) -> HostBusy:
    return HostBusy(
        f"{value} requests wait for their answers: {limit} allows no more", retry_after_ms=50,
        details={"limit": limit, "value": value, "used": value},
    )  # fmt: skip
