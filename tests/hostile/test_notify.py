"""Messages to users, met by real guests: whom a program can reach, with which words, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from host_api.notify.notices import Notice
from host_api.notify.push import AT_ONCE
from host_api.services import Outside
from runtime import App, wire
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script

HOUR_S = 3_600


async def ask(site: Site, app: App, method: str, user: str = "alice", /, **params: Any) -> Any:
    """The result that the guest is given, or the code of its error."""
    _, _, error, result = await site.ask(wire.request(1, method, params), app, user=user)
    return result if error is None else error["code"]


async def subscribe(site: Site, app: App, user: str = "alice") -> Any:
    return await ask(site, app, "notify.request", user, wait_ms=5_000)


async def send(site: Site, app: App, user: str = "alice", /, **changes: Any) -> Any:
    return await ask(site, app, "notify.send", user, **{"template": "shipped", "params": {"no": "81"}, **changes})


async def test_a_guest_tells_who_subscribed_and_nobody_else(stored: Site) -> None:
    app = await stored.install(grant=["notify"])
    assert await send(stored, app) == "consent_required"
    assert await subscribe(stored, app) == {"status": "granted"}
    sent = await send(stored, app)
    assert await send(stored, app, "bob") == "consent_required"
    (notice,) = stored.host.notices.pending()
    assert (notice.id, notice.user, notice.text) == (sent["id"], "alice", "Order 81 is on its way")
    assert await stored.host.notices.take(notice.id)
    assert stored.host.notices.pending() == []


async def test_without_the_grant_nobody_is_asked_or_told(stored: Site) -> None:
    app = await stored.install()
    assert await subscribe(stored, app) == "capability_not_granted"
    assert await send(stored, app) == "capability_not_granted"
    assert stored.cashier.shown == []


async def test_a_guest_may_tell_though_nobody_looks(stored: Site) -> None:
    app = await stored.install(grant=["notify"])
    await subscribe(stored, app)
    script = Script().ask(wire.request(1, "notify.send", {"template": "shipped", "params": {"no": "82"}}))
    await stored.host.call(app, "run", script.params(), user="alice", interactive=False)
    assert [notice.text for notice in stored.host.notices.pending("alice")] == ["Order 82 is on its way"]


async def test_nobody_who_does_not_look_is_asked(stored: Site) -> None:
    app = await stored.install(grant=["notify"])
    script = Script().ask(wire.request(1, "notify.request", {"wait_ms": 0}))
    reply = await stored.host.call(app, "run", script.params(), user="alice", interactive=False)
    assert script.responses(reply.value)[0][2]["code"] == "not_interactive"
    assert stored.cashier.shown == []


@pytest.mark.parametrize(
    "changes",
    [
        {"template": "other"},
        {"template": ""},
        {"params": {}},
        {"params": {"no": "81", "url": "https://evil.example"}},
        {"params": {"no": "81\nYour account is locked"}},
        {"params": {"no": "\u202e81"}},
        {"params": {"no": "x" * 65}},
        {"params": {"no": "x" * 200_000}},
        {"params": {"no": 81}},
        {"params": {f"p{n}": "x" for n in range(9)}},
        {"language": "x" * 36},
        {"user": "bob"},
        {"text": "free text"},
    ],
)
async def test_words_that_are_not_the_manifests_are_refused(site: Site, changes: dict[str, Any]) -> None:
    app = await site.install(grant=["notify"])
    await subscribe(site, app)
    assert await send(site, app, **changes) == "invalid_params"
    assert site.host.notices.pending() == []


async def test_what_is_filled_in_is_never_a_placeholder(site: Site) -> None:
    app = await site.install(grant=["notify"])
    await subscribe(site, app)
    await send(site, app, params={"no": "{no}{no}"})
    assert [notice.text for notice in site.host.notices.pending()] == ["Order {no}{no} is on its way"]


async def test_a_consent_taken_back_in_the_middle_of_a_call_counts(site: Site) -> None:
    app = await site.install(grant=["notify"])
    await subscribe(site, app)
    script = (
        Script()
        .ask(wire.request(1, "notify.send", {"template": "shipped", "params": {"no": "1"}}))
        .ask(wire.request(2, "session.sleep", {"ms": 300}))
        .ask(wire.request(3, "notify.send", {"template": "shipped", "params": {"no": "2"}}))
    )
    responses: list[Any] = []

    async def call() -> None:
        reply = await site.host.call(app, "run", script.params(), user="alice")
        responses.extend(script.responses(reply.value))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        while not site.host.notices.pending():
            await trio.testing.wait_all_tasks_blocked(0.01)
        await site.host.consents.revoke(app.app_id, "alice", "notify")
    assert responses[0][2] is None
    assert responses[2][2]["code"] == "consent_denied"


async def test_a_platforms_notifier_is_told(opened: Opened) -> None:
    told: list[Notice] = []
    came = trio.Event()

    async def notifier(notice: Notice) -> None:
        told.append(notice)
        came.set()

    async with opened(outside=Outside(notifier=notifier)) as site:
        app = await site.install(grant=["notify"])
        await subscribe(site, app)
        await send(site, app)
        with trio.fail_after(5):
            await came.wait()
        assert told == site.host.notices.pending("alice")


async def test_notices_wait_over_a_restart(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path / "state") as site:
        app = await site.install(grant=["notify"])
        await subscribe(site, app)
        await send(site, app)
    async with opened(tmp_path / "state") as site:
        (notice,) = site.host.notices.pending("alice")
        assert notice.text == "Order 81 is on its way"
        assert site.host.verify() == []


async def test_the_grants_count_at_its_value_and_one_over(opened: Opened) -> None:
    clock = VirtualClock()
    async with opened(clock=clock) as site:
        app = await site.install(grant={"notify": {"count": 2}})
        await subscribe(site, app)
        for _ in range(2):
            assert "id" in await send(site, app)
        assert await send(site, app) == "grant_constraint"
        clock.advance(s=24 * HOUR_S)
        assert "id" in await send(site, app)


@pytest.mark.parametrize("how", ["erase_user", "revoke", "uninstall", "take"])
async def test_a_notifier_is_told_nothing_that_is_gone_when_its_turn_comes(opened: Opened, how: str) -> None:
    told: list[str] = []
    go_on = trio.Event()

    async def notifier(notice: Notice) -> None:
        told.append(notice.text)
        await go_on.wait()

    async with opened(outside=Outside(notifier=notifier)) as site:
        app, other = await site.install(grant=["notify"]), await site.install(grant=["notify"])
        for program, user in ((other, "bob"), (app, "alice")):
            await subscribe(site, program, user)
        for number in range(AT_ONCE):
            assert "id" in await send(site, other, "bob", params={"no": f"{number}"})
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert "id" in await send(site, app, params={"no": "a secret"})
        assert "id" in await send(site, other, "bob", params={"no": "the last"})
        if how == "erase_user":
            await site.host.erase_user("alice")
        elif how == "revoke":
            await site.host.consents.revoke(app.app_id, "alice", "notify")
        elif how == "uninstall":
            await site.host.uninstall(app, erase=True)
        else:
            (notice,) = site.host.notices.pending("alice")
            await site.host.notices.take(notice.id)
        go_on.set()
        with trio.fail_after(5):
            while len(told) <= AT_ONCE:
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert told[AT_ONCE:] == ["Order the last is on its way"]
