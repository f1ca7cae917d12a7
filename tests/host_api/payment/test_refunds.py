"""payment.refund and payment.refund_query: amounts, fees, keys, business keys, grants, and whose money it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from host_api import ledger
from host_api.errors import ApiError, ErrorCode
from host_api.idempotency import RETENTION_US
from host_api.ledger import AccountKind, AccountName
from host_api.payment.fees import FeeTerms
from host_api.payment.orders import REFUND_WINDOW_US
from host_api.payment.refund_methods import REFUND, RefundParams, RefundQueryParams, RefundResult
from host_api.payment.refunds import REFUNDS_MAX
from runtime.testing import VirtualClock
from tests.host_api.refusal import refusal

SHOP = "org.example.shop"


def look(world: Any, order_id: str, number: str, session: Any = None) -> RefundResult:
    params = RefundQueryParams(order_id=order_id, out_request_no=number)
    result: RefundResult = world.payments.refund_query(session or world.session(), params)
    return result


async def spend(world: Any, amount: int) -> None:
    """The shop's money goes elsewhere."""
    shop = AccountName(kind=AccountKind.MERCHANT, owner=SHOP, currency="CNY")
    out = AccountName(kind=AccountKind.FUNDING, currency="CNY")
    leg = ledger.Leg(kind="payout", cause=str(amount), debit=shop, credit=out, amount=amount)
    await world.store.write(lambda tx: ledger.move(tx, [leg]))


@pytest.mark.parametrize(
    "change",
    [
        *({"amount": amount} for amount in (0, -1, 10**12 + 1, 1.0, True, "5", {"amount": 1, "currency": "CNY"})),
        {"currency": "CNY"},
        *({"out_request_no": number} for number in ("", "x" * 65, "a/b", "a\n")),
        *({"reason": reason} for reason in ("", "a\nb", "x" * 65)),
        {"user": "bob"},
    ],
)
def test_params_that_are_refused(change: dict[str, Any]) -> None:
    msgspec.convert(dict(REFUND.example), RefundParams)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**REFUND.example, **change}, RefundParams)


# ---- money -----------------------------------------------------------------------------------------------------------
async def test_a_refund_moves_the_amount_back_and_its_share_of_the_fee(world: Any) -> None:
    await world.payments.set_fee_terms(SHOP, FeeTerms(bps=100, fixed=3))
    await world.deposit(1_000)
    paid = await world.pay(1_000)
    made = await world.refund(paid.order_id, 250, out_request_no="n")
    assert made == RefundResult(
        refund_id=made.refund_id, order_id=paid.order_id, out_request_no="n", status="succeeded",
        amount=msgspec.structs.replace(paid.amount, amount=250), reason="One apple was bad", order_refunded=250,
        replayed=False,
    )  # fmt: skip
    assert world.available() == 250
    assert world.available("fee", "") == 13 - 13 * 250 // 1_000
    assert world.available("merchant", SHOP) == 1_000 - 13 - 250 + 3
    order = world.query(order_id=paid.order_id)
    assert (order.status, order.captured, order.refunded) == ("succeeded", 1_000, 250)
    assert look(world, paid.order_id, "n") == made


async def test_many_small_refunds_give_back_what_one_does(world: Any) -> None:
    await world.payments.set_fee_terms(SHOP, FeeTerms(bps=777, fixed=1))
    await world.deposit(134)
    first, second = await world.pay(67), await world.pay(67)
    await world.refund(first.order_id, 67)
    fee_after_one, shop_after_one = world.available("fee", ""), world.available("merchant", SHOP)
    for _ in range(67):
        await world.refund(second.order_id, 1)
    assert world.available() == 134
    assert (world.available("fee", ""), world.available("merchant", SHOP)) == (0, 0)
    assert (fee_after_one, shop_after_one) == (6, 61)


async def test_all_and_one_unit_more(world: Any) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    error = await refusal(world.refund(paid.order_id, 1_251))
    assert error.code is ErrorCode.REFUND_EXCEEDS_CAPTURED
    assert error.details == {"captured": 1_250, "refunded": 0, "amount": 1_251}
    await world.refund(paid.order_id, 1_000)
    assert (await refusal(world.refund(paid.order_id, 251))).details["refunded"] == 1_000
    assert (await world.refund(paid.order_id, 250)).order_refunded == 1_250
    assert (await refusal(world.refund(paid.order_id, 1))).code is ErrorCode.REFUND_EXCEEDS_CAPTURED


