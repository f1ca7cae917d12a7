"""The samples' scenarios: each passes, one goes through every placement with the same answers and receipts, and
together they drive every method of the host API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from host_api.contract import Bound, Session
from host_api.services import METHODS, Interference
from runtime import jail
from runtime.dev.stage import Dev
from runtime.scenarios.player import Played, play
from runtime.scenarios.project import programs, scenarios
from runtime.scenarios.scenario import read
from runtime.scenarios.stage import Answered, Daemon, Library, Place
from runtime.scenarios.through_run import Run
from runtime.settings import HostSettings
from tests.console import ROOT

FILES = sorted((ROOT / "sample_programs").glob("*/scenarios/*.json"))
MEASURED = ("cpu_us", "called_cpu_us", "wall_us", "asked_us")
"""Times: all of a receipt that is not the same wherever a call is made."""


@dataclass
class Counted:
    """Requests that reached a method, over all samples: counted where the services are, not read from sources."""

    by_method: Counter[str] = field(default_factory=Counter)
    by_sample: dict[str, set[str]] = field(default_factory=dict)
    played: list[str] = field(default_factory=list)

    def watching(self, sample: str, faults: Interference) -> Interference:
        return _Watching(self, sample, faults)


class _Watching:
    def __init__(self, counted: Counted, sample: str, faults: Interference) -> None:
        self._counted, self._sample, self._faults = counted, sample, faults

    def around(self, bound: Bound) -> Bound:
        inner, name = self._faults.around(bound), bound.method.name

        def run(session: Session, params: Any) -> Any:
            self._counted.by_method[name] += 1
            self._counted.by_sample.setdefault(name, set()).add(self._sample)
            return inner.run(session, params)

        return Bound(inner.method, run)

    def deliveries(self) -> int:
        return self._faults.deliveries()


@pytest.fixture(scope="module")
def counted() -> Counted:
    return Counted()


@pytest.fixture(scope="module")
def settings(cache: Path) -> HostSettings:
    return HostSettings(slots=8, cache_dir=cache)


def performed(run: Callable[..., Any]) -> Played:
    """By a clock that faults of kind `slow` move on."""
    found: Played = trio.run(run, clock=MockClock(rate=1.0))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_every_scenario_of_the_samples_passes(file: Path, settings: HostSettings, counted: Counted) -> None:
    folder = file.parent.parent
    (scenario,) = scenarios(folder, file.stem)
    watch = partial(counted.watching, folder.name)
    played = performed(
        partial(play, scenario, programs(folder, scenario), Library(settings=settings), watch=watch)
    )  # fmt: skip
    counted.played.append(str(file))
    assert played.failed is None, played.failed.failure


def test_every_sample_has_one() -> None:
    samples = {path.parents[1].name for path in (ROOT / "sample_programs").glob("*/bundle/manifest.json")}
    assert samples - {file.parents[1].name for file in FILES} == {"echo"}  # a tool, and no program for users


def test_together_they_drive_every_method_of_the_host_api(counted: Counted, capsys: pytest.CaptureFixture[str]) -> None:
    if len(counted.played) < len(FILES):
        pytest.skip(f"{len(counted.played)} of {len(FILES)} scenarios were played in this run")
    with capsys.disabled():
        print("\nmethod of the host API         requests  samples")
        for method in METHODS:
            who = ", ".join(sorted(counted.by_sample.get(method.name, ())))
            print(f"{method.name:<30} {counted.by_method[method.name]:>8}  {who}")
    assert [method.name for method in METHODS if not counted.by_method[method.name]] == []


# ---- one file, four ways ---------------------------------------------------------------------------------------------
STORY: dict[str, Any] = {
    "about": "A cart is filled, paid for after a restart, and the order is shown.",
    "clock": "2026-11-22T08:00:00Z",
    "seed": 11,
    "users": {"alice": {"wallet": {"amount": 20_000, "currency": "CNY"}, "time_zone": "Asia/Shanghai"}},
    "steps": [
        {"call": "cart.add", "user": "alice", "params": {"items": {"apple": 3}}, "expect": {"version": {"$any": True}}},
        {"call": "checkout", "user": "alice", "params": {"slot": "${slot}"}, "expect_error": {"code": "unknown_slot"}},
        {"fault": {"method": "storage.get", "kind": "slow", "ms": 400}},
        {"call": "checkout", "user": "alice", "params": {"slot": "2026-11-23T09"}, "answers": ["confirm"],
         "expect": {"payment": "succeeded"}, "keep": {"order": "/order/order_id"}},
        {"restart": True},
        {"call": "order.show", "user": "alice", "params": {"order_id": "${order}"}, "expect": {"payment": "succeeded"}},
        {"balances": {"alice": {"amount": 17_330, "currency": "CNY"}}},
    ],
}  # fmt: skip


def comparable(answered: Answered | None) -> Any:
    """An answer with its receipt, but for times. Its ids, memory, host calls and bytes are among what is compared."""
    if answered is None:
        return None
    receipt = {name: value for name, value in (answered.receipt or {}).items() if name not in MEASURED}
    return answered.ending, answered.result, answered.error, receipt


@pytest.mark.slow
def test_one_scenario_goes_the_same_way_through_every_placement(
    settings: HostSettings, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Library, daemon with a jailed worker, hostel dev, and a process of `hostel run` for each call."""
    if jail.probe() < jail.Level.named("partial"):
        pytest.skip("this machine cannot jail a worker")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    folder = ROOT / "sample_programs/grocery_delivery"
    scenario = read(json.dumps(STORY).replace("${slot}", "2026-11-29T09").encode(), "story.json")
    places: list[Place] = [
        Library(settings=settings), Daemon(settings=settings), Run(settings=settings),
        Dev(settings=settings, folder=folder),
    ]  # fmt: skip
    told = {}
    for place in places:
        played = performed(partial(play, scenario, programs(folder, scenario), place))
        assert played.failed is None, (place.name, played.failed.failure)
        told[place.name] = [comparable(result.answered) for result in played.results]
    assert told["library"][0][3]["memory_bytes_peak"] > 0 and len(told["library"][0][3]["call_id"]) == 32
    assert told["library"] == told["daemon"] == told["dev"] == told["run"]
