"""Payments, met by real guests: every method, state and refusal, at the value and one over, on both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.idempotency import KEYS_PER_HOUR, RETENTION_US
from host_api.ledger import Leg, move
from host_api.payment.fees import FeeTerms
from host_api.payment.orders import HOLD_US, REFUND_WINDOW_US
from host_api.payment.refunds import REFUNDS_MAX
from runtime import AccountKind, AccountName, Money, wire
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script
from tests.hostile.shop import GRANT, Shop, open_shop

HOUR_S, DAY_S = 3_600, 86_400


@pytest.fixture(params=["memory", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, opened: Opened) -> AsyncIterator[Shop]:
    """Whatever a guest did to it, ledger, orders, events and audit hold."""
    state = tmp_path / "state" if request.param == "file" else None
    async with open_shop(opened, state, payment_hour_count=1_000, payment_day_amount=100_000) as made:
        yield made


# ---- states ----------------------------------------------------------------------------------------------------------
async def test_a_payment_at_once(shop: Shop) -> None:
    order = await shop.create()
    assert (order["status"], order["capture"], order["version"]) == ("pending", "auto", 1)
    paid = await shop.ask("request", order_id=order["order_id"], wait_ms=60_000)
    assert (paid["status"], paid["captured"], paid["refunded"], paid["version"]) == ("succeeded", 1_250, 0, 3)
    assert await shop.ask("query", out_trade_no=order["out_trade_no"]) == paid
    for method in ("capture", "close"):
        refused = await shop.keyed(method, order_id=order["order_id"])
        assert refused == ("invalid_state", {"status": "succeeded", "close_reason": None})
    assert shop.available() == 8_750


async def test_a_payment_held_captured_and_refunded(shop: Shop) -> None:
    await shop.site.host.set_fees(shop.app, FeeTerms(bps=100))
    held = await shop.hold()
    assert (held["status"], held["captured"]) == ("authorized", 0)
    assert held["hold_expires_at_ms"] == (shop.clock.now_us() + HOLD_US) // 1_000
    assert shop.available() == 8_750
    code, details = await shop.keyed("capture", order_id=held["order_id"], amount=1_251)
    assert (code, details["limit"], details["value"], details["used"]) == ("limit_exceeded", "held", 1_250, 1_251)
    taken = await shop.keyed("capture", order_id=held["order_id"], amount=1_000)
    assert (taken["status"], taken["captured"], taken["hold_expires_at_ms"]) == ("succeeded", 1_000, None)
    assert shop.available() == 9_000
    back = await shop.refund(taken, 999, out_request_no="n")
    assert (back["status"], back["amount"]["amount"], back["order_refunded"]) == ("succeeded", 999, 999)
    asked = {"order_id": held["order_id"], "out_request_no": "n"}
    assert await shop.ask("refund_query", **asked) == back
    over = await shop.refund(taken, 2)
    assert over == ("refund_exceeds_captured", {"captured": 1_000, "refunded": 999, "amount": 2})
    assert (await shop.refund(taken, 1))["order_refunded"] == 1_000
    assert (shop.available(), shop.available(AccountKind.FEE, "")) == (10_000, 0)


async def test_an_order_given_up(shop: Shop) -> None:
    order, held = await shop.create(), await shop.hold()
    closed = await shop.keyed("close", order_id=order["order_id"])
    assert (closed["status"], closed["close_reason"]) == ("closed", "closed")
    voided = await shop.keyed("close", order_id=held["order_id"])
    assert (voided["status"], voided["close_reason"]) == ("closed", "voided")
    assert shop.available() == 10_000
    for method in ("capture", "close"):
        refused = await shop.keyed(method, order_id=held["order_id"])
        assert refused == ("invalid_state", {"status": "closed", "close_reason": "voided"})


async def test_closing_while_the_user_thinks(shop: Shop) -> None:
    shop.site.cashier.hold()
    order = await shop.create()
    asked: list[Any] = []

    async def ask() -> None:
        asked.append(await shop.ask("request", order_id=order["order_id"], wait_ms=60_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while await shop.status(order) != ("confirming", None):
            await trio.lowlevel.checkpoint()
        assert (await shop.keyed("close", order_id=order["order_id"]))["close_reason"] == "closed"
    assert (asked[0]["status"], asked[0]["close_reason"]) == ("closed", "closed")
    assert shop.site.host.statistics().prompts_open == 0
    shop.site.cashier.release()
    assert await shop.status(order) == ("closed", "closed")


async def test_a_closed_order_says_why(shop: Shop) -> None:
    expired = await shop.create(ttl_s=60)
    shop.clock.advance(s=60)
    short = await shop.pay(10_001)
    assert (short["status"], short["close_reason"]) == ("closed", "no_funds")
    await shop.site.host.deposit("alice", Money(amount=200_000, currency="CNY"))
    limit = await shop.pay(100_001)
    assert (limit["status"], limit["close_reason"]) == ("closed", "limit")
    for order, code, reason in [
        (expired, "expired", "expired"),
        (short, "insufficient_funds", "no_funds"),
        (limit, "invalid_state", "limit"),
    ]:
        assert await shop.status(order) == ("closed", reason)
        details = {"status": "closed", "close_reason": reason}
        assert await shop.ask("request", order_id=order["order_id"]) == (code, details)
        for method in ("capture", "close"):
            assert await shop.keyed(method, order_id=order["order_id"]) == (code, details)
        assert await shop.refund(order, 1) == (code, details)


async def test_the_third_no_closes(opened: Opened) -> None:
    clock = VirtualClock()
    async with opened(clock=clock) as site:
        shop = Shop(site, clock, await site.install(grant=GRANT))
        site.cashier._answer = lambda _: False
        order = await shop.create(ttl_s=DAY_S)
        for status in ("pending", "pending", "closed"):
            seen = await shop.ask("request", order_id=order["order_id"], wait_ms=60_000)
            assert seen["status"] == status
            clock.advance(s=HOUR_S)
        details = {"status": "closed", "close_reason": "declined"}
        assert await shop.ask("request", order_id=order["order_id"]) == ("declined", details)
        assert await shop.keyed("close", order_id=order["order_id"]) == ("declined", details)


# ---- time ------------------------------------------------------------------------------------------------------------
async def test_a_hold_to_the_microsecond(shop: Shop) -> None:
    first, second = await shop.hold(), await shop.hold()
    shop.clock.advance(us=HOLD_US - 1)
    assert (await shop.keyed("capture", order_id=first["order_id"]))["status"] == "succeeded"
    assert await shop.status(second) == ("authorized", None)
    shop.clock.advance(us=1)
    assert await shop.status(second) == ("closed", "expired")
    assert shop.available() == 8_750
    details = {"status": "closed", "close_reason": "expired"}
    assert await shop.keyed("capture", order_id=second["order_id"]) == ("expired", details)


async def test_money_of_a_hold_that_ended_pays_the_next(shop: Shop) -> None:
    await shop.hold(10_000)
    assert (await shop.pay(1))["close_reason"] == "no_funds"
    shop.clock.advance(us=HOLD_US)
    assert (await shop.pay(10_000))["status"] == "succeeded"


async def test_the_refund_window_to_the_microsecond(shop: Shop) -> None:
    paid = await shop.pay()
    assert paid["refundable_until_ms"] == (shop.clock.now_us() + REFUND_WINDOW_US) // 1_000
    shop.clock.advance(us=REFUND_WINDOW_US - 1)
    assert (await shop.refund(paid, 1))["status"] == "succeeded"
    shop.clock.advance(us=1)
    assert await shop.status(paid) == ("finished", None)
    assert await shop.refund(paid, 1) == ("refund_window_over", {"status": "finished", "close_reason": None})


# ---- sent again ------------------------------------------------------------------------------------------------------
async def test_every_message_three_times(shop: Shop) -> None:
    held = await shop.hold()
    taken = [await shop.keyed("capture", key="c", order_id=held["order_id"], amount=1_000) for _ in range(3)]
    assert [answer["replayed"] for answer in taken] == [False, True, True]
    back = [await shop.refund(held, 300, key="r", out_request_no="n") for _ in range(3)]
    assert [answer["replayed"] for answer in back] == [False, True, True]
    shop.clock.advance(us=RETENTION_US)
    assert (await shop.refund(held, 300, key="r", out_request_no="n"))["replayed"]
    assert (await shop.keyed("capture", key="c", order_id=held["order_id"], amount=1_000))[0] == "invalid_state"
    order = await shop.create()
    closed = [await shop.keyed("close", key="x", order_id=order["order_id"]) for _ in range(3)]
    assert [answer["replayed"] for answer in closed] == [False, True, True]
    assert shop.available() == 10_000 - 700


async def test_other_content_under_one_name(shop: Shop) -> None:
    held = await shop.hold()
    assert (await shop.keyed("capture", key="c", order_id=held["order_id"], amount=1_000))["status"] == "succeeded"
    assert await shop.keyed("capture", key="c", order_id=held["order_id"]) == ("key_reused", {"key": "c"})
    await shop.refund(held, 1, out_request_no="n")
    assert await shop.refund(held, 2, out_request_no="n") == ("order_mismatch", {"out_request_no": "n"})
    assert await shop.refund(held, 1, out_request_no="n", reason="Worse") == ("order_mismatch", {"out_request_no": "n"})


async def test_a_refusal_is_the_keys_outcome(shop: Shop) -> None:
    order = await shop.create(capture="manual")
    code, details = await shop.keyed("capture", key="c", order_id=order["order_id"])
    await shop.ask("request", order_id=order["order_id"], wait_ms=60_000)
    again = await shop.keyed("capture", key="c", order_id=order["order_id"])
    assert again == (code, {**details, "replayed": True})
    assert await shop.status(order) == ("authorized", None)
    assert (await shop.keyed("capture", order_id=order["order_id"]))["status"] == "succeeded"


# ---- bounds ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "params"),
    [
        *(("capture", {"amount": amount}) for amount in (0, -1, 10**12 + 1, 2**63, 1.0, True, "5")),
        ("capture", {"currency": "CNY"}),
        ("capture", {"amount": {"amount": 1, "currency": "EUR"}}),
        *(("refund", {"amount": amount}) for amount in (0, -1, 10**12 + 1, 2**63, 1.0, True, "5", None)),
        ("refund", {"currency": "CNY"}),
        ("refund", {"out_request_no": "a/b"}),
        ("refund", {"reason": "a\u202eb"}),
        ("refund", {"user": "bob"}),
        ("close", {"force": True}),
        ("create", {"capture": "later"}),
    ],
)
async def test_params_that_are_refused(site: Site, method: str, params: dict[str, Any]) -> None:
    valid = {
        "capture": {"key": "k", "order_id": "o"},
        "close": {"key": "k", "order_id": "o"},
        "refund": {"key": "k", "order_id": "o", "out_request_no": "n", "amount": 1, "reason": "r"},
        "create": {"key": "k", "out_trade_no": "n", "amount": {"amount": 1, "currency": "CNY"}, "subject": "Tea"},
    }[method]
    app = await site.install(grant=GRANT)
    _, _, error, _ = await site.ask(wire.request(1, f"payment.{method}", {**valid, **params}), app)
    assert error["code"] == "invalid_params"


async def test_refunds_of_one_order_are_bounded(shop: Shop) -> None:
    paid = await shop.pay()
    asked = {"order_id": paid["order_id"], "amount": 1, "reason": "Bad"}
    script = Script()
    for number in range(REFUNDS_MAX + 1):
        wanted = {"key": f"r{number}", "out_request_no": str(number), **asked}
        script.ask(wire.request(number, "payment.refund", wanted))
    reply = await shop.site.host.call(shop.app, "run", script.params(), user="alice")
    errors = [error for _, _, error, _ in script.responses(reply.value)]
    assert errors[:-1] == [None] * REFUNDS_MAX
    assert (errors[-1]["code"], errors[-1]["details"]["limit"]) == ("limit_exceeded", "refunds_of_an_order")


async def test_keys_of_an_hour_are_bounded(opened: Opened) -> None:
    """A guest that makes up keys fills no more than this."""
    clock = VirtualClock()
    async with opened(clock=clock) as site:
        app = await site.install(grant=GRANT)
        shop = Shop(site, clock, app)
        order = await shop.create()
        told: list[Any] = []
        for first in range(1, KEYS_PER_HOUR + 1, 100):
            script = Script()
            for number in range(first, first + 100):
                wanted = {"key": f"c{number}", "order_id": order["order_id"]}
                script.ask(wire.request(1, "payment.capture", wanted))
            reply = await site.host.call(app, "run", script.params(), user="alice")
            told += [error["code"] for _, _, error, _ in script.responses(reply.value)]
        assert told == ["invalid_state"] * (KEYS_PER_HOUR - 1) + ["rate_limited"]
        assert (await shop.keyed("close", order_id=order["order_id"]))[0] == "rate_limited"
        clock.advance(s=HOUR_S)
        assert (await shop.keyed("close", order_id=order["order_id"]))[0] == "expired"


# ---- who may, and whose it is ----------------------------------------------------------------------------------------
async def test_what_is_another_programs_or_users_is_not_found(shop: Shop) -> None:
    held, paid = await shop.hold(), await shop.pay()
    await shop.refund(paid, 1, out_request_no="n")
    other = await shop.site.install(grant=GRANT)
    for whose in ({"app": other}, {"user": "bob"}, {"user": ""}):
        for order in (held, paid, {"order_id": "f" * 32}):
            for method in ("capture", "close"):
                assert await shop.keyed(method, order_id=order["order_id"], **whose) == ("not_found", {})
            assert await shop.refund(order, 1, out_request_no="n", **whose) == ("not_found", {})
            asked = {"order_id": order["order_id"], "out_request_no": "n"}
            assert await shop.ask("refund_query", **asked, **whose) == ("not_found", {})


async def test_refunds_need_a_grant_of_their_own(shop: Shop) -> None:
    app = await shop.site.install(grant=["payment"])
    paid = await shop.pay(app=app)
    for refused in (
        await shop.refund(paid, 1, app=app),
        await shop.ask("refund_query", order_id=paid["order_id"], out_request_no="n", app=app),
    ):
        assert refused == ("capability_not_granted", {"capability": "payment.refund"})


async def test_a_refund_at_its_grants_bound_and_one_over(shop: Shop) -> None:
    app = await shop.site.install(grant={"payment": {}, "payment.refund": {"amount_max": 100, "currencies": ["CNY"]}})
    paid = await shop.pay(app=app)
    code, details = await shop.refund(paid, 101, app=app)
    assert (code, details) == ("grant_constraint", {"constraint": "amount_max", "value": 100, "used": 101})
    assert (await shop.refund(paid, 100, app=app))["status"] == "succeeded"
    euro = await shop.site.install(grant={"payment": {}, "payment.refund": {"currencies": ["EUR"]}})
    paid = await shop.pay(app=euro)
    assert (await shop.refund(paid, 1, app=euro))[1]["constraint"] == "currencies"


async def test_a_merchant_that_was_paid_out(shop: Shop) -> None:
    paid = await shop.pay(1_000)
    merchant = AccountName(kind=AccountKind.MERCHANT, owner=shop.app.app_id, currency="CNY")
    outside = AccountName(kind=AccountKind.FUNDING, currency="CNY")
    leg = Leg(kind="payout", cause="1", debit=merchant, credit=outside, amount=600)
    await shop.site.host._store.write(lambda tx: move(tx, [leg]))
    code, details = await shop.refund(paid, 401, key="k", out_request_no="n")
    assert (code, details) == ("merchant_funds_low", {})
    asked = {"order_id": paid["order_id"], "out_request_no": "n"}
    assert await shop.ask("refund_query", **asked) == ("not_found", {})
    await shop.pay(1)
    again = await shop.refund(paid, 401, key="k", out_request_no="n")
    assert again == ("merchant_funds_low", {"replayed": True})
    assert (await shop.refund(paid, 401, out_request_no="n"))["status"] == "succeeded"
    assert shop.available(AccountKind.MERCHANT, shop.app.app_id) == 0


async def test_a_merchant_with_nothing_but_the_payment_can_refund_it(shop: Shop) -> None:
    await shop.site.host.set_fees(shop.app, FeeTerms(bps=10_000))
    paid = await shop.pay(1_000)
    assert shop.available(AccountKind.MERCHANT, shop.app.app_id) == 0
    assert (await shop.refund(paid, 1_000))["status"] == "succeeded"
    assert shop.available() == 10_000


# ---- the end of a program --------------------------------------------------------------------------------------------
async def test_removing_a_program_gives_the_user_back_what_it_held(shop: Shop) -> None:
    await shop.hold()
    await shop.create()
    assert shop.available() == 8_750
    await shop.site.host.uninstall(shop.app)
    assert shop.available() == 10_000


async def test_revoking_payments_ends_them(shop: Shop) -> None:
    held, paid = await shop.hold(), await shop.pay()
    await shop.site.host.revoke(shop.app, "payment")
    assert shop.available() == 8_750
    for order in (held, paid):
        assert (await shop.ask("query", order_id=order["order_id"]))[0] == "capability_not_granted"
    assert (await shop.refund(paid, 1_250))["status"] == "succeeded"
    assert shop.available() == 10_000
