"""What the door refuses by itself, before and beside anything that the host says; and errors as JSON.

What lives here: the exception, and the one form that every error has. Statuses are in statuses.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from runtime.daemon.http.statuses import status_of


class Refused(Exception):
    """The request is not carried out. `code` is one of docs/protocol.md §16.3; the status follows from it."""

    def __init__(
        self, code: str, message: str, *, details: Mapping[str, Any] | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.retry_after_ms = retry_after_ms

    @property
    def status(self) -> int:
        return status_of(self.code)

    def as_dict(self) -> dict[str, Any]:
        """The error value of docs/protocol.md §5.2."""
        return error_value(self.code, self.message, self.retry_after_ms, self.details)


def error_value(
    code: str, message: str, retry_after_ms: int | None = None, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The error value of docs/protocol.md §5.2. What can be tried again is what says when."""
    return {
        "code": code, "message": message, "retryable": retry_after_ms is not None, "retry_after_ms": retry_after_ms,
        "details": dict(details or {}),
    }  # fmt: skip


def over(limit: str, value: float, used: float, unit: str, code: str) -> Refused:
    """A refusal that names the limit, its value and what was used."""
    return Refused(
        code,
        f"{used} {unit} are over {limit} = {value}",
        details={"limit": limit, "value": value, "used": used, "unit": unit},
    )


def error_body(error: Mapping[str, Any]) -> bytes:
    """What an answer that is no success says."""
    return msgspec.json.encode({"error": error})
