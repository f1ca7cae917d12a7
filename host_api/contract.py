"""What a method is: declared once, and everything else follows from the declaration.

From a `Method` come validation, the reference page, the JSON schema, the guests' bindings and the conformance skeleton.
What lives here: the declaration's types and the session a service is given. No I/O, no clock, no concrete service
(services.py names those).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from host_api.capability import Authority
from host_api.errors import ApiError, ErrorCode


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every method's parameters: a map on the wire; unknown names are refused."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every method's result: a map on the wire; guests ignore fields they do not know."""


P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[P, R]):
    """One method of the host API."""

    name: str
    """`service.method`; never renamed."""
    capability: str | None
    """What must be granted; None where any program may call it."""
    params: type[P]
    result: type[R]
    errors: tuple[ErrorCode, ...]
    """What it may answer besides the codes every method may answer."""
    waits: bool
    """False: answered in place, by a plain function. True: awaited in the task that owns the call."""
    summary: str
    example: Mapping[str, Any]
    """Parameters that pass validation."""
    answer: Mapping[str, Any]
    """What it may answer to them: plain values that fit `result`."""


class CallLimits(Protocol):
    """The limits a service enforces; `runtime.limits.Limits` is one."""

    @property
    def prompt_wait_ms(self) -> int: ...
    @property
    def storage_bytes(self) -> int: ...
    @property
    def storage_value_bytes(self) -> int: ...
    @property
    def storage_keys(self) -> int: ...
    @property
    def payment_amount(self) -> int: ...
    @property
    def payment_day_amount(self) -> int: ...
    @property
    def payment_hour_count(self) -> int: ...
    @property
    def notices_per_day(self) -> int: ...
    @property
    def fetch_request_bytes(self) -> int: ...
    @property
    def fetch_response_bytes(self) -> int: ...
    @property
    def call_depth(self) -> int: ...


class CallUsage(Protocol):
    """What a service adds to the call's usage; `runtime.receipt.Usage` is one."""

    storage_delta_bytes: int


class Session(Protocol):
    """Who a call acts for: always from the host's own record, never from guest bytes. One snapshot per call."""

    @property
    def call_id(self) -> str: ...
    @property
    def app_id(self) -> str: ...
    @property
    def release_name(self) -> str: ...
    @property
    def release_code(self) -> int: ...
    @property
    def user(self) -> str:
        """The host's id of the user; '' where there is none (never None: it is part of keys)."""
        ...

    @property
    def sector(self) -> str:
        """Programs of one sector see one id of a user; the program's own unless its operator says otherwise."""
        ...

    @property
    def reasons(self) -> Mapping[str, Mapping[str, str]]:
        """Capability → language (BCP 47; '' where the manifest names none) → why the manifest asks for it."""
        ...

    @property
    def notices(self) -> Mapping[str, Mapping[str, str]]:
        """Id of a notice's template → language (as in `reasons`) → text with {placeholders}, from the manifest."""
        ...

    @property
    def depth(self) -> int:
        """0 for a call from outside, one more for each program.call on the way."""
        ...

    @property
    def caller_app_id(self) -> str:
        """The program whose program.call this is; '' for a call from outside."""
        ...

    @property
    def program_name(self) -> str:
        """The program's registered name, as people read it; from the registry, never from the guest."""
        ...

    @property
    def payee(self) -> str:
        """The registered name of who receives payments; from the registry, never from the guest."""
        ...

    @property
    def interactive(self) -> bool:
        """True while the front end says that the user is looking: only then may a prompt open."""
        ...

    @property
    def locale(self) -> str: ...
    @property
    def time_zone(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def assets_sha256(self) -> str:
        """The list of its release's assets, by hash in hex (host_api/releases/contents.py); '' for none."""
        ...

    @property
    def trace_id(self) -> str: ...
    @property
    def authority(self) -> Authority: ...
    @property
    def limits(self) -> CallLimits: ...
    @property
    def usage(self) -> CallUsage: ...

    def stand_still(self) -> AbstractContextManager[None]:
        """Inside it the call's wall deadline stands still: a person is being asked."""
        ...

    def log(self, level: str, text: str) -> None:
        """One line for the program's log; bounded by the call's log limit, cut with a mark."""
        ...


def acting_user(session: Session) -> str:
    """Whom the call acts for. Raises ApiError INVALID_PARAMS for nobody: the same for every method that needs one."""
    if not session.user:
        raise ApiError(
            ErrorCode.INVALID_PARAMS,
            "this call acts for no user: call the program for one",
            details={"parameter": "user"},
        )
    return session.user


class Clock(Protocol):
    """The one source of time. Microseconds since the epoch; never earlier than what it said before."""

    def now_us(self) -> int: ...


class Codec(Protocol):
    """The encoder handed in: canonical MessagePack, bounded decode."""

    def encode(self, value: Any) -> bytes: ...
    def decode(self, data: bytes) -> Any: ...


Run = Callable[[Session, Any], Result | Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Bound:
    """A method and the function that answers it. `run` gives a Result, or an awaitable of one where `method.waits`.

    It raises `ApiError` to say no. Anything else it raises is a bug of ours: the guest sees `internal` with an
    incident.
    """

    method: Method[Any, Any]
    run: Run
