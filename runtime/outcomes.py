"""How what happened becomes an error of the public tree: for parameters, refusals, and calls that ended.

Pure; the words here are what a caller reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from host_api.program import OWN_METHODS
from runtime import wire
from runtime.errors import CALL_ERRORS, CallEnded, Ending, HostBusy, HostClosed, MessageTooLarge, UsageError
from runtime.executor.job import Outcome
from runtime.limits import Limits
from runtime.receipt import Receipt, Reply


def encoded(encode: Callable[..., bytes], *arguments: Any) -> bytes:
    """A caller's own values as bytes; what MessagePack cannot hold is the caller's mistake."""
    try:
        return encode(*arguments)
    except (wire.Unencodable, TypeError, ValueError) as error:
        raise UsageError(f"the parameters cannot be sent: {error}") from None


def named(method: str) -> str:
    """A method's name as docs/protocol.md §5.1 bounds it, and not one of the host's own; a guest is not bothered with
    any other."""
    if not 1 <= len(method) <= wire.METHOD_CHARS_MAX:
        raise UsageError(f"a method's name has 1 to {wire.METHOD_CHARS_MAX} characters, this one has {len(method)}")
    if method.startswith(OWN_METHODS):
        raise UsageError(f"names of methods that begin with {OWN_METHODS} are the host's own: it alone sends them")
    return method


def closed() -> HostClosed:
    return HostClosed("the host is closing: no new calls")


def being_erased() -> HostBusy:
    return HostBusy("the user is being erased: no call for them now", code="user_being_erased", retry_after_ms=1_000)


def too_large(size: int, limits: Limits) -> MessageTooLarge:
    return MessageTooLarge(
        f"the message has {size} bytes; message_in_bytes is {limits.message_in_bytes}",
        details={"limit": "message_in_bytes", "value": limits.message_in_bytes, "used": size},
    )


def failed(error: Mapping[str, Any]) -> Outcome:
    detail = (
        f"the guest answered with an error: {ascii(error['code'])[1:-1][:64]}: {ascii(error['message'])[1:-1][:160]}"
    )
    return Outcome(ending=Ending.FAILED, detail=detail, details={"error": dict(error)})


def judged(outcome: Outcome, message_out_bytes: int) -> Outcome:
    """With the response of a call read: its value, or what such an answer makes of the call."""
    if outcome.ending is not Ending.COMPLETED:
        return outcome
    try:
        error, value = wire.parse_response(outcome.response, message_out_bytes, 1)
    except wire.MalformedMessage as malformed:
        return Outcome(ending=Ending.PROTOCOL_VIOLATION, detail=f"the guest sent no valid response: {malformed}")
    return Outcome(ending=Ending.COMPLETED, value=value) if error is None else failed(error)


def ended(outcome: Outcome, receipt: Receipt) -> CallEnded:
    return CALL_ERRORS[outcome.ending](outcome.detail, ending=outcome.ending, receipt=receipt, details=outcome.details)


def reply_of(outcome: Outcome, receipt: Receipt) -> Reply:
    """What a call that is over gives. Raises CallEnded."""
    if outcome.ending is Ending.COMPLETED:
        return Reply(value=outcome.value, receipt=receipt)
    raise ended(outcome, receipt)
