"""Settings: bounds, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime import StartupError, UsageError
from runtime.daemon.http.settings import HttpSettings


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("port", 0, 65_535), ("head_bytes", 1_024, 8_192), ("head_fields", 8, 128), ("body_bytes", 1_024, 4 << 20),
     ("held_bytes", 4 << 20, 4 << 30), ("connections", 1, 100_000), ("connections_per_address", 1, 100_000),
     ("requests", 1, 10_000), ("handshake_s", 0.05, 60), ("idle_s", 0.05, 86_400), ("head_s", 0.05, 60),
     ("body_s", 0.05, 600), ("write_s", 0.05, 600), ("drain_s", 0, 600)],
)  # fmt: skip
def test_each_setting_has_its_bounds(name: str, least: Any, most: Any) -> None:
    given: Any = HttpSettings
    for value in (least, most):
        assert getattr(given(**{name: value}), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(UsageError, match=name):
            given(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [{"address": "localhost"}, {"origins": ("*",)}, {"origins": ("https://a/",)}, {"origins": ("https://a",) * 65},
     {"metrics_token_sha256": "secret"}],
)  # fmt: skip
def test_settings_that_cannot_be(changes: Any) -> None:
    with pytest.raises(UsageError):
        HttpSettings(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"address": "0.0.0.0"}, {"address": "::"}, {"certificate": Path("c.pem")}, {"key": Path("k.pem")}],
)  # fmt: skip
def test_settings_that_are_not_safe_together(changes: Any) -> None:
    with pytest.raises(StartupError):
        HttpSettings(**changes).check_safe()


def test_settings_that_are_safe_together() -> None:
    tls = {"certificate": Path("c.pem"), "key": Path("k.pem")}
    for changes in ({}, {"address": "::1"}, {"address": "0.0.0.0", "behind_proxy": True}, {"address": "::", **tls}):
        HttpSettings(**changes).check_safe()  # type: ignore[arg-type]
