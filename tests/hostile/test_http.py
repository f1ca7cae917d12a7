"""Guests that fetch: what they get, how their calls end meanwhile, and what is left of it outside."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from runtime import Ending
from tests.host_api.http.conftest import Visit, ok, redirect
from tests.hostile.conftest import Opened
from tests.hostile.guests import Script
from tests.hostile.outside import fetching, outside


async def hanging(visit: Visit) -> None:
    """Never answers."""
    await visit.gone()


async def test_a_guest_is_given_a_page(opened: Opened) -> None:
    async with outside(opened) as out:
        server, app, url = await out.place(ok(b"hello", "x-price: 120"))
        url += "today"
        *_, error, result = await out.fetch(app, url, headers={"x-key": "k"})
        headers = {"content-length": "5", "x-price": "120"}
        assert (error, result) == (None, {"status": 200, "headers": headers, "body": b"hello", "url": url})
        assert server.visits[0].header("x-key") == "k"


async def test_fetches_run_beside_each_other(opened: Opened) -> None:
    """Posted ones are answered in the order in which their servers do."""
    async with outside(opened) as out:
        quick = trio.Event()

        async def answer(visit: Visit) -> None:
            if visit.line.startswith("GET /slow"):
                await quick.wait()
            else:
                quick.set()
            await visit.stream.send_all(ok(visit.line.split()[1].encode()))

        _, app, url = await out.place(answer)
        script = Script().post(fetching(url + "slow", 1)).post(fetching(url + "quick", 2)).awaited().awaited()
        reply = await out.site.host.call(app, "run", script.params())
        assert [(each[1], each[3]["body"]) for each in script.responses(reply.value)] == [(2, b"/quick"), (1, b"/slow")]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://other.example/", "grant_constraint"),
        ("https://127.0.0.1/", "invalid_params"),
        ("http://shop.example/", "invalid_params"),
        ("https://shop.example@other.example/", "invalid_params"),
    ],
)
async def test_a_guest_that_wants_elsewhere_is_refused_and_lives(opened: Opened, url: str, code: str) -> None:
    async with outside(opened) as out:
        server, app, _ = await out.place()
        assert (await out.fetch(app, url))[2]["code"] == code
        assert (server.connections, out.world.lookups) == (0, [])


@pytest.mark.parametrize("location", ["https://169.254.169.254/", "http://shop.example/", "https://inside.example/"])
async def test_a_guest_is_not_led_inside_by_its_own_server(opened: Opened, location: str) -> None:
    async with outside(opened) as out:
        out.world.names["inside.example"] = [["10.0.0.1"]]
        server = await out.world.server(redirect(location))
        grant = {"http": {"hosts": [f"shop.example:{server.port}", "inside.example"]}}
        app = await out.site.install(grant=grant)
        error = (await out.fetch(app, f"https://shop.example:{server.port}/"))[2]
        assert error["code"] in ("grant_constraint", "address_refused")
        assert server.connections == 1


async def test_the_deadline_of_a_call_ends_its_fetch(opened: Opened) -> None:
    async with outside(opened) as out:
        server, app, url = await out.place(hanging, wall_ms=150)
        ending, _, receipt = await out.site.end(Script().call(fetching(url, timeout_ms=60_000)), app)
        assert (ending, receipt.usage.host_calls) == (Ending.DEADLINE_EXCEEDED, 1)
        await server.closed.wait()


async def test_a_fetch_that_takes_too_long_is_an_answer(opened: Opened, mock_clock: trio.testing.MockClock) -> None:
    """At `timeout_ms`, and not a millisecond before."""
    async with outside(opened) as out:
        arrived = trio.Event()

        async def answer(visit: Visit) -> None:
            arrived.set()
            await visit.gone()

        _, app, url = await out.place(answer)
        told: list[list[Any]] = []

        async def call() -> None:
            told.append(await out.fetch(app, url, timeout_ms=5_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await arrived.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            mock_clock.jump(4.999)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert (told, out.service.under_way) == ([], 1)
            mock_clock.jump(0.001)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert out.service.under_way == 0
        error = told[0][2]
        assert (error["code"], error["retryable"], error["details"]["phase"]) == ("fetch_failed", True, "receive")


async def test_a_caller_who_goes_away_ends_the_fetch(opened: Opened) -> None:
    async with outside(opened) as out:
        arrived = trio.Event()

        async def answer(visit: Visit) -> None:
            arrived.set()
            await visit.gone()

        server, app, url = await out.place(answer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(out.site.host.call, app, "run", Script().call(fetching(url)).params())
            await arrived.wait()
            nursery.cancel_scope.cancel()
        await server.closed.wait()


async def test_a_guest_that_floods_its_places_is_told_busy(opened: Opened) -> None:
    async with outside(opened) as out:
        go_on = trio.Event()

        async def answer(visit: Visit) -> None:
            await go_on.wait()
            await visit.stream.send_all(ok())

        _, app, url = await out.place(answer, posted=20)
        script = Script()
        for msgid in range(1, 18):
            script.post(fetching(url, msgid))
        script.awaited()
        reply = None

        async def call() -> None:
            nonlocal reply
            reply = await out.site.host.call(app, "run", script.params())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            while out.service.under_way < 16:
                await trio.lowlevel.checkpoint()
            go_on.set()
        assert reply is not None
        assert script.responses(reply.value)[0][2]["code"] == "busy"
