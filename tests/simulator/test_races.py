"""Sixteen tasks at one barrier, on the file store with its writer thread: whoever comes first, no sum is off by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from host_api.errors import ApiError
from host_api.payment.orders import CloseReason
from host_api.prompts.prompt import PromptError
from runtime.limits import Limits
from tests.simulator.world import PAYMENT, World, open_world

TASKS, ROUNDS = 16, 6
USER = "alice"
LIMITS = Limits(payment_amount=10**9, payment_hour_count=1_000_000, payment_day_amount=10**12)
Act = Callable[[], Awaitable[Any]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "state") as made:
        for app in ("shop", "taxi"):
            made.install(app, LIMITS)
            await made.set_fees(app, 250, 1)
        await made.deposit(USER, 10**6)
        yield made
        assert made.findings() == []


async def race(*acts: Act) -> Counter[Any]:
    """All at once; what they ended as, how often."""
    barrier, ends = trio.Event(), Counter[Any]()

    async def one(act: Act) -> None:
        await barrier.wait()
        try:
            ends[said(await act())] += 1
        except (ApiError, PromptError) as error:
            ends[error.code if isinstance(error.code, str) else error.code.code] += 1

    async with trio.open_nursery() as nursery:
        for act in acts:
            nursery.start_soon(one, act)
        await trio.testing.wait_all_tasks_blocked()
        barrier.set()
    assert ends.total() == len(acts)
    return ends


def said(end: Any) -> str:
    """An answer, in a word: its error, or "ok", or "again" for a replay."""
    if not isinstance(end, tuple):
        return str(getattr(end, "value", end))
    code, told = end
    return str(code or ("again" if told.get("replayed") else "ok"))


async def both_ways(play: Callable[[], Awaitable[str]]) -> None:
    """Play the race until each side has won it."""
    won = set()
    for turn in range(100):
        won.add(await play())
        if turn >= ROUNDS and won == {"succeeded", "closed"}:
            return
    raise AssertionError(f"the race is none: {won} wins always")


class Pay:
    """Orders with numbers of their own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0

    async def order(self, app: str = "shop", amount: int = 1_000, **changes: Any) -> str:
        self.count += 1
        params = {"key": f"k{self.count}", "out_trade_no": f"n{self.count}", "subject": "Tea", **changes}
        _, told = await self.world.ask(
            app, USER, "payment.create", amount={"amount": amount, "currency": "CNY"}, **params
        )
        return str(told["order_id"])

    async def asked(self, app: str = "shop", amount: int = 1_000, **changes: Any) -> str:
        order_id = await self.order(app, amount, **changes)
        await self.world.ask(app, USER, "payment.request", order_id=order_id)
        self.world.clock.advance(s=1)
        return order_id

    async def paid(self, **changes: Any) -> str:
        order_id = await self.asked(**changes)
        await self.world.decide("shop", USER, True)
        return order_id

    def on(self, order_id: str, method: str, **params: Any) -> Act:
        return lambda: self.world.ask("shop", USER, f"payment.{method}", order_id=order_id, **params)

    async def yes(self, app: str = "shop") -> Act:
        """The user's yes, its token at hand."""
        prompt = self.world.prompt(app, USER)
        assert prompt is not None
        issued = await self.world.desk.issue(prompt.id)
        self.world.clock.advance(ms=500)
        return lambda: self.world.desk.answer(issued.id, issued.token, issued.digest, True)

    def state(self, order_id: str) -> tuple[str, str, int, int, int]:
        columns = "status, close_reason, captured, refunded, version"
        ((status, reason, captured, refunded, version),) = self.world.store.read(
            lambda tx: tx.execute(f"SELECT {columns} FROM orders WHERE id = ?", (order_id,))
        )
        return status, reason, captured, refunded, version


@pytest.fixture
def pay(world: World) -> Pay:
    return Pay(world)


async def test_refunds_never_exceed_what_was_captured(pay: Pay) -> None:
    for _ in range(ROUNDS):
        order_id = await pay.paid()
        params = [{"key": f"r{pay.count}-{n}", "out_request_no": f"{n}", "reason": "late"} for n in range(TASKS)]
        ends = await race(*(pay.on(order_id, "refund", amount=301, **each) for each in params))
        assert ends == {"ok": 3, "refund_exceeds_captured": TASKS - 3}
        assert pay.state(order_id)[2:4] == (1_000, 903)


