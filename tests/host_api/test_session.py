"""session.info and session.sleep."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api.session import API_LEVEL, SLEEP_MS_MAX, InfoParams, SessionService, SleepParams
from runtime.testing import VirtualClock, make_session

service = SessionService(clock=VirtualClock(1_234_567))


def test_info_is_the_hosts_own_record() -> None:
    session = make_session(config={"shop": "north"}, user="alice", interactive=False)
    assert msgspec.to_builtins(service.info(session, InfoParams())) == {
        "app_id": "org.example.shop",
        "release": {"name": "1.0.0", "code": 1},
        "api_level": API_LEVEL,
        "locale": "en-GB",
        "time_zone": "Europe/London",
        "currency": "GBP",
        "config": {"shop": "north"},
        "interactive": False,
        "caller": "",
        "time_ms": 1_234,
        "trace_id": "0" * 32,
    }


def test_info_does_not_name_the_user() -> None:
    assert "alice" not in str(service.info(make_session(user="alice"), InfoParams()))


async def test_sleep(autojump_clock: trio.testing.MockClock) -> None:
    await service.sleep(make_session(), SleepParams(ms=2_500))
    assert trio.current_time() == pytest.approx(2.5, abs=1e-6)


@pytest.mark.parametrize("ms", [0, SLEEP_MS_MAX])
def test_sleep_at_its_bounds(ms: int) -> None:
    assert msgspec.convert({"ms": ms}, SleepParams).ms == ms


@pytest.mark.parametrize("ms", [-1, SLEEP_MS_MAX + 1, 1.0, "1", None, True])
def test_sleep_past_its_bounds(ms: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"ms": ms}, SleepParams)
