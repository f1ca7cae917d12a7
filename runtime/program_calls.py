"""One program calls another, on its own budget: what host_api.program asks of the host.

What lives here: what is lent and given back, and what a caller learns of how it went. CPU time and host calls are lent
before the called program begins and what is left comes back when it is over, so that any number of calls inside one
another never use more than the outermost may. A call inside another never waits for a place: its callers hold places
too, and would wait for each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from host_api.capability import Authority, Grants
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.program import CallParams
from runtime import wire
from runtime.calls import Calls, Inside, Words
from runtime.errors import Ending, HostBusy, NotInstalled, ProgramUnavailable
from runtime.executor.job import Outcome
from runtime.limits import Limits, specs
from runtime.registry import Program, Registry, Release
from runtime.residents import One
from runtime.session import CallSession

BUSY_MS = 50
"""When to try again where a call inside another found no place."""
CPU_US_LEAST = specs(Limits)["cpu_us"].least


class ProgramCalls:
    """`host_api.program.Programs` over the calls of one host."""

    def __init__(self, *, registry: Registry, calls: Calls) -> None:
        self._registry, self._calls = registry, calls

    async def call(
        self, session: CallSession, params: CallParams, *, narrow: Grants | None, delegated: Authority | None
    ) -> Any:
        """Cancelled, or ended with its caller, the called program is dropped; what it had handed to the store is done.

        Raises ApiError: LIMIT_EXCEEDED (call_depth, cpu_us, host_calls, message_in_bytes), NOT_FOUND,
        REENTRANT_CALL, BUSY (no place now, or the program is asked too often), PROGRAM_FAILED (`details.ending` says
        how it ended, `details.error` what it answered).
        """
        program, release = self._find(params.program, session.user)
        message = wire.request(1, params.method, params.params)
        if len(message) > (most := release.limits.message_in_bytes):
            raise limit_exceeded("message_in_bytes", most, len(message), "bytes", "the message to the program")
        limits = _lent(session, release.limits, params)
        authority = release.authority if narrow is None else release.authority.narrowed(narrow)
        inside = Inside(caller=session, limits=limits, authority=authority, delegated=delegated)
        async with self._turn(session, program, release, len(message)) as one:
            outcome = await self._lending(session, program, release, params.method, message, inside, one)
        return _value(params.program, outcome)

    async def _lending(
        self, session: CallSession, program: Program, release: Release, method: str, message: bytes, inside: Inside,
        one: One | None,
    ) -> Outcome:  # fmt: skip
        """The call, on what its caller lends; what is left of that comes back."""
        self._enter(program, release)
        limits = inside.limits
        usage = session.usage
        usage.called_cpu_us += limits.cpu_us
        usage.host_calls += limits.host_calls
        used_cpu_us = used_calls = 0
        try:
            outcome, receipt = await self._calls.admitted(
                program, release, method, message, _words(session), inside=inside, one=one
            )
            used_cpu_us = receipt.usage.cpu_us + receipt.usage.called_cpu_us
            used_calls = receipt.usage.host_calls
        finally:
            usage.called_cpu_us -= limits.cpu_us - used_cpu_us
            usage.host_calls -= limits.host_calls - used_calls
        return outcome

    @asynccontextmanager
    async def _turn(
        self, session: CallSession, program: Program, release: Release, message_bytes: int
    ) -> AsyncIterator[One | None]:
        """The user's sandbox of a resident program. Raises ApiError: REENTRANT_CALL where a call that this one is
        inside of is in it, BUSY where another one is."""
        if release.lifetime != "resident" or not session.user:
            yield None
            return
        caller: CallSession | None = session
        while caller is not None:
            if caller.app_id == program.app_id and caller.user == session.user:
                raise ApiError(
                    ErrorCode.REENTRANT_CALL,
                    "a call that this one is inside of is in the program's sandbox for this user, which takes one at a"
                    " time",
                    details={"program": program.app_id},
                )
            caller = caller.caller
        try:
            one = await self._calls.residents.take(program, release, session.user, message_bytes, waits=False)
        except HostBusy:
            raise ApiError(ErrorCode.BUSY, "the user's sandbox has a call in it", retry_after_ms=BUSY_MS) from None
        try:
            yield one
        finally:
            self._calls.residents.give(one)

    async def as_caller(self, session: CallSession, method: str, params: Mapping[str, Any]) -> Any:
        """Raises ApiError: CAPABILITY_NOT_GRANTED where nothing was delegated, and whatever the method answers."""
        if session.delegation is None:
            raise ApiError(
                ErrorCode.CAPABILITY_NOT_GRANTED,
                "this call was given no delegation: its caller names one in program.call's delegate",
            )
        return await self._calls.broker.ask(session.delegation, method, params)

    def _find(self, app_id: str, user: str) -> tuple[Program, Release]:
        try:
            return self._registry.find(app_id, user)
        except (NotInstalled, ProgramUnavailable):
            raise ApiError(ErrorCode.NOT_FOUND, "no such program is installed") from None

    def _enter(self, program: Program, release: Release) -> None:
        """Takes a place in its program's admission, which `Calls.admitted` gives back."""
        if program.admission.some_idle:
            self._calls.residents.make_room(program, release.memory_bytes)
        try:
            entered = self._calls.has_room(release.group) and program.admission.enter_at_once(
                self._calls.broker.now_us(), release.memory_bytes
            )
        except HostBusy:
            entered = False
        except NotInstalled:
            raise ApiError(ErrorCode.NOT_FOUND, "no such program is installed") from None
        if not entered or self._calls.closing:
            raise ApiError(ErrorCode.BUSY, "no place for a call inside a call now", retry_after_ms=BUSY_MS)