async def test_one_refund_sent_many_times_is_made_once(pay: Pay) -> None:
    for same_key in (True, False) * (ROUNDS // 2):
        order_id = await pay.paid()
        keys = [f"r{pay.count}-{0 if same_key else n}" for n in range(TASKS)]
        ends = await race(
            *(pay.on(order_id, "refund", key=key, amount=301, out_request_no="1", reason="late") for key in keys)
        )
        assert ends == {"ok": 1, "again": TASKS - 1}
        assert pay.state(order_id)[3] == 301


async def test_an_order_is_captured_or_closed(pay: Pay, world: World) -> None:
    async def play() -> str:
        before = world.available("wallet", USER)
        order_id = await pay.paid(capture="manual")
        ends = await race(
            *(pay.on(order_id, ("capture", "close")[n % 2], key=f"{pay.count}-{n}") for n in range(TASKS))
        )
        assert ends == {"ok": 1, "invalid_state": TASKS - 1}
        status, *_ = pay.state(order_id)
        assert before - world.available("wallet", USER) == (1_000 if status == "succeeded" else 0)
        return status

    await both_ways(play)


async def test_an_order_is_captured_once(pay: Pay) -> None:
    for _ in range(ROUNDS):
        order_id = await pay.paid(capture="manual")
        ends = await race(*(pay.on(order_id, "capture", key=f"{pay.count}-{n}", amount=100 + n) for n in range(TASKS)))
        assert ends == {"ok": 1, "invalid_state": TASKS - 1}
        assert 100 <= pay.state(order_id)[2] < 100 + TASKS


async def test_an_answer_counts_once_and_before_the_time_or_not_at_all(pay: Pay, world: World) -> None:
    async def play() -> str:
        before = world.available("wallet", USER)
        order_id = await pay.asked(ttl_s=60)
        yes = await pay.yes()

        async def expire() -> int:
            world.clock.advance(s=60)
            return await world.sweep(100)

        ends = await race(*([yes] * (TASKS // 2)), *([expire] * (TASKS // 2)))
        status, reason, captured, *_ = pay.state(order_id)
        assert (status, reason) in (("succeeded", ""), ("closed", "expired"))
        assert ends["approved"] == (status == "succeeded") == captured // 1_000
        assert before - world.available("wallet", USER) == captured
        return status

    await both_ways(play)


async def test_a_yes_and_a_close_do_not_both_count(pay: Pay, world: World) -> None:
    async def play() -> str:
        before = world.available("wallet", USER)
        order_id = await pay.asked()
        yes = await pay.yes()
        closes = (pay.on(order_id, "close", key=f"x{pay.count}-{n}") for n in range(TASKS // 2))
        ends = await race(*([yes] * (TASKS // 2)), *closes)
        status, _, captured, *_ = pay.state(order_id)
        assert (ends["approved"], ends["ok"]) == ((1, 0) if status == "succeeded" else (0, 1))
        assert before - world.available("wallet", USER) == captured
        return status

    await both_ways(play)


def create(world: World, key: str, number: str) -> Act:
    params = {"key": key, "out_trade_no": number, "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    return lambda: world.ask("shop", USER, "payment.create", **params)


@pytest.mark.parametrize("keys", [1, TASKS])
async def test_one_order_created_many_times_is_one(keys: int, world: World) -> None:
    for turn in range(ROUNDS):
        ends = await race(*(create(world, f"{turn}-{n % keys}", f"{turn}") for n in range(TASKS)))
        assert ends == {"ok": 1, "again": TASKS - 1}
    assert world.store.read(lambda tx: tx.execute("SELECT count(*) FROM orders")) == [(ROUNDS,)]


async def test_one_key_for_many_orders_makes_one(world: World) -> None:
    assert await race(*(create(world, "one", f"{n}") for n in range(TASKS))) == {"ok": 1, "key_reused": TASKS - 1}
    assert world.store.read(lambda tx: tx.execute("SELECT count(*) FROM orders")) == [(1,)]


async def test_one_wallet_is_not_spent_twice_by_two_programs(pay: Pay, world: World) -> None:
    for _ in range(ROUNDS):
        left = world.available("wallet", USER)
        orders = [await pay.asked(app, amount=left // 2 + 1) for app in ("shop", "taxi")]
        acts = [await pay.yes(app) for app in ("shop", "taxi")]
        assert await race(*acts) == {"approved": 2}
        assert sorted(pay.state(order_id)[:2] for order_id in orders) == [("closed", "no_funds"), ("succeeded", "")]
        assert world.available("wallet", USER) == left - (left // 2 + 1)
        await world.deposit(USER, left // 2 + 1)


@pytest.mark.parametrize("reason", [CloseReason.REVOKED, CloseReason.UNINSTALLED])
async def test_what_is_revoked_has_no_effect_from_then_on(reason: CloseReason, pay: Pay, world: World) -> None:
    """Whatever was handed over before counts; nothing that comes after, and nothing is left that still could."""
    for _ in range(ROUNDS):
        world.install("shop", LIMITS, PAYMENT)
        before = world.available("wallet", USER)
        paid, held, fresh = await pay.paid(), await pay.paid(capture="manual"), await pay.order()
        asked = await pay.asked()
        yes = await pay.yes()

        async def revoke() -> None:
            world.narrow("shop", {})
            await world.stop("shop", reason, at_most=2)

        number = pay.count
        ends = await race(
            pay.on(held, "capture", key=f"c{number}"),
            pay.on(paid, "refund", key=f"r{number}", out_request_no="1", amount=301, reason="late"),
            pay.on(fresh, "request"),
            pay.on(fresh, "close", key=f"x{number}"),
            *([yes] * 4),
            *([create(world, f"again{number}", f"again{number}")] * 4),
            *([revoke] * 4),
        )
        assert ends["None"] == 4
        states = world.store.read(lambda tx: tx.execute("SELECT DISTINCT status FROM orders"))
        assert {status for (status,) in states} <= {"closed", "succeeded"}
        taken = sum(pay.state(one)[2] - pay.state(one)[3] for one in (paid, held, fresh, asked))
        assert before - world.available("wallet", USER) == taken
        assert await world.ask("shop", USER, "payment.query", order_id=paid) == (
            "capability_not_granted",
            {"capability": "payment"},
        )
