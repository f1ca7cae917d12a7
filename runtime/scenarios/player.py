"""Playing a scenario: its steps one after the other on a stage, until the end or the first that fails.

What lives here: what each step does, and how what came is held against what was expected. Where the stage comes from is
stage.py's.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from host_api.errors import ApiError
from host_api.services import Interference
from runtime.bundle.refusal import shown
from runtime.errors import HostelError
from runtime.scenarios import patterns
from runtime.scenarios.patterns import MISSING, Mismatch
from runtime.scenarios.project import Installed
from runtime.scenarios.reading import At
from runtime.scenarios.scenario import Scenario
from runtime.scenarios.stage import Answered, Place, Stage, Unanswered
from runtime.scenarios.steps import (
    ANSWERS,
    PAYEE,
    AddFault,
    AddNetwork,
    Advance,
    Answer,
    Balances,
    Call,
    Grant,
    Log,
    Notices,
    Notify,
    Restart,
    Revoke,
    RevokeConsent,
    Step,
)
from runtime.scenarios.world import World, new_world, open_world

STEP_SECONDS: Final = 150.0
"""Of real time, for one step. A call has its own deadline long before."""
Watch = Callable[[Interference], Interference]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a step failed."""

    problem: str
    """One sentence."""
    mismatch: Mismatch | None = None
    came: Any = None
    """All of what the mismatch lies in."""
    hints: Sequence[str] = ()
    """What else happened in this step: prompts that nobody answered, requests to outside that nothing answers, lines
    that were logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one step."""

    number: int
    """From 1."""
    title: str
    seconds: float
    failure: Failure | None = None
    answered: Answered | None = None
    """Of `call` and `notify`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What became of a scenario: its steps as far as it came."""

    scenario: Scenario
    place: str
    results: tuple[Result, ...]

    @property
    def failed(self) -> Result | None:
        """The step that failed, which is the last one that was played."""
        return next((result for result in self.results if result.failure is not None), None)


class _Failed(Exception):
    def __init__(self, problem: str, mismatch: Mismatch | None = None, came: Any = None) -> None:
        super().__init__(problem)
        self.failure = Failure(problem=problem, mismatch=mismatch, came=came)


async def play(
    scenario: Scenario, programs: Sequence[Installed], place: Place, *,
    told: Callable[[Result], None] = lambda result: None, watch: Watch | None = None,
) -> Played:  # fmt: skip
    """The scenario on a host of its own at that place, which is gone when this returns. `programs`: the project's own
    first. `told` hears of each step as it ends. `watch` may put something between the programs and the faults.

    Raises HostelError where the host does not start, or does not take a program: then no step was played.
    """
    results: list[Result] = []
    world_told = new_world(now_us=scenario.clock_us, seed=scenario.seed, entries=scenario.network)
    with tempfile.TemporaryDirectory(prefix="hostel-") as folder:
        async with open_world(world_told) as world, AsyncExitStack() as stack:
            if watch is not None:
                world.watched = watch(world.faults)
            playing = _Playing(
                scenario, programs[0].bundle.manifest.app_id, world, place, Path(folder) / "state", stack
            )
            await playing.begin(programs)
            for number, step in enumerate(scenario.steps, 1):
                result = await playing.result(number, step)
                results.append(result)
                told(result)
                if result.failure is not None:
                    break
    return Played(scenario=scenario, place=place.name, results=tuple(results))


