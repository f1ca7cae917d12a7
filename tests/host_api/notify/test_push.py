"""A platform's notifier is told as notices come; whatever it does, nothing is lost and nothing waits for it."""

from __future__ import annotations

import logging

import pytest
import trio
import trio.testing

from host_api.notify import push
from host_api.notify.notices import Notice
from host_api.notify.push import Announcer


def notice(number: int) -> Notice:
    return Notice(
        id=f"{number}", app_id="a", user="alice", template="t", text="a secret", language="en", created_us=number
    )


async def test_notices_come_as_they_are_announced(autojump_clock: trio.testing.MockClock) -> None:
    came: list[str] = []

    async def notifier(one: Notice) -> None:
        came.append(one.id)

    announcer = Announcer(notifier)
    announcer.announce(notice(0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        await trio.testing.wait_all_tasks_blocked()
        announcer.announce(notice(1))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert came == ["0", "1"]


async def test_a_notifier_that_fails_or_hangs_is_told_of_the_next_one(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    came: list[str] = []

    async def notifier(one: Notice) -> None:
        if one.id == "0":
            raise RuntimeError(one.text)
        if one.id == "1":
            await trio.sleep_forever()
        came.append(one.id)

    announcer = Announcer(notifier)
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(announcer.run)
            for number in range(2 * push.AT_ONCE):
                announcer.announce(notice(number))
            await trio.sleep(push.NOTIFY_S + 1)
            nursery.cancel_scope.cancel()
    assert set(came) == {str(number) for number in range(2, 2 * push.AT_ONCE)}
    assert "failed on notice 0: RuntimeError" in caplog.text
    assert "did not take notice 1" in caplog.text
    assert "secret" not in caplog.text


async def test_more_than_may_wait_are_only_listed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(push, "WAITING_MAX", 2)

    async def notifier(one: Notice) -> None:
        raise AssertionError("nobody runs")

    announcer = Announcer(notifier)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            announcer.announce(notice(number))
    assert "notice 2 is only listed" in caplog.text


async def test_without_a_notifier_nothing_is_kept_for_it() -> None:
    announcer = Announcer(None)
    announcer.announce(notice(0))
    await announcer.run()
