"""Prompts that are cancelled, withdrawn or raced, hosts that stop, and many users at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.payment import checkout
from host_api.payment.methods import CloseParams
from host_api.payment.orders import Event
from host_api.store import open_store
from runtime.testing import VirtualClock
from tests.host_api.refusal import refusal

blocked = trio.testing.wait_all_tasks_blocked


# ---- cancellation, withdrawal, crashes -------------------------------------------------------------------------------
async def test_a_cancelled_wait_withdraws_the_prompt(world: Any) -> None:
    world.cashier.hold()
    order = await world.create()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.request, order.order_id)
            await blocked()
            assert world.query(order_id=order.order_id).status == "confirming"
            scope.cancel()
    await blocked()
    assert world.stored_status() == ["pending"]
    assert world.desk.count() == 0
    world.cashier.release()
    await world.deposit(1250)
    assert (await world.request(order.order_id)).status == "succeeded"


async def test_a_cancelled_wait_leaves_the_prompt_to_another_that_waits(world: Any) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create()
    results: list[str] = []

    async def wait() -> None:
        results.append((await world.request(order.order_id)).status)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        with scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(world.request, order.order_id)
                await blocked()
                nursery.start_soon(wait)
                await blocked()
                scope.cancel()
        await blocked()
        world.cashier.release()
    assert results == ["succeeded"]


async def test_a_cancelled_join_leaves_a_prompt_that_is_being_opened(
    file_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, reached, go_on = file_world, threading.Event(), threading.Event()
    await world.deposit(1250)
    order = await world.create()

    def opening(*args: Any, real: Any = checkout._open) -> Any:
        reached.set()
        assert go_on.wait(20)
        return real(*args)

    monkeypatch.setattr(checkout, "_open", opening)
    results: list[str] = []

    async def wait() -> None:
        results.append((await world.request(order.order_id)).status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.to_thread.run_sync(reached.wait)
        with trio.CancelScope() as joined:
            async with trio.open_nursery() as inner:
                inner.start_soon(world.request, order.order_id)
                await blocked()
                joined.cancel()
                go_on.set()
    assert results == ["succeeded"]


async def test_cancelled_before_the_hand_over_no_prompt_opens(world: Any) -> None:
    order = await world.create()
    with trio.CancelScope() as scope:
        scope.cancel()
        await world.request(order.order_id)
    assert scope.cancelled_caught
    assert (world.stored_status(), world.desk.count(), world.cashier.shown) == (["pending"], 0, [])


@pytest.mark.parametrize("wait_ms", [0, 1000])
async def test_cancelled_while_the_order_is_being_opened_the_prompt_is_withdrawn(
    world: Any, monkeypatch: pytest.MonkeyPatch, wait_ms: int
) -> None:
    order = await world.create()
    world.cashier.hold()
    with trio.CancelScope() as scope:

        def opening(*args: Any, real: Any = checkout._open) -> Any:
            scope.cancel()
            return real(*args)

        monkeypatch.setattr(checkout, "_open", opening)
        await world.request(order.order_id, wait_ms=wait_ms)
    assert scope.cancelled_caught
    await blocked()
    assert (world.stored_status(), world.desk.count()) == (["pending"], 0)


async def test_cancelled_after_the_answer_the_answer_counts(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.deposit(1250)
    order = await world.create()
    with trio.CancelScope() as scope:

        def settling(*args: Any, real: Any = checkout.carry_out, **more: Any) -> Any:
            if args[2] is Event.CONFIRM:
                scope.cancel()
            return real(*args, **more)

        monkeypatch.setattr(checkout, "carry_out", settling)
        await world.request(order.order_id)
    await blocked()
    assert world.query(order_id=order.order_id).status == "succeeded"
    assert world.available() == 0


async def test_withdrawn_by_the_host(world: Any) -> None:
    world.cashier.hold()
    for session in (world.session(), world.session("bob"), world.session(app_id="other")):
        await world.request((await world.create(session)).order_id, session, wait_ms=0)
    await blocked()
    assert await world.desk.withdraw_program("org.example.shop", "bob") == 1
    assert world.desk.count() == 2
    assert await world.desk.withdraw_program("org.example.shop") == 1
    assert world.desk.count() == 1
    assert sorted(world.stored_status()) == ["confirming", "pending", "pending"]


async def test_a_prompt_survives_its_host(world_of: Any, clock: VirtualClock, tmp_path: Path) -> None:
    """The next host shows it again to who asks again: the same prompt, another token, one payment."""
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery)
        await world.deposit(1250)
        world.cashier.hold()
        order = (await world.create()).order_id
        await world.request(order, wait_ms=0)
        await blocked()
        nursery.cancel_scope.cancel()
    (shown,) = world.cashier.shown
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, seed=1)
        assert world.query(order_id=order).status == "confirming"
        paid = await world.request(order)
        assert (paid.status, paid.replayed) == ("succeeded", True)
        (again,) = world.cashier.shown
        assert (again.id, again.digest) == (shown.id, shown.digest)
        assert again.token != shown.token
        assert world.findings() == []


async def test_a_prompt_whose_time_ends_while_no_host_runs(world_of: Any, clock: VirtualClock, tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery)
        world.cashier.hold()
        order = (await world.create()).order_id
        await world.request(order, wait_ms=0)
        nursery.cancel_scope.cancel()
    clock.advance(s=120)
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, seed=1)
        assert world.query(order_id=order).status == "pending"
        assert (await world.request(order, wait_ms=0)).replayed is False
        nursery.cancel_scope.cancel()
        assert world.findings() == []


async def test_an_order_whose_prompt_is_gone_is_pending_again(world: Any) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create()
    await world.request(order.order_id, wait_ms=0)
    await world.store.write(lambda tx: tx.execute("DELETE FROM prompts"))
    world.desk.refresh("org.example.shop", "alice")
    assert world.stored_status() == ["confirming"]
    assert world.query(order_id=order.order_id).status == "pending"
    world.cashier.release()
    assert (await world.request(order.order_id)).status == "succeeded"


async def test_an_answer_that_could_not_be_written_reaches_who_waits(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the prompt is open still: who asks again is shown it again."""
    await world.deposit(1250)
    order = await world.create()
    world.cashier.hold()
    await world.request(order.order_id, wait_ms=0)

    async def refused(_: Any) -> Any:
        raise ApiError(ErrorCode.BUSY, "the disk refused")

    async def ask() -> None:
        assert (await refusal(world.request(order.order_id))).code is ErrorCode.BUSY

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await blocked()
        with monkeypatch.context() as patch:
            patch.setattr(world.store, "write", refused)
            world.cashier.release()
            await blocked()
    assert (world.desk.count(), world.query(order_id=order.order_id).status) == (1, "confirming")
    assert (await world.request(order.order_id)).status == "succeeded"
    assert world.available() == 0


