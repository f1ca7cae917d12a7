"""`hostel test`: plays the scenarios of a project, and says where the first step of one failed.

What lives here: the words. What a scenario is and how it is played is runtime/scenarios.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.files import write_file
from runtime.cli.stale import check_built, warn_of_stale
from runtime.errors import HostelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.scenarios.player import Failure, Played, Result
    from runtime.scenarios.project import Installed
    from runtime.scenarios.scenario import Scenario
    from runtime.scenarios.stage import Place

Through = Literal["library", "run", "dev", "daemon"]
VALUE_CHARS_MOST: Final = 2_000
"""Of a value that is shown beside a failure."""


class ScenariosFailed(HostelError):
    """At least one did. `details["scenarios"]` are all that were played."""

    code = "scenario_failed"
    exit_code = 25


def test(
    folder: Path = Path(),
    /,
    *,
    through: Annotated[Through, Parameter(help="Where calls are made: library, run, dev or daemon.")] = "library",
    only: Annotated[str, Parameter(help="The one scenario of that name.")] = "",
    junit: Annotated[Path | None, Parameter(help="Write the results to this file too, as JUnit XML.")] = None,
    as_json: report.AsJson = False,
) -> None:
    """Play every scenarios/*.json of a project, each on a host of its own with a clock of its own: production's limits,
    checks and money, and nothing of it outside. It ends with 25 where a scenario fails.

    Nothing is built: hostel build does that. docs/scenarios.md says how a scenario reads.

    Parameters
    ----------
    folder
        The project; the current folder where it is left out.
    """
    from runtime.scenarios import project

    if not folder.is_dir():
        raise UsageError(f"{shown(str(folder))} is no folder; name a project, such as hostel new makes")
    check_built(folder)
    warn_of_stale(folder)
    chosen = project.scenarios(folder, only)
    place = _place(through, folder)
    played = [_play(one, project.programs(folder, one), place, as_json) for one in chosen]
    told = [_as_dict(one) for one in played]
    if junit is not None:
        from runtime.cli.junit import written

        write_file(junit, written(played))
    failed = [one for one in played if one.failed is not None]
    if failed:
        names = ", ".join(one.scenario.name for one in failed)
        raise ScenariosFailed(
            f"{len(failed)} of {_count(len(played))} failed: {names}", details={"scenarios": told}
        )  # fmt: skip
    if as_json:
        report.show_json({"scenarios": told})
    else:
        report.show_line(f"{_count(len(played))} passed through {through}")


def _count(number: int) -> str:
    return f"{number} scenario{'' if number == 1 else 's'}"


def _place(through: Through, folder: Path) -> Place:
    from runtime.cli.run import cache_dir
    from runtime.scenarios.stage import Daemon, Library
    from runtime.scenarios.through_run import Run
    from runtime.settings import HostSettings

    settings = HostSettings(slots=8, cache_dir=cache_dir())
    if through == "dev":
        from runtime.dev.stage import Dev

        return Dev(settings=settings, folder=folder)
    places: dict[str, Callable[..., Place]] = {"library": Library, "run": Run, "daemon": Daemon}
    return places[through](settings=settings)


def _play(scenario: Scenario, programs: list[Installed], place: Place, as_json: bool) -> Played:
    from functools import partial

    import trio

    from runtime.cli.world import movable_clock
    from runtime.scenarios.player import play

    def told(result: Result) -> None:
        if not as_json:
            _show(result)

    if not as_json:
        report.show_line(f"{scenario.name}: {scenario.about}")
    return trio.run(partial(play, scenario, programs, place, told=told), clock=movable_clock())


# ---- for people ------------------------------------------------------------------------------------------------------
def _show(result: Result) -> None:
    mark = "ok  " if result.failure is None else "FAIL"
    report.show_line(f"  {mark} {result.number:>3}  {result.title}  ({result.seconds * 1_000:.0f} ms)")
    if result.failure is not None:
        for line in explained(result.failure):
            report.show_line(f"            {line}")
    sys.stdout.flush()


def explained(failure: Failure) -> list[str]:
    """What a failure is, line by line."""
    lines = [failure.problem]
    if failure.mismatch is not None:
        lines += [f"expected: {_worded(failure.mismatch.expected)}", f"came:     {_worded(failure.mismatch.came)}"]
    if failure.came is not None:
        lines.append(f"all of it: {_worded(failure.came)}")
    return lines + list(failure.hints)


def _worded(value: Any) -> str:
    from runtime.scenarios.patterns import MISSING

    if value is MISSING:
        return "nothing there"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= VALUE_CHARS_MOST else f"{text[:VALUE_CHARS_MOST]}… ({len(text)} characters)"


def _plain(value: Any) -> Any:
    from runtime.scenarios.patterns import MISSING

    return "(nothing)" if value is MISSING else value


# ---- for programs ----------------------------------------------------------------------------------------------------
def _as_dict(played: Played) -> dict[str, Any]:
    return {
        "name": played.scenario.name, "about": played.scenario.about, "through": played.place,
        "passed": played.failed is None, "steps": [_step(result) for result in played.results],
    }  # fmt: skip


def _step(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {
        "number": result.number, "title": result.title, "ms": round(result.seconds * 1_000),
        "passed": result.failure is None,
    }  # fmt: skip
    if result.answered is not None:
        told |= {"ending": result.answered.ending, "receipt": result.answered.receipt}
    if result.failure is not None:
        failure = result.failure
        told |= {"problem": failure.problem, "hints": list(failure.hints)}
        if failure.mismatch is not None:
            mismatch = failure.mismatch
            told |= {"path": mismatch.path, "expected": _plain(mismatch.expected), "came": _plain(mismatch.came)}
    return told
