"""Payments that cross an end: their program goes, is killed or loses its grant, their user is erased, all at once.

Whatever came first, no money is made or lost, nothing is left open or held for who is gone, and the books hold. What a
call itself meets, ended at each of its steps: test_payment_awaits.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from runtime import ScriptedCashier
from tests.hostile.conftest import Opened
from tests.hostile.guests import bundle, scripted
from tests.hostile.shop import GRANT, ROOMY, Shop, open_shop
from tests.hostile.test_payment_awaits import Interruption, Step, open_orders, rows, settled, wealth

STEPS_MOST = 240
LIMITS = {**ROOMY, "payment_day_amount": 10**9}


async def again(shop: Shop) -> None:
    """The program is there as before."""
    shop.app = await shop.site.host.install(bundle(scripted(), shop.app.app_id), grant=GRANT, limits=LIMITS)


async def erase_program(shop: Shop) -> None:
    await shop.site.host.uninstall(shop.app, end_calls=True, erase=True)


async def kill(shop: Shop) -> None:
    await shop.site.host.releases.kill(shop.app.app_id, "it stole")


async def revoke(shop: Shop) -> None:
    await shop.site.host.revoke(shop.app, "payment")


async def erase_user(shop: Shop) -> None:
    await shop.site.host.erase_user("alice", forfeit_balance=True)


async def erase_both(shop: Shop) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(erase_user, shop)
        nursery.start_soon(erase_program, shop)


End = Callable[[Shop], Awaitable[None]]


@pytest.mark.parametrize("method", ["yes", "no", "capture", "refund"])
@pytest.mark.parametrize("end", [erase_program, kill, revoke, erase_both])
async def test_an_end_that_crosses_a_payment(tmp_path: Path, opened: Opened, end: End, method: str) -> None:
    """At every step of it."""
    answering = partial(opened, cashier=ScriptedCashier(lambda _: method != "no"))
    async with open_shop(answering, tmp_path / "state", deposit=10**6) as shop:
        await cross(shop, end, "request" if method in ("yes", "no") else method)


async def cross(shop: Shop, end: End, method: str) -> None:
    crossed, steps = 0, 1
    while steps < STEPS_MOST:
        step = Step(shop, method)
        await step.prepare()
        before = wealth(shop)
        interruption = Interruption(shop.site.host, shop.app, step, steps)
        await interruption.run(lambda: None, partial(end, shop))
        await settled(shop)
        assert shop.site.host.verify() == []
        if not interruption.came:
            break
        crossed += 1
        assert rows(shop, "SELECT count(*) FROM prompts") == 0
        if end is not kill:
            assert open_orders(shop) == 0
        if end is erase_both:
            assert shop.available() == 0
            for table in ("orders", "events", "idempotency", "payment_usage"):
                assert rows(shop, f"SELECT count(*) FROM {table} WHERE user_id = 'alice'") == 0
            await shop.deposit(10**6)
        else:
            assert wealth(shop) == before
        if end is kill:
            await shop.site.host.releases.revive(shop.app.app_id)
        if end in (kill, revoke):
            await shop.site.host.uninstall(shop.app, end_calls=True)
        await again(shop)
        steps += 1
    assert crossed > 2 and steps < STEPS_MOST