async def test_closing_an_order_takes_its_prompt_down_and_wakes_who_waits(world: Any) -> None:
    world.cashier.hold()
    order = await world.create()

    async def ask() -> None:
        closed = await world.request(order.order_id)
        assert (closed.status, closed.close_reason) == ("closed", "closed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await blocked()
        await world.payments.close(world.session(), CloseParams(key="close", order_id=order.order_id))
    assert world.desk.count() == 0
    world.cashier.release()
    await blocked()
    assert world.stored_status() == ["closed"]


async def test_a_prompt_answers_only_for_the_version_that_was_shown(world_of: Any, clock: VirtualClock) -> None:
    """Whatever swapped the order while its prompt was open: the yes is refused, and the prompt is gone."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery)
        await world.deposit(1250)
        world.cashier.hold()
        order = await world.create()
        await world.request(order.order_id, wait_ms=0)
        for change in ("amount = amount + 1", "currency = 'EUR'", "version = version + 1"):
            await store.write(lambda tx, change=change: tx.execute(f"UPDATE orders SET {change}"))
            (waiting,) = world.desk.pending("alice")
            prompt = await world.desk.issue(waiting.id)
            clock.advance(s=1)
            error = await refusal(world.desk.answer(prompt.id, prompt.token, prompt.digest, True))
            assert error.code is ErrorCode.INVALID_STATE
            assert world.desk.pending() == []
            await world.request(order.order_id, wait_ms=0)
        assert (world.available(), world.count("confirmations")) == (1250, 0)
        nursery.cancel_scope.cancel()


async def test_1500_users_at_once(world: Any) -> None:
    world.cashier.hold()
    orders: dict[str, str] = {}
    for number in range(1_500):
        user = f"user{number}"
        await world.deposit(1250, user)
        orders[user] = (await world.create(world.session(user))).order_id
    results: list[str] = []

    async def pay(user: str) -> None:
        results.append((await world.request(orders[user], world.session(user))).status)

    async with trio.open_nursery() as nursery:
        for user in orders:
            nursery.start_soon(pay, user)
        await blocked()
        assert world.desk.count() == 1_500
        world.cashier.release()
    assert results == ["succeeded"] * 1_500
    assert world.desk.count() == 0


# ---- races -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("early_us", [-1, 0, 1])
async def test_confirm_against_expiry_on_a_writer_thread(file_world: Any, clock: VirtualClock, early_us: int) -> None:
    """16 orders whose time ends around the users' yes: each is paid, or expired, and its money agrees."""
    world = file_world
    world.cashier.hold()
    orders: dict[str, str] = {}
    for number in range(16):
        user = f"user{number}"
        await world.deposit(1250, user)
        orders[user] = (await world.create(world.session(user), ttl_s=60)).order_id
        await world.request(orders[user], world.session(user), wait_ms=0)
    await blocked()
    clock.advance(us=60_000_000 - early_us)
    world.cashier.release()
    while world.desk.count():
        await trio.lowlevel.checkpoint()
    for user, order_id in orders.items():
        order = world.query(world.session(user), order_id=order_id)
        paid = early_us == 1
        assert (order.status, order.close_reason) == (("succeeded", None) if paid else ("closed", "expired"))
        assert world.available(owner=user) == (0 if paid else 1250)
