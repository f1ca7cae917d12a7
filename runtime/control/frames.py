"""Frames and messages of the control protocol, without I/O: bytes to messages, bounded before they are read.

A frame is the length of its message in 4 bytes, big-endian, and the message: MessagePack as runtime/wire.py reads it,
with room for a guest's message inside of one of ours. docs/protocol.md §15.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from runtime import wire
from runtime.control import large_messages
from runtime.control.failures import ErrorMap
from runtime.limits import KIB, MIB
from runtime.wire import MalformedMessage

HEAD_BYTES: Final = 4
DEPTH_MAX: Final = wire.DEPTH_MAX + 4
ELEMENTS_MAX: Final = wire.ELEMENTS_MAX + 128
"""A guest's message and what is around it."""
RESPONSE_BYTES_MAX: Final = 16 * MIB
"""Of one message to a client."""
LARGE_BYTES: Final = MIB
"""A longer message comes in pieces: joining and reading it takes longer than a turn of the loop may."""
PIECE_BYTES: Final = 64 * KIB
"""The least that is a piece of its own, but for the last."""
Pieces: TypeAlias = tuple[bytes, ...]
"""A whole message of more than LARGE_BYTES."""


class Request(NamedTuple):
    msgid: int
    method: str
    params: dict[str, Any]


class Cancel(NamedTuple):
    msgid: int


class Violation(Exception):
    """Bytes that break the protocol: the connection cannot go on. `reason` quotes nothing of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(HEAD_BYTES, "big") + message


# ---- what is sent ----------------------------------------------------------------------------------------------------
def cancel(msgid: int) -> bytes:
    """To a host: this request is not wanted any more. It is answered all the same."""
    return frame(wire.notification("$cancel", {"msgid": msgid}))


def item(msgid: int, value: Any) -> bytes:
    """To a client: one item of the stream that this request asked for."""
    return frame(wire.notification("$item", {"msgid": msgid, "item": value}))


def closing(error: ErrorMap) -> bytes:
    """To a client, the last: why the connection is closed."""
    return frame(wire.notification("$closing", error))


class FrameReader:
    """Bytes as they come, to whole messages. Holds what was received of one frame, and no more than that."""

    __slots__ = ("_held", "_missing", "_needs", "_pieces", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        """Of one message. A longer one is refused when its length is known."""
        self._held: bytearray | None = None
        self._needs = 0
        """Bytes of what is held, once it is whole."""
        self._pieces: list[bytes] = []
        """Of a large message, before what is held."""
        self._missing = 0
        """Bytes of a large message that did not come yet."""

    @property
    def held(self) -> int:
        """Bytes of a frame that has not come whole."""
        if self._missing:
            return self._needs - self._missing
        return 0 if self._held is None else len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now. To be used up before the next `feed`. Raises Violation."""
        for message in self.messages(data):
            yield b"".join(message) if isinstance(message, tuple) else message

    def messages(self, data: bytes) -> Iterator[bytes | Pieces]:
        """As `feed`, but large ones are left to `parse_large`: no step here takes longer for them."""
        if self._missing:
            data, message = self._more_of_large(data)
            if message:
                yield message
        elif self._held is not None:
            self._held += data
            if len(self._held) < self._needs:
                return
            data, self._held = bytes(self._held), None
        at, end = 0, len(data)
        while at < end:
            begin = at + HEAD_BYTES
            if begin > end:
                self._hold(data[at:], HEAD_BYTES)
                return
            size = int.from_bytes(data[at:begin], "big")
            if not 1 <= size <= self.bytes_max:
                raise Violation(f"a frame of {size} bytes; frame_bytes is {self.bytes_max}")
            at = begin + size
            if at <= end:
                yield data[begin:at] if size <= LARGE_BYTES else (data[begin:at],)
            elif size <= LARGE_BYTES:
                self._hold(data[begin - HEAD_BYTES :], HEAD_BYTES + size)
            else:
                self._hold(data[begin:], HEAD_BYTES + size)
                self._missing = at - end

    def _hold(self, rest: bytes, needs: int) -> None:
        self._held, self._needs = bytearray(rest), needs

    def _more_of_large(self, data: bytes) -> tuple[bytes, Pieces]:
        """What comes after it, and the message if it is whole now. Small bytes are gathered into pieces."""
        taken = data[: self._missing]
        self._missing -= len(taken)
        held = self._held = self._held or bytearray()
        held += taken
        if self._missing and len(held) < PIECE_BYTES:
            return b"", ()
        self._pieces.append(bytes(held))
        self._held = None
        if self._missing:
            return b"", ()
        message, self._pieces = tuple(self._pieces), []
        return data[len(taken) :], message


# ---- what a host reads -----------------------------------------------------------------------------------------------
def parse_request(data: bytes, bytes_max: int) -> Request | Cancel:
    """Raises Violation for everything that is neither."""
    try:
        value = wire.decode(data, bytes_max, depth_max=DEPTH_MAX, elements_max=ELEMENTS_MAX)
    except MalformedMessage as error:
        raise Violation(f"malformed: {error.reason}") from None
    return _asked(value)


def parse_large(pieces: Pieces, bytes_max: int) -> Request | Cancel:
    """As `parse_request`, to be called in a thread: it takes a while, and others have their turns meanwhile."""
    try:
        value = large_messages.decode(pieces, bytes_max, depth_max=DEPTH_MAX, elements_max=ELEMENTS_MAX)
    except MalformedMessage as error:
        raise Violation(f"malformed: {error.reason}") from None
    return _asked(value)


def _asked(value: Any) -> Request | Cancel:
    if type(value) is list and len(value) == 4:
        kind, msgid, method, params = value
        if _is(kind, wire.REQUEST) and _is_msgid(msgid) and type(method) is str and type(params) is dict:
            return Request(msgid, method, params)
    elif type(value) is list and len(value) == 3:
        kind, method, params = value
        if _is(kind, wire.NOTIFICATION) and method == "$cancel" and type(params) is dict and [*params] == ["msgid"]:
            msgid = params["msgid"]
            if _is_msgid(msgid):
                return Cancel(msgid)
    raise Violation("neither a request nor $cancel")


def _is(kind: object, wanted: int) -> bool:
    return type(kind) is int and kind == wanted  # True and 1.0 are equal to 1, and no kinds of ours


def _is_msgid(msgid: object) -> bool:
    return type(msgid) is int and 0 <= msgid <= wire.MSGID_MAX


# ---- what a client reads ---------------------------------------------------------------------------------------------
class Response(NamedTuple):
    msgid: int
    error: Any
    result: Any


class Item(NamedTuple):
    msgid: int
    item: Any


class Closing(NamedTuple):
    error: Any


def parse_answer(data: bytes) -> Response | Item | Closing:
    """A host's message. Raises Violation.

    Held to the form of messages, not to their number of elements: a client asks, and its host is no stranger.
    """
    try:
        value = wire.decode_bounded_by_size(data)
    except MalformedMessage as error:
        raise Violation(f"malformed: {error.reason}") from None
    if type(value) is list and len(value) == 4:
        kind, msgid, failure, result = value
        if _is(kind, wire.RESPONSE) and _is_msgid(msgid):
            return Response(msgid, failure, result)
    elif type(value) is list and len(value) == 3 and _is(value[0], wire.NOTIFICATION):
        _, method, params = value
        if method == "$item" and type(params) is dict and _is_msgid(params.get("msgid")):
            return Item(params["msgid"], params.get("item"))
        if method == "$closing":
            return Closing(params)
    raise Violation("no answer of a host")
