"""A platform's notifier is told as notices come; whatever it does, nothing is lost and nothing waits for it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from host_api.notify import notices, push
from host_api.notify.notices import Notice, Notices
from host_api.notify.push import Announcer
from host_api.store import Store, open_store
from host_api.store.protocol import Transaction
from host_api.user.consent import ConsentStore
from host_api.user.purpose import Purpose
from runtime.testing import VirtualClock

blocked = trio.testing.wait_all_tasks_blocked


class Channel:
    """A notifier over a store, and what programs have said to alice."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.consents = ConsentStore(store=store, new_salt=lambda: bytes(16))
        self.came: list[str] = []

    async def note(self, one: Notice) -> None:
        self.came.append(one.id)

    async def say(self, announcer: Announcer, number: int, app_id: str = "a") -> None:
        """One more notice, kept and announced; the user wants to be told."""
        notice = Notice(
            id=f"{number}", app_id=app_id, user="alice", template="t", text="a secret", language="en",
            created_us=self.store.now_us(),
        )  # fmt: skip

        def job(tx: Transaction) -> None:
            shown = Purpose(text="To tell you", language="en", version="1")
            self.consents.decide(tx, app_id, "alice", "notify", shown, given=True, valid_us=10**9)
            notices.insert(tx, notice)

        await self.store.write(job)
        announcer.announce(notice)


@pytest.fixture
async def channel(autojump_clock: trio.testing.MockClock) -> AsyncIterator[Channel]:
    async with open_store(None, VirtualClock()) as store:
        yield Channel(store)


async def test_notices_come_as_they_are_announced(channel: Channel) -> None:
    announcer = Announcer(channel.note, channel.store)
    await channel.say(announcer, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        await blocked()
        await channel.say(announcer, 1)
        await blocked()
        nursery.cancel_scope.cancel()
    assert channel.came == ["0", "1"]


async def test_a_notifier_that_fails_or_hangs_is_told_of_the_next_one(
    channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    async def notifier(one: Notice) -> None:
        if one.id == "0":
            raise RuntimeError(one.text)
        if one.id == "1":
            await trio.sleep_forever()
        await channel.note(one)

    announcer = Announcer(notifier, channel.store)
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(announcer.run)
            for number in range(2 * push.AT_ONCE):
                await channel.say(announcer, number)
            await trio.sleep(push.NOTIFY_S + 1)
            nursery.cancel_scope.cancel()
    assert set(channel.came) == {str(number) for number in range(2, 2 * push.AT_ONCE)}
    assert "failed on notice 0: RuntimeError" in caplog.text
    assert "did not take notice 1" in caplog.text
    assert "secret" not in caplog.text


async def test_a_notifier_that_fails_while_it_is_given_up_ends_nothing(
    channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    """A channel with tasks of its own comes apart as a group, of its error and the Cancelled of the others."""

    async def notifier(one: Notice) -> None:
        if one.id == "0":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                try:
                    await trio.sleep_forever()
                finally:
                    raise OSError(one.text)
        await channel.note(one)

    announcer = Announcer(notifier, channel.store)
    with caplog.at_level(logging.ERROR):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(announcer.run)
            await channel.say(announcer, 0)
            await trio.sleep(push.NOTIFY_S + 1)
            await channel.say(announcer, 1)
            await blocked()
            nursery.cancel_scope.cancel()
    assert channel.came == ["1"]
    assert "failed on notice 0" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("how", ["taken", "erased", "revoked"])
async def test_what_is_gone_when_its_turn_comes_is_not_handed_over(channel: Channel, how: str) -> None:
    announcer = Announcer(channel.note, channel.store)
    await channel.say(announcer, 0)
    await channel.say(announcer, 1, "other")
    if how == "taken":
        assert await Notices(store=channel.store).take("0")
    elif how == "revoked":
        assert await channel.consents.revoke("a", "alice", "notify") == 1
    else:
        await channel.store.write(lambda tx: tx.execute("DELETE FROM notices WHERE app_id = 'a'"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        await blocked()
        nursery.cancel_scope.cancel()
    assert channel.came == ["1"]


async def test_more_than_may_wait_are_only_listed_and_take_nobody_elses_place(
    channel: Channel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(push, "WAITING_MAX", 4)
    monkeypatch.setattr(push, "AT_ONCE", 1)
    announcer = Announcer(channel.note, channel.store)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            await channel.say(announcer, number)
        for number in (10, 11):
            await channel.say(announcer, number, "other")
    assert caplog.text.count("only listed") == caplog.text.count("notice 4 is only listed") == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        await blocked()
        nursery.cancel_scope.cancel()
    assert channel.came == ["0", "10", "1", "11", "2", "3"]  # they take turns
    await channel.say(announcer, 12)
    assert caplog.text.count("only listed") == 1


async def test_a_store_that_cannot_be_read_ends_nothing(
    channel: Channel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    announcer = Announcer(channel.note, channel.store)
    await channel.say(announcer, 0)

    def broken(job: object) -> object:
        raise OSError("no disk")

    async with trio.open_nursery() as nursery:
        with monkeypatch.context() as patch:
            patch.setattr(channel.store, "read", broken)
            nursery.start_soon(announcer.run)
            await blocked()
        await channel.say(announcer, 1)
        await blocked()
        nursery.cancel_scope.cancel()
    assert channel.came == ["1"]
    assert "failed on notice 0: OSError" in caplog.text


async def test_without_a_notifier_nothing_is_kept_for_it(channel: Channel) -> None:
    announcer = Announcer(None, channel.store)
    await channel.say(announcer, 0)
    await announcer.run()
    assert not announcer._waiting
