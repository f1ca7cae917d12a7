"""program.*: asking another program, and acting for the program that asked.

What lives here: the declarations, and what is checked of a request before anything runs. How a program is run is handed
in (`Programs`): this file knows no host. A called program has its own grants and consents; it never gains those of its
caller. What a caller does pass on is explicit, a *delegation*: it is used by `program.as_caller` alone, so that a
program can never be made to act for its caller without meaning to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, Final, Protocol

import msgspec

from host_api.capability import Authority, GrantError, Grants, parse_grants
from host_api.contract import Bound, Clock, Method, Params, Result, Session
from host_api.errors import ApiError, ErrorCode

CAPABILITY: Final = "program.call"
DELEGABLE: Final = frozenset({"storage", "payment", "payment.refund", "http"})
"""What may be passed on. A user's data may not: a consent is given to one program."""
OWN_METHODS: Final = "hostel."
"""What methods' names begin with that the host alone sends to programs: nobody else tells one that an order is paid."""
AppId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
MethodName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Wanted = Annotated[dict[str, dict[str, Any]], msgspec.Meta(max_length=16)]


class CallParams(Params, frozen=True, kw_only=True):
    program: AppId
    """The program to call: one that the grant names."""
    method: MethodName
    """A method of that program."""
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    """What its method takes."""
    narrow: Wanted | None = None
    """Capability → constraints: what it may use of its own grants during this call; all of them where left out."""
    delegate: Wanted = msgspec.field(default_factory=dict)
    """Capability → constraints: what it may do as this program (`program.as_caller`), within this program's grants."""
    cpu_us: Annotated[int, msgspec.Meta(ge=1_000)] | None = None
    """CPU time lent to it, out of this call's; half of what is left by default."""
    host_calls: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Host calls lent to it, out of this call's; half of what is left by default."""


class CallResult(Result, frozen=True, kw_only=True):
    value: Any
    """What its method answered."""


class AsCallerParams(Params, frozen=True, kw_only=True):
    method: MethodName
    """A method of the host API, of a capability that was delegated."""
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    """What that method takes."""


class AsCallerResult(Result, frozen=True, kw_only=True):
    value: Any
    """What that method answers."""


CALL: Final = Method(
    name="program.call",
    capability=CAPABILITY,
    params=CallParams,
    result=CallResult,
    errors=(
        ErrorCode.GRANT_CONSTRAINT,
        ErrorCode.LIMIT_EXCEEDED,
        ErrorCode.NOT_FOUND,
        ErrorCode.PROGRAM_FAILED,
        ErrorCode.REENTRANT_CALL,
        ErrorCode.BUSY,
    ),
    waits=True,
    summary="Call another program for this call's user; what it uses is paid from this call's budget.",
    example={"program": "org.example.carrier", "method": "quote", "params": {"grams": 1200}},
    answer={"value": {"price": {"amount": 1200, "currency": "CNY"}}},
)
AS_CALLER: Final = Method(
    name="program.as_caller",
    capability=None,
    params=AsCallerParams,
    result=AsCallerResult,
    errors=(
        ErrorCode.CAPABILITY_UNDECLARED,
        ErrorCode.CAPABILITY_NOT_GRANTED,
        ErrorCode.GRANT_EXPIRED,
    ),
    waits=True,
    summary="Use what the calling program delegated: the request is carried out as that program's, on its account.",
    example={"method": "storage.get", "params": {"key": "shared/cart"}},
    answer={"value": {"found": True, "value": {"apple": 3}, "version": 4}},
)


class Programs(Protocol):
    """What runs programs: the host. `session` is the one that the request came with."""

    def call(
        self, session: Any, params: CallParams, *, narrow: Grants | None, delegated: Authority | None
    ) -> Awaitable[Any]:
        """The answer of the called program. Raises ApiError."""
        ...

    def as_caller(self, session: Any, method: str, params: Mapping[str, Any]) -> Awaitable[Any]:
        """The result of a host method, asked for as the program that called. Raises ApiError, also the method's own."""
        ...


class ProgramService:
    """Answers program.*; holds nothing but what it was given."""

    def __init__(self, *, programs: Programs, clock: Clock) -> None:
        self._programs = programs
        self._now_us = clock.now_us

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(CALL, self.call), Bound(AS_CALLER, self.as_caller))

    async def call(self, session: Session, params: CallParams) -> CallResult:
        """Raises ApiError: GRANT_CONSTRAINT for a program that the grant does not name, installed or not;
        INVALID_PARAMS for a method that is the host's own, and for grants that are none."""
        allowed = session.authority.constraints(CAPABILITY).programs or ()
        if params.program not in allowed:
            raise ApiError(
                ErrorCode.GRANT_CONSTRAINT,
                f"the grant of {CAPABILITY} names the programs that may be called, and this is none of them",
                details={"constraint": "programs", "value": list(allowed), "used": params.program},
            )
        if params.method.startswith(OWN_METHODS):
            raise _invalid("method", f"names that begin with {OWN_METHODS} are the host's own")
        narrow = None if params.narrow is None else _grants("narrow", params.narrow)
        delegated = self._delegated(session, params.delegate) if params.delegate else None
        return CallResult(value=await self._programs.call(session, params, narrow=narrow, delegated=delegated))

    def _delegated(self, session: Session, wanted: Mapping[str, Mapping[str, Any]]) -> Authority:
        """Narrower than the caller's own authority, and gone with it."""
        grants = _grants("delegate", wanted)
        for grant in grants:
            if grant.capability not in DELEGABLE:
                raise _invalid("delegate", f"{grant.capability} is not among {', '.join(sorted(DELEGABLE))}")
            session.authority.require(grant.capability, self._now_us())
        return session.authority.narrowed(grants)

    async def as_caller(self, session: Session, params: AsCallerParams) -> AsCallerResult:
        return AsCallerResult(value=await self._programs.as_caller(session, params.method, params.params))


def _grants(parameter: str, wanted: Mapping[str, Mapping[str, Any]]) -> Grants:
    try:
        return parse_grants(wanted)
    except GrantError as error:
        raise _invalid(parameter, str(error)) from None


def _invalid(parameter: str, problem: str) -> ApiError:
    return ApiError(
        ErrorCode.INVALID_PARAMS, f"{parameter}: {problem}", details={"path": f"$.{parameter}", "problem": problem}
    )
