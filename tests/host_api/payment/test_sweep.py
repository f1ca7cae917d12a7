"""What time has done is written down, bounded; and a program's payments end with it."""

from __future__ import annotations

from typing import Any

import pytest

from host_api.payment import sweep
from host_api.payment.orders import HOLD_US, REFUND_WINDOW_US, CloseReason
from host_api.prompts.prompt import LIFE_US
from runtime.limits import Limits
from runtime.testing import VirtualClock

SHOP = "org.example.shop"


async def swept(world: Any, at_most: int = 100) -> int:
    return int(await world.store.write(lambda tx: sweep.sweep(tx, at_most)))


async def test_each_kind_of_time_is_written_down_once(world: Any, clock: VirtualClock) -> None:
    await world.deposit(2_500)
    expired = await world.create(ttl_s=60)
    paid, held = await world.pay(), await world.hold()
    assert await swept(world) == 0
    for wait_us, order, topic in [
        (60_000_000, expired, "payment.closed"),
        (HOLD_US - 60_000_000, held, "payment.closed"),
        (REFUND_WINDOW_US - HOLD_US, paid, "payment.finished"),
    ]:
        clock.advance(us=wait_us - 1)
        assert await swept(world) == 0
        clock.advance(us=1)
        seen = world.query(order_id=order.order_id)
        assert await swept(world) == 1
        assert await swept(world) == 0
        assert world.query(order_id=order.order_id) == seen
        assert world.told(order.order_id)[-1][0] == topic
    assert world.available() == 1_250


async def test_a_sweep_is_bounded_and_takes_the_longest_overdue_first(world: Any, clock: VirtualClock) -> None:
    orders = []
    for _ in range(5):
        orders.append(await world.create(ttl_s=60))
        clock.advance(us=1)
    clock.advance(us=60_000_000)
    assert [await swept(world, 2) for _ in range(4)] == [2, 2, 1, 0]
    order = world.store.read(lambda tx: tx.execute("SELECT stream FROM events WHERE topic = 'payment.closed'"))
    assert [row[0] for row in order] == [made.order_id for made in orders]


async def test_a_prompt_that_was_over_before_its_order_counts_as_a_no(world: Any, clock: VirtualClock) -> None:
    """Whoever looks sees the same before and after it is written down, and whichever sweep comes first."""
    world.cashier.hold()
    order = await world.create(ttl_s=900)
    assert (await world.request(order.order_id, wait_ms=0)).status == "confirming"
    clock.advance(us=LIFE_US)
    assert world.query(order_id=order.order_id).status == "pending"
    clock.advance(us=900_000_000)
    assert await swept(world) == 1
    assert [topic for topic, _ in world.told(order.order_id)][2:] == ["payment.pending", "payment.closed"]
    assert world.count("prompts") == 0
    assert world.query(order_id=order.order_id).close_reason == "expired"


@pytest.mark.parametrize("reason", [CloseReason.UNINSTALLED, CloseReason.REVOKED])
async def test_a_programs_payments_end_with_it(world: Any, reason: CloseReason) -> None:
    carol = world.session("carol", limits=Limits())
    await world.deposit(2_500, "carol")
    held, paid = await world.hold(1_250, carol), await world.pay(1_250, carol)
    world.cashier.hold()
    pending, asked = await world.create(), await world.create()
    await world.request(asked.order_id, wait_ms=0)
    bob = world.session("bob")
    of_bob = await world.create(bob)
    other = await world.create(world.session(app_id="other"))

    async def close(at_most: int, user: str | None = None) -> int:
        return int(await world.store.write(lambda tx: sweep.close_program(tx, SHOP, reason, at_most, user)))

    assert await close(10, "bob") == 1
    assert world.query(bob, order_id=of_bob.order_id).close_reason == reason.value
    assert [await close(2), await close(2), await close(2)] == [2, 1, 0]
    for order, session in ((pending, None), (asked, None), (held, carol)):
        assert world.query(session, order_id=order.order_id).close_reason == reason.value
    assert world.count("prompts") == 0
    assert world.available(owner="carol") == 1_250
    assert world.query(carol, order_id=paid.order_id).status == "succeeded"
    assert world.query(world.session(app_id="other"), order_id=other.order_id).status == "pending"


async def test_an_order_whose_time_was_over_before_expired(world: Any, clock: VirtualClock) -> None:
    order = await world.create(ttl_s=60)
    clock.advance(us=60_000_000)
    assert await world.store.write(lambda tx: sweep.close_program(tx, SHOP, CloseReason.UNINSTALLED, 10)) == 1
    assert world.query(order_id=order.order_id).close_reason == "expired"
