"""What a new host on an old state does by itself: programs are installed, events pushed, prompts held to the grants."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import Answer, ScriptedCashier
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened
from tests.hostile.shop import GRANT, ROOMY, Shop
from tests.hostile.test_erasure import found
from tests.hostile.test_events import Shop as EventShop
from tests.hostile.test_events import until
from tests.runtime.ladder import APP, open_platform


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


async def test_an_erased_programs_module_is_in_no_byte(tmp_path: Path) -> None:
    state = tmp_path / "state"
    mark = "planted-in-the-module"
    async with open_platform(state, cache_dir=tmp_path / "cache") as platform:
        more = f'(data (i32.const 512) "{mark}")'
        await platform.full(1, more=more, contents={"common/a.txt": b"planted-in-an-asset"})
        assert found(state, mark, "planted-in-an-asset") == {mark, "planted-in-an-asset"}
        await platform.host.uninstall(APP, erase=True)
        assert found(state, mark, "planted-in-an-asset") == set()
