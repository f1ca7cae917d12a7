"""Every error that leaves the public API, and the closed list of endings.

Two levels that are never merged: an error answered to a guest (`host_api.errors.ApiError`: the host said no, the guest
lives) and a call that is over (`CallEnded`: the guest is gone). A bug of ours is neither: it ends the call as
`internal` with an incident id that the log carries too.

Rules of this file: an error has a stable snake_case `code`, says whether trying again can help (`retryable`), carries
the numbers (`details`) and tells what to do next in its message. A code is never renamed or reused (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from runtime.receipt import Receipt


class Ending(StrEnum):
    """How a call ended: exactly one per call."""

    COMPLETED = "completed"
    FAILED = "failed"
    EXITED = "exited"
    TRAPPED = "trapped"
    CPU_EXCEEDED = "cpu_exceeded"
    FUEL_EXHAUSTED = "fuel_exhausted"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    PROTOCOL_VIOLATION = "protocol_violation"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"


class HostelError(Exception):
    """Root of everything the public API raises on purpose. Trio's own exceptions pass through untouched.

    `exit_code` is what the command line ends with (docs/protocol.md lists them).
    """

    code: str = "internal"
    retryable: bool = False
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after_ms = retry_after_ms

    def as_dict(self) -> dict[str, Any]:
        """The error as docs/protocol.md §5 prints it: code, message, retryable, retry_after_ms, details."""
        return {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "retry_after_ms": self.retry_after_ms,
            "details": self.details,
        }


class UsageError(HostelError):
    """The caller of the library (or of the command line) asked for something that cannot be: a bug of its own."""

    code = "invalid_argument"
    exit_code = 2


# ---- before any guest code ran ---------------------------------------------------------------------------------------
class BundleError(HostelError):
    """A bundle was refused; nothing of it was stored or run."""

    code = "bundle_invalid"
    exit_code = 3


class ManifestError(BundleError):
    """manifest.json: `details["path"]` is where, the message says what is wrong there and what to write instead."""

    code = "manifest_invalid"
    exit_code = 3


class SignatureError(BundleError):
    """Missing, broken, foreign or not allowed: see the code (`unsigned_bundle`, `signature_invalid`, `key_unknown`)."""

    code = "signature_invalid"
    exit_code = 4


class ModuleError(BundleError):
    """The WebAssembly module breaks a structural cap or the feature profile, or does not fit the ABI."""

    code = "module_refused"
    exit_code = 5


class ScriptError(ModuleError):
    """The program's script is refused, or does not load: `details` have `path`, `line` and `column` where they are
    known."""

    code = "script_invalid"
    exit_code = 5


class CompileLimitExceeded(ModuleError):
    """Compiling took more CPU, memory or time than allowed; the verdict is remembered by the module's hash."""

    code = "compile_limit"
    exit_code = 6


# ---- the host said no before the call began --------------------------------------------------------------------------
class CallRefused(HostelError):
    """No guest code ran for this call; nothing was charged but the attempt."""

    code = "refused"
    exit_code = 7


class NotInstalled(CallRefused):
    code = "not_installed"


class ProgramUnavailable(CallRefused):
    """Installed, and not to be called: `details["state"]` is `killed`, `quarantined` or `not_released`."""

    code = "program_unavailable"


class HostBusy(CallRefused):
    """Too much at once: `rate_limited`, `queue_full`, `overloaded`. Try again after `retry_after_ms`."""

    code = "overloaded"
    retryable = True


class HostClosed(CallRefused):
    code = "host_closed"


class MessageTooLarge(CallRefused):
    code = "message_too_large"


class StartupError(HostelError):
    """The host cannot promise what it must (no ticker, binding changed, state directory in use): it does not start."""

    code = "startup_refused"
    exit_code = 8


class AnswerRefused(HostelError):
    """A front end's answer to a prompt was not taken, or could not be carried out: see the code."""

    code = "answer_refused"
    exit_code = 19


# ---- between a client and its host -----------------------------------------------------------------------------------
class ControlError(HostelError):
    """The request was not answered by the host, but on the way: the connection refused it, ended it, or is over."""

    code = "request_refused"
    exit_code = 21


class AccessDenied(ControlError):
    """Not known to the host, or known in a role that may not do this."""

    code = "access_denied"
    exit_code = 22


class ConnectionLost(ControlError):
    """No host answers there, or it went away. `details["outcome"]` of a request: `none` (it was not sent) or `unknown`
    (it may have happened: look before trying again)."""

    code = "connection_lost"
    exit_code = 23


# ---- the call is over ------------------------------------------------------------------------------------------------
class CallEnded(HostelError):
    """The guest is gone. `ending` says how, `receipt` what it cost; both are there for every subclass."""

    exit_code = 10
    ending: Ending

    def __init__(
        self,
        message: str,
        *,
        ending: Ending,
        receipt: Receipt | None = None,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code or ending.value, details=details)
        self.ending = ending
        self.receipt = receipt


class GuestFailed(CallEnded):
    """The guest answered with an error of its own. `details["error"]` is what it sent, bounded and decoded."""

    exit_code = 11


class GuestExited(CallEnded):
    exit_code = 12


class GuestTrapped(CallEnded):
    exit_code = 13


class QuotaExceeded(CallEnded):
    """`details`: limit (its name), value, used, unit."""

    exit_code = 14


class GuestProtocolError(CallEnded):
    exit_code = 15


class CallCancelled(CallEnded):
    exit_code = 16


class CallRevoked(CallEnded):
    exit_code = 17


class WorkerLost(CallEnded):
    retryable = True
    exit_code = 18


class InternalError(CallEnded):
    """A bug of ours. `details["incident"]` finds it in the log."""

    retryable = True
    exit_code = 70


CALL_ERRORS: Mapping[Ending, type[CallEnded]] = {
    Ending.FAILED: GuestFailed,
    Ending.EXITED: GuestExited,
    Ending.TRAPPED: GuestTrapped,
    Ending.CPU_EXCEEDED: QuotaExceeded,
    Ending.FUEL_EXHAUSTED: QuotaExceeded,
    Ending.DEADLINE_EXCEEDED: QuotaExceeded,
    Ending.PROTOCOL_VIOLATION: GuestProtocolError,
    Ending.CANCELLED: CallCancelled,
    Ending.REVOKED: CallRevoked,
    Ending.WORKER_LOST: WorkerLost,
    Ending.INTERNAL: InternalError,
}
