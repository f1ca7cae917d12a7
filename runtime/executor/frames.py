"""The frames between broker and worker: how they lie in bytes, on both sides of the socket pair.

Private to one release: both ends are always of the same one. What lives here: layouts, encoding, and cutting a stream
of bytes into frames with bounds. What a frame means is worker_link.py's (broker) and worker_process.py's.

A frame: u32 length of what follows the head, u8 kind, u32 number (of the call; of the module for MODULE, PIECE, UNLOAD
and UNLOADABLE; of the beat for PING and PONG; 0 for others), then the body.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from runtime.errors import Ending
from runtime.limits import KIB, Limits

HEAD: Final = struct.Struct("<IBI")
SIZE: Final = HEAD.size
RECEIVE_BYTES: Final = 256 * KIB
"""Read from the socket at once."""
PIECE_BYTES: Final = 64 * KIB
"""Of a module, between which other frames have their turn."""
TEXT_BYTES: Final = 2 * KIB
"""The longest text that a worker tells about an ending, and the longest numbers beside it."""
SMALL_BYTES: Final = 8 * KIB
"""No frame but those that carry a guest's or a caller's bytes is longer."""

# broker → worker
MODULE, PIECE, UNLOAD, START, REPLY, BUDGET, CUT, PING, STOP, FORGET = range(1, 11)
# worker → broker
READY, REQUEST, LOG, DONE, PONG, UNLOADABLE = range(32, 38)

Frame = tuple[int, int, bytes]
"""Kind, number, body."""

START_HEAD: Final = struct.Struct("<IQB104sB")
"""Module, the host's clock (µs), flags, limits, length of the program's name; then the name and the message."""
LIMITS: Final = struct.Struct("<13Q")
LIMIT_NAMES: Final = (
    "cpu_us", "wall_ms", "memory_bytes", "table_elements", "message_in_bytes", "message_out_bytes", "request_bytes",
    "response_bytes", "log_bytes", "host_calls", "posted", "held_bytes", "fuel",
)  # fmt: skip
"""Those that hold inside a sandbox."""
NOTIFICATION: Final = 1
RESIDENT: Final = 2
"""A flag: after the program's name come RESIDENT_HEAD and the user, then the message."""
TRIAL: Final = 4
"""A flag: the script is only loaded, and the answer says why it does not."""
SEEDED: Final = 8
"""A flag: right before the message come SEED_BYTES that the guest's randomness follows from, and its clock stands
still."""
SEED_BYTES: Final = 16
RESIDENT_HEAD: Final = struct.Struct("<QQH")
"""Numbers of the call whose memory it finds and of this one, length of the user."""
REPLY_HEAD: Final = struct.Struct("<IB")
"""Serial number of the request, then which of the four; then the response, or the reason."""
ANSWER, NO_ANSWER, MALFORMED, PENDING = range(4)
"""PENDING: a service works on it, and another REPLY follows. Only to guests that can go on meanwhile."""
BUDGET_BODY: Final = struct.Struct("<QI")
"""CPU time (µs) and host calls that the call's own share is less by: lent to programs that it called, or used there."""
REQUEST_HEAD: Final = struct.Struct("<III")
"""Serial number, CPU time so far (µs), host calls refused in the worker so far; then the request."""
DONE_HEAD: Final = struct.Struct("<BBIQIQIIII")
"""Index of the ending, flags, CPU time (µs), fuel, peak of memory (bytes), bytes of responses taken; then how many:
host calls refused, denials in all, responses not taken, posts dropped. Then the response if it completed, else JSON: a
text and numbers."""
AT_LIMIT: Final = 1
MODULE_HEAD: Final = struct.Struct("<QI")
"""Length of what follows in pieces; 0 for an artifact, then the facts come as JSON, else the module that this script
runs on."""
PONG_BODY: Final = struct.Struct("<I")
"""Sandboxes alive."""

ENDINGS: Final = tuple(Ending)
ENDING_INDEX: Final = {ending: index for index, ending in enumerate(ENDINGS)}

_pack = HEAD.pack


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker starts a worker with: its last argument, as JSON."""

    slots: int
    keep_resident_bytes: int
    ticker: str
    jailed: bool
    metered: bool
    """Its engine counts fuel."""
    nice: int


class Ready(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of READY, as JSON."""

    ticker: str
    level: str
    missing: tuple[str, ...]


class Violation(Exception):
    """What the other side sent is no frame, or none that it may send now. The text is free of what it sent."""


def frame(kind: int, number: int, body: bytes = b"") -> bytes:
    return _pack(len(body), kind, number) + body


class Told(NamedTuple):
    """What a DONE frame says, not believed yet."""

    ending: Ending
    at_limit: bool
    cpu_us: int
    fuel: int
    memory_bytes_peak: int
    response_bytes: int
    refused: int
    denials: int
    unclaimed: int
    dropped: int
    rest: bytes


def done(body: bytes) -> Told:
    """Raises Violation."""
    if len(body) < DONE_HEAD.size:
        raise Violation("a short DONE")
    index, flags, cpu_us, fuel, memory, taken, refused, denials, unclaimed, dropped = DONE_HEAD.unpack_from(body)
    if index >= len(ENDINGS) or flags > AT_LIMIT:
        raise Violation("a DONE with no such ending")
    return Told(
        ENDINGS[index], bool(flags), cpu_us, fuel, memory, taken, refused, denials, unclaimed, dropped,
        body[DONE_HEAD.size :],
    )  # fmt: skip


def start_head(
    ref: int, now_us: int, limits: bytes, program: str, resident: tuple[str, int, int] | None, flags: int
) -> bytes:
    """What comes before the message in START. `resident`: the user, the number before and this one. `flags`:
    NOTIFICATION, TRIAL, SEEDED."""
    name, more = program.encode(), b""
    if resident is not None:
        user, before, after = resident[0].encode(), *resident[1:]
        flags, more = flags | RESIDENT, RESIDENT_HEAD.pack(before, after, len(user)) + user
    return START_HEAD.pack(ref, now_us, flags, limits, len(name)) + name + more


def resident_name(program: str, user: str) -> bytes:
    """The body of FORGET."""
    return program.encode() + b"\0" + user.encode()


def packed_limits(limits: Limits) -> bytes:
    return LIMITS.pack(*(getattr(limits, name) for name in LIMIT_NAMES))


class Splitter:
    """Bytes in, whole frames out. `most` says how long a frame of that kind and number may be; it is asked before a
    long one is waited for, so that nobody makes this side keep what it will refuse."""

    __slots__ = ("_kept", "_most", "_wanted")

    def __init__(self, most: Callable[[int, int], int]) -> None:
        self._most = most
        self._kept = bytearray()
        self._wanted = 0
        """Kept bytes below this are no whole frame."""

    @property
    def kept_bytes(self) -> int:
        return len(self._kept)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with these bytes. Raises Violation; nothing may be fed after that."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._wanted:
                return []
            data = bytes(self._kept)
            self._kept = bytearray()
        frames: list[Frame] = []
        at, end, unpack = 0, len(data), HEAD.unpack_from
        while end - at >= SIZE:
            length, kind, number = unpack(data, at)
            if length > SMALL_BYTES and length > self._most(kind, number):
                raise Violation("a frame longer than it may be")
            begin = at + SIZE
            if end - begin < length:
                self._wanted = SIZE + length
                break
            at = begin + length
            frames.append((kind, number, data[begin:at]))
        else:
            self._wanted = SIZE
        if at < end:
            self._kept += data[at:]
        return frames
