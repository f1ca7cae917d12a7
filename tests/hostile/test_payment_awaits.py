"""A call that dies at any await of a payment: afterwards there is no effect, or one that query and events tell.

Five steps of a payment, each asked for by a real guest; each is ended at every step that any task makes meanwhile, in
every way a call can end, and by the guest itself right after it posted the request. Whatever came of it: the order is
as before or as after, its events say so without a gap, the same request sent again gives the outcome that there was,
and the books hold. What must not live here: what the steps do when nothing happens (test_payments.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import App, CallEnded, CallRefused, Ending, Host, HostSettings, ScriptedCashier, wire
from runtime.testing import LogLines, VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script, bundle, scripted
from tests.hostile.shop import GRANT, ROOMY, Shop, open_shop

HOUR_S = 3_600
SETTLED_S = 20
STEPS_MOST = 200
"""More than any request takes: a test that comes so far never ended one."""


class At(trio.abc.Instrument):
    """Does something when the tasks of this run have made that many steps, the one that makes it left out."""

    def __init__(self, steps: int, act: Callable[[], object]) -> None:
        self._left, self._act, self._own = steps, act, trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is not self._own:
            self._left -= 1
            if not self._left:
                self._act()


# ---- the five steps --------------------------------------------------------------------------------------------------
class Step:
    """One request of a payment: how its order stands before and after, and how it is sent."""

    def __init__(self, shop: Shop, method: str) -> None:
        self.shop, self.method = shop, method
        self.order_id, self.number = "", ""
        self.params: dict[str, Any] = {}
        self.before: tuple[str, ...] = ()
        self.after: tuple[str, ...] = ()
        self.seen = 0

    @property
    def request(self) -> bytes:
        return wire.request(1, f"payment.{self.method}", self.params)

    async def prepare(self) -> None:
        """A new order for it, an hour later, and the events until then read."""
        shop = self.shop
        shop.clock.advance(s=HOUR_S)
        shop.made += 1
        self.number = f"n{shop.made}"
        made: dict[str, Any] = {"order_id": ""}
        if self.method in ("capture", "close"):
            made = await shop.hold(100, out_trade_no=self.number)
        elif self.method == "refund":
            made = await shop.pay(100, out_trade_no=self.number)
        elif self.method == "request":
            made = await shop.create(100, out_trade_no=self.number)
        self.order_id = made["order_id"]
        keyed = {"key": f"step-{shop.made}", "order_id": self.order_id}
        money = {"amount": 100, "currency": "CNY"}
        self.params, self.before, self.after = {
            "create": ({"key": keyed["key"], "out_trade_no": self.number, "amount": money, "subject": "Tea"},
                       ("unknown",), ("pending",)),
            "request": ({"order_id": self.order_id, "wait_ms": 60_000}, ("pending",), ("succeeded",)),
            "capture": ({**keyed, "amount": 60}, ("authorized",), ("succeeded",)),
            "close": (keyed, ("authorized",), ("closed",)),
            "refund": ({**keyed, "out_request_no": "b", "amount": 30, "reason": "Bad"}, ("succeeded",), ("refunded",)),
        }[self.method]  # fmt: skip
        await self.read_events()

    async def read_events(self) -> list[dict[str, Any]]:
        """The events that are new."""
        found: list[dict[str, Any]] = []
        more = True
        while more:
            response = await self.shop.site.ask(wire.request(1, "events.list", {"after": self.seen}), self.shop.app)
            found, more = found + response[3]["events"], response[3]["more"]
            self.seen = found[-1]["seq"] if found else self.seen
        return found

    async def stands(self) -> str:
        """How its order stands, by the program's own number of it."""
        seen = await self.shop.ask("query", out_trade_no=self.number)
        if isinstance(seen, tuple):
            assert seen[0] == "not_found"
            return "unknown"
        self.order_id = seen["order_id"]
        if self.method == "refund":
            asked = await self.shop.ask("refund_query", order_id=self.order_id, out_request_no="b")
            assert seen["refunded"] == (0 if isinstance(asked, tuple) else 30)
            return "refunded" if seen["refunded"] else str(seen["status"])
        return str(seen["status"])

    async def check(self, *, gone: bool = False) -> bool:
        """Nothing is lost in silence; whether it had its effect. `gone`: the program was uninstalled meanwhile."""
        stands = await self.stands()
        closed = ("closed",) if gone else ()
        assert stands in self.before + self.after + closed
        events = [event for event in await self.read_events() if event["stream"] == self.order_id]
        if stands in self.before:
            happened = False
            if self.method == "request":  # a prompt that was opened and taken back is told too
                assert [event["topic"] for event in events] in ([], ["payment.confirming", "payment.pending"])
            else:
                assert events == []
        else:
            tops = {"refunded": "payment.refunded"}.get(stands, f"payment.{stands}")
            assert events[-1]["topic"] == tops
            versions = [event["payload"]["version"] for event in events]
            assert versions == list(range(versions[0], versions[0] + len(versions)))
            happened = self.after[0] in [event["topic"].partition(".")[2] for event in events]
            if gone and self.method == "close":
                happened = events[-1]["payload"]["close_reason"] == "voided"
        await self._again(stands, happened, gone)
        return happened

    async def _again(self, stands: str, happened: bool, gone: bool) -> None:
        """The guest asks once more, as one does that was never answered."""
        response = (await self.shop.site.ask(self.request, self.shop.app))[2:]
        if self.method == "request" and (happened or gone):
            assert response[0]["code"] == "invalid_state"
        elif gone and not happened and self.method in ("capture", "close"):
            assert (response[0]["code"], response[0]["details"]["close_reason"]) == ("invalid_state", "uninstalled")
        else:
            assert response[0] is None, response
            assert response[1]["replayed"] is happened
        if not gone:
            assert await self.stands() in self.after


