"""The words in which a call's ending reaches its caller."""

from __future__ import annotations

import pytest

from runtime.errors import Ending
from runtime.outcomes import failed


@pytest.mark.parametrize(
    ("code", "message", "shown"),
    [
        ("c" * 64, "m" * 160, f"{'c' * 64}: {'m' * 160}"),
        ("c" * 65, "m" * 161, f"{'c' * 64}: {'m' * 160}"),
        ("", "", ": "),
        ("缺货", "line\nbreak \x1b[31m", r"\u7f3a\u8d27: line\nbreak \x1b[31m"),
    ],
)
def test_a_guests_own_error_is_given_whole_and_shown_cut(code: str, message: str, shown: str) -> None:
    error = {"code": code, "message": message, "left": [1, {"apple": b"\0"}]}
    outcome = failed(error)
    assert outcome.ending is Ending.FAILED
    assert outcome.detail == f"the guest answered with an error: {shown}"
    assert outcome.details == {"error": error}
