"""How soon a program may ask again: the arithmetic, against the sentence it follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.cooldown import Declines, admit, another, quiet

DAY_US = 86_400_000_000


@pytest.mark.parametrize(("count", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 86_400), (6, 86_400)])
def test_the_wait_after_each_no(count: int, seconds: int) -> None:
    declines = Declines(count=count, last_us=7)
    admit(declines, 7 + seconds * 1_000_000)
    with pytest.raises(ApiError) as refused:
        admit(declines, 7 + seconds * 1_000_000 - 1)
    assert (refused.value.code, refused.value.retry_after_ms) == (ErrorCode.RATE_LIMITED, 1)
    with pytest.raises(ApiError) as refused:
        admit(declines, 7)
    assert refused.value.retry_after_ms == seconds * 1_000


def test_nobody_who_was_never_refused_waits() -> None:
    admit(None, 0)


@given(st.lists(st.integers(0, 2 * DAY_US), max_size=12))
def test_a_row_ends_after_a_day_without_a_no(pauses: list[int]) -> None:
    now, declines, expected = 0, None, 0
    for pause in pauses:
        now += pause
        expected = 1 if pause >= DAY_US else expected + 1
        assert declines is None or quiet(declines, now) is (pause >= DAY_US)
        declines = another(declines, now)
        assert declines == Declines(count=expected, last_us=now)
        assert now < declines.free_us() <= now + DAY_US