STEPS = ("create", "request", "capture", "close", "refund")
each_step = pytest.mark.parametrize("method", STEPS)


@pytest.fixture(params=["memory", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, opened: Opened) -> AsyncIterator[Shop]:
    state = tmp_path / "state" if request.param == "file" else None
    async with open_shop(opened, state, deposit=10**6, cpu_us=60_000) as made:
        yield made


async def settled(shop: Shop) -> None:
    """What goes on after a call is over: a prompt is taken back."""
    with trio.fail_after(SETTLED_S):
        while shop.site.host.prompts.count():
            await trio.lowlevel.checkpoint()
    shop.site.nothing_left()


def rows(shop: Shop, statement: str) -> int:
    """One number out of the store."""
    ((number,),) = shop.site.host._store.read(lambda tx: tx.execute(statement))
    return int(number or 0)


def open_orders(shop: Shop) -> int:
    return rows(shop, "SELECT count(*) FROM orders WHERE status IN ('pending', 'confirming', 'authorized')")


def wealth(shop: Shop) -> int:
    """What is in the wallet and what was paid out of it; what is held is counted by its orders."""
    held = rows(shop, "SELECT sum(amount) FROM orders WHERE status = 'authorized' AND hold_until_us > "
                f"{shop.clock.now_us()}")  # fmt: skip
    return shop.available() + held + rows(shop, "SELECT sum(captured - refunded) FROM orders")


async def install(host: Host) -> App:
    return await host.install(bundle(scripted(), "org.example.shop"), grant=GRANT, limits=ROOMY)


# ---- the guest ends itself -------------------------------------------------------------------------------------------
DEATHS: dict[str, tuple[Callable[[Script], Script], Ending]] = {
    "traps": (lambda script: script.step("unreachable"), Ending.TRAPPED),
    "exits": (lambda script: script.step("proc_exit", 3), Ending.EXITED),
    "violates": (lambda script: script.step("call", 0xFFFF_FFF0, 64, 0, 0), Ending.PROTOCOL_VIOLATION),
    "spins": (lambda script: script.step("spin", 0), Ending.CPU_EXCEEDED),
}


@each_step
async def test_a_guest_that_dies_right_after_it_posted(shop: Shop, method: str) -> None:
    """Before the request has begun, when it has, and when it was polled for a while. What nobody heard is counted."""
    step = Step(shop, method)
    for (die, ending), polls in product(DEATHS.values(), range(4)):
        await step.prepare()
        script = Script().post(step.request)
        for _ in range(polls):
            script.wait(0)
        found, _, receipt = await shop.site.end(die(script), shop.app)
        assert found is ending
        await settled(shop)
        happened = await step.check()
        unheard = (receipt.usage.dropped, receipt.usage.unclaimed)
        assert unheard in ([(0, 1), (0, 0)] if happened else [(1, 0)]) or method == "request"
    assert shop.site.host.verify() == []


@each_step
async def test_a_guest_that_returns_without_its_answer(shop: Shop, method: str) -> None:
    """Begun requests finish: their effect is there, only the answer was not wanted."""
    step = Step(shop, method)
    await step.prepare()
    _, reply = await shop.site.reply(Script().post(step.request).wait(0), shop.app)
    assert reply.receipt.usage.dropped == 0
    await settled(shop)
    assert await step.check()


# ---- others end it ---------------------------------------------------------------------------------------------------
NAP = wire.request(2, "session.sleep", {"ms": 0})
ENDINGS = {"cancelled": None, "deadline": Ending.DEADLINE_EXCEEDED, "uninstalled": Ending.REVOKED,
           "erased": Ending.REVOKED, "closed": Ending.CANCELLED}  # fmt: skip


class Interruption:
    """A call of a guest, and the end that comes to it after so many steps of any task."""

    def __init__(self, host: Host, app: App, step: Step, steps: int) -> None:
        self._host, self._app, self._step = host, app, step
        self._steps = steps
        self.came = False
        self.over = False
        self.refused = False
        self.ending: Ending | None = None

    async def call(self) -> None:
        """The guest is at awaits before the request, and then in it."""
        script = Script().call(NAP).call(NAP).call(NAP).ask(self._step.request)
        try:
            await self._host.call(self._app, "run", script.params(), user="alice")
        except CallEnded as error:
            self.ending = error.ending
        except CallRefused:  # it had not begun
            self.refused = True
        finally:
            self.over = True

    async def run(self, act: Callable[[], object], later: Callable[[], Awaitable[object]] | None = None) -> None:
        """`act` is done at the step itself, `later` begins then."""

        def come() -> None:
            self.came = not self.over
            act()

        at = At(self._steps, come)
        trio.lowlevel.add_instrument(at)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.call)
                while not (self.over or self.came):
                    await trio.lowlevel.checkpoint()
                if self.came and later is not None:
                    await later()
        finally:
            trio.lowlevel.remove_instrument(at)


