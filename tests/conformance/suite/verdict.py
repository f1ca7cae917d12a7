"""From what a target said to a verdict: does each step's answer match what the case wants?"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET

from .case import Case, Step
from .expand import Expanded
from .matching import at_pointer, differences, filled, shown


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """The target does not have what the case needs, and said so."""
    BROKEN = "broken"
    """The target died, was too late, or said what is no result."""
    FAILED_AS_EXPECTED = "failed as expected"
    PASSED_UNEXPECTEDLY = "passed unexpectedly"
    """The expectations say that it fails: they are stale, and so the run fails."""

    @property
    def is_good(self) -> bool:
        return self in (Outcome.PASSED, Outcome.SKIPPED, Outcome.FAILED_AS_EXPECTED)


class StepTold(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what was sent, what was wanted, what came."""

    say: str
    sent: Any
    wanted: Any
    came: Any
    wrong: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one case."""

    id: str
    section: str
    level: str
    about: str
    must: tuple[str, ...]
    outcome: Outcome
    reason: str = ""
    steps: tuple[StepTold, ...] = ()
    seconds: float = 0.0


def judge(case: Case, expanded: Expanded, result: Any, seconds: float) -> Verdict:
    """`result` is what the target wrote, already known to be JSON."""
    if isinstance(result, dict) and isinstance(result.get("skipped"), str):
        return verdict(case, Outcome.SKIPPED, result["skipped"], seconds=seconds)
    steps = result.get("steps") if isinstance(result, dict) else None
    if not isinstance(steps, list):
        return verdict(case, Outcome.BROKEN, f"no result with steps: {shown(result)}", seconds=seconds)
    told, before = [], len(expanded.steps) - len(case.steps)
    kept: dict[str, Any] = {}
    for number, sent in enumerate(expanded.steps):
        step = case.steps[number - before] if number >= before else expanded.first_step
        came = steps[number] if number < len(steps) else None
        told.append(_step(step, sent, came, kept))
        if told[-1].wrong:
            break
    wrong = next((line for step in told for line in step.wrong), "")
    outcome = Outcome.FAILED if wrong else Outcome.PASSED
    return verdict(case, outcome, wrong, tuple(told), seconds)


def _step(step: Step, sent: Any, came: Any, kept: dict[str, Any]) -> StepTold:
    if step.expect_error is not UNSET:
        wanted: Any = {"error": step.expect_error}
    elif step.expect is not UNSET:
        wanted = {"result": step.expect}
    elif step.start is not UNSET or step.cancel is not UNSET:
        wanted = {}
    else:
        wanted = {"result": {"$any": True}}
    if step.expect_items is not UNSET:
        wanted["items"] = step.expect_items
    wanted = filled(wanted, kept)
    if not isinstance(came, dict):
        wrong: tuple[str, ...] = (f"the target said nothing about this step: {shown(came)}",)
    else:
        wrong = tuple(differences(wanted, came)) or tuple(_keep(step, came, kept))
    return StepTold(say=step.say, sent=sent, wanted=wanted, came=came, wrong=wrong)


def _keep(step: Step, came: dict[str, Any], kept: dict[str, Any]) -> Iterator[str]:
    """Remembers what later steps need of this one; a sentence for each thing that is not there."""
    for name, pointer in step.keep.items():
        try:
            kept[name] = at_pointer(came.get("result"), pointer)
        except LookupError:
            yield f"/result{pointer}: something is wanted, to be kept as {name}, and there is nothing"


def verdict(
    case: Case, outcome: Outcome, reason: str = "", steps: tuple[StepTold, ...] = (), seconds: float = 0.0
) -> Verdict:
    return Verdict(
        id=case.id, section=case.section, level=case.level, about=case.about, must=case.must, outcome=outcome,
        reason=reason, steps=steps, seconds=seconds,
    )  # fmt: skip
