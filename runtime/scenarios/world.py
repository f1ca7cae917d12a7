"""The world of a scenario: its clock, its users, what is outside, and what goes wrong. A host is opened in it.

What lives here: all that a host is handed instead of the system's own. It may be carried from one process to the next,
as a value (`told`, `open_world`): `hostel run --world` plays one call in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio
from trio.testing import MockClock

from host_api.prompts.cashier import Decision, Later
from host_api.prompts.desk import Desk
from host_api.prompts.prompt import Prompt
from host_api.services import Interference, Outside
from runtime.faults import Fault, Faults
from runtime.rehearsal import Rehearsal
from runtime.scenarios import network
from runtime.scenarios.network import Entry, FakeNetwork
from runtime.scenarios.steps import ANSWERS, WAIT
from runtime.session import CallSession
from runtime.testing import VirtualClock

ANSWER_SECONDS: Final = 2.0
"""How long answers to prompts that a call left open may take to be carried out."""
LINES_MOST: Final = 10_000
"""Log lines kept; a scenario's programs are over their own limit long before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that a program logged."""

    app_id: str
    level: str
    text: str


class ScriptedUsers:
    """The users, as a cashier: they say what the step says, and put aside what it says nothing about.

    Where the call waits for them they answer at once; where it does not, after it: never beside it, so that the same
    happens each time. `desk` is the host's, set when one is opened."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        """What is said to the prompts to come, in order."""
        self.problems: list[str] = []
        self.unanswered: list[str] = []
        """Kinds of the prompts that were put aside because no answer was left."""
        self.desk: Desk | None = None
        self._call_is_over = trio.Event()
        self._shown = 0
        self._answered: set[str] = set()

    def call_begins(self) -> None:
        """From here on the answers are for its prompts."""
        self._call_is_over = trio.Event()
        self._answered.clear()

    async def call_ends(self) -> None:
        """The prompts that the call left open are answered, as far as there are answers."""
        self._call_is_over.set()
        with trio.move_on_after(ANSWER_SECONDS):
            while self.desk is not None and self._is_busy(self.desk):  # noqa: ASYNC110  # the desk tells nobody
                await trio.sleep(0.001)

    def _is_busy(self, desk: Desk) -> bool:
        """Prompts are shown, answers are carried out, or there are answers for a prompt that is about to be shown."""
        if self._shown or any(desk.find(prompt_id) for prompt_id in self._answered):
            return True
        return bool(self.answers) and desk.count() > 0

    async def confirm(self, prompt: Prompt) -> Decision | Later:
        """See `Cashier`."""
        self._shown += 1
        try:
            await trio.lowlevel.checkpoint()
            if self.desk is not None and not self.desk.is_awaited(prompt.id):
                await self._call_is_over.wait()
            return self._said(prompt)
        finally:
            self._shown -= 1

    def _said(self, prompt: Prompt) -> Decision | Later:
        if not self.answers:
            self.unanswered.append(prompt.kind)
            return Later()
        answer = self.answers.pop(0)
        if answer == WAIT:
            return Later()
        kind, is_yes = ANSWERS[answer]
        if kind != prompt.kind:
            self.problems.append(f"the answer {answer} came to a prompt for {prompt.kind}: {dict(prompt.shown)}")
            return Later()
        self._answered.add(prompt.id)
        return Decision.approve(prompt) if is_yes else Decision.decline(prompt)


class World:
    """Made by `open_world`; used from the trio thread, by one host at a time."""

    def __init__(self, told: Mapping[str, Any], nursery: trio.Nursery) -> None:
        self.clock = VirtualClock(told["now_us"])
        self.scene = told["scene"]
        self.rehearsal = Rehearsal(told["seed"])
        self.rehearsal.begin(self.scene)
        self.users = ScriptedUsers()
        self.users.answers = list(told["answers"])
        self.faults = Faults(sleep=sleep)
        for each in told["faults"]:
            self.faults.add(Fault.of(**each))
        self.network = FakeNetwork([network.of_dict(each) for each in told["network"]], nursery)
        self.lines: list[Line] = []
        self.watched: Interference = self.faults
        """What stands before the services: the faults, unless somebody looks over their shoulder."""

    def next_scene(self) -> None:
        """What is random from here on follows from the seed and the number of the scene alone."""
        self.scene += 1
        self.rehearsal.begin(self.scene)

    def host_arguments(self) -> dict[str, Any]:
        """For `Host.open`."""
        return {
            "cashier": self.users,
            "clock": self.clock,
            "rehearsal": self.rehearsal,
            "log_sink": self.log,
            "outside": Outside(http=self.network.access, faults=self.watched),
        }

    def take(self, told: Mapping[str, Any]) -> None:
        """What became of it in another process that was told it."""
        self.users.answers, self.users.problems = list(told["answers"]), list(told["problems"])
        self.faults.clear()
        for each in told["faults"]:
            self.faults.add(Fault.of(**each))
        self.network.entries = [network.of_dict(each) for each in told["network"]]
        self.network.unmatched += told["unmatched"]
        for app_id, level, text in told["lines"]:
            self.lines.append(Line(app_id=app_id, level=level, text=text))

    def log(self, session: CallSession, level: str, line: str) -> None:
        """See `LogSink`."""
        if len(self.lines) < LINES_MOST:
            self.lines.append(Line(app_id=session.app_id, level=level, text=line))

    def told(self) -> dict[str, Any]:
        """It as plain values, for another process; the lines that were logged are not among them."""
        return {
            "now_us": self.clock.now_us(), "seed": self.rehearsal.seed, "scene": self.scene,
            "answers": self.users.answers, "network": [network.as_dict(entry) for entry in self.network.entries],
            "faults": [_words(fault) for fault in self.faults.asked],
        }  # fmt: skip


@asynccontextmanager
async def open_world(told: Mapping[str, Any]) -> AsyncIterator[World]:
    """A world as it was told; what runs in it ends with the block, and what the block raises comes out as it is."""
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield World(told, nursery)
        except BaseException as error:
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


def new_world(*, now_us: int, seed: int, entries: Sequence[Entry]) -> dict[str, Any]:
    """What a world is at its beginning."""
    return {
        "now_us": now_us, "seed": seed, "scene": 0, "answers": [], "faults": [],
        "network": [network.as_dict(entry) for entry in entries],
    }  # fmt: skip


async def sleep(seconds: float) -> None:
    """So long by the deadlines of calls. Where trio runs by a clock that can be moved, nobody waits for it."""
    until, clock = trio.current_time() + seconds, trio.lowlevel.current_clock()
    if isinstance(clock, MockClock):
        clock.jump(seconds)
    await trio.sleep_until(until)


def _words(fault: Fault) -> dict[str, Any]:
    """As `Fault.of` takes them."""
    code = "" if fault.code is None else fault.code.code
    return {"kind": fault.kind.value, "method": fault.method, "times": fault.times, "ms": fault.ms, "code": code}
