"""A record of one call: values, and the file they lie in. docs/decisions/0029-record-and-replay.md.

What lives here: layouts and bounds. A file is a magic, then frames of a 4-byte length and a MessagePack map: the head,
each import that was asked for in order, the end; last the SHA-256 over all of that. Whoever reads one did not write it:
every byte is hostile. The digest finds a file that was damaged; it proves nobody's word.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec

from runtime import wire
from runtime.errors import Ending, UsageError
from runtime.limits import MIB, Limits
from runtime.receipt import Receipt

RECORD_BYTES_MAX: Final = 64 * MIB
"""Of a file. What a call says beyond `EVENTS_BYTES_MAX` is not recorded: the record is cut there, and says so."""
EVENTS_BYTES_MAX: Final = 40 * MIB
_MAGIC: Final = b"hostel record 1\n"
_LENGTH: Final = struct.Struct(">I")
_DIGEST_BYTES: Final = 32
_ELEMENTS_MAX: Final = 4_096
_EVENT_BYTES: Final = 96
_PIECE_BYTES: Final = 48
"""What an event and a piece take beside the bytes of memory in them, about."""
T = TypeVar("T")
_Address = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class Piece(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Bytes of the guest's memory."""

    at: _Address
    """From 0, as a guest's pointer: below its memory lies the host's own."""
    data: bytes


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One import that the guest asked for, and what it was answered."""

    name: str
    """As the module names it: `hostel_v1.call`."""
    arguments: Annotated[tuple[int, ...], msgspec.Meta(max_length=16)]
    read: tuple[Piece, ...]
    """What the host read of the guest's memory: the request, the text for the log."""
    written: tuple[Piece, ...]
    """What it wrote there: the response, random bytes, the time."""
    answer: int | None
    """What the import returned; None: the call ended in it."""
    fuel_left: int

    @property
    def size(self) -> int:
        """What it takes of EVENTS_BYTES_MAX, bytes."""
        pieces = (*self.read, *self.written)
        return _EVENT_BYTES + sum(_PIECE_BYTES + len(piece.data) for piece in pieces)


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was run, and under what."""

    app_id: str
    release: str
    identity: str
    """Of the bundle."""
    module_sha256: str
    """Of the module, or of the engine that ran the script."""
    module: bytes
    """Empty where the program is a script: the engine is the host's own."""
    script: bytes | None
    """The script image."""
    limits: dict[str, int]
    message: bytes
    notification: bool
    wasmtime: str
    machine: str


class End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it went."""

    response: bytes
    detail: str
    is_cut: bool
    """Events are missing at the end: there were too many bytes."""
    receipt: Receipt


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One call, whole."""

    head: Head
    events: tuple[Event, ...]
    end: End

    @property
    def limits(self) -> Limits:
        """Those it ran under. Raises UsageError where they cannot be."""
        limits: Limits = Limits().changed(self.head.limits)
        return limits


CUT_SHORT: Final = frozenset(
    (Ending.CPU_EXCEEDED, Ending.DEADLINE_EXCEEDED, Ending.CANCELLED, Ending.REVOKED, Ending.WORKER_LOST,
     Ending.INTERNAL)
)  # fmt: skip
"""Endings that come from outside of the guest, at a moment that no second run meets again."""


def encoded(record: Record) -> bytes:
    """The whole file."""
    parts = [_MAGIC]
    for value in (record.head, *record.events, record.end):
        frame = wire.encode(value)
        parts += (_LENGTH.pack(len(frame)), frame)
    content = b"".join(parts)
    return content + hashlib.sha256(content).digest()


def decoded(data: bytes) -> Record:
    """Raises UsageError: no record, or a damaged one."""
    content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if len(data) > RECORD_BYTES_MAX or not content.startswith(_MAGIC):
        raise UsageError("this is no record of a call: hostel run --record makes one", code="record_invalid")
    if hashlib.sha256(content).digest() != digest:
        raise UsageError(
            "the record was changed or cut off since it was made: its digest does not fit", code="record_invalid"
        )
    try:
        frames = list(_frames(content))
        if len(frames) < 2:
            raise ValueError("too few frames")
        head, end = _value(frames[0], Head), _value(frames[-1], End)
        record = Record(head=head, events=tuple(_events(frames[1:-1])), end=end)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"the record cannot be read: {ascii(str(error))[:200]}", code="record_invalid") from None
    if hashlib.sha256(head.module).hexdigest() != head.module_sha256 and head.script is None:
        raise UsageError("the record holds another module than it names", code="record_invalid")
    return record


def _frames(content: bytes) -> Iterator[bytes]:
    at = len(_MAGIC)
    while at < len(content):
        if at + _LENGTH.size > len(content):
            raise ValueError("a frame without its length")
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        if at + length > len(content):
            raise ValueError("a frame that is cut off")
        yield content[at : at + length]
        at += length


def _events(frames: list[bytes]) -> Iterator[Event]:
    """No more than are recorded: many small ones take far more memory and time than their bytes."""
    room = EVENTS_BYTES_MAX
    for frame in frames:
        event = _value(frame, Event)
        room -= event.size
        if room < 0:
            raise ValueError("more is in it than is ever recorded")
        yield event


def _value(frame: bytes, kind: type[T]) -> T:
    told: Any = wire.decode(frame, RECORD_BYTES_MAX, elements_max=_ELEMENTS_MAX)
    return msgspec.convert(told, kind, builtin_types=(bytes,))


# ---- files -----------------------------------------------------------------------------------------------------------
def claim(path: Path) -> int:
    """The file, made for this user alone (0600) before anything is run. Raises UsageError: it cannot be made, or is
    there already."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already: name another file for the record") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def read(path: Path) -> Record:
    """Raises UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(RECORD_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return decoded(data)
