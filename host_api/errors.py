"""Errors that the host answers to a guest: the host said no, the guest lives.

The enum's order is the precedence: where several could be answered, the first one is. Name and number are stable for
ever; docs/protocol.md prints this table. Nothing here tells one tenant about another: what is not yours is not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class ErrorCode(Enum):
    """(number, retryable, what to do)"""

    UNKNOWN_METHOD = (101, False, "check the method's name and the api level in session.info")
    CAPABILITY_UNDECLARED = (110, False, "add the permission to req_permissions in manifest.json")
    CAPABILITY_NOT_GRANTED = (111, False, "ask the operator to grant the capability")
    GRANT_EXPIRED = (112, False, "ask the operator to renew the grant")
    GRANT_CONSTRAINT = (113, False, "stay inside the grant; details name the constraint and its value")
    CONSENT_REQUIRED = (114, False, "ask the user with user.authorize")
    CONSENT_DENIED = (115, False, "the user said no; ask again after retry_after_ms at the earliest")
    INVALID_PARAMS = (120, False, "details name the parameter and what it must be")
    LIMIT_EXCEEDED = (130, False, "details name the limit, its value and what was used")
    RATE_LIMITED = (131, True, "wait retry_after_ms")
    KEY_REUSED = (140, False, "the idempotency key was used with other parameters: make a new one")
    IN_PROGRESS = (141, True, "the same key is being worked on: ask again for its outcome")
    NOT_FOUND = (150, False, "no such thing, or not yours")
    VERSION_CONFLICT = (151, False, "read again and retry with the version found")
    QUOTA_EXCEEDED = (152, False, "delete something, or ask the operator for more")
    ORDER_MISMATCH = (160, False, "the out_trade_no exists with other content")
    INVALID_STATE = (161, False, "details name the state the order is in")
    EXPIRED = (162, False, "create a new order")
    DECLINED = (163, False, "the user said no")
    INSUFFICIENT_FUNDS = (164, False, "the user can top up and confirm again")
    CASHIER_BUSY = (165, True, "another question waits for this user's answer")
    NOT_INTERACTIVE = (166, False, "prompts open only while the user is looking at the program")
    REFUND_EXCEEDS_CAPTURED = (167, False, "refund at most what was captured and not yet refunded")
    REFUND_WINDOW_OVER = (168, False, "the order is too old to be refunded here; ask the operator")
    MERCHANT_FUNDS_LOW = (169, True, "the payee's account does not cover it now; try again after the next payments")
    PROGRAM_FAILED = (170, False, "the program that was called gave no result; details say how it ended")
    ADDRESS_REFUSED = (171, False, "only public addresses are fetched from")
    FETCH_FAILED = (172, True, "the other side could not be reached or broke off; try again later")
    REENTRANT_CALL = (173, False, "a resident program is called again only when its own call is over")
    UNKNOWN_OUTCOME = (180, True, "query before trying again: it may have happened")
    BUSY = (190, True, "wait retry_after_ms")
    INTERNAL = (199, True, "a fault of the host; details carry the incident id")

    def __init__(self, number: int, retryable: bool, cure: str) -> None:
        self.number = number
        self.retryable = retryable
        self.cure = cure

    @property
    def code(self) -> str:
        """The name on the wire: snake_case."""
        return self.name.lower()


class ApiError(Exception):
    """The only thing that becomes the error of a response. Services raise it; nothing else they raise reaches a guest.

    `message` is one line for a developer, free of other tenants' data; `details` are plain values.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after_ms = retry_after_ms

    def as_wire(self) -> dict[str, Any]:
        """`{"code", "message", "retryable", "retry_after_ms", "details"}` as docs/protocol.md §5 says."""
        return {
            "code": self.code.code,
            "message": self.message,
            "retryable": self.code.retryable,
            "retry_after_ms": self.retry_after_ms,
            "details": self.details,
        }


def limit_exceeded(limit: str, value: int, used: int, unit: str, what: str) -> ApiError:
    """A refusal that names the limit, its value and what was used."""
    return ApiError(
        ErrorCode.LIMIT_EXCEEDED,
        f"{what}: {used} {unit} is over {limit} = {value}",
        details={"limit": limit, "value": value, "used": used, "unit": unit},
    )