@each_step
@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_a_call_that_is_ended_at_every_step(shop: Shop, method: str, how: str) -> None:
    step, host, began_with = Step(shop, method), shop.site.host, wealth(shop)
    effects: list[bool] = []
    for steps in range(1, STEPS_MOST):
        await step.prepare()
        interruption = Interruption(host, shop.app, step, steps)
        with trio.CancelScope() as scope:

            def end_now(scope: trio.CancelScope = scope) -> None:
                if how == "cancelled":
                    scope.cancel()
                for each in host._calls._in_flight.values() if how == "deadline" else ():
                    each.session.deadline.cut()

            await interruption.run(end_now)
        await settled(shop)
        assert interruption.ending in (None, ENDINGS[how])
        effects.append(await step.check())
        assert wealth(shop) == began_with
        if not interruption.came:
            break
    assert not interruption.came
    assert effects[-1] and False in effects
    assert host.verify() == []


@pytest.mark.parametrize("how", ENDINGS)
async def test_a_prompt_goes_with_the_call_that_waits_for_it(shop: Shop, how: str) -> None:
    """The user is still thinking; what they would say counts for nothing any more."""
    step, host = Step(shop, "request"), shop.site.host
    await step.prepare()
    shop.site.cashier.hold()
    interruption = Interruption(host, shop.app, step, 0)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interruption.call)
            with trio.fail_after(SETTLED_S):
                while not host.prompts.count():
                    await trio.lowlevel.checkpoint()
            if how == "cancelled":
                scope.cancel()
            elif how == "deadline":
                for each in host._calls._in_flight.values():
                    each.session.deadline.cut()
            elif how == "uninstalled":
                await host.uninstall(shop.app, end_calls=True)
            elif how == "erased":
                await host.erase_user("alice", forfeit_balance=True)
            else:
                await host._calls.drain(0.0)
    await settled(shop)
    shop.site.cashier.release()
    assert interruption.ending is ENDINGS[how]
    found = {row: rows(shop, f"SELECT count(*) FROM {row}") for row in ("confirmations", "payment_usage", "prompts")}
    assert found == {"confirmations": 0, "payment_usage": 0, "prompts": 0}
    assert open_orders(shop) == (how not in ("uninstalled", "erased"))
    if how in ("cancelled", "deadline"):
        assert await step.check() is False


