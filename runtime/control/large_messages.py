"""Reading a message of megabytes, such as a bundle's, so that a thread can do it and the event loop goes on.

Why not `wire.decode`: it copies the bundle out of the message with the interpreter's lock held, 16 MiB in one step.
Here large parts are joined from the pieces that came, which Python does without the lock, and what is left is decoded:
few bytes, unless they are texts. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from runtime import wire
from runtime.wire import MalformedMessage

_PART_HEAD_BYTES: Final = 5


def decode(pieces: Sequence[bytes], bytes_max: int, *, depth_max: int, elements_max: int) -> Any:
    """What `wire.decode` makes of the pieces, joined. Raises MalformedMessage."""
    data = b"".join(pieces)
    if len(data) > bytes_max:
        raise MalformedMessage(f"{len(data)} bytes, the most is {bytes_max}")
    rest, parts, at = bytearray(), list[bytes](), 0
    for begin, end in wire.large_parts(data, depth_max, elements_max):
        if end > len(data):
            raise MalformedMessage("ends too early")
        rest += data[at : begin - _PART_HEAD_BYTES] + wire.stand_in(len(parts))
        parts.append(b"".join(_between(pieces, begin, end)))
        at = end
    rest += data[at:]
    return wire.decode_around(bytes(rest), parts, depth_max)


def _between(pieces: Sequence[bytes], begin: int, end: int) -> Iterator[bytes]:
    """Those that hold these bytes of all of them, the first and the last cut."""
    for piece in pieces:
        if begin < len(piece) and end > 0:
            yield piece[max(begin, 0) : max(end, 0)]
        begin, end = begin - len(piece), end - len(piece)