async def test_what_was_not_captured_is_not_refunded(world: Any) -> None:
    await world.deposit(1_250)
    held = await world.hold()
    assert (await refusal(world.refund(held.order_id, 1))).code is ErrorCode.INVALID_STATE
    await world.capture(held.order_id, 100)
    assert (await refusal(world.refund(held.order_id, 101))).code is ErrorCode.REFUND_EXCEEDS_CAPTURED
    assert (await world.refund(held.order_id, 100)).order_refunded == 100


async def test_a_merchant_without_funds(world: Any) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    await spend(world, 1_000)
    error = await refusal(world.refund(paid.order_id, 251, key="k", out_request_no="n"))
    assert error.code is ErrorCode.MERCHANT_FUNDS_LOW
    assert error.code.retryable
    with pytest.raises(ApiError, match="no such refund"):
        look(world, paid.order_id, "n")
    await world.refund(paid.order_id, 250)
    assert world.available("merchant", SHOP) == 0


async def test_with_the_platforms_share_a_merchant_can_refund_its_only_payment(world: Any) -> None:
    await world.payments.set_fee_terms(SHOP, FeeTerms(bps=5_000))
    await world.deposit(1_250)
    paid = await world.pay()
    await world.refund(paid.order_id, 1_250)
    assert (world.available(), world.available("merchant", SHOP), world.available("fee", "")) == (1_250, 0, 0)


async def test_a_refund_gives_no_limit_back(world: Any) -> None:
    session = world.session(granted={"payment": {"day_max": 1_250}, "payment.refund": {}})
    await world.deposit(1_250)
    paid = await world.pay(1_250, session)
    await world.refund(paid.order_id, 1_250, session)
    assert (await world.pay(1, session)).close_reason == "limit"


