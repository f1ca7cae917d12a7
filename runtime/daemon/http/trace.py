"""The trace that a request belongs to, as W3C Trace Context says it: read from `traceparent`, told in `traceresponse`.

What lives here: the two headers. What is not exactly as the recommendation says is as if it were not there. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_VALUE_CHARS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Which trace, and whether it is being recorded."""

    id: str
    """32 lower-case hex digits, not all zero."""
    is_sampled: bool
    caller: str = ""
    """The span that asked, 16 lower-case hex digits; '' where nobody told of one."""

    def __str__(self) -> str:
        """As `Host.call` takes it: with whose child the call is, if that is known."""
        return f"00-{self.id}-{self.caller}-{'01' if self.is_sampled else '00'}" if self.caller else self.id

    def response(self, span_id: str) -> str:
        """The header `traceresponse`: which trace it was, and which span of it this answer is. 16 hex digits."""
        return f"00-{self.id}-{span_id}-{'01' if self.is_sampled else '00'}"


def trace_of(values: list[str]) -> Trace | None:
    """`values`: of all headers `traceparent`. None where there is none, more than one, or one that is malformed."""
    if len(values) != 1 or len(values[0]) > _VALUE_CHARS_MAX:
        return None
    match = _TRACEPARENT.fullmatch(values[0].strip(" \t"))
    if match is None:
        return None
    version, trace_id, parent, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None) or not (int(trace_id, 16) and int(parent, 16)):
        return None
    return Trace(id=trace_id, is_sampled=bool(int(flags, 16) & 1), caller=parent)
