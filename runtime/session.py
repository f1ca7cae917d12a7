"""The session of one call: whom it acts for, its limits, what it used, its log and its deadline.

What lives here: `CallSession`, the host's own record that services see as `host_api.contract.Session`. Made by the host
from the registry and its caller's words, never from guest bytes; one a call, gone with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import msgspec

from host_api.capability import Authority
from runtime.deadline import Deadline
from runtime.limits import Limits
from runtime.receipt import Usage

LogSink: TypeAlias = "Callable[[CallSession, str, str], None]"
"""Takes (session, level, line): one printable line, already inside the call's log limit."""


class Holdings:
    """Memory the host holds for one program, over all its calls: `hold` before keeping, `release` after. Exact."""

    __slots__ = ("held_bytes",)

    def __init__(self) -> None:
        self.held_bytes = 0

    def hold(self, size: int, held_bytes_max: int) -> bool:
        """False, and nothing held, where `size` more would be too much."""
        if self.held_bytes + size > held_bytes_max:
            return False
        self.held_bytes += size
        return True

    def release(self, size: int) -> None:
        self.held_bytes -= size


class CallSession(msgspec.Struct, kw_only=True, eq=False):
    """A snapshot: what changes in the registry while the call runs does not change it. A Struct because one is made for
    every call. Only `usage`, the deadline and the log budget change."""

    call_id: str
    app_id: str
    release_name: str
    release_code: int
    user: str
    sector: str
    reasons: Mapping[str, Mapping[str, str]]
    notices: Mapping[str, Mapping[str, str]]
    program_name: str
    payee: str
    interactive: bool
    locale: str
    time_zone: str
    currency: str
    config: Mapping[str, Any]
    trace_id: str
    authority: Authority
    limits: Limits
    usage: Usage
    deadline: Deadline
    holdings: Holdings
    log_sink: LogSink
    assets_sha256: str = ""
    traceparent: str = ""
    """The span that this call is, or came from, for calls inside of it (runtime/traceparent.py); '': none."""
    span: Any = None
    """Of runtime.tracing."""
    depth: int = 0
    caller: CallSession | None = None
    """The call that this one is inside of (program.call)."""
    delegation: CallSession | None = None
    """The caller's own session as far as it was passed on; what `program.as_caller` acts for. Gone with the call."""

    @contextmanager
    def stand_still(self) -> Iterator[None]:
        """See `Session.stand_still`; the time goes to `usage.asked_us`. The calls this one is inside of stand too."""
        try:
            with self.deadline.stand_still(), nullcontext() if self.caller is None else self.caller.stand_still():
                yield
        finally:
            self.usage.asked_us = round(self.deadline.stood_s * 1_000_000)

    @property
    def caller_app_id(self) -> str:
        """See `Session.caller_app_id`."""
        return "" if self.caller is None else self.caller.app_id

    def log(self, level: str, text: str) -> None:
        """One line, made printable: what is not (control characters, line separators, direction marks) is escaped.

        Counted in bytes of UTF-8 after escaping, and one for the line's end, so that empty lines are not free. The line
        that passes `limits.log_bytes` is cut there and a mark follows it, once; later ones are dropped.
        """
        usage = self.usage
        if usage.log_cut:
            return
        left = self.limits.log_bytes - usage.log_bytes
        line = printable(text[: left + 1])
        size = (len(line) if line.isascii() else len(line.encode())) + 1
        if size <= left:
            usage.log_bytes += size
            self.log_sink(self, level, line)
            return
        usage.log_bytes += left
        usage.log_cut = True
        if kept := line.encode()[:left].decode(errors="ignore"):
            self.log_sink(self, level, kept)
        self.log_sink(self, "warning", f"[log cut at {self.limits.log_bytes} bytes]")


def printable(text: str) -> str:
    """The text with every character that is not printable written as its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
