"""The W3C's `traceparent` (Trace Context, level 1): which trace a request belongs to, and which span asked.

What lives here: the text, read strictly and written. What is not valid is no trace: it is never guessed at.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

TEXT_CHARS: Final = 55
_TEXT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Traceparent(NamedTuple):
    trace_id: str
    """32 hex digits, not all zero."""
    span_id: str
    """16 hex digits, not all zero: the caller's span."""
    flags: int
    """Bit 0: sampled."""

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def parse(text: str) -> Traceparent | None:
    """None for everything that is not a `traceparent` of version 00, whole and in lower case."""
    if len(text) != TEXT_CHARS or (found := _TEXT.fullmatch(text)) is None:
        return None
    trace_id, span_id, flags = found.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Traceparent(trace_id, span_id, int(flags, 16))


def named(trace_id: str, beside: str) -> tuple[str, str]:
    """What a call's trace is called, and the traceparent of the span that it is a child of; '' for none. `trace_id`: a
    name, or a traceparent, which says both; `beside`: a traceparent, for what `trace_id` does not say."""
    found = parse(trace_id)
    if found is not None:
        return found.trace_id, trace_id
    if not beside or (found := parse(beside)) is None:
        return trace_id, ""
    return trace_id or found.trace_id, beside
