"""notify.*: the methods as they are declared. What answers them is in service.py."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode
from host_api.notify.templates import NAME_CHARS_MAX, PLACEHOLDERS_MAX, VALUE_CHARS_MAX

CAPABILITY: Final = "notify"
SCOPE: Final = "notify"
"""What the user consents to: see host_api/user/scopes.py."""
TEMPLATE_ID_CHARS_MAX: Final = 64

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
_Value = Annotated[str, msgspec.Meta(min_length=1, max_length=4 * VALUE_CHARS_MAX)]

_Values = Annotated[dict[_Name, _Value], msgspec.Meta(max_length=PLACEHOLDERS_MAX)]


class RequestParams(Params, frozen=True, kw_only=True):
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 0
    """How long to wait for the user; 0 answers at once. Never longer than the limit prompt_wait_ms."""


class RequestResult(Result, frozen=True, kw_only=True):
    status: Literal["granted", "refused", "pending"]
    """pending: not decided, or not yet; ask again."""


class SendParams(Params, frozen=True, kw_only=True):
    template: Annotated[str, msgspec.Meta(min_length=1, max_length=TEMPLATE_ID_CHARS_MAX)]
    """The id of one of the manifest's notices."""
    params: _Values = msgspec.field(default_factory=dict)
    """A text for each of its placeholders, one clean line of 1 to 64 characters."""
    language: Annotated[str, msgspec.Meta(min_length=2, max_length=35)] | None = None
    """BCP 47: which of the notice's texts. Left out, it is the user's own language."""


class SendResult(Result, frozen=True, kw_only=True):
    id: str
    """Of the notice, which is kept now for the user's front end."""


REQUEST: Final = Method(
    name="notify.request",
    capability=CAPABILITY,
    params=RequestParams,
    result=RequestResult,
    errors=(
        ErrorCode.RATE_LIMITED,
        ErrorCode.CASHIER_BUSY,
        ErrorCode.NOT_INTERACTIVE,
        ErrorCode.UNKNOWN_OUTCOME,
        ErrorCode.BUSY,
    ),
    waits=True,
    summary="Ask the user to subscribe to this program's messages.",
    example={"wait_ms": 60_000},
    answer={"status": "granted"},
)
SEND: Final = Method(
    name="notify.send",
    capability=CAPABILITY,
    params=SendParams,
    result=SendResult,
    errors=(
        ErrorCode.CAPABILITY_NOT_GRANTED,
        ErrorCode.GRANT_EXPIRED,
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.CONSENT_REQUIRED,
        ErrorCode.CONSENT_DENIED,
        ErrorCode.UNKNOWN_OUTCOME,
        ErrorCode.BUSY,
    ),
    waits=True,
    summary="Send the subscribed user a message, from a template of the manifest; not only while they look.",
    example={"template": "shipped", "params": {"order_no": "81"}},
    answer={"id": "9f86d081884c7d659a2feaa0c55ad015"},
)
