"""Errors on their way to a client and back: the same class with the same fields comes out.

What lives here: the map of an error (docs/protocol.md §15.4) in both directions. Only errors that the public API raises
on purpose are known here; anything else is a fault of the host, which the server answers with an incident.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from host_api.erasure.user import BalanceLeft
from host_api.errors import ApiError, ErrorCode
from host_api.ledger import DepositMismatch, InsufficientFunds, LedgerError, NotPending
from host_api.money import Money
from host_api.prompts.prompt import PromptError
from runtime import errors
from runtime.errors import CallEnded, Ending, HostelError
from runtime.receipt import Receipt

ErrorMap = dict[str, Any]
MESSAGE_CHARS_MAX: Final = 4_096
_HOSTEL: Final[Mapping[str, type[HostelError]]] = {
    name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HostelError)
}
_LEDGER: Final[Mapping[str, type[LedgerError]]] = {
    kind.__name__: kind for kind in (LedgerError, InsufficientFunds, NotPending, DepositMismatch)
}
_CODES: Final = {code.code: code for code in ErrorCode}
KINDS: Final = (*_HOSTEL, "ApiError", "PromptError", "BalanceLeft", *_LEDGER, "ValueError")
"""What `kind` of an error map may be."""


def to_map(error: Exception) -> ErrorMap | None:
    """None for what no caller of the library is to expect: a bug of ours."""
    match error:
        case HostelError():
            told = {"kind": _kind(error), **error.as_dict()}
            if isinstance(error, CallEnded):
                told |= {"ending": error.ending, "receipt": error.receipt}
        case ApiError():
            told = {"kind": "ApiError", **error.as_wire()}
        case PromptError():
            told = _map("PromptError", error.code, error.message, retry_after_ms=error.retry_after_ms)
        case BalanceLeft():
            told = _map("BalanceLeft", error.code, str(error), {"balances": error.balances})
        case LedgerError():
            told = _map(type(error).__name__, error.code, str(error))
        case ValueError():
            told = _map("ValueError", "invalid_argument", str(error))
        case _:
            return None
    told["message"] = told["message"][:MESSAGE_CHARS_MAX]
    return told


def _kind(error: HostelError) -> str:
    """Its class, or the nearest one above that a client knows."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _HOSTEL)


def _map(
    kind: str, code: str, message: str, details: Mapping[str, Any] | None = None, *, retry_after_ms: int | None = None
) -> ErrorMap:
    return {
        "kind": kind, "code": code, "message": message, "retryable": False, "retry_after_ms": retry_after_ms,
        "details": dict(details or {}),
    }  # fmt: skip


class _Told(msgspec.Struct, kw_only=True):
    """An error map, as it came."""

    code: str
    message: str
    kind: str = "HostelError"
    retryable: bool = False
    retry_after_ms: int | None = None
    details: dict[str, Any] = msgspec.field(default_factory=dict)
    ending: Ending | None = None
    receipt: Receipt | None = None


def from_map(told: Any) -> Exception:
    """The error that a host told of. Of a kind, code or ending that this release does not know: a HostelError with that
    code. Raises msgspec.ValidationError for what is no error map."""
    error = msgspec.convert(told, _Told)
    make = _MAKE.get(error.kind, _hostel)
    return make(error) or _hostel(error)


def _hostel(told: _Told) -> Exception:
    kind = _HOSTEL.get(told.kind, HostelError)
    if issubclass(kind, CallEnded):
        if told.ending is None:
            kind = HostelError
        else:
            ended = kind(
                told.message, ending=told.ending, receipt=told.receipt, code=told.code, details=told.details
            )  # fmt: skip
            return _with(ended, told)
    code = None if told.code == kind.code else told.code  # as it was raised
    return _with(kind(told.message, code=code, details=told.details, retry_after_ms=told.retry_after_ms), told)


def _with(error: HostelError, told: _Told) -> HostelError:
    if error.retryable is not told.retryable:
        error.retryable = told.retryable
    return error


def _api(told: _Told) -> Exception | None:
    code = _CODES.get(told.code)
    return code and ApiError(code, told.message, details=told.details, retry_after_ms=told.retry_after_ms)


def _balance(told: _Told) -> Exception:
    return BalanceLeft(msgspec.convert(told.details.get("balances", ()), tuple[Money, ...]))


_MAKE: Final[Mapping[str, Callable[[_Told], Exception | None]]] = {
    "ApiError": _api,
    "PromptError": lambda told: PromptError(told.code, told.message, retry_after_ms=told.retry_after_ms),
    "BalanceLeft": _balance,
    "ValueError": lambda told: ValueError(told.message),
    **{name: lambda told, kind=kind: kind(told.message) for name, kind in _LEDGER.items()},  # type: ignore[misc]
}
