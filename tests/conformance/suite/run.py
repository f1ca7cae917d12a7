"""Plays cases on a target, some at a time, and gives their verdicts in the order of the cases."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .case import Case, CaseError
from .expand import expand
from .expectations import Expectations
from .matching import PatternError
from .target import Target, TargetError
from .verdict import Outcome, Verdict, judge, verdict


def play(
    cases: Sequence[Case],
    command: str,
    *,
    guests: Path,
    expectations: Expectations,
    jobs: int = 1,
    seconds: float,
    ended: Callable[[Verdict], None] = lambda _: None,
) -> list[Verdict]:
    """`jobs` targets at once, each one case at a time; `seconds` for each case. `ended` is told of each verdict as it
    comes, from any thread."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(cases)):
        waiting.put(number)
    verdicts: dict[int, Verdict] = {}
    faults: list[BaseException] = []

    def work() -> None:
        with Target(command, seconds=seconds) as target:
            while not faults:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    verdicts[number] = expectations.seen(_one(cases[number], target, guests, expectations))
                except BaseException as error:
                    faults.append(error)
                    return
                ended(verdicts[number])

    threads = [threading.Thread(target=work) for _ in range(max(1, min(jobs, len(cases))))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:  # from the keyboard: each ends with the case that it plays
        faults.append(error)
        raise
    if faults:
        raise faults[0]
    return [verdicts[number] for number in range(len(cases))]


def _one(case: Case, target: Target, guests: Path, expectations: Expectations) -> Verdict:
    if why := expectations.skip(case.id):
        return verdict(case, Outcome.SKIPPED, why)
    expanded, began = expand(case, guests), time.monotonic()
    try:
        result = target.play(expanded.message)
    except TargetError as error:
        return verdict(case, Outcome.BROKEN, str(error), seconds=time.monotonic() - began)
    try:
        return judge(case, expanded, result, time.monotonic() - began)
    except PatternError as error:
        raise CaseError(f"{case.id}: {error}") from None
