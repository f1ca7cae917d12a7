"""log.*: a program's own log lines. Needs no capability; bounded by the call's log limit."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from host_api.contract import Bound, Method, Params, Result, Session

MESSAGE_CHARS_MAX = 16_384


class WriteParams(Params, frozen=True, kw_only=True):
    """One line. What is not printable in it is escaped, line breaks too."""

    level: Literal["debug", "info", "warning", "error"]
    """How it is shown to whoever reads the log."""
    message: Annotated[str, msgspec.Meta(max_length=MESSAGE_CHARS_MAX)]
    """The line."""


class WriteResult(Result, frozen=True, kw_only=True):
    """Nothing; a line over the log limit is cut, and that is no error."""


WRITE = Method(
    name="log.write",
    capability=None,
    params=WriteParams,
    result=WriteResult,
    errors=(),
    waits=False,
    summary="Write one line to the program's log.",
    example={"level": "info", "message": "cart is empty"},
    answer={},
)


class LogService:
    """Answers log.*; holds nothing."""

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(WRITE, self.write),)

    def write(self, session: Session, params: WriteParams) -> WriteResult:
        session.log(params.level, params.message)
        return WriteResult()