@each_step
async def test_a_program_uninstalled_at_every_step_of_its_call(shop: Shop, method: str) -> None:
    """Its calls are ended, its open orders closed, what they held given back: none is made afterwards."""
    step, host, began_with = Step(shop, method), shop.site.host, wealth(shop)
    effects: list[bool] = []
    for steps in range(1, STEPS_MOST):
        await step.prepare()
        interruption = Interruption(host, shop.app, step, steps)
        await interruption.run(lambda: None, lambda: host.uninstall(shop.app, end_calls=True))
        await settled(shop)
        assert interruption.ending in (None, Ending.REVOKED)
        if interruption.came:
            assert open_orders(shop) == 0
            shop.app = await host.install(bundle(scripted(), shop.app.app_id), grant=GRANT, limits=ROOMY)
        effects.append(await step.check(gone=interruption.came))
        assert wealth(shop) == began_with
        if not interruption.came:
            break
    assert not interruption.came
    assert effects[-1] and False in effects
    assert host.verify() == []


@each_step
async def test_a_user_erased_at_every_step_of_a_call(shop: Shop, method: str) -> None:
    """Nothing of the payment goes on, and none of its rows names them."""
    step, host = Step(shop, method), shop.site.host
    for steps in range(1, STEPS_MOST):
        await step.prepare()
        interruption = Interruption(host, shop.app, step, steps)
        await interruption.run(lambda: None, lambda: host.erase_user("alice", forfeit_balance=True))
        await settled(shop)
        assert interruption.ending in (None, Ending.REVOKED)
        if not interruption.came:
            break
        assert (open_orders(shop), shop.available()) == (0, 0)
        for table in ("orders", "events", "idempotency", "payment_usage", "prompts"):
            assert rows(shop, f"SELECT count(*) FROM {table} WHERE user_id = 'alice'") == 0
        assert host.verify() == []
        await shop.deposit(10**6)
    assert not interruption.came and steps > 3
    assert await step.check()


@each_step
async def test_a_host_that_closes_at_every_step_of_a_call(tmp_path: Path, artifacts: Path, method: str) -> None:
    """The next one finds no effect, or the whole of it."""
    clock, effects, number = VirtualClock(), [], 0
    settings = HostSettings(slots=8, allow_unsigned=True, cache_dir=artifacts, drain_s=0)
    step: Step | None = None
    steps = 0
    interruption: Interruption | None = None
    while interruption is None or interruption.came:
        steps += 1
        cashier = ScriptedCashier(lambda _: True)
        async with Host.open(tmp_path, settings=settings, clock=clock, cashier=cashier, log_sink=LogLines()) as host:
            shop = Shop(Site(host, LogLines(), cashier), clock, await install(host))
            shop.made = number
            if step is None:
                await shop.deposit(10**6)
                step = Step(shop, method)
            else:
                step.shop = shop
                await settled(shop)
                effects.append(await step.check())
                assert host.verify() == []
            await step.prepare()
            number = shop.made
            interruption = Interruption(host, shop.app, step, steps)
            await interruption.run(lambda: None, lambda host=host: host._calls.drain(0.0))
    assert interruption.ending is None
    assert False in effects and steps < STEPS_MOST