@dataclass(slots=True)
class _Playing:
    """One scenario as it is played."""

    scenario: Scenario
    app_id: str
    world: World
    place: Place
    state: Path
    stack: AsyncExitStack
    stage: Stage = field(init=False)
    kept: dict[str, Any] = field(default_factory=dict)
    answered: Answered | None = None

    async def begin(self, programs: Sequence[Installed]) -> None:
        await self._open()
        for program in programs:
            await self.stage.install(program)
        await self.stage.know(self.scenario.users)

    async def _open(self) -> None:
        self.stage = await self.stack.enter_async_context(self.place.open(self.world, self.state))

    async def result(self, number: int, step: Step) -> Result:
        """Plays one step, whatever becomes of it."""
        began, self.answered, failure = time.perf_counter(), None, None
        lines = len(self.world.lines)
        self.world.next_scene()
        self.world.network.unmatched.clear()
        self.world.users.unanswered.clear()
        try:
            if isinstance(step, Restart):  # outside of the scope: it closes what was opened before it
                await self.stack.aclose()
                await self._open()
            with trio.fail_after(STEP_SECONDS):
                await self._play(step)
                await self.stage.settle()
        except _Failed as failed:
            failure = failed.failure
        except trio.TooSlowError:
            failure = Failure(problem=f"not over within {STEP_SECONDS:.0f} s")
        except Unanswered as error:
            failure = Failure(problem=str(error))
        except (HostelError, ApiError) as error:
            failure = Failure(problem=f"{error.message} ({_code(error)})")
        if failure is not None:
            failure = Failure(
                problem=failure.problem, mismatch=failure.mismatch, came=failure.came, hints=self._hints(lines)
            )  # fmt: skip
        return Result(
            number=number, title=title(step), seconds=time.perf_counter() - began, failure=failure,
            answered=self.answered,
        )  # fmt: skip

    def _hints(self, lines: int) -> list[str]:
        asked = [
            f"a prompt for {kind} was put aside: answers said nothing to it" for kind in self.world.users.unanswered
        ]
        outside = [f"nothing in network is about {request}" for request in self.world.network.unmatched]
        logged = [f"logged: {line.level}: {line.text}" for line in self.world.lines[lines:][-10:]]
        return asked + outside + logged

    async def _play(self, step: Step) -> None:
        match step:
            case Call():
                await self._call(step)
            case Notify():
                self.answered = await self.stage.notify(self.app_id, step.method, self._params(step.params), step.user)
                if self.answered.ending != "completed":
                    raise _Failed(f"the notification ended as {self.answered.ending}", came=self.answered.error)
            case Advance():
                self.world.clock.advance(us=step.us)
            case AddFault():
                self.world.faults.add(step.fault)
            case AddNetwork():
                self.world.network.add(step.entries)
            case Answer():
                kind, is_yes = ANSWERS[step.answer]
                await self.stage.answer(step.user, kind, is_yes)
            case RevokeConsent():
                await self.stage.revoke_consent(self.app_id, step.user, step.scopes)
            case Grant():
                await self.stage.grant(self.app_id, step.grant)
            case Revoke():
                await self.stage.revoke(self.app_id, step.capabilities)
            case Balances():
                await self._balances(step)
            case Notices():
                texts = [notice.text for notice in await self.stage.take_notices(step.user)]
                self._expect("the messages are", patterns.filled(list(step.expect), self.kept), texts)
            case Log():
                self._log(step)

    def _params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        filled: dict[str, Any] = patterns.decoded(At(patterns.filled(dict(params), self.kept), "params", "the step"))
        return filled

    async def _call(self, step: Call) -> None:
        users = self.world.users
        users.answers, users.problems = list(step.answers), []
        users.call_begins()
        user = self.scenario.user(step.user)
        answered = await self.stage.call(self.app_id, step.method, self._params(step.params), step.user, user)
        self.answered = answered
        await users.call_ends()
        self._judge(step, answered)
        if users.problems:
            raise _Failed(users.problems[0])
        if users.answers:
            raise _Failed(f"no prompt came for the answers {', '.join(users.answers)}", came=answered.result)
        for name, pointer in step.keep.items():
            value = patterns.pointed(answered.result if answered.error is None else answered.error, pointer)
            if value is MISSING:
                raise _Failed(f"keep: the answer has nothing at {pointer}", came=answered.result)
            self.kept[name] = value

    def _judge(self, step: Call, answered: Answered) -> None:
        if step.expect_error is not None:
            if answered.error is None:
                raise _Failed(f"it completed; the error {step.expect_error['code']} was expected", came=answered.result)
            self._expect("the error is", patterns.filled(dict(step.expect_error), self.kept), dict(answered.error))
        elif answered.error is not None:
            raise _Failed(f"the call ended as {answered.ending}: {why(answered)}", came=dict(answered.error))
        elif step.expects:
            self._expect("the answer is", patterns.filled(step.expect, self.kept), answered.result)
        if step.receipt is not None:
            self._expect("the receipt is", patterns.filled(dict(step.receipt), self.kept), dict(answered.receipt or {}))

    def _expect(self, what: str, pattern: Any, value: Any) -> None:
        found = patterns.mismatch(pattern, value)
        if found is not None:
            raise _Failed(f"{what} not what was expected at {found.path or 'the root'}", found, value)

    async def _balances(self, step: Balances) -> None:
        for name, amounts in step.balances.items():
            for currency, amount in amounts.items():
                asked = self.stage.paid_to(self.app_id, currency) if name == PAYEE else self.stage.spendable(
                    name, currency
                )  # fmt: skip
                came = await asked
                if came != amount:
                    raise _Failed(
                        f"the balance of {name} is not what was expected",
                        Mismatch(path=f"/{name}/amount", expected=amount, came=came),
                        {"amount": came, "currency": currency},
                    )

    def _log(self, step: Log) -> None:
        lines = [line.text for line in self.world.lines if line.app_id == self.app_id]
        for part in (patterns.filled(text, self.kept) for text in step.parts):
            if not any(part in line for line in lines):
                raise _Failed(f"no line of the log has {part!r}", came=lines[-20:])
        for part in (patterns.filled(text, self.kept) for text in step.never):
            if found := [line for line in lines if part in line]:
                raise _Failed(f"a line of the log has {part!r}", came=found[0])


def title(step: Step) -> str:
    """One line that says what a step does."""
    return step.say or _titled(step)


def _titled(step: Step) -> str:
    match step:
        case Call() | Notify():
            return f"{step.method}{f' by {step.user}' if step.user else ''}"
        case Advance():
            return f"{step.us / 1e6:g} s later"
        case Answer():
            return f"{step.user}: {step.answer}"
        case AddFault():
            return f"fault: {step.fault.kind.value} {step.fault.method}".rstrip()
        case _:
            return _WORDS[type(step)]


_WORDS: Final[Mapping[type, str]] = {
    Restart: "the host is restarted", AddNetwork: "outside changes", RevokeConsent: "consent is taken back",
    Grant: "the operator grants", Revoke: "the operator revokes", Balances: "balances", Notices: "messages",
    Log: "the log",
}  # fmt: skip


def why(answered: Answered) -> str:
    """The error of a call, and where in a script it was thrown."""
    error: Mapping[str, Any] = answered.error or {}
    code, message, details = error.get("code"), error.get("message"), error.get("details")
    told = f"{message}" if code == answered.ending else f"{code}: {message}"
    if code == "script_error" and isinstance(details, Mapping) and isinstance(details.get("line"), int):
        told += f" ({shown(details.get('path'))[1:-1]}, line {details['line']}, column {details.get('column')})"
    return told


def _code(error: HostelError | ApiError) -> str:
    return error.code if isinstance(error.code, str) else error.code.code
