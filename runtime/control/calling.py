"""Methods of the connection itself, and calls of programs."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, field

from host_api.contract import Result
from runtime.control.method import AppId, ControlMethod, ControlParams, Nothing, Role, User
from runtime.receipt import Receipt

PROTOCOL: Final = 1
"""Of this protocol: only additions, so one number for ever unless `hello` itself has to change."""
_USAGE: Final = {
    "cpu_us": 412, "called_cpu_us": 0, "wall_us": 631, "asked_us": 0, "memory_bytes_peak": 1_179_648,
    "memory_at_limit": False, "host_calls": 1, "message_in_bytes": 31, "message_out_bytes": 29, "request_bytes": 24,
    "response_bytes": 18, "log_bytes": 0, "log_cut": False, "storage_delta_bytes": 0, "denials": 0, "unclaimed": 0,
    "dropped": 0,
}  # fmt: skip
_RECEIPT: Final = {
    "call_id": "7d0c5bb1e2f64f3f9a6c3d2e1f0a9b8c", "app_id": "org.example.grocery", "release": "1.0.0",
    "method": "cart.show", "ending": "completed", "usage": _USAGE,
}  # fmt: skip


class Hello(ControlParams, frozen=True, kw_only=True):
    client: Annotated[str, Meta(max_length=64)] = ""
    """What connects, for the log: a name and a version."""


class Welcome(Result, frozen=True, kw_only=True):
    protocol: int
    """1: this one. Methods and fields that are added do not change it; a client that is told another gives up."""
    role: Role
    """Whom the connection speaks for."""
    frame_bytes: int
    """The longest message that this connection may send."""
    outstanding: int
    """Requests that may wait for their answers at once."""


class Pong(Result, frozen=True, kw_only=True):
    now_us: int
    """The host's time, µs since the epoch."""


class Call(ControlParams, frozen=True, kw_only=True):
    app: AppId
    method: str
    """1 to 64 characters."""
    params: dict[str, Any] = field(default_factory=dict)
    user: User = ""
    """Whom the call acts for; '' for nobody."""
    interactive: bool = True
    """The user is looking at the program: prompts may open."""
    locale: Annotated[str, Meta(max_length=64)] = "en"
    """BCP 47."""
    time_zone: Annotated[str, Meta(max_length=64)] = "UTC"
    """IANA."""
    currency: Annotated[str, Meta(max_length=3)] = "CNY"
    """ISO 4217."""
    trace_id: Annotated[str, Meta(max_length=64)] = ""
    """What the program reads as its trace; that of `$trace` where this is left out."""


class Replied(Result, frozen=True, kw_only=True):
    value: Any
    """What the program answered."""
    receipt: Receipt


class Notify(ControlParams, frozen=True, kw_only=True):
    app: AppId
    method: str
    """1 to 64 characters."""
    params: dict[str, Any] = field(default_factory=dict)
    user: User = ""
    trace_id: Annotated[str, Meta(max_length=64)] = ""


class Taken(Result, frozen=True, kw_only=True):
    receipt: Receipt


HELLO: Final = ControlMethod(
    name="hello", role=None, params=Hello, result=Welcome, effect=False, waits=False,
    summary="Says who connects; with `$token` where the socket does not tell. Over TCP the first request.",
    example={"client": "shop-gateway 1.4", "$token": "hostel_…"},
    answer={"protocol": PROTOCOL, "role": "caller", "frame_bytes": 1_048_576, "outstanding": 1_024},
)  # fmt: skip
PING: Final = ControlMethod(
    name="ping", role=None, params=Nothing, result=Pong, effect=False, waits=False,
    summary="Nothing but an answer, with the host's time.", example={}, answer={"now_us": 1_800_000_000_000_000},
)  # fmt: skip
CALL: Final = ControlMethod(
    name="call", role=Role.CALLER, params=Call, result=Replied, effect=True,
    summary="One request to a program; the error of a call that did not complete has its receipt.",
    example={"app": "org.example.grocery", "method": "cart.show", "params": {}, "user": "alice"},
    answer={"value": {"items": {"apple": 3}}, "receipt": _RECEIPT},
)  # fmt: skip
NOTIFY: Final = ControlMethod(
    name="notify", role=Role.CALLER, params=Notify, result=Taken, effect=True,
    summary="A notification to a program: handled like a call, never interactive, and the program answers nothing.",
    example={"app": "org.example.grocery", "method": "cart.show", "params": {}, "user": "alice"},
    answer={"receipt": _RECEIPT},
)  # fmt: skip

METHODS: Final = (HELLO, PING, CALL, NOTIFY)