def _words(session: CallSession) -> Words:
    return Words(
        session.user,
        session.interactive,
        session.locale,
        session.time_zone,
        session.currency,
        session.trace_id,
        session.traceparent,
    )


def _lent(session: CallSession, own: Limits, params: CallParams) -> Limits:
    """The called program's own limits, inside what is left of its caller's. Raises ApiError LIMIT_EXCEEDED."""
    limits, usage = session.limits, session.usage
    if session.depth >= limits.call_depth:
        raise limit_exceeded("call_depth", limits.call_depth, session.depth + 1, "calls", "programs calling programs")
    cpu_left = limits.cpu_us - usage.cpu_us - usage.called_cpu_us
    calls_left = limits.host_calls - usage.host_calls
    cpu_us = min(own.cpu_us, cpu_left // 2 if params.cpu_us is None else params.cpu_us)
    host_calls = min(own.host_calls, max(0, calls_left // 2) if params.host_calls is None else params.host_calls)
    if not CPU_US_LEAST <= cpu_us <= cpu_left:
        used = limits.cpu_us - cpu_left + max(cpu_us, CPU_US_LEAST)
        raise limit_exceeded("cpu_us", limits.cpu_us, used, "µs", "CPU time of this call with what it lends")
    if host_calls > calls_left:
        used = usage.host_calls + host_calls
        raise limit_exceeded("host_calls", limits.host_calls, used, "calls", "host calls of this call and those lent")
    wall_ms = max(1, int((session.deadline.ends_at - trio.current_time()) * 1_000))
    changed: Limits = own.changed(
        {
            "cpu_us": cpu_us,
            "host_calls": host_calls,
            "wall_ms": min(own.wall_ms, wall_ms),
            "call_depth": min(own.call_depth, limits.call_depth),
        }
    )
    return changed


def _value(app_id: str, outcome: Outcome) -> Any:
    """What the called program answered; PROGRAM_FAILED for every other ending."""
    if outcome.ending is Ending.COMPLETED:
        return outcome.value
    details: dict[str, Any] = {"program": app_id, "ending": outcome.ending.value}
    if "error" in outcome.details:
        told = outcome.details["error"]
        details["error"] = {"code": told["code"][:64], "message": told["message"][:200]}
    raise ApiError(ErrorCode.PROGRAM_FAILED, f"{app_id} gave no result: {outcome.ending.value}", details=details)
