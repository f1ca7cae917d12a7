"""Methods that steer a host as a process: its configuration read again, drained, stopped."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from host_api.contract import Result
from runtime.control.method import ControlMethod, ControlParams, Done, Nothing, Role

DRAIN_S_MAX: Final = 86_400.0


class Change(Result, frozen=True, kw_only=True):
    setting: str
    """Section and key, such as `[limits] cpu_us`."""
    before: str
    after: str


class Reloaded(Result, frozen=True, kw_only=True):
    changes: tuple[Change, ...]
    """In effect now."""
    waiting: tuple[str, ...]
    """Settings that differ too, and take effect with the next start."""


class Drain(ControlParams, frozen=True, kw_only=True):
    seconds: Annotated[float, Meta(ge=0, le=DRAIN_S_MAX)] | None = None
    """How long calls in flight have before they end as `cancelled`; left out: as `[host] drain_s` says."""


class Drained(Result, frozen=True, kw_only=True):
    calls_in_flight: int
    """When it began; none is now."""


RELOAD: Final = ControlMethod(
    name="host.reload", role=Role.OPERATOR, params=Nothing, result=Reloaded, effect=True,
    summary="Reads the configuration again, as SIGHUP has it read: what changes is in the audit, with who asked.",
    example={}, answer={
        "changes": [{"setting": "[limits] cpu_us", "before": "50000", "after": "70000"}],
        "waiting": ["[http] port"],
    },
)  # fmt: skip
DRAIN: Final = ControlMethod(
    name="host.drain", role=Role.OPERATOR, params=Drain, result=Drained, effect=True,
    summary="No new calls until the host is started anew; answered when none is in flight. All else goes on.",
    example={"seconds": 10.0}, answer={"calls_in_flight": 3},
)  # fmt: skip
STOP: Final = ControlMethod(
    name="host.stop", role=Role.OPERATOR, params=Nothing, result=Done, effect=True,
    summary="Begins what SIGTERM begins: drain, close, exit. Answered at once; the connection ends with the host.",
    example={}, answer={},
)  # fmt: skip

METHODS: Final = (RELOAD, DRAIN, STOP)
