"""payment.create and payment.query: keys, business keys, limits, and whose order it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from host_api.contract import Bound
from host_api.errors import ApiError, ErrorCode
from host_api.idempotency import RETENTION_US, fingerprint
from host_api.payment.fees import FeeTerms
from host_api.payment.methods import CREATE, CreateParams, OrderResult, QueryParams
from runtime.limits import Limits
from runtime.testing import VirtualClock
from runtime.wire import CanonicalCodec
from tests.host_api.refusal import refusal

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


def cny(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "CNY"}


# ---- declarations ----------------------------------------------------------------------------------------------------
async def test_every_method_is_bound_and_its_example_is_valid(world: Any) -> None:
    bound: tuple[Bound, ...] = world.payments.bound()
    assert [b.method.name.removeprefix("payment.") for b in bound] == [
        "create", "request", "capture", "query", "close", "refund", "refund_query",
    ]  # fmt: skip
    for b in bound:
        msgspec.convert(b.method.example, b.method.params)
        msgspec.convert(b.method.answer, b.method.result)
        assert b.method.capability == ("payment.refund" if "refund" in b.method.name else "payment")


def test_a_guest_chooses_neither_payee_nor_user() -> None:
    names = {field.name for field in msgspec.structs.fields(CreateParams)}
    assert names == {"key", "out_trade_no", "amount", "subject", "ttl_s", "capture"}


VALID: dict[str, Any] = dict(CREATE.example)


@pytest.mark.parametrize(
    "change",
    [
        *({"amount": cny(amount)} for amount in (-1, 0, 2**63, 2**64 - 1, 1.0, True, "5", float("nan"), None)),
        *({"amount": {"amount": 1, "currency": c}} for c in ("EUR\n", "eur", "XAU", "")),
        {"amount": {"amount": 1}},
        {"amount": 1},
        *({"key": key} for key in ("", "x" * 65, "a b", "a\n", "é", 5)),
        *({"out_trade_no": number} for number in ("", "x" * 65, "a/b", "a\n", "é")),
        *({"subject": subject} for subject in ("", "a\nb", "x" * 65)),
        *({"ttl_s": ttl} for ttl in (59, 86_401, 60.0, True)),
        *({"capture": capture} for capture in ("later", "", True, None)),
        {"payee": "me"},
        {"user": "bob"},
    ],
)
def test_params_that_are_refused(change: dict[str, Any]) -> None:
    msgspec.convert(VALID, CreateParams)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**VALID, **change}, CreateParams)


@pytest.mark.parametrize(
    "params", [{}, {"order_id": "a", "out_trade_no": "b"}, {"order_id": ""}, {"order_id": "x" * 65}]
)
def test_a_query_names_one_order(params: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(params, QueryParams)


# ---- create ----------------------------------------------------------------------------------------------------------
async def test_a_new_order_is_pending_for_its_time(world: Any, clock: VirtualClock) -> None:
    order = await world.create(out_trade_no="n", ttl_s=60)
    assert order == OrderResult(
        order_id=order.order_id,
        out_trade_no="n",
        status="pending",
        close_reason=None,
        amount=order.amount,
        subject="Fruit basket",
        expires_at_ms=clock.now_us() // 1000 + 60_000,
        replayed=False,
        version=1,
    )
    clock.advance(us=59_999_999)
    assert world.query(order_id=order.order_id) == order
    clock.advance(us=1)
    expired = world.query(out_trade_no="n")
    assert (expired.status, expired.close_reason) == ("closed", "expired")
    assert (await refusal(world.request(order.order_id))).code is ErrorCode.EXPIRED


async def test_the_same_key_gives_the_same_outcome_again(world: Any) -> None:
    first = await world.create(key="k", out_trade_no="n")
    again = await world.create(key="k", out_trade_no="n")
    assert again == msgspec.structs.replace(first, replayed=True)
    assert world.count("orders") == 1
    await world.deposit(1250)
    assert (await world.request(first.order_id)).status == "succeeded"
    assert await world.create(key="k", out_trade_no="n") == again


@pytest.mark.parametrize(
    "change",
    [{"amount": cny(1251)}, {"subject": "Tea"}, {"ttl_s": 901}, {"capture": "manual"}, {"out_trade_no": "m"}],
)
async def test_the_same_key_for_another_request_is_refused(world: Any, change: dict[str, Any]) -> None:
    await world.create(key="k", out_trade_no="n")
    error = await refusal(world.create(**{"key": "k", "out_trade_no": "n", **change}))
    assert error.code is ErrorCode.KEY_REUSED
    assert world.count("orders") == 1


async def test_a_key_belongs_to_one_program_and_user(world: Any) -> None:
    await world.create(key="k", out_trade_no="n")
    assert not (await world.create(world.session("bob"), key="k", out_trade_no="m")).replayed
    assert not (await world.create(world.session(app_id="other"), key="k", out_trade_no="n")).replayed


async def test_after_the_keys_retention_the_business_key_protects(world: Any, clock: VirtualClock) -> None:
    first = await world.create(key="k", out_trade_no="n", ttl_s=60)
    clock.advance(us=RETENTION_US)
    again = await world.create(key="k", out_trade_no="n", ttl_s=60)
    assert (again.order_id, again.replayed) == (first.order_id, True)
    assert (again.status, again.close_reason) == ("closed", "expired")
    assert world.count("orders") == 1


@pytest.mark.parametrize("change", [{"amount": cny(1251)}, {"subject": "Tea"}, {"ttl_s": 901}, {"capture": "manual"}])
async def test_an_out_trade_no_is_one_order_for_ever(world: Any, change: dict[str, Any]) -> None:
    await world.create(out_trade_no="n")
    assert (await refusal(world.create(**{"out_trade_no": "n", **change}))).code is ErrorCode.ORDER_MISMATCH
    assert (await world.create(out_trade_no="n")).replayed


async def test_an_out_trade_no_of_another_user_is_a_mismatch(world: Any) -> None:
    await world.create(out_trade_no="n")
    error = await refusal(world.create(world.session("bob"), out_trade_no="n"))
    assert error.code is ErrorCode.ORDER_MISMATCH


async def test_a_refused_create_may_be_tried_again_with_its_key(world: Any, clock: VirtualClock) -> None:
    strict = world.session(limits=Limits(payment_hour_count=1))
    await world.create(strict)
    assert (await refusal(world.create(strict, key="k"))).code is ErrorCode.LIMIT_EXCEEDED
    assert world.count("idempotency") == 1
    clock.advance(us=HOUR_US)
    assert not (await world.create(strict, key="k")).replayed


async def test_a_key_of_a_host_that_knew_no_manual_capture_is_known(world: Any) -> None:
    """The fingerprint of a request without `capture`, and the outcome that was stored for it, as they were then."""
    order = await world.create(key="k", out_trade_no="n", ttl_s=900)
    codec = CanonicalCodec(1 << 16)
    content = {"out_trade_no": "n", "amount": [1250, "CNY"], "subject": "Fruit basket", "ttl_s": 900}
    stored = world.store.read(lambda tx: tx.execute("SELECT fingerprint, schema_version FROM idempotency"))
    assert stored == [(fingerprint(codec, "payment.create", 1, content), 1)]
    outcome = {
        name: value
        for name, value in msgspec.to_builtins(order).items()
        if name not in ("capture", "captured", "refunded", "hold_expires_at_ms", "refundable_until_ms", "version")
    }
    await world.store.write(lambda tx: tx.execute("UPDATE idempotency SET outcome = ?", (codec.encode(outcome),)))
    assert (await world.create(key="k", out_trade_no="n")).order_id == order.order_id


async def test_old_keys_go_as_new_ones_come(world: Any, clock: VirtualClock) -> None:
    for _ in range(4):
        await world.create()
    clock.advance(us=RETENTION_US)
    for left in (3, 2, 3):
        await world.create()
        assert world.count("idempotency") == left


async def test_16_tasks_with_one_key_make_one_order(world: Any, file_world: Any) -> None:
    for one in (world, file_world):
        results: list[OrderResult] = []

        async def create(one: Any = one, results: list[OrderResult] = results) -> None:
            results.append(await one.create(key="k", out_trade_no="n"))

        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(create)
        assert len({result.order_id for result in results}) == 1
        assert sorted(result.replayed for result in results) == [False, *[True] * 15]
        assert one.count("orders") == 1


async def test_a_session_without_a_user_creates_nothing(world: Any) -> None:
    assert (await refusal(world.create(world.session("")))).code is ErrorCode.INVALID_PARAMS
    assert world.count("orders") == 0


# ---- whose order -----------------------------------------------------------------------------------------------------
async def test_foreign_and_unknown_orders_cannot_be_told_apart(world: Any) -> None:
    order = await world.create(out_trade_no="n")
    answers = []
    for session, params in [
        (world.session(), {"order_id": "f" * 32}),
        (world.session(), {"out_trade_no": "unknown"}),
        (world.session("bob"), {"order_id": order.order_id}),
        (world.session("bob"), {"out_trade_no": "n"}),
        (world.session(""), {"order_id": order.order_id}),
        (world.session(app_id="other"), {"order_id": order.order_id}),
        (world.session(app_id="other"), {"out_trade_no": "n"}),
    ]:
        with pytest.raises(ApiError) as refused:
            world.query(session, **params)
        answers.append(refused.value.as_wire())
    for session in (world.session("bob"), world.session(app_id="other")):
        answers.append((await refusal(world.request(order.order_id, session))).as_wire())
    assert answers == [answers[0]] * 9
    assert answers[0]["code"] == "not_found"


# ---- limits: at the value, and one over ------------------------------------------------------------------------------
async def test_one_payments_amount(world: Any) -> None:
    session = world.session(limits=Limits(payment_amount=100))
    await world.create(session, amount=cny(100))
    error = await refusal(world.create(session, amount=cny(101)))
    assert error.code is ErrorCode.LIMIT_EXCEEDED
    assert error.details == {"limit": "payment_amount", "value": 100, "used": 101, "unit": "minor units"}


@pytest.mark.parametrize(
    ("constraint", "amount", "fits"),
    [
        ({"amount_max": 100}, cny(100), True),
        ({"amount_max": 100}, cny(101), False),
        ({"currencies": ["CNY"]}, cny(1), True),
        ({"currencies": ["EUR"]}, cny(1), False),
        ({"currencies": []}, cny(1), False),
        ({"count": 0}, cny(1), False),
    ],
)
async def test_the_grants_constraints(world: Any, constraint: dict[str, Any], amount: Any, fits: bool) -> None:
    session = world.session(granted={"payment": constraint})
    if fits:
        assert (await world.create(session, amount=amount)).status == "pending"
    else:
        error = await refusal(world.create(session, amount=amount))
        assert (error.code, error.details["constraint"]) == (ErrorCode.GRANT_CONSTRAINT, next(iter(constraint)))


@pytest.mark.parametrize(
    "bounds", [{"limits": Limits(payment_hour_count=2)}, {"granted": {"payment": {"count": 2}}}], ids=["limit", "grant"]
)
async def test_payments_created_in_any_hour(world: Any, clock: VirtualClock, bounds: dict[str, Any]) -> None:
    session = world.session(**bounds)
    first = await world.create(session, key="first", out_trade_no="first")
    clock.advance(us=10)
    await world.create(session)
    clock.advance(us=HOUR_US - 11)
    over = ErrorCode.LIMIT_EXCEEDED if "limits" in bounds else ErrorCode.GRANT_CONSTRAINT
    assert (await refusal(world.create(session))).code is over
    assert (await world.create(session, key="first", out_trade_no="first")).order_id == first.order_id
    assert not (await world.create(world.session("bob", **bounds))).replayed
    clock.advance(us=1)
    await world.create(session)
    assert (await refusal(world.create(session))).code is over


@pytest.mark.parametrize(
    "bounds",
    [{"limits": Limits(payment_day_amount=100)}, {"granted": {"payment": {"day_max": 100}}}],
    ids=["limit", "grant"],
)
async def test_payments_of_any_day(world: Any, clock: VirtualClock, bounds: dict[str, Any]) -> None:
    session = world.session(**bounds)
    await world.deposit(1_000)
    await world.deposit(1_000, currency="EUR")
    assert (await world.pay(60, session)).status == "succeeded"
    clock.advance(us=10)
    over = await world.pay(41, session)
    assert (over.status, over.close_reason) == ("closed", "limit")
    assert (await world.pay(40, session)).status == "succeeded"
    assert (await world.pay(100, session, "EUR")).status == "succeeded"
    clock.advance(us=DAY_US - 11)
    assert (await world.pay(1, session)).close_reason == "limit"
    clock.advance(us=1)
    assert (await world.pay(60, session)).status == "succeeded"
    assert (await world.pay(1, session)).close_reason == "limit"
    assert world.available() == 1_000 - 160


# ---- money -----------------------------------------------------------------------------------------------------------
async def test_a_payment_moves_amount_and_fee_and_records_the_confirmation(world: Any) -> None:
    await world.payments.set_fee_terms("org.example.shop", FeeTerms(bps=60))
    await world.deposit(20_000)
    paid = await world.pay(10_000)
    assert (paid.status, paid.close_reason, paid.replayed) == ("succeeded", None, False)
    assert world.available() == 10_000
    assert world.available("merchant", "org.example.shop") == 9_940
    assert world.available("fee", "") == 60
    ((told,),) = world.store.read(lambda tx: tx.execute("SELECT record FROM audit WHERE n = 1"))
    assert '"bps":60,"effect":"program.fees","fixed":0' in told
    rows = world.store.read(
        lambda tx: tx.execute("SELECT order_id, amount, currency, payee, digest FROM confirmations")
    )
    assert rows == [(paid.order_id, 10_000, "CNY", "Example Shop", world.cashier.shown[0].digest)]


async def test_the_whole_balance_and_one_unit_more(world: Any) -> None:
    await world.deposit(100)
    short = await world.pay(101)
    assert (short.status, short.close_reason) == ("closed", "no_funds")
    assert (await world.pay(100)).status == "succeeded"
    assert world.available() == 0
    assert world.count("confirmations") == world.count("payment_usage") == 1


async def test_a_wallet_of_one_currency_does_not_pay_another(world: Any) -> None:
    await world.deposit(1_000, currency="EUR")
    assert (await world.pay(1)).close_reason == "no_funds"
    assert world.available(currency="EUR") == 1_000


async def test_two_programs_cannot_spend_one_wallet_twice(world: Any, file_world: Any) -> None:
    for one in (world, file_world):
        await one.deposit(1_000)
        outcomes: list[str | None] = []

        async def pay(app_id: str, one: Any = one, outcomes: list[str | None] = outcomes) -> None:
            outcomes.append((await one.pay(600, one.session(app_id=app_id))).close_reason)

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(pay, f"shop{number}")
        assert sorted(outcomes, key=str) == [None, *["no_funds"] * 7]
        assert one.available() == 400
