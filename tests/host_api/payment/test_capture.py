"""payment.capture and payment.close: amounts, keys, states, prompts, races and cancellation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.payment.fees import FeeTerms
from host_api.payment.methods import CAPTURE, CLOSE, CaptureParams, CloseParams
from host_api.payment.orders import HOLD_US
from runtime.limits import Limits
from runtime.testing import VirtualClock
from tests.host_api.refusal import refusal

SHOP = "org.example.shop"
DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("params", "change"),
    [
        *((CaptureParams, {"amount": amount}) for amount in (0, -1, 10**12 + 1, 1.0, True, "5")),
        (CaptureParams, {"currency": "CNY"}),
        (CaptureParams, {"amount": {"amount": 1, "currency": "CNY"}}),
        *((params, {"key": ""}) for params in (CaptureParams, CloseParams)),
        *((params, {"order_id": "x" * 65}) for params in (CaptureParams, CloseParams)),
        (CloseParams, {"amount": 1}),
    ],
)
def test_params_that_are_refused(params: Any, change: dict[str, Any]) -> None:
    method = CAPTURE if params is CaptureParams else CLOSE
    msgspec.convert(dict(method.example), params)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**method.example, **change}, params)


# ---- capture ---------------------------------------------------------------------------------------------------------
async def test_a_yes_to_a_manual_order_holds_the_money(world: Any, clock: VirtualClock) -> None:
    await world.deposit(2_000)
    held = await world.hold(1_250)
    assert (held.status, held.capture, held.captured, held.refundable_until_ms) == ("authorized", "manual", 0, None)
    assert held.hold_expires_at_ms == (clock.now_us() + HOLD_US) // 1000
    assert world.balance().held == 1_250
    assert world.available() == 750
    assert world.balance("merchant", SHOP).incoming == 1_250
    assert world.available("merchant", SHOP) == 0


@pytest.mark.parametrize(("amount", "captured"), [(None, 1_250), (1_250, 1_250), (1_000, 1_000), (1, 1)])
async def test_a_capture_takes_what_it_names_and_gives_the_rest_back(world: Any, amount: Any, captured: int) -> None:
    await world.payments.set_fee_terms(SHOP, FeeTerms(bps=100, fixed=1))
    await world.deposit(2_000)
    held = await world.hold(1_250)
    taken = await world.capture(held.order_id, amount)
    fee = min(captured, round(captured / 100) + 1)
    assert (taken.status, taken.captured, taken.hold_expires_at_ms) == ("succeeded", captured, None)
    assert taken.refundable_until_ms is not None
    assert world.balance().posted == world.available() == 2_000 - captured
    assert world.available("fee", "") == fee
    assert world.available("merchant", SHOP) == captured - fee
    assert world.balance("merchant", SHOP).incoming == 0


async def test_a_capture_of_one_unit_more_than_is_held(world: Any) -> None:
    await world.deposit(2_000)
    held = await world.hold(1_250)
    error = await refusal(world.capture(held.order_id, 1_251))
    assert error.code is ErrorCode.LIMIT_EXCEEDED
    assert error.details == {"limit": "held", "value": 1_250, "used": 1_251, "unit": "minor units"}
    assert world.query(order_id=held.order_id).status == "authorized"


@pytest.mark.parametrize(("grant", "amount"), [({"amount_max": 999}, 1_000), ({"currencies": ["EUR"]}, 1)])
async def test_a_capture_stays_inside_the_grant(world: Any, grant: dict[str, Any], amount: int) -> None:
    await world.deposit(1_250)
    order, narrow = await world.hold(), world.session(granted={"payment": grant})
    for asked in (amount, None):
        refused = await refusal(world.capture(order.order_id, asked, narrow, key="k"))
        assert refused.code is ErrorCode.GRANT_CONSTRAINT
    if "amount_max" in grant:  # a grant's refusal is not kept under the key
        assert (await world.capture(order.order_id, amount - 1, narrow, key="k")).captured == 999


async def test_what_is_not_captured_counts_no_more_against_the_day(world: Any) -> None:
    session = world.session(limits=Limits(payment_day_amount=100))
    await world.deposit(1_000)
    held = await world.hold(100, session)
    assert (await world.pay(1, session)).close_reason == "limit"
    await world.capture(held.order_id, 60, session)
    assert (await world.pay(41, session)).close_reason == "limit"
    assert (await world.pay(40, session)).status == "succeeded"


async def test_a_void_hold_counts_no_more_against_the_day(world: Any) -> None:
    session = world.session(limits=Limits(payment_day_amount=100))
    await world.deposit(1_000)
    held = await world.hold(100, session)
    await world.close(held.order_id, session)
    assert (await world.pay(100, session)).status == "succeeded"


async def test_a_hold_counts_at_the_time_of_the_yes(world: Any, clock: VirtualClock) -> None:
    session = world.session(limits=Limits(payment_day_amount=100))
    await world.deposit(1_000)
    held = await world.hold(100, session)
    clock.advance(us=DAY_US - 1)
    await world.capture(held.order_id, session=session)
    assert (await world.pay(1, session)).close_reason == "limit"
    clock.advance(us=1)
    assert (await world.pay(100, session)).status == "succeeded"


# ---- close -----------------------------------------------------------------------------------------------------------
async def test_a_pending_order_is_closed(world: Any) -> None:
    order = await world.create()
    closed = await world.close(order.order_id)
    assert (closed.status, closed.close_reason, closed.replayed) == ("closed", "closed", False)
    error = await refusal(world.request(order.order_id))
    assert error.code is ErrorCode.INVALID_STATE
    assert error.details == {"status": "closed", "close_reason": "closed"}


async def test_closing_gives_back_what_is_held(world: Any) -> None:
    await world.deposit(1_250)
    held = await world.hold()
    closed = await world.close(held.order_id)
    assert (closed.status, closed.close_reason, closed.captured) == ("closed", "voided", 0)
    assert world.available() == 1_250
    assert (await refusal(world.capture(held.order_id))).details["close_reason"] == "voided"


async def test_closing_takes_the_prompt_away_and_wakes_who_waits(world: Any) -> None:
    await world.deposit(1_250)
    world.cashier.hold()
    order = await world.create()
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await world.request(order.order_id))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert world.desk.count() == 1
        assert (await world.close(order.order_id)).close_reason == "closed"
        assert world.desk.count() == world.count("prompts") == 0
    assert (answers[0].status, answers[0].close_reason) == ("closed", "closed")
    world.cashier.release()
    await trio.testing.wait_all_tasks_blocked()
    assert world.query(order_id=order.order_id).close_reason == "closed"
    assert world.available() == 1_250


async def test_a_prompt_of_another_order_stays(world: Any) -> None:
    world.cashier.hold()
    asked, other = await world.create(), await world.create()
    assert (await world.request(asked.order_id, wait_ms=0)).status == "confirming"
    await world.close(other.order_id)
    assert world.query(order_id=asked.order_id).status == "confirming"
    assert world.desk.count() == 1


# ---- keys ------------------------------------------------------------------------------------------------------------
async def test_a_capture_sent_again_is_made_once(world: Any) -> None:
    await world.deposit(1_250)
    held = await world.hold()
    first = await world.capture(held.order_id, 1_000, key="k")
    again = await world.capture(held.order_id, 1_000, key="k")
    assert again == msgspec.structs.replace(first, replayed=True)
    assert (await refusal(world.capture(held.order_id, 999, key="k"))).code is ErrorCode.KEY_REUSED
    assert (await refusal(world.capture(held.order_id, 1_000))).code is ErrorCode.INVALID_STATE
    assert world.available("merchant", SHOP) == 1_000


async def test_a_capture_refused_for_the_orders_state_stays_refused_under_its_key(world: Any) -> None:
    await world.deposit(1_250)
    order = await world.create(capture="manual")
    first = await refusal(world.capture(order.order_id, key="k"))
    assert (first.code, first.details["status"]) == (ErrorCode.INVALID_STATE, "pending")
    await world.request(order.order_id)
    again = await refusal(world.capture(order.order_id, key="k"))
    assert (again.code, again.message) == (first.code, first.message)
    assert again.details == {**first.details, "replayed": True}
    assert (await world.capture(order.order_id, key="l")).status == "succeeded"


async def test_a_close_that_was_refused_may_be_sent_again_with_its_key(world: Any) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    for _ in range(2):
        error = await refusal(world.close(paid.order_id, key="k"))
        assert (error.code, error.details["status"]) == (ErrorCode.INVALID_STATE, "succeeded")
        assert "replayed" not in error.details
    order = await world.create()
    closed = await world.close(order.order_id, key="l")
    assert await world.close(order.order_id, key="l") == msgspec.structs.replace(closed, replayed=True)


async def test_what_is_not_yours_is_not_found_and_keeps_no_key(world: Any) -> None:
    await world.deposit(1_250)
    held = await world.hold()
    keys = world.count("idempotency")
    told = []
    for session in (world.session("bob"), world.session(app_id="other"), world.session("")):
        for act in (world.capture, world.close):
            told.append((await refusal(act(held.order_id, session=session))).as_wire())
            told.append((await refusal(act("f" * 32, session=session))).as_wire())
    assert told == [told[0]] * 12
    assert told[0]["code"] == "not_found"
    assert world.count("idempotency") == keys


# ---- grants ----------------------------------------------------------------------------------------------------------
async def test_a_grant_that_was_taken_away_stops_both(world: Any) -> None:
    await world.deposit(1_250)
    held = await world.hold()
    for act in (world.capture, world.close):
        error = await refusal(act(held.order_id, session=world.session(granted=["storage"])))
        assert error.code is ErrorCode.CAPABILITY_NOT_GRANTED
    assert world.query(order_id=held.order_id).status == "authorized"


# ---- races and cancellation ------------------------------------------------------------------------------------------
async def test_of_captures_and_closes_at_once_one_wins(world: Any, file_world: Any) -> None:
    for one in (world, file_world):
        await one.deposit(1_250)
        held = await one.hold()
        won: list[Any] = []

        async def act(call: Any, one: Any = one, held: Any = held, won: list[Any] = won) -> None:
            try:
                won.append(await call(held.order_id))
            except ApiError as error:
                assert error.code is ErrorCode.INVALID_STATE

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(act, one.capture)
                nursery.start_soon(act, one.close)
        assert len(won) == 1
        assert one.available() == 1_250 - won[0].captured


@pytest.mark.parametrize("act", ["capture", "close"])
async def test_cancelled_it_has_happened_or_not(world: Any, file_world: Any, act: str) -> None:
    for one in (world, file_world):
        await one.deposit(2_500)
        held = await one.hold()
        with trio.CancelScope() as scope:
            scope.cancel()
            await getattr(one, act)(held.order_id)
        assert scope.cancelled_caught
        assert one.query(order_id=held.order_id).status == "authorized"
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_soon, scope)
                await getattr(one, act)(held.order_id, key="k")
        assert one.query(order_id=held.order_id).status in ("succeeded", "closed", "authorized")
        repeated = await getattr(one, act)(held.order_id, key="k")
        assert one.query(order_id=held.order_id).version == repeated.version


async def _cancel_soon(scope: trio.CancelScope) -> None:
    scope.cancel()
