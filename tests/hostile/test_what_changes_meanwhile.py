"""What a real guest finds changed in the middle of a call: a grant whose time is over, a value that another wrote."""

from __future__ import annotations

from typing import Any

import trio

from runtime import wire
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script

NOW_US = VirtualClock().now_us()


def put(value: int, **more: int) -> bytes:
    return wire.request(1, "storage.put", {"key": "k", "value": value, **more})


async def test_a_grant_ends_at_its_microsecond_in_a_call_under_way(opened: Opened) -> None:
    clock = VirtualClock()
    async with opened(clock=clock) as site:
        app = await site.install(grant={"storage": {"expires_at_us": NOW_US + 1}})
        assert (await site.ask(put(1), app))[2] is None
        script = Script().ask(wire.request(2, "session.sleep", {"ms": 200})).ask(put(2))
        replies: list[Any] = []

        async def call() -> None:
            replies.append(await site.host.call(app, "run", script.params(), user="alice"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            while not site.host.statistics().calls_in_flight:
                await trio.lowlevel.checkpoint()
            clock.advance(us=1)
        error = script.responses(replies[0].value)[1][2]
        assert (error["code"], error["retryable"]) == ("grant_expired", False)
        assert error["details"]["expired_at_us"] == NOW_US + 1


async def test_a_value_that_another_call_wrote_is_not_overwritten_unseen(stored: Site) -> None:
    app = await stored.install()
    script = Script().ask(put(1, if_version=0)).ask(put(2, if_version=0)).ask(put(3, if_version=1))
    answers = script.responses((await stored.reply(script, app))[1].value)
    assert [answer[2] and answer[2]["code"] for answer in answers] == [None, "version_conflict", None]
    assert answers[1][2]["details"]["version"] == 1
