"""Prompts, met by a real guest through the library: front ends, pauses, ends of time, hosts that stop, grants lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.payment.checkout import ASKS_MAX
from host_api.prompts.cooldown import PACE_US, PROMPTS_MAX
from host_api.prompts.prompt import Answer, Prompt, PromptError
from runtime import App, Host, HostSettings, Money, ScriptedCashier, wire
from runtime.testing import LogLines, VirtualClock
from tests.hostile.conftest import Site
from tests.hostile.guests import Script

CNY = {"amount": 1_250, "currency": "CNY"}


class Shop:
    """A site whose guest wants to be paid; no cashier unless a test brings one."""

    def __init__(self, site: Site, app: App, clock: VirtualClock) -> None:
        self.site, self.app, self.clock, self.desk = site, app, clock, site.host.prompts

    async def ask(self, method: str, user: str = "alice", **params: Any) -> tuple[dict[str, Any] | None, Any]:
        """Error and result of one request of the guest's."""
        _, _, error, result = await self.site.ask(wire.request(1, method, params), self.app, user=user)
        return error, result

    async def order(self, number: str = "1", user: str = "alice") -> str:
        params = {"key": number, "out_trade_no": number, "amount": CNY, "subject": "Tea"}
        error, result = await self.ask("payment.create", user, **params)
        assert error is None
        return str(result["order_id"])

    async def status(self, order: str, user: str = "alice") -> tuple[str, str | None]:
        _, result = await self.ask("payment.query", user, order_id=order)
        return result["status"], result["close_reason"]

    async def prompt(self, order: str) -> Prompt:
        """Its prompt with a token, as soon as it is open."""
        while not (found := [prompt for prompt in self.desk.pending() if prompt.about == order]):
            await trio.lowlevel.checkpoint()
        return await self.desk.issue(found[0].id)

    async def say(self, prompt: Prompt, approved: bool = True) -> Answer:
        return await self.desk.answer(prompt.id, prompt.token, prompt.digest, approved)

    async def waiting(self) -> tuple[str, Prompt]:
        """An order of alice's that she has the money for and has not answered yet, and its prompt."""
        await self.fund()
        order = await self.order()
        await self.ask("payment.request", order_id=order, wait_ms=0)
        return order, await self.prompt(order)

    async def fund(self, amount: int = 1_250) -> None:
        await self.site.host.deposit("alice", Money(amount=amount, currency="CNY"))


@pytest.fixture
def shop_of(artifacts: Path) -> Callable[..., Any]:
    """Opens a shop: `async with shop_of(state, clock, cashier)`."""

    @asynccontextmanager
    async def opened(
        state: Path | None, clock: VirtualClock, cashier: Any = None, grant: Any = ("storage", "payment")
    ) -> AsyncIterator[Shop]:
        settings = HostSettings(slots=16, allow_unsigned=True, cache_dir=artifacts)
        async with Host.open(state, settings=settings, cashier=cashier, clock=clock, log_sink=LogLines()) as host:
            site = Site(host, LogLines(), cashier or ScriptedCashier())
            app = await site.install(grant=grant, calls_per_s=10_000, calls_burst=10_000, payment_hour_count=1_000)
            yield Shop(site, app, clock)
            site.nothing_left()

    return opened


