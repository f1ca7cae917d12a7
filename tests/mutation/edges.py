"""What a random walk rarely meets: the last microsecond of a time, the one over a limit, what is another's of one name.

Each is a small story with the real host in it, and fails by AssertionError.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from host_api import ledger
from host_api.ledger import AccountKind, AccountName, Leg
from host_api.payment import sweep
from host_api.store.protocol import Transaction
from runtime.limits import Limits
from tests.simulator.world import Reply, World

LIMITS = Limits(payment_hour_count=3, payment_day_amount=2_000, payment_amount=1_000)
WIDE = Limits(payment_hour_count=100_000, payment_day_amount=10**12)
HOUR_S, DAY_S = 3_600, 24 * 3_600
HOUR, DAY = HOUR_S * 1_000_000, DAY_S * 1_000_000
ANSWER = 1_000_000
"""How long `paid` lets the user think."""


def create(world: World, key: str, number: str, app: str = "shop", user: str = "alice", **changes: Any) -> Any:
    params = {"amount": {"amount": 10, "currency": "CNY"}, "subject": "Tea", **changes}
    return world.ask(app, user, "payment.create", key=key, out_trade_no=number, **params)


def code(reply: Reply) -> str | None:
    return reply[0]


async def paid(world: World, number: str, amount: int, app: str = "shop", user: str = "alice", **changes: Any) -> str:
    """What became of an order that the user says yes to."""
    money = {"amount": amount, "currency": changes.pop("currency", "CNY")}
    refused, made = await create(world, f"k{number}", number, app, user, amount=money, **changes)
    assert refused is None, made
    await world.ask(app, user, "payment.request", order_id=made["order_id"])
    await world.decide(app, user, True, after_us=1_000_000)
    _, told = await world.ask(app, user, "payment.query", order_id=made["order_id"])
    return str(told["close_reason"] or told["status"])


def until(world: World, now_us: int) -> None:
    world.clock.advance(us=now_us - world.clock.now_us())


async def a_key_is_kept_for_seven_days(world: World) -> None:
    world.install("shop", WIDE)
    _, first = await create(world, "k", "1")
    world.clock.advance(s=7 * DAY_S, us=-1)
    code_, again = await create(world, "k", "1")
    assert code_ is None and again == {**first, "replayed": True}
    assert code(await create(world, "k", "2")) == "key_reused"
    world.clock.advance(us=1)
    assert (await create(world, "k", "2"))[1]["replayed"] is False
    assert (await create(world, "k", "2"))[1]["replayed"] is True
    assert code(await create(world, "k2", "1", subject="Coffee")) == "order_mismatch"


async def old_keys_are_forgotten_and_no_others(world: World) -> None:
    world.install("shop", WIDE)
    for number in range(6):
        await create(world, f"k{number}", f"{number}")
        world.clock.advance(s=DAY_S)
    world.clock.advance(s=2 * DAY_S, us=-1)
    await create(world, "new", "new")
    kept = world.plain.read(lambda tx: tx.execute("SELECT key FROM idempotency ORDER BY created_us"))
    assert [key for (key,) in kept] == ["k1", "k2", "k3", "k4", "k5", "new"]
    world.clock.advance(us=1)
    await create(world, "newer", "newer")
    kept = world.plain.read(lambda tx: tx.execute("SELECT key FROM idempotency ORDER BY created_us"))
    assert [key for (key,) in kept] == ["k2", "k3", "k4", "k5", "new", "newer"]


async def a_thousand_keys_an_hour(world: World) -> None:
    for app in ("shop", "taxi"):
        world.install(app, WIDE)
    await create(world, "first", "1")
    world.clock.advance(s=1)
    for number in range(999):
        await create(world, f"k{number}", "1")
    assert code(await create(world, "over", "1")) == "rate_limited"
    assert code(await create(world, "k5", "1")) is None
    assert code(await create(world, "over", "1", app="taxi")) is None
    assert code(await create(world, "over", "b1", user="bob")) is None
    world.clock.advance(s=HOUR_S - 1, us=-1)
    assert code(await create(world, "over", "1")) == "rate_limited"
    world.clock.advance(us=1)
    assert code(await create(world, "over", "1")) is None
    assert code(await create(world, "over again", "1")) == "invalid_params"
    assert code(await create(world, "over-again", "1")) == "rate_limited"


async def so_many_orders_an_hour(world: World) -> None:
    for app in ("shop", "taxi"):
        world.install(app, LIMITS)
    for number in range(3):
        assert code(await create(world, f"k{number}", f"{number}")) is None
    assert code(await create(world, "k3", "3")) == "limit_exceeded"
    assert code(await create(world, "k3", "3", app="taxi")) is None
    assert code(await create(world, "k3", "b3", user="bob")) is None
    world.clock.advance(s=HOUR_S, us=-1)
    assert code(await create(world, "k3", "3")) == "limit_exceeded"
    world.clock.advance(us=1)
    assert code(await create(world, "k3", "3")) is None


async def so_much_a_day(world: World) -> None:
    for app in ("shop", "taxi"):
        world.install(app, LIMITS)
    for currency in ("CNY", "JPY"):
        for user in ("alice", "bob"):
            await world.deposit(user, 100_000, currency)
    assert await paid(world, "1", 1_000) == "succeeded"
    first = world.clock.now_us()
    until(world, first + HOUR)
    assert await paid(world, "2", 999) == "succeeded"
    assert await paid(world, "3", 2) == "limit"
    assert await paid(world, "4", 1_000, app="taxi") == "succeeded"
    assert await paid(world, "5", 1_000, user="bob") == "succeeded"
    until(world, first + 2 * HOUR)
    assert await paid(world, "6", 1_000, currency="JPY") == "succeeded"
    until(world, first + DAY - ANSWER - 1)
    assert await paid(world, "7", 2) == "limit"
    until(world, first + DAY + 1_000_000 - ANSWER)
    assert await paid(world, "8", 2) == "succeeded"


async def a_payment_counts_for_a_day(world: World) -> None:
    world.install("shop", LIMITS)
    await world.deposit("alice", 100_000)
    assert await paid(world, "1", 1_000) == "succeeded"
    assert await paid(world, "2", 1_000) == "succeeded"
    until(world, world.clock.now_us() + DAY - 2 * ANSWER)
    assert await paid(world, "3", 1_000) == "succeeded", "exactly a day later it counts no more"
    assert await paid(world, "4", 1_000) == "succeeded"


async def a_hold_is_the_users_again_at_its_end(world: World) -> None:
    world.install("shop", WIDE)
    for user in ("alice", "bob"):
        await world.deposit(user, 1_000)
        assert await paid(world, f"{user}1", 1_000, user=user, capture="manual") == "authorized"
    end_of_bobs = world.clock.now_us() + 7 * DAY
    until(world, end_of_bobs - ANSWER - ANSWER - 1)
    assert await paid(world, "2", 1_000) == "no_funds"
    assert world.available("wallet", "alice") == 0
    until(world, end_of_bobs - ANSWER)
    assert (world.available("wallet", "bob"), world.available("wallet", "alice")) == (0, 1_000)
    incoming = "SELECT credits_pending FROM accounts WHERE kind = 'merchant'"
    assert world.plain.read(lambda tx: tx.execute(incoming)) == [(2_000,)], "nobody has written it down"
    assert world.store.read(lambda tx: incoming_of(tx, "shop")) == 1_000
    assert await paid(world, "bob2", 1_000, user="bob") == "succeeded", "in the very moment of the end"
    assert world.available("wallet", "bob") == 0
    assert await world.sweep(100) == 1, "bob's, written down, and alice's"
    assert world.plain.read(lambda tx: tx.execute(incoming)) == [(0,)]


async def what_is_over_is_swept_in_that_moment(world: World) -> None:
    world.install("shop", WIDE)
    await create(world, "k", "1")
    for us, swept in ((-1, 0), (1, 1)):
        world.clock.advance(s=900 * (us < 0), us=us)
        assert await world.sweep(100) == swept


async def what_is_held_for_a_program_is_its_own(world: World) -> None:
    for app in ("shop", "taxi"):
        world.install(app, WIDE)
    for currency in ("CNY", "JPY"):
        await world.deposit("alice", 1_000, currency)
    assert await paid(world, "1", 400, capture="manual") == "authorized"
    world.clock.advance(s=DAY_S)
    assert await paid(world, "2", 300, app="taxi", capture="manual") == "authorized"
    assert await paid(world, "3", 200, capture="manual", currency="JPY") == "authorized"
    world.clock.advance(s=6 * DAY_S)
    found = [
        world.store.read(lambda tx, one=one: incoming_of(tx, *one)) for one in (("shop",), ("taxi",), ("shop", "JPY"))
    ]
    assert found == [0, 300, 200]
    assert [world.available("wallet", "alice", currency) for currency in ("CNY", "JPY")] == [700, 800]


def incoming_of(tx: Transaction, app: str, currency: str = "CNY") -> int:
    return sweep.balance(tx, AccountName(kind=AccountKind.MERCHANT, owner=app, currency=currency)).incoming


async def tokens_are_of_their_prompts(world: World) -> None:
    world.install("shop", WIDE)
    issued = []
    for user in ("alice", "bob"):
        await world.deposit(user, 100)
        _, made = await create(world, "k", f"{user}1", user=user)
        await world.ask("shop", user, "payment.request", order_id=made["order_id"])
    for user in ("alice", "bob"):
        prompt = world.prompt("shop", user)
        assert prompt is not None
        issued.append(await world.desk.issue(prompt.id))
    world.clock.advance(s=1)
    one, other = issued
    assert await world.answered(one.id, other.token, one.digest) == "token_refused"
    assert str(await world.answered(one.id, one.token, one.digest)) == "Answer.APPROVED"
    assert await world.answered(one.id, one.token, one.digest) == "prompt_not_found"
    world.clock.advance(s=119)
    assert world.desk.pending() == world.desk.pending("bob") == []
    await world.sweep(100)
    assert world.plain.read(lambda tx: tx.execute("SELECT count(*) FROM prompts")) == [(0,)]
    assert await world.answered(other.id, other.token, other.digest) == "prompt_not_found"


async def an_answer_in_the_last_moment(world: World) -> None:
    world.install("shop", WIDE)
    await world.deposit("alice", 100)
    for number, (us, end) in enumerate(((-1, "APPROVED"), (0, "TIMED_OUT"))):
        _, made = await create(world, f"k{number}", f"{number}")
        await world.ask("shop", "alice", "payment.request", order_id=made["order_id"])
        prompt = world.prompt("shop", "alice")
        assert prompt is not None
        issued = await world.desk.issue(prompt.id)
        world.clock.advance(s=120, us=us)
        assert str(await world.answered(issued.id, issued.token, issued.digest)) == f"Answer.{end}"


async def what_was_asked_is_forgotten_in_time(world: World) -> None:
    world.install("shop", WIDE)
    _, made = await create(world, "k", "1")
    await world.ask("shop", "alice", "payment.request", order_id=made["order_id"])
    await world.decide("shop", "alice", False, after_us=1_000_000)
    for us, left in ((-1, 1), (1, 0)):
        world.clock.advance(s=DAY_S * (us < 0), us=us)
        await world.sweep(100)
        assert world.plain.read(lambda tx: tx.execute("SELECT count(*) FROM prompt_declines")) == [(left,)]


async def a_hold_is_resolved_once(world: World) -> None:
    """By the ledger itself, whatever its callers believe."""
    wallet = AccountName(kind=AccountKind.WALLET, owner="alice", currency="CNY")
    merchant = AccountName(kind=AccountKind.MERCHANT, owner="shop", currency="CNY")
    await world.deposit("alice", 100)
    leg = Leg(kind="deposit hold", cause="o", debit=wallet, credit=merchant, amount=60)
    until_us = world.clock.now_us() + DAY
    held = await world.store.write(lambda tx: ledger.hold(tx, leg, expires_us=until_us, order_id=""))
    await world.store.write(lambda tx: ledger.void(tx, held))
    ((deposited,),) = world.plain.read(lambda tx: tx.execute("SELECT id FROM transfers WHERE phase = 'single'"))
    for never in (held, deposited):
        for resolve in (lambda tx, one=never: ledger.void(tx, one), lambda tx, one=never: ledger.post(tx, one, 1)):
            try:
                await world.store.write(resolve)
            except ledger.NotPending:
                continue
            raise AssertionError("resolved twice, or what is no hold")
    assert world.available("wallet", "alice") == 100


async def a_hundred_refunds_of_an_order(world: World) -> None:
    world.install("shop", WIDE)
    await world.deposit("alice", 10_000)
    for number in ("1", "2"):
        assert await paid(world, number, 1_000) == "succeeded"
    orders = dict(world.plain.read(lambda tx: tx.execute("SELECT out_trade_no, id FROM orders")))

    async def refund(number: str, n: int) -> str | None:
        params = {"key": f"{number}-{n}", "out_request_no": f"{n}", "amount": 1, "reason": "late"}
        return code(await world.ask("shop", "alice", "payment.refund", order_id=orders[number], **params))

    assert {await refund("1", n) for n in range(100)} == {None}
    assert await refund("1", 100) == "limit_exceeded"
    assert await refund("2", 100) is None


async def users_are_told_apart_in_the_audit_and_by_nobody_else(world: World) -> None:
    for user, reference in (("alice", "1"), ("alice", "2"), ("bob", "3")):
        await world.deposit(user, 10, reference=reference)
    records = [json.loads(text) for (text,) in world.plain.read(lambda tx: tx.execute("SELECT record FROM audit"))]
    first, second, third = (record["subject"] for record in records)
    assert first == second != third
    salts = world.plain.read(lambda tx: tx.execute("SELECT DISTINCT salt FROM subjects"))
    assert len(salts) == 2, "erasing one of them would not make the other's records nobody's"
    assert "alice" not in str(records)


Story = Callable[[World], Awaitable[None]]
STORIES: tuple[Story, ...] = (
    a_key_is_kept_for_seven_days,
    old_keys_are_forgotten_and_no_others,
    so_many_orders_an_hour,
    so_much_a_day,
    a_payment_counts_for_a_day,
    what_is_held_for_a_program_is_its_own,
    a_hold_is_the_users_again_at_its_end,
    tokens_are_of_their_prompts,
    an_answer_in_the_last_moment,
    what_was_asked_is_forgotten_in_time,
    a_hold_is_resolved_once,
    what_is_over_is_swept_in_that_moment,
    a_hundred_refunds_of_an_order,
    users_are_told_apart_in_the_audit_and_by_nobody_else,
    a_thousand_keys_an_hour,
)
