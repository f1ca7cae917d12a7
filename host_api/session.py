"""session.*: what a program may know about the call it is in, and sleeping. Needs no capability."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import trio

from host_api.contract import Bound, Clock, Method, Params, Result, Session

API_LEVEL = 2
"""Grows with every method or field added; a manifest asks for one with platform_version.min_code."""
SLEEP_MS_MAX = 60_000


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Which release of the program is running."""

    name: str
    """For people."""
    code: int
    """Never goes down from one release to the next."""


class InfoParams(Params, frozen=True, kw_only=True):
    """None."""


class InfoResult(Result, frozen=True, kw_only=True):
    """The session, as the host knows it."""

    app_id: str
    """The program's own."""
    release: Release
    """Which release of it is running."""
    api_level: int
    """What methods and fields this host has; platform_version.min_code of the manifest asks for one."""
    locale: str
    """BCP 47."""
    time_zone: str
    """IANA."""
    currency: str
    """ISO 4217: what amounts are shown in unless the program says otherwise."""
    config: dict[str, Any]
    """What the operator set for this program at install."""
    interactive: bool
    """The user is looking: prompts may open."""
    caller: str
    """The app_id of the program that called (program.call); '' for a call from outside."""
    time_ms: int
    """Milliseconds since the epoch, by the host's clock."""
    trace_id: str
    """For logs; a client may choose it, so it is no source of numbers that must be unique."""


class SleepParams(Params, frozen=True, kw_only=True):
    """How long. The call's deadline goes on."""

    ms: Annotated[int, msgspec.Meta(ge=0, le=SLEEP_MS_MAX)]
    """Milliseconds."""


class SleepResult(Result, frozen=True, kw_only=True):
    """Nothing."""


INFO = Method(
    name="session.info",
    capability=None,
    params=InfoParams,
    result=InfoResult,
    errors=(),
    waits=False,
    summary="The program, its release and settings, and the user's language, time zone and currency.",
    example={},
    answer={
        "app_id": "org.example.shop",
        "release": {"name": "1.0.0", "code": 1},
        "api_level": API_LEVEL,
        "locale": "en-GB",
        "time_zone": "Europe/London",
        "currency": "GBP",
        "config": {},
        "interactive": True,
        "caller": "",
        "time_ms": 1_800_000_000_000,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    },
)
SLEEP = Method(
    name="session.sleep",
    capability=None,
    params=SleepParams,
    result=SleepResult,
    errors=(),
    waits=True,
    summary="Wait without using CPU time.",
    example={"ms": 100},
    answer={},
)


class SessionService:
    """Answers session.*; holds nothing."""

    def __init__(self, *, clock: Clock) -> None:
        self._now_us = clock.now_us

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(INFO, self.info), Bound(SLEEP, self.sleep))

    def info(self, session: Session, params: InfoParams) -> InfoResult:
        return InfoResult(
            app_id=session.app_id,
            release=Release(name=session.release_name, code=session.release_code),
            api_level=API_LEVEL,
            locale=session.locale,
            time_zone=session.time_zone,
            currency=session.currency,
            config=dict(session.config),
            interactive=session.interactive,
            caller=session.caller_app_id,
            time_ms=self._now_us() // 1_000,
            trace_id=session.trace_id,
        )

    async def sleep(self, session: Session, params: SleepParams) -> SleepResult:
        await trio.sleep(params.ms / 1_000)
        return SleepResult()