@pytest.fixture(params=["memory", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, shop_of: Any) -> AsyncIterator[Shop]:
    """On both stores, without a cashier."""
    async with shop_of(tmp_path / "state" if request.param == "file" else None, VirtualClock()) as made:
        yield made


async def test_a_front_end_answers_and_the_waiting_guest_hears_it(shop: Shop) -> None:
    await shop.fund()
    order, heard = await shop.order(), []

    async def guest() -> None:
        heard.append(await shop.ask("payment.request", order_id=order, wait_ms=150_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        prompt = await shop.prompt(order)
        assert prompt.shown["amount_text"] == "12.50 CNY"
        for early_us in (499_999, 1):
            with pytest.raises(PromptError, match="read"):
                await shop.say(prompt)
            shop.clock.advance(us=early_us)
        assert await shop.say(prompt) is Answer.APPROVED
    ((error, result),) = heard
    assert (error, result["status"]) == (None, "succeeded")
    assert await shop.status(order) == ("succeeded", None)
    with pytest.raises(PromptError):
        await shop.say(prompt)


@pytest.mark.parametrize("late_us", [-1, 0])
async def test_two_minutes_to_the_microsecond(shop: Shop, late_us: int) -> None:
    order, prompt = await shop.waiting()
    shop.clock.advance(us=120_000_000 + late_us)
    assert await shop.status(order) == ("pending" if late_us == 0 else "confirming", None)
    assert await shop.say(prompt) is (Answer.TIMED_OUT if late_us == 0 else Answer.APPROVED)
    assert await shop.status(order) == ("pending" if late_us == 0 else "succeeded", None)


async def test_a_program_that_pesters_meets_every_pause(shop: Shop) -> None:
    """And only in its own name, and for the user who said no."""
    for number, seconds in enumerate((30, 60, 120, 240, 86_400), 1):
        order = await shop.order(f"{number}")
        assert (await shop.ask("payment.request", order_id=order, wait_ms=0))[0] is None
        prompt = await shop.prompt(order)
        shop.clock.advance(ms=500)
        assert await shop.say(prompt, approved=False) is Answer.DECLINED
        shop.clock.advance(us=seconds * 1_000_000 - 1)
        error, _ = await shop.ask("payment.request", order_id=order, wait_ms=0)
        assert error is not None
        assert (error["code"], error["retryable"], error["retry_after_ms"]) == ("rate_limited", True, 1)
        assert (error["details"]["used"], error["details"]["value"]) == (number, 5)
        shop.clock.advance(us=1)
    bob = await shop.order("bob", user="bob")
    assert (await shop.ask("payment.request", "bob", order_id=bob, wait_ms=0))[0] is None
    order = await shop.order("last")
    assert (await shop.ask("payment.request", order_id=order, wait_ms=0))[0] is None


async def test_one_prompt_at_a_time_and_only_while_the_user_looks(shop: Shop) -> None:
    first, second = await shop.order("1"), await shop.order("2")
    assert (await shop.ask("payment.request", order_id=first, wait_ms=0))[0] is None
    error, _ = await shop.ask("payment.request", order_id=second, wait_ms=0)
    assert error is not None and error["code"] == "cashier_busy"
    _, again = await shop.ask("payment.request", order_id=first, wait_ms=0)
    assert (again["status"], again["replayed"]) == ("confirming", True)
    asked = wire.request(1, "payment.request", {"order_id": await shop.order("3", "bob"), "wait_ms": 0})
    script = Script().ask(asked)
    reply = await shop.site.host.call(shop.app, "run", script.params(), user="bob", interactive=False)
    assert script.responses(reply.value)[0][2]["code"] == "not_interactive"
    assert shop.desk.count() == shop.site.host.statistics().prompts_open == 1


async def test_a_prompt_survives_its_host(shop_of: Any, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with shop_of(tmp_path / "state", clock) as shop:
        order, token = await shop.waiting()
    clock.advance(s=1)
    async with shop_of(tmp_path / "state", clock) as shop:
        assert await shop.status(order) == ("confirming", None)
        assert await shop.say(token) is Answer.APPROVED
        assert await shop.status(order) == ("succeeded", None)


async def test_a_grant_narrowed_by_the_next_host_holds_for_the_prompt_that_is_open(
    shop_of: Any, tmp_path: Path
) -> None:
    clock = VirtualClock()
    async with shop_of(tmp_path / "state", clock) as shop:
        order, token = await shop.waiting()
    clock.advance(s=1)
    async with shop_of(tmp_path / "state", clock, grant={"payment": {"amount_max": 1_249}, "storage": {}}) as shop:
        assert await shop.say(token) is Answer.APPROVED
        assert await shop.status(order) == ("closed", "limit")


@pytest.mark.parametrize(("how", "reason"), [("revoke", "revoked"), ("uninstall", "uninstalled")])
async def test_a_program_that_loses_its_grant_loses_its_prompts(shop: Shop, how: str, reason: str) -> None:
    _, prompt = await shop.waiting()
    shop.clock.advance(s=1)
    host = shop.site.host
    await (host.revoke(shop.app, "payment") if how == "revoke" else host.uninstall(shop.app))
    with pytest.raises(PromptError, match="taken back"):
        await shop.say(prompt)
    stored = host._store.read(lambda tx: tx.execute("SELECT status, close_reason FROM orders"))
    assert stored == [("closed", reason)]
    assert (shop.desk.count(), host._store.read(lambda tx: tx.execute("SELECT * FROM confirmations"))) == (0, [])


async def test_a_call_that_is_cut_takes_its_prompt_along(shop: Shop) -> None:
    order = await shop.order()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: shop.ask("payment.request", order_id=order, wait_ms=150_000))
            prompt = await shop.prompt(order)
            scope.cancel()
    while shop.desk.count():
        await trio.lowlevel.checkpoint()
    assert await shop.status(order) == ("pending", None)
    shop.clock.advance(s=1)
    with pytest.raises(PromptError):
        await shop.say(prompt)


async def test_an_order_is_asked_for_so_often_and_no_more(shop: Shop) -> None:
    """Prompts that are taken back leave records for ever: a program must not make them without end."""
    order = await shop.order()
    for _ in range(ASKS_MAX):
        assert (await shop.ask("payment.request", order_id=order, wait_ms=0))[0] is None
        (prompt,) = shop.desk.pending()
        assert await shop.desk.withdraw(prompt.id)
    shop.clock.advance(us=PACE_US)
    error, _ = await shop.ask("payment.request", order_id=order, wait_ms=0)
    assert error is not None
    assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "asks_of_an_order")
    assert (error["details"]["value"], error["details"]["used"]) == (ASKS_MAX, ASKS_MAX + 1)
    assert await shop.status(order) == ("pending", None)


async def test_prompts_that_flash_are_paced(shop: Shop) -> None:
    """Opened and taken away by the program itself: 20, and then one each three minutes; other users see theirs."""

    async def flash(number: int) -> tuple[dict[str, Any] | None, Any]:
        order = await shop.order(f"{number}")
        asked = await shop.ask("payment.request", order_id=order, wait_ms=0)
        assert (await shop.ask("payment.close", order_id=order, key=f"c{number}"))[0] is None
        return asked

    for number in range(PROMPTS_MAX):
        assert (await flash(number))[0] is None
    for late_us in (0, PACE_US - 1):
        shop.clock.advance(us=late_us)
        error, _ = await flash(100 + late_us)
        assert error is not None
        assert (error["code"], error["details"]["limit"]) == ("rate_limited", "prompts_without_a_yes")
        assert (error["details"]["value"], error["details"]["used"]) == (PROMPTS_MAX, PROMPTS_MAX + 1)
        assert error["retry_after_ms"] == -(-(PACE_US - late_us) // 1_000)
    bob = await shop.order("bob", "bob")
    assert (await shop.ask("payment.request", "bob", order_id=bob, wait_ms=0))[0] is None
    shop.clock.advance(us=1)
    assert (await flash(200))[0] is None
    error, _ = await flash(201)
    assert error is not None and error["code"] == "rate_limited"


async def test_a_user_who_says_yes_may_be_asked_on_and_on(shop: Shop) -> None:
    await shop.fund(1_250 * (PROMPTS_MAX + 2))
    for number in range(PROMPTS_MAX + 2):
        order = await shop.order(f"{number}")
        assert (await shop.ask("payment.request", order_id=order, wait_ms=0))[0] is None
        prompt = await shop.prompt(order)
        shop.clock.advance(ms=500)
        assert await shop.say(prompt) is Answer.APPROVED


async def test_a_guest_that_closes_what_it_is_asking_for_leaves_no_prompt(shop_of: Any, tmp_path: Path) -> None:
    """Both in one turn of the writer: the prompt is gone before the call that opened it goes on."""
    cashier = ScriptedCashier(lambda _: True)
    cashier.hold()
    async with shop_of(tmp_path / "state", VirtualClock(), cashier) as shop:
        for number in range(15):
            order = await shop.order(f"{number}")
            ask = wire.request(1, "payment.request", {"order_id": order, "wait_ms": 60_000})
            close = wire.request(2, "payment.close", {"order_id": order, "key": f"c{number}"})
            with trio.fail_after(10):
                await shop.site.run(Script().post(ask).post(close).awaited().awaited(), shop.app)
            assert (len(shop.desk._places), shop.desk.count()) == (0, 0)
            assert await shop.status(order) == ("closed", "closed")