# ---- time ------------------------------------------------------------------------------------------------------------
async def test_the_window_is_exact(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    assert paid.refundable_until_ms == (clock.now_us() + REFUND_WINDOW_US) // 1000
    clock.advance(us=REFUND_WINDOW_US - 1)
    await world.refund(paid.order_id, 1)
    clock.advance(us=1)
    error = await refusal(world.refund(paid.order_id, 1))
    assert (error.code, error.details["status"]) == (ErrorCode.REFUND_WINDOW_OVER, "finished")
    assert world.query(order_id=paid.order_id).status == "finished"
    assert (await refusal(world.refund(paid.order_id, 1_250))).code is ErrorCode.REFUND_EXCEEDS_CAPTURED


# ---- keys and business keys ------------------------------------------------------------------------------------------
async def test_a_refund_sent_again_is_made_once(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    first = await world.refund(paid.order_id, 100, key="k", out_request_no="n")
    again = await world.refund(paid.order_id, 100, key="k", out_request_no="n")
    assert again == msgspec.structs.replace(first, replayed=True)
    assert await world.refund(paid.order_id, 100, key="l", out_request_no="n") == again
    clock.advance(us=RETENTION_US)
    assert await world.refund(paid.order_id, 100, key="k", out_request_no="n") == again
    assert world.available() == 100


@pytest.mark.parametrize("change", [{"amount": 101}, {"reason": "Two were"}])
async def test_an_out_request_no_is_one_refund_for_ever(world: Any, change: dict[str, Any]) -> None:
    await world.deposit(2_500)
    paid = await world.pay()
    asked = {"amount": 100, "reason": "One was", "out_request_no": "n"}
    await world.refund(paid.order_id, **asked, key="k")
    assert (await refusal(world.refund(paid.order_id, **{**asked, **change}, key="k"))).code is ErrorCode.KEY_REUSED
    error = await refusal(world.refund(paid.order_id, **{**asked, **change}))
    assert (error.code, error.details) == (ErrorCode.ORDER_MISMATCH, {"out_request_no": "n"})
    other = await world.pay()
    assert not (await world.refund(other.order_id, **{**asked, **change})).replayed


async def test_a_refused_refund_stays_refused_under_its_key_and_a_new_key_tries_anew(world: Any) -> None:
    await world.deposit(1_260)
    paid = await world.pay()
    await spend(world, 1_250)
    first = await refusal(world.refund(paid.order_id, 10, key="k", out_request_no="n"))
    await world.pay(10)
    again = await refusal(world.refund(paid.order_id, 10, key="k", out_request_no="n"))
    assert again.code is first.code is ErrorCode.MERCHANT_FUNDS_LOW
    assert again.details == {"replayed": True}
    assert (await world.refund(paid.order_id, 10, key="l", out_request_no="n")).order_refunded == 10


async def test_refunds_of_one_order_are_counted(world: Any) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    for number in range(REFUNDS_MAX):
        await world.refund(paid.order_id, 1, out_request_no=str(number))
    error = await refusal(world.refund(paid.order_id, 1, out_request_no="more"))
    assert (error.code, error.details["value"]) == (ErrorCode.LIMIT_EXCEEDED, REFUNDS_MAX)
    assert (await world.refund(paid.order_id, 1, out_request_no="0")).replayed


async def test_16_refunds_at_once_give_back_no_more_than_was_captured(world: Any, file_world: Any) -> None:
    for one in (world, file_world):
        await one.deposit(1_250)
        paid = await one.pay()
        made: list[int] = []

        async def refund(one: Any = one, paid: Any = paid, made: list[int] = made) -> None:
            try:
                made.append((await one.refund(paid.order_id, 200)).amount.amount)
            except ApiError as error:
                assert error.code is ErrorCode.REFUND_EXCEEDS_CAPTURED

        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(refund)
        assert made == [200] * 6
        assert one.available() == 1_200


# ---- whose it is, and who may ----------------------------------------------------------------------------------------
async def test_what_is_not_yours_is_not_found(world: Any) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    await world.refund(paid.order_id, 1, out_request_no="n")
    granted = ["payment", "payment.refund"]
    told = []
    for changes in ({"user": "bob"}, {"app_id": "other"}, {"user": ""}, {}):
        session = world.session(**{"granted": granted, **changes})
        order_id = paid.order_id if changes else "f" * 32
        told.append((await refusal(world.refund(order_id, 1, session))).as_wire())
        with pytest.raises(ApiError) as refused:
            look(world, order_id, "n", session)
        told.append(refused.value.as_wire())
    assert told == [told[0]] * 8
    assert told[0]["code"] == "not_found"


@pytest.mark.parametrize(
    ("constraint", "amount", "fits"),
    [
        ({"amount_max": 100}, 100, True),
        ({"amount_max": 100}, 101, False),
        ({"currencies": ["CNY"]}, 1, True),
        ({"currencies": ["EUR"]}, 1, False),
    ],
)
async def test_the_grants_constraints(world: Any, constraint: dict[str, Any], amount: int, fits: bool) -> None:
    session = world.session(granted={"payment.refund": constraint})
    await world.deposit(1_250)
    paid = await world.pay()
    if fits:
        assert (await world.refund(paid.order_id, amount, session)).order_refunded == amount
        return
    error = await refusal(world.refund(paid.order_id, amount, session, key="k"))
    assert (error.code, error.details["constraint"]) == (ErrorCode.GRANT_CONSTRAINT, next(iter(constraint)))
    wider = world.session(granted={"payment.refund": {}})
    assert not (await world.refund(paid.order_id, amount, wider, key="k")).replayed


async def test_payment_alone_is_not_enough(world: Any) -> None:
    await world.deposit(1_250)
    paid = await world.pay()
    error = await refusal(world.refund(paid.order_id, 1, world.session(granted=["payment"])))
    assert (error.code, error.details["capability"]) == (ErrorCode.CAPABILITY_NOT_GRANTED, "payment.refund")


async def test_cancelled_it_has_happened_or_not(world: Any, file_world: Any) -> None:
    for one in (world, file_world):
        await one.deposit(1_250)
        paid = await one.pay()
        with trio.CancelScope() as scope:
            scope.cancel()
            await one.refund(paid.order_id, 1, key="k", out_request_no="n")
        assert scope.cancelled_caught
        assert one.query(order_id=paid.order_id).refunded == 0
        assert not (await one.refund(paid.order_id, 1, key="k", out_request_no="n")).replayed
