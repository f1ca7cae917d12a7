"""How soon a program may ask again: the arithmetic, against the sentence it follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.cooldown import NOTHING, PACE_US, PROMPTS_MAX, Past, admit, declined, opened, quiet

DAY_US = 86_400_000_000


@pytest.mark.parametrize(("count", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 86_400), (6, 86_400)])
def test_the_wait_after_each_no(count: int, seconds: int) -> None:
    declines = Past(count=count, last_us=7)
    admit(declines, 7 + seconds * 1_000_000)
    with pytest.raises(ApiError) as refused:
        admit(declines, 7 + seconds * 1_000_000 - 1)
    assert (refused.value.code, refused.value.retry_after_ms) == (ErrorCode.RATE_LIMITED, 1)
    with pytest.raises(ApiError) as refused:
        admit(declines, 7)
    assert refused.value.retry_after_ms == seconds * 1_000


def test_nobody_who_was_never_refused_waits() -> None:
    admit(NOTHING, 0)


@given(st.lists(st.integers(0, 2 * DAY_US), max_size=12))
def test_a_row_ends_after_a_day_without_a_no(pauses: list[int]) -> None:
    now, past, expected = 0, NOTHING, 0
    for pause in pauses:
        now += pause
        expected = 1 if pause >= DAY_US else expected + 1
        assert not past.count or quiet(past, now) is (pause >= DAY_US)
        past = declined(opened(past, now), now)
        assert (past.count, past.last_us) == (expected, now)
        assert now < past.free_us() <= past.gone_us == now + DAY_US


def test_prompts_without_a_yes_at_their_pace_and_one_sooner() -> None:
    past, now = NOTHING, 7
    for _ in range(PROMPTS_MAX):
        admit(past, now)
        past = opened(past, now)
    with pytest.raises(ApiError) as refused:
        admit(past, now)
    assert (refused.value.code, refused.value.retry_after_ms) == (ErrorCode.RATE_LIMITED, PACE_US // 1_000)
    assert refused.value.details == {
        "limit": "prompts_without_a_yes", "value": PROMPTS_MAX, "used": PROMPTS_MAX + 1, "unit": "prompts"
    }  # fmt: skip
    now += PACE_US
    with pytest.raises(ApiError) as refused:
        admit(past, now - 1)
    assert refused.value.retry_after_ms == 1
    admit(past, now)
    with pytest.raises(ApiError):
        admit(opened(past, now), now)
    assert past.gone_us == 7 + PROMPTS_MAX * PACE_US


@given(st.lists(st.integers(0, 2 * PACE_US), max_size=80))
def test_whatever_a_program_does_prompts_come_no_faster(pauses: list[int]) -> None:
    now, past, times = 0, NOTHING, []
    for pause in pauses:
        now += pause
        try:
            admit(past, now)
        except ApiError:
            continue
        past = opened(past, now)
        times.append(now)
    for first, last in zip(times, times[PROMPTS_MAX:], strict=False):
        assert last - first >= PACE_US
