"""payment.request: one prompt for each program and user, who answers it, and every way it can end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.payment.cashier import Decision, Prompt, ScriptedCashier
from host_api.store import open_store
from runtime.deadline import Deadline
from runtime.limits import Limits
from runtime.testing import VirtualClock

blocked = trio.testing.wait_all_tasks_blocked


async def refusal(awaitable: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await awaitable
    return refused.value


def stored_status(world: Any) -> list[str]:
    return [
        row[0] for row in world.store.read(lambda tx: tx.execute("SELECT status FROM orders ORDER BY created_us, id"))
    ]


# ---- what is shown ---------------------------------------------------------------------------------------------------
async def test_the_prompt_is_drawn_by_the_host(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1250)
    order = await world.create()
    await world.request(order.order_id)
    (prompt,) = world.cashier.shown
    assert (prompt.order_id, prompt.app_id, prompt.user) == (order.order_id, "org.example.shop", "alice")
    assert (prompt.payee, prompt.amount_text, prompt.subject) == ("Example Shop", "12.50 CNY", "Fruit basket")
    assert prompt.expires_us == clock.now_us() + 120_000_000
    assert len(prompt.digest) == 32
    assert prompt.token not in repr(prompt)
    assert prompt.token not in repr(Decision.approve(prompt))


async def test_a_prompt_never_outlives_its_order(world: Any, clock: VirtualClock) -> None:
    order = await world.create(ttl_s=60)
    clock.advance(s=20)
    await world.request(order.order_id)
    assert world.cashier.shown[0].expires_us == clock.now_us() + 40_000_000


async def test_each_prompt_has_its_own_token(world: Any) -> None:
    for _ in range(3):
        await world.request((await world.create()).order_id)
    assert len({prompt.token for prompt in world.cashier.shown}) == 3


# ---- waiting ---------------------------------------------------------------------------------------------------------
async def test_without_waiting_the_answer_comes_at_once_and_the_prompt_lives_on(world: Any) -> None:
    await world.deposit(1250)
    order = await world.create()
    assert (await world.request(order.order_id, wait_ms=0)).status == "confirming"
    await blocked()
    assert world.query(order_id=order.order_id).status == "succeeded"
    assert len(world.prompts) == 0


async def test_a_wait_that_is_over_leaves_the_prompt_open(world: Any, autojump_clock: Any) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create()
    began = trio.current_time()
    assert (await world.request(order.order_id, wait_ms=5_000)).status == "confirming"
    assert trio.current_time() - began == pytest.approx(5)
    world.cashier.release()
    await blocked()
    assert world.query(order_id=order.order_id).status == "succeeded"


async def test_no_wait_is_longer_than_its_limit_and_the_deadline_stands_still(world: Any, autojump_clock: Any) -> None:
    world.cashier.hold()
    deadline = Deadline(wall_s=10, still_s=150, now=trio.current_time)
    session = world.session(limits=Limits(prompt_wait_ms=30_000), deadline=deadline)
    order = await world.create()
    began = trio.current_time()
    await world.request(order.order_id, session, wait_ms=600_000)
    assert trio.current_time() - began == pytest.approx(30)
    assert deadline.stood_s == pytest.approx(30)


async def test_a_request_sent_again_joins_its_prompt(world: Any) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create()
    first = await world.request(order.order_id, wait_ms=0)
    again = await world.request(order.order_id, wait_ms=0)
    assert (first.status, first.replayed, again.status, again.replayed) == ("confirming", False, "confirming", True)
    results: list[str] = []

    async def wait() -> None:
        results.append((await world.request(order.order_id)).status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await blocked()
        world.cashier.release()
    assert results == ["succeeded", "succeeded"]
    assert len(world.cashier.shown) == 1


# ---- who may ask -----------------------------------------------------------------------------------------------------
async def test_only_an_interactive_session_opens_a_prompt(world: Any) -> None:
    order = await world.create()
    error = await refusal(world.request(order.order_id, world.session(interactive=False)))
    assert error.code is ErrorCode.NOT_INTERACTIVE
    assert (await refusal(world.request(order.order_id, world.session("")))).code is ErrorCode.NOT_INTERACTIVE
    assert world.cashier.shown == []
    assert stored_status(world) == ["pending"]


async def test_one_prompt_for_each_program_and_user(world: Any) -> None:
    world.cashier.hold()
    first, second = await world.create(), await world.create()
    await world.request(first.order_id, wait_ms=0)
    busy = await refusal(world.request(second.order_id))
    assert (busy.code, busy.retry_after_ms) == (ErrorCode.CASHIER_BUSY, 1_000)
    for session in (world.session("bob"), world.session(app_id="other")):
        other = await world.create(session)
        assert (await world.request(other.order_id, session, wait_ms=0)).status == "confirming"
    assert len(world.prompts) == 3


async def test_the_first_error_of_the_list_is_answered(world: Any) -> None:
    """Order of ErrorCode: not_found, invalid_state, expired, cashier_busy, not_interactive."""
    world.cashier.hold()
    await world.deposit(1250)
    paid = await world.create()
    world.cashier.release()
    await world.request(paid.order_id)
    world.cashier.hold()
    await world.request((await world.create()).order_id, wait_ms=0)
    session = world.session(interactive=False)
    assert (await refusal(world.request("0" * 32, session))).code is ErrorCode.NOT_FOUND
    assert (await refusal(world.request(paid.order_id, session))).code is ErrorCode.INVALID_STATE
    assert (await refusal(world.request((await world.create()).order_id))).code is ErrorCode.CASHIER_BUSY


async def test_a_paid_order_is_not_paid_again(world: Any) -> None:
    await world.deposit(5_000)
    paid = await world.pay()
    error = await refusal(world.request(paid.order_id))
    assert error.code is ErrorCode.INVALID_STATE
    assert error.details == {"status": "succeeded", "close_reason": None}
    assert world.available() == 3_750


async def test_more_prompts_than_a_host_holds(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host_api.payment.prompts.OPEN_MAX", 1)
    world.cashier.hold()
    await world.request((await world.create()).order_id, wait_ms=0)
    bob = world.session("bob")
    assert (await refusal(world.request((await world.create(bob)).order_id, bob))).code is ErrorCode.BUSY


# ---- answers ---------------------------------------------------------------------------------------------------------
async def test_the_third_no_closes_the_order(world_of: Any, clock: VirtualClock) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, ScriptedCashier([False, False, False, True]))
        order = await world.create()
        answers = [await world.request(order.order_id) for _ in range(3)]
        assert [(a.status, a.close_reason) for a in answers] == [("pending", None)] * 2 + [("closed", "declined")]
        assert (await refusal(world.request(order.order_id))).code is ErrorCode.INVALID_STATE


async def test_a_prompt_nobody_answers_times_out_and_is_not_counted(world: Any, autojump_clock: Any) -> None:
    world.cashier.hold()
    order = await world.create()
    for _ in range(4):
        began = trio.current_time()
        assert (await world.request(order.order_id)).status == "pending"
        assert trio.current_time() - began == pytest.approx(120)
    assert len(world.prompts) == 0


async def test_a_yes_after_the_prompts_time_counts_for_nothing(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1250)
    for late_us, status in ((0, "pending"), (-1, "succeeded")):
        world.cashier.hold()
        order = await world.create()
        await world.request(order.order_id, wait_ms=0)
        await blocked()
        clock.advance(us=120_000_000 + late_us)
        world.cashier.release()
        await blocked()
        assert world.query(order_id=order.order_id).status == status


async def test_a_yes_after_the_orders_time_finds_it_expired(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create(ttl_s=60)
    await world.request(order.order_id, wait_ms=0)
    await blocked()
    clock.advance(s=60)
    world.cashier.release()
    await blocked()
    closed = world.query(order_id=order.order_id)
    assert (closed.status, closed.close_reason) == ("closed", "expired")
    assert stored_status(world) == ["closed"]
    assert world.available() == 1250


class WrongCashier:
    """Answers yes with something else than what it was shown."""

    def __init__(self, change: dict[str, Any]) -> None:
        self.change = change

    async def confirm(self, prompt: Prompt) -> Decision:
        return replace(Decision.approve(prompt), **self.change)


class BrokenCashier:
    async def confirm(self, prompt: Prompt) -> Any:
        if prompt.subject == "raise":
            raise OSError("the front end is gone")
        return None


@pytest.mark.parametrize(
    ("cashier", "subject"),
    [
        (WrongCashier({"token": "x"}), "t"),
        (WrongCashier({"token": ""}), "t"),
        (WrongCashier({"token": "é"}), "t"),
        (WrongCashier({"digest": bytes(32)}), "t"),
        (WrongCashier({"digest": b""}), "t"),
        (WrongCashier({"digest": None}), "t"),
        (BrokenCashier(), "raise"),
        (BrokenCashier(), "none"),
    ],
)
async def test_an_answer_that_is_none_withdraws_the_prompt(
    world_of: Any, clock: VirtualClock, cashier: Any, subject: str
) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, cashier)
        await world.deposit(1250)
        order = await world.create(subject=subject)
        assert (await world.request(order.order_id)).status == "pending"
        assert world.available() == 1250
        assert len(world.prompts) == 0


async def test_a_yes_that_crosses_a_withdrawal_counts_for_nothing(world_of: Any, clock: VirtualClock) -> None:
    """The front end's yes and the withdrawal come in the same instant: what was promised to the canceller holds."""

    def crossing(prompt: Prompt) -> bool:
        assert world.prompts.withdraw_program(prompt.app_id) == 1
        return True

    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, ScriptedCashier(crossing))
        await world.deposit(1250)
        order = await world.create()
        assert (await world.request(order.order_id)).status == "pending"
        assert world.available() == 1250


async def test_a_limit_lowered_meanwhile_closes_at_the_confirmation(world: Any, clock: VirtualClock) -> None:
    await world.deposit(5_000)
    order = await world.create()
    strict = world.session(limits=Limits(payment_amount=1249))
    assert (await world.request(order.order_id, strict)).close_reason == "limit"
    order = await world.create()
    expiring = world.session(granted={"payment": {"expires_at_us": clock.now_us() + 1}})
    world.cashier.hold()
    await world.request(order.order_id, expiring, wait_ms=0)
    clock.advance(us=1)
    world.cashier.release()
    await blocked()
    assert world.query(order_id=order.order_id).close_reason == "limit"
