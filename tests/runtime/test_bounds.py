"""Settings are held to their bounds in one way, and refused in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from runtime import UsageError
from runtime.bounds import check, check_choice
from runtime.daemon.control.settings import ControlSettings
from runtime.daemon.http.settings import HttpSettings
from runtime.settings import HostSettings, JournalSettings, MetricsSettings
from runtime.worker_settings import WorkerSettings


@dataclass(frozen=True)
class _Settings:
    size: Any = 2
    kind: str = "one"


@pytest.mark.parametrize("value", [2, 3, 2.5, 4])
def test_a_value_between_the_bounds_is_taken(value: float) -> None:
    check(_Settings(size=value), {"size": (2, 4)})


@pytest.mark.parametrize("value", [1, 5, 1.999, float("nan"), float("inf"), True, "3", None])
def test_any_other_is_refused_with_its_name_and_bounds(value: object) -> None:
    with pytest.raises(UsageError, match=r"^size = .*: must be from 2 to 4$"):
        check(_Settings(size=value), {"size": (2, 4)})


def test_a_choice_is_one_of_a_few() -> None:
    check_choice(_Settings(), "kind", ("one", "two", "three"))
    with pytest.raises(UsageError, match=r"^kind = 'four': must be one, two or three$"):
        check_choice(_Settings(kind="four"), "kind", ("one", "two", "three"))


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        (HostSettings, "slots", "from 1 to 20000"), (HostSettings, "drain_s", "from 0 to 86400"),
        (JournalSettings, "logs_days", "from 1 to 3650"), (MetricsSettings, "programs", "from 0 to 200"),
        (WorkerSettings, "count", "from 1 to 256"), (ControlSettings, "outstanding", "from 1 to 65536"),
        (HttpSettings, "requests", "from 1 to 10000"),
    ],
)  # fmt: skip
def test_every_kind_of_settings_refuses_alike(kind: Any, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} = -1: must be {told}$"):
        kind(**{name: -1})


@pytest.mark.parametrize("kind", [HostSettings, WorkerSettings])
def test_a_ticker_that_nobody_knows_is_refused(kind: Any) -> None:
    with pytest.raises(UsageError, match=r"^ticker = 'sundial': must be auto, signal or thread$"):
        kind(ticker="sundial")
