"""What a control method is: declared once; server, client, reference page and schema follow.

What lives here: the declaration's types and the roles. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from host_api.contract import Params, Result

__all__ = ["ControlMethod", "ControlParams", "Done", "Nothing", "Result", "Role", "allows"]


class Role(StrEnum):
    """Who a connection speaks for: by its user id on the Unix socket, by its token on TCP."""

    CALLER = "caller"
    """A service or front end of the platform: it says for which user it calls, shows prompts and answers them."""
    AUDITOR = "auditor"
    """Looks at money, audit and figures; changes nothing."""
    OPERATOR = "operator"
    """Everything, what the other two may included."""


def allows(role: Role, needed: Role | None) -> bool:
    """Whether `role` may use a method declared for `needed`; None: every role."""
    return needed is None or role is needed or role is Role.OPERATOR


USER_CHARS_MAX: Final = 256
User = Annotated[str, Meta(max_length=USER_CHARS_MAX)]
"""A user by the host's own id; '' for nobody."""
AppId = Annotated[str, Meta(min_length=1, max_length=140)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
TRACEPARENT: Final = r"\A00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z"


class ControlParams(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every method's parameters, with the envelope that every request may have."""

    deadline_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = msgspec.field(default=None, name="$deadline_ms")
    """The request is cancelled this long after it was read."""
    trace: Annotated[str, Meta(pattern=TRACEPARENT)] | None = msgspec.field(default=None, name="$trace")
    """W3C traceparent of whoever asks."""
    key: Annotated[str, Meta(min_length=1, max_length=128)] | None = msgspec.field(default=None, name="$key")
    """Makes an effect happen once however often it is sent; only where the method says so."""
    bearer: Annotated[str, Meta(min_length=1, max_length=512)] | None = msgspec.field(default=None, name="$token")
    """Whom the connection speaks for, in its first request."""


class Nothing(ControlParams, frozen=True, kw_only=True):
    """No parameters."""


class Done(Result, frozen=True, kw_only=True):
    """Done; there is nothing to tell."""


P = TypeVar("P", bound=ControlParams)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMethod(Generic[P, R]):
    """One method of the control protocol."""

    name: str
    """The same as of what it is on `Host`; never renamed."""
    role: Role | None
    """Who may use it, operators besides; None: every role."""
    params: type[P]
    result: type[R]
    effect: bool
    """It changes something: where the connection is lost before the answer, it may have happened or not."""
    waits: bool = True
    """False: answered before the next message is looked at."""
    stream: type[Result] | None = None
    """What the notifications hold that come before the answer; None: there are none."""
    keyed: bool = False
    """Takes `$key`."""
    bundle: bool = False
    """Its request may be as long as a bundle."""
    summary: str
    example: Mapping[str, Any]
    """Parameters that pass validation."""
    answer: Mapping[str, Any]
    """What it may answer to them."""
