"""Settings of both doors that mean the same: the same values are taken, and the same refused."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import UsageError
from runtime.daemon.control.settings import ControlSettings
from runtime.daemon.http.settings import HttpSettings


@pytest.mark.parametrize(
    ("control", "http"),
    [
        ("connections", "connections"), ("connections", "connections_per_address"), ("idle_s", "idle_s"),
        ("hello_s", "handshake_s"), ("hello_s", "head_s"), ("frame_s", "body_s"), ("write_s", "write_s"),
    ],
)  # fmt: skip
def test_one_thing_has_one_pair_of_bounds(control: str, http: str) -> None:
    def taken(kind: Any, name: str, value: float) -> bool:
        try:
            kind(**{name: value}, **({"reserved": 0} if kind is ControlSettings else {}))
        except UsageError as error:
            assert f"{name} = {value}: must be from" in error.message
            return False
        return True

    values = (0, 0.04, 0.05, 0.1, 1, 60, 61, 600, 601, 10_000, 10_001, 86_400, 86_401, 100_000, 100_001)
    of_control = [taken(ControlSettings, control, value) for value in values]
    assert of_control == [taken(HttpSettings, http, value) for value in values]
    assert True in of_control and False in of_control
