"""What a new host on an old state does by itself: programs are installed, events pushed, prompts held to the grants,
and what was used up of a limit is forgotten where that is one burst, and kept where it is money."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import Answer, App, HostBusy, ScriptedCashier
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script
from tests.hostile.shop import GRANT, ROOMY, Shop
from tests.hostile.test_erasure import found
from tests.hostile.test_events import Shop as EventShop
from tests.hostile.test_events import until
from tests.runtime.ladder import APP, open_platform

BURN = Script().step("spin", 5_000_000).params()


async def test_events_that_waited_are_pushed_by_the_next_host(opened: Opened, tmp_path: Path) -> None:
    """Nobody installs anything again: the store knows who takes events."""
    state = tmp_path / "state"
    async with opened(state) as site:
        shop = EventShop(site)
        await shop.install(events=True)
        site.host._pushes.close()
        await shop.publish(3)
        assert waiting(site) == 3
    async with opened(state) as site:
        await until(lambda: waiting(site) == 0 and EventShop(site).idle())


def waiting(site: object) -> int:
    store = site.host._store  # type: ignore[attr-defined]
    return int(store.read(lambda tx: tx.execute("SELECT count(*) FROM events WHERE acked_us = 0"))[0][0])


@pytest.mark.parametrize(("amount_max", "paid"), [(1_250, "succeeded"), (1_249, "closed")])
async def test_a_prompt_of_an_earlier_host_is_held_to_the_narrowed_grant(
    opened: Opened, tmp_path: Path, amount_max: int, paid: str
) -> None:
    """At the value, and one over."""
    state, clock = tmp_path / "state", VirtualClock()
    held = ScriptedCashier(lambda _: True)
    held.hold()
    async with opened(state, clock=clock, cashier=held, drain_s=0.0) as site:
        shop = Shop(site, clock, await site.install(grant=GRANT, **ROOMY))
        await shop.deposit(10_000)
        order = await shop.create(1_250)
        assert (await shop.ask("request", order_id=order["order_id"], wait_ms=0))["status"] == "confirming"
    async with opened(state, clock=clock) as site:
        host = site.host
        await host.set_grants(shop.app, {"payment": {"amount_max": amount_max}, "payment.refund": {}})
        (prompt,) = host.prompts.pending()
        prompt = await host.prompts.issue(prompt.id)
        clock.advance(s=1)
        assert await host.prompts.answer(prompt.id, prompt.token, prompt.digest, True) is Answer.APPROVED
        again = Shop(site, clock, shop.app)
        assert (await again.status(order))[0] == paid
        assert again.available() == (8_750 if paid == "succeeded" else 10_000)


# ---- what was used up ------------------------------------------------------------------------------------------------
async def test_a_restart_is_worth_one_burst_of_calls(opened: Opened, tmp_path: Path) -> None:
    """Of the program and of its developer, whose programs begin again together; the clock stands still meanwhile."""
    state, clock = tmp_path / "state", VirtualClock()
    async with opened(state, clock=clock) as site:
        app = await site.install(calls_burst=3, calls_per_s=1)
        await use_up(site, app, 3, "calls_per_s")
    for _ in range(2):
        async with opened(state, clock=clock) as site:
            await use_up(site, app, 3, "calls_per_s")
    clock.advance(s=1)
    async with opened(state, clock=clock) as site:
        await use_up(site, app, 3, "calls_per_s")


async def test_a_restart_is_worth_one_burst_of_cpu_time(opened: Opened, tmp_path: Path) -> None:
    """What a call used above its burst is forgotten with it: that was one call, held to its own cpu_us."""
    state, clock = tmp_path / "state", VirtualClock()
    async with opened(state, clock=clock) as site:
        app = await site.install(cpu_us_per_s=1_000, cpu_burst_us=1_000)
        await use_up(site, app, 1, "cpu_us_per_s")
    async with opened(state, clock=clock) as site:
        await use_up(site, app, 1, "cpu_us_per_s")


async def use_up(site: Site, app: App, calls: int, limit: str) -> None:
    """So many calls and no more."""
    for _ in range(calls):
        await site.host.call(app, "run", BURN, user="alice")
    with pytest.raises(HostBusy) as caught:
        await site.host.call(app, "run", BURN, user="alice")
    assert (caught.value.code, caught.value.details["limit"]) == ("rate_limited", limit)


async def test_a_restart_gives_nothing_back_of_a_limit_on_money(opened: Opened, tmp_path: Path) -> None:
    """Payments of an hour, and money of a day: what one host saw paid the next one counts."""
    state, clock = tmp_path / "state", VirtualClock()
    limits = {**ROOMY, "payment_hour_count": 2, "payment_day_amount": 2_000}
    async with opened(state, clock=clock) as site:
        shop = Shop(site, clock, await site.install(grant=GRANT, **limits))
        await shop.deposit(10_000)
        for _ in range(2):
            assert (await shop.pay(1_000))["status"] == "succeeded"
    async with opened(state, clock=clock) as site:
        again = Shop(site, clock, shop.app)
        again.made = shop.made
        code, details = await again.create(1)
        assert (code, details["limit"]) == ("limit_exceeded", "payment_hour_count")
        clock.advance(s=3_601)
        assert (await again.pay(1))["close_reason"] == "limit"
        assert again.available() == 8_000


# ---- what is gone ----------------------------------------------------------------------------------------------------
async def test_an_erased_programs_module_is_in_no_byte(tmp_path: Path) -> None:
    state = tmp_path / "state"
    mark = "planted-in-the-module"
    async with open_platform(state, cache_dir=tmp_path / "cache") as platform:
        more = f'(data (i32.const 512) "{mark}")'
        await platform.full(1, more=more, contents={"common/a.txt": b"planted-in-an-asset"})
        assert found(state, mark, "planted-in-an-asset") == {mark, "planted-in-an-asset"}
        await platform.host.uninstall(APP, erase=True)
        assert found(state, mark, "planted-in-an-asset") == set()
