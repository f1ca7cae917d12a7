"""log.write."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from host_api.log import MESSAGE_CHARS_MAX, LogService, WriteParams
from runtime.limits import Limits
from runtime.testing import LogLines, make_session


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_line_with_its_level(level: Any) -> None:
    lines = LogLines()
    LogService().write(make_session(log_sink=lines), WriteParams(level=level, message="two\nlines"))
    assert lines.lines == [(level, "two\\nlines")]


def test_a_line_over_the_limit_is_no_error() -> None:
    lines = LogLines()
    session = make_session(log_sink=lines, limits=Limits(log_bytes=4))
    LogService().write(session, WriteParams(level="info", message="abcdef"))
    assert lines.lines == [("info", "abcd"), ("warning", "[log cut at 4 bytes]")]


@pytest.mark.parametrize(
    "params",
    [
        {"level": "fatal", "message": ""},
        {"level": "info"},
        {"level": "info", "message": b"x"},
        {"level": "info", "message": "x" * (MESSAGE_CHARS_MAX + 1)},
    ],
)
def test_what_is_no_line(params: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(params, WriteParams)
    msgspec.convert({"level": "info", "message": "x" * MESSAGE_CHARS_MAX}, WriteParams)
