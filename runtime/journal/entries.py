"""What the journal keeps: a line of JSON for the receipt of each call, and one for each line that a program logged.

What lives here: the two entries, their bytes, and whether an entry is asked for. No file and no clock. No user is
named: a user stands here as a tag under the journal's own key, so that an erasure finds their lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias

import msgspec

from runtime.receipt import Receipt
from runtime.session import CallSession

Kind: TypeAlias = Literal["receipts", "logs"]
LEVELS: Final = ("debug", "info", "warning", "error")
TRACE_CHARS_MAX: Final = 64
"""A caller may call its traces what it likes; this much of it is kept."""
_TAGS_KEPT: Final = 4_096
_TAG_BYTES: Final = 16

_encoder: Final = msgspec.json.Encoder()


class PastCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that ended, as it is read."""

    at_us: int
    trace_id: str
    caller: str = ""
    """The program that made the call, where one did (program.call)."""
    receipt: Receipt

    def as_dict(self) -> dict[str, Any]:
        """Flat plain values."""
        told = {"at_us": self.at_us, "trace_id": self.trace_id, **self.receipt.as_dict()}
        return {**told, "caller": self.caller} if self.caller else told


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a program logged, as it is read."""

    at_us: int
    trace_id: str
    app_id: str
    call_id: str
    level: str
    text: str


Entry: TypeAlias = PastCall | LogLine


class _KeptCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """As it is written: whose it is comes first, so that the torn end of a file says it too."""

    at_us: int
    user: str
    trace_id: str
    caller: str = ""
    receipt: Receipt


class _KeptLine(msgspec.Struct, kw_only=True):
    """As it is written, the text last."""

    at_us: int
    user: str
    trace_id: str
    app_id: str
    call_id: str
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which entries are asked for. Empty fields ask for all."""

    app_id: str = ""
    call_id: str = ""
    trace_id: str = ""
    least_level: str = "debug"
    """Of lines; one of LEVELS."""
    since_us: int = 0

    def __post_init__(self) -> None:
        if self.least_level not in LEVELS:
            raise ValueError(f"level {ascii(self.least_level)[:40]}: must be one of {', '.join(LEVELS)}")

    def wants_call(self, session: CallSession) -> bool:
        return (
            self.app_id in ("", session.app_id)
            and self.call_id in ("", session.call_id)
            and self.trace_id in ("", session.trace_id)
        )

    def wants_level(self, level: str) -> bool:
        """Levels that nobody knows are wanted: a line is not hidden for its level's name."""
        return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(self.least_level)

    def needle(self) -> bytes:
        """Bytes that every line asked for has in it. Inside of a JSON text a quote is escaped, so that no text of a
        program's can look like a field."""
        for name, value in (("call_id", self.call_id), ("trace_id", self.trace_id), ("app_id", self.app_id)):
            if value:
                return field(name, value)
        return b""

    def wants(self, entry: Entry) -> bool:
        about = entry.receipt if isinstance(entry, PastCall) else entry
        return (
            entry.at_us >= self.since_us
            and self.app_id in ("", about.app_id)
            and self.call_id in ("", about.call_id)
            and self.trace_id in ("", entry.trace_id)
            and (isinstance(entry, PastCall) or self.wants_level(entry.level))
        )


class Encoder:
    """Entries as bytes; each ends with its line."""

    def __init__(self, key: bytes) -> None:
        @lru_cache(_TAGS_KEPT)
        def tag(user: str) -> str:
            return blake2b(user.encode(), key=key, digest_size=_TAG_BYTES).hexdigest() if user else ""

        self.tag = tag

    def receipt(self, at_us: int, receipt: Receipt, session: CallSession) -> bytes:
        caller = session.caller
        return _encoder.encode(
            _KeptCall(
                at_us=at_us, user=self.tag(session.user), trace_id=session.trace_id[:TRACE_CHARS_MAX],
                caller="" if caller is None else caller.app_id, receipt=receipt,
            )
        ) + b"\n"  # fmt: skip

    def line(self, at_us: int, session: CallSession, level: str, text: str) -> bytes:
        return _encoder.encode(
            _KeptLine(
                at_us=at_us, user=self.tag(session.user), trace_id=session.trace_id[:TRACE_CHARS_MAX],
                app_id=session.app_id, call_id=session.call_id, level=level, text=text,
            )
        ) + b"\n"  # fmt: skip

    def of_user(self, user: str) -> bytes:
        """What every line of the user's has in it."""
        return field("user", self.tag(user))


def field(name: str, value: str) -> bytes:
    """A field as it stands in a line."""
    return b'"%s":%s' % (name.encode(), _encoder.encode(value))


_DECODERS: Final[dict[Kind, Any]] = {
    "receipts": msgspec.json.Decoder(PastCall),
    "logs": msgspec.json.Decoder(LogLine),
}


def decode(kind: Kind, line: bytes) -> Any:
    """A PastCall or LogLine; None for what is no entry: the torn end of a segment, or what a disk made of one."""
    try:
        return _DECODERS[kind].decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
