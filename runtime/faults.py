"""Faults on purpose: what the host answers now and then, asked for by a developer or a scenario.

What lives here: the kinds of faults, and what stands between a program and the services while some are asked for. Only
a host that was opened with `Outside(faults=…)` has it; in any other nothing of this is on the way of a call.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import trio

from host_api.contract import Bound, Method, Session
from host_api.errors import ApiError, ErrorCode
from host_api.services import METHODS
from runtime.errors import UsageError

FAULTS_MOST: Final = 1_000
"""Faults asked for and not over."""
TIMES_MOST: Final = 1_000_000
MS_MOST: Final = 600_000
RETRY_AFTER_MS: Final = 50
"""What `busy` says."""

_METHODS: Final[Mapping[str, Method[Any, Any]]] = {method.name: method for method in METHODS}
Sleep = Callable[[float], Awaitable[object]]


class Kind(StrEnum):
    """What happens instead (docs/scenarios.md)."""

    BUSY = "busy"
    UNKNOWN_OUTCOME = "unknown_outcome"
    SLOW = "slow"
    ERROR = "error"
    DUPLICATE_EVENT = "duplicate_event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, checked as it is made: only what the method may answer of itself can be asked for."""

    kind: Kind
    method: str = ""
    """A method of the host API; '' for `duplicate_event`, which is of no method."""
    times: int = 1
    ms: int = 0
    """Of `slow`: how long it takes before it is done."""
    code: ErrorCode | None = None
    """Of `error`: one of the method's errors."""

    def __post_init__(self) -> None:
        if not 1 <= self.times <= TIMES_MOST:
            raise UsageError(f"times = {self.times}: must be from 1 to {TIMES_MOST}")
        if (self.kind is Kind.SLOW) != (self.ms > 0) or not 0 <= self.ms <= MS_MOST:
            raise UsageError(f"ms = {self.ms}: slow takes from 1 to {MS_MOST}, no other kind takes it")
        if (self.kind is Kind.ERROR) != (self.code is not None):
            raise UsageError("error takes a code, no other kind takes one")
        if self.kind is Kind.DUPLICATE_EVENT:
            if self.method:
                raise UsageError("duplicate_event is of the next event and names no method")
            return
        method = _METHODS.get(self.method)
        if method is None:
            near = difflib.get_close_matches(self.method[:64], _METHODS, n=1)
            hint = f"did you mean {near[0]}?" if near else "hostel api methods lists them"
            raise UsageError(f"no method {ascii(self.method)[:80]}: {hint}")
        answered = self.answers
        if answered is not None and answered not in method.errors:
            known = ", ".join(code.code for code in method.errors) or "none"
            raise UsageError(f"{method.name} never answers {answered.code}; its errors: {known}")

    @property
    def answers(self) -> ErrorCode | None:
        """What the program is told; None where it is not refused."""
        match self.kind:
            case Kind.BUSY:
                return ErrorCode.BUSY
            case Kind.UNKNOWN_OUTCOME:
                return ErrorCode.UNKNOWN_OUTCOME
            case _:
                return self.code

    @classmethod
    def parse(cls, text: str) -> Fault:
        """As the command line has it: `payment.request=slow:2000`, `storage.put=error:version_conflict`,
        `storage.put=busy*3`, `duplicate_event`. Raises UsageError."""
        told, _, times = text.partition("*")
        method, _, kind = told.rpartition("=")
        name, _, more = kind.partition(":")
        try:
            if not method and name != Kind.DUPLICATE_EVENT:
                raise ValueError(name)  # a method without a kind, or a kind without a method
            return cls.of(kind=name, method=method, times=int(times or 1), **_of_kind(name, more))
        except ValueError:
            raise UsageError(
                f"no fault {ascii(text)[:80]}: write METHOD=KIND, KIND:MS or KIND:CODE, with *TIMES if more than once;"
                f" kinds are {', '.join(Kind)}"
            ) from None

    @classmethod
    def of(cls, *, kind: str, method: str = "", times: int = 1, ms: int = 0, code: str = "") -> Fault:
        """From plain words, as files and the command line have them. Raises UsageError."""
        if kind not in Kind.__members__.values():
            raise UsageError(f"no kind {ascii(kind)[:80]}: known are {', '.join(Kind)}")
        if code and code.upper() not in ErrorCode.__members__:
            known = ", ".join(each.code for each in _METHODS[method].errors) if method in _METHODS else ""
            hint = f"its errors: {known or 'none'}" if method in _METHODS else "hostel api show METHOD lists them"
            raise UsageError(f"no error code {ascii(code)[:80]}; {hint}")
        return cls(kind=Kind(kind), method=method, times=times, ms=ms, code=ErrorCode[code.upper()] if code else None)


def _of_kind(kind: str, more: str) -> dict[str, Any]:
    if kind == Kind.SLOW:
        return {"ms": int(more)}
    return {"code": more} if more else {}


class Faults:
    """The faults of one host (host_api.services.Interference). Used from its trio thread; `add` and `clear` at any
    moment, also while it runs."""

    def __init__(self, *, sleep: Sleep = trio.sleep) -> None:
        """`sleep` is how `slow` lets its time pass."""
        self._sleep = sleep
        self._asked: list[Fault] = []

    @property
    def asked(self) -> tuple[Fault, ...]:
        """What has not happened yet, the next first."""
        return tuple(self._asked)

    def add(self, fault: Fault) -> None:
        """After those that are there. Raises UsageError where there are too many."""
        if len(self._asked) >= FAULTS_MOST:
            raise UsageError(f"{FAULTS_MOST} faults are asked for already")
        self._asked.append(fault)

    def clear(self) -> None:
        self._asked.clear()

    def around(self, bound: Bound) -> Bound:
        """The method with its faults before it. It waits, whatever it did: it may be slow."""
        name, run = bound.method.name, bound.run

        async def answer(session: Session, params: Any) -> Any:
            fault = self._take(name)
            if fault is None:
                return await _result(run(session, params))
            if fault.kind is Kind.SLOW:
                await self._sleep(fault.ms / 1_000)
                return await _result(run(session, params))
            if fault.kind is Kind.UNKNOWN_OUTCOME:
                await _result(run(session, params))
            raise _refusal(fault)

        return Bound(dataclasses.replace(bound.method, waits=True), answer)

    def deliveries(self) -> int:
        """How often the event that is pushed next is delivered."""
        return 1 if self._take("") is None else 2

    def _take(self, method: str) -> Fault | None:
        for at, fault in enumerate(self._asked):
            if fault.method == method:
                if fault.times == 1:
                    del self._asked[at]
                else:
                    self._asked[at] = dataclasses.replace(fault, times=fault.times - 1)
                return fault
        return None


async def _result(answered: Any) -> Any:
    return await answered if inspect.isawaitable(answered) else answered


def _refusal(fault: Fault) -> ApiError:
    code = fault.answers
    if code is None:
        raise RuntimeError("only faults that refuse come here")
    return ApiError(
        code, f"a fault that was asked for: {code.cure}", details={"fault": fault.kind.value},
        retry_after_ms=RETRY_AFTER_MS if code.retryable else None,
    )  # fmt: skip
