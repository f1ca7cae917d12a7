"""The simulator: one seed, one host, one model; every answer compared, every step checked.

A failure says the seed and the step; `python -m tests.simulator SEED` replays it alone.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
import trio.testing

from host_api.payment.orders import CloseReason
from host_api.prompts.prompt import Answer
from host_api.store.protocol import Store
from runtime.limits import Limits
from runtime.testing import VirtualClock
from runtime.wire import request
from tests.simulator.checks import Checks
from tests.simulator.model import Model, No
from tests.simulator.operations import APPS, CURRENCIES, USERS, Message, Operations
from tests.simulator.order import Program
from tests.simulator.world import PAYMENT, Reply, World, open_world

LIMITS = {"payment_amount": 1_000, "payment_day_amount": 1_500, "payment_hour_count": 40}
FULL: dict[str, dict[str, Any]] = {name: {} for name in PAYMENT}
VERIFY_EVERY = 5_000
BALANCE_EVERY = 4


class Differs(AssertionError):
    """The host and the model do not agree."""


class Simulator:
    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.model = Model({app: Program(dict(LIMITS), dict(FULL)) for app in APPS}, world.clock.now_us())
        self.operations = Operations(self.chance, self.model)
        self.checks = Checks(world, self.model)
        self.held_back: deque[Message] = deque(maxlen=20)
        self.answers: Counter[str] = Counter()
        self.steps = 0
        for app in APPS:
            world.install(app, Limits(**LIMITS), FULL)

    async def step(self) -> None:
        """One operation, drawn and carried out on both sides."""
        self.steps += 1
        await self.do(self.operations.next())

    async def do(self, name: str) -> None:
        self.advance(self.chance.randrange(0, 3_000_000))
        await getattr(self, f"on_{name}", self.on_message)(name)
        if self.steps % BALANCE_EVERY == 0:
            self.checks.balanced()
        if self.steps % VERIFY_EVERY == 0:
            self.checks.all()

    async def end(self) -> None:
        """Whatever time has done is written down, and all of it is looked at."""
        await self.world.sweep_all(50)
        self.checks.all(swept=True)

    def advance(self, us: int) -> None:
        self.world.clock.advance(us=us)
        self.model.now = self.world.clock.now_us()

    # ---- messages ------------------------------------------------------------------------------------------------
    async def on_message(self, name: str) -> None:
        await self.exchange(getattr(self.operations, name)())

    async def exchange(self, message: Message) -> None:
        """The message to the host and to the model; the same answer from both."""
        self.operations.sent.append(message)
        self.compare(message, await self.send(message))

    async def send(self, message: Message) -> Reply:
        data = request(self.steps % 2**32, message.method, message.params)
        return await self.world.send(message.app, message.user, data, interactive=message.interactive)

    def asks(self, message: Message) -> tuple[Any, ...]:
        """The message as the model is asked it."""
        return message.app, message.user, message.interactive, message.method, message.params

    def compare(self, message: Message, reply: Reply) -> None:
        code, told = reply
        self.model.fresh_id = told.get("order_id", "")
        try:
            wanted = self.model.answer(*self.asks(message))
        except No as no:
            self.answers[no.code] += 1
            state = None if no.state is None else (told.get("status"), told.get("close_reason"))
            if (code, state) != (no.code, no.state):
                raise Differs(f"{message}: answered {reply}, the model says {no.code} {no.state}") from None
            return
        self.answers["ok"] += 1
        given = {name: told.get(name) for name in wanted}
        if code is not None or given != wanted:
            raise Differs(f"{message}: answered {reply}, the model says {wanted}")
        if "query" not in message.method:
            self.checks.of(told["order_id"], told.get("refund_id"))

    async def on_again(self, _: str) -> None:
        """A message sent before, to the byte: some of the last ones, or any."""
        sent = self.operations.sent
        if sent:
            await self.exchange(self.chance.choice(sent[-30:] if self.chance.random() < 0.8 else sent))

    async def on_later(self, _: str) -> None:
        """A message that is overtaken by others, or whose answer is lost: then the program asks how things stand."""
        name = self.chance.choice(("create", "request", "capture", "close", "refund"))
        self.held_back.append(getattr(self.operations, name)())
        if len(self.held_back) > 3:
            self.chance.shuffle(self.held_back)
            late = self.held_back.pop()
            await self.exchange(late)
            params = late.params
            which = (
                {"order_id": params["order_id"]} if "order_id" in params else {"out_trade_no": params["out_trade_no"]}
            )
            await self.exchange(Message(late.app, late.user, "payment.query", which))

    async def at_the_cashier(self, message: Message, then: Callable[[trio.CancelScope, str], Awaitable[None]]) -> None:
        """A call that waits for the user; `then` is done meanwhile. One that does not wait is like another message."""
        replies: list[Reply] = []
        opened: dict[str, Any] = {}
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                replies.append(await self.send(message))

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            if replies:
                self.compare(message, replies[0])
                return
            opened |= self.model.answer(*self.asks(message))
            await then(nursery.cancel_scope, opened["order_id"])
        await trio.testing.wait_all_tasks_blocked()
        order = self.model.orders[opened["order_id"]]
        wanted = {**self.model.query(order.app, order.user, order_id=order.id), "replayed": opened["replayed"]}
        if replies not in ([(None, wanted)], []):
            raise Differs(f"{message}: answered {replies}, the model says {wanted}")
        self.checks.of(order.id)

    async def on_wait(self, _: str) -> None:
        """The user makes up their mind while the call waits."""

        async def decided(_scope: trio.CancelScope, order_id: str) -> None:
            order = self.model.orders[order_id]
            await self.decide(order.app, order.user, self.chance.random() < 0.8)

        await self.at_the_cashier(self.operations.request(wait_ms=60_000), decided)

    async def on_cancel(self, _: str) -> None:
        """The call is cancelled while it waits: its prompt is taken back."""

        async def cancelled(scope: trio.CancelScope, order_id: str) -> None:
            scope.cancel()
            self.model.orders[order_id].to("pending")

        await self.at_the_cashier(self.operations.request(wait_ms=60_000), cancelled)

    # ---- users ---------------------------------------------------------------------------------------------------
    def asked(self) -> list[tuple[str, str]]:
        return [place for place in self.model.open if self.model.prompt(*place) is not None]

    async def on_yes(self, name: str) -> None:
        if places := self.asked():
            await self.decide(*self.chance.choice(places), name == "yes")

    on_no = on_yes

    async def decide(self, app: str, user: str, yes: bool) -> None:
        order = self.model.prompt(app, user)
        assert order is not None
        after_us = 500_000 if self.chance.random() < 0.9 else self.chance.randrange(500_000)
        answer = await self.world.decide(app, user, yes, after_us=after_us)
        self.advance(0)
        early = after_us < 500_000
        over = self.model.prompt(app, user) is None
        if over or early:
            if answer != (Answer.TIMED_OUT if over else "answer_early"):
                raise Differs(f"an answer out of time to {order.id} ended as {answer}")
            return
        if answer is not (Answer.APPROVED if yes else Answer.DECLINED):
            raise Differs(f"the answer to {order.id} ended as {answer}")
        self.model.decide(app, user, yes)
        self.checks.of(order.id)

    async def on_bad_token(self, _: str) -> None:
        """Answers with another token, another digest, or to a prompt that is not there: nothing happens."""
        for app, user in self.asked()[:1]:
            prompt = self.world.prompt(app, user)
            assert prompt is not None
            issued = await self.world.desk.issue(prompt.id)
            words = self.chance.choice(
                (
                    (issued.id, "0" * 32, issued.digest),
                    (issued.id, issued.token, bytes(32)),
                    ("0" * 32, issued.token, issued.digest),
                )
            )
            if await self.world.answered(*words) not in ("token_refused", "prompt_not_found"):
                raise Differs(f"an answer with wrong words to {prompt.about} counted")

    # ---- time and the operator -----------------------------------------------------------------------------------
    async def on_clock(self, _: str) -> None:
        self.advance(self.operations.jump())

    async def on_sweep(self, _: str) -> None:
        await self.world.sweep(self.chance.choice((1, 3, 100)))

    async def on_deposit(self, _: str) -> None:
        user, currency = self.chance.choice(USERS), self.chance.choice(CURRENCIES)
        amount = self.chance.choice((1, 100, 1_000, 20_000))
        await self.world.deposit(user, amount, currency)
        self.model.wallets[user, currency] += amount

    async def on_pay_out(self, _: str) -> None:
        """The operator settles with a program: its account may be too low for refunds then."""
        app, currency = self.chance.choice(APPS), self.chance.choice(CURRENCIES)
        if amount := self.model.merchants[app, currency]:
            await self.world.pay_out(app, amount, currency, self.steps)
            self.model.merchants[app, currency] = 0

    async def on_fees(self, _: str) -> None:
        app = self.chance.choice(APPS)
        bps, fixed = self.chance.choice(((0, 0), (60, 1), (290, 30), (10_000, 0), (5_000, 0), (0, 500)))
        await self.world.set_fees(app, bps, fixed)
        self.model.programs[app].bps, self.model.programs[app].fixed = bps, fixed

    async def on_limits(self, _: str) -> None:
        limits = {name: value // self.chance.choice((1, 1, 2, 10)) for name, value in LIMITS.items()}
        self.granted(self.chance.choice(APPS), limits, None)

    async def on_grant(self, _: str) -> None:
        """Installed anew, with other grants."""
        until = {"expires_at_us": self.model.now + self.chance.choice((600_000_000, 10**12))}
        payment = self.chance.choice(
            ({}, {"amount_max": 100}, {"day_max": 500}, {"count": 5}, {"currencies": ["CNY"]}, until)
        )
        refund = self.chance.choice(({}, {}, {"amount_max": 20}, {"currencies": ["CNY", "JPY"]}))
        granted = self.chance.choice(({"payment": payment, "payment.refund": refund}, FULL, FULL, {"payment": payment}))
        bare = [app for app in APPS if not self.model.programs[app].grants]
        self.granted(self.chance.choice(bare or APPS), None, {name: dict(given) for name, given in granted.items()})

    def granted(self, app: str, limits: dict[str, int] | None, grants: dict[str, dict[str, Any]] | None) -> None:
        before = self.model.programs[app]
        program = Program(limits or before.limits, grants or dict(before.grants), before.bps, before.fixed)
        self.model.programs[app] = program
        self.world.install(app, Limits(**program.limits), program.grants)

    async def on_narrow(self, _: str) -> None:
        """For prompts that are open, too."""
        app = self.chance.choice(APPS)
        program = self.model.programs[app]
        for capability, constraint in (("payment", {"amount_max": 50}), ("payment.refund", {"amount_max": 5})):
            if capability in program.grants and "expires_at_us" not in program.grants[capability]:
                program.grants[capability] = {**program.grants[capability], **constraint}
        self.world.narrow(app, program.grants)

    async def on_restart(self, _: str) -> None:
        """Prompts outlive it. Who opened them is forgotten: what the grant was then is what counts."""
        self.world.start(self.world.nursery)
        for order in self.model.open.values():
            order.asked_under = order.asked_with

    async def on_revoke(self, _: str) -> None:
        await self.stopped(self.chance.choice(APPS), CloseReason.REVOKED)

    async def on_uninstall(self, _: str) -> None:
        """And installed again later: its orders and keys are still there."""
        await self.stopped(self.chance.choice(APPS), CloseReason.UNINSTALLED)

    async def stopped(self, app: str, reason: CloseReason) -> None:
        self.model.programs[app].grants.clear()
        self.world.narrow(app, {})
        await self.world.stop(app, reason, at_most=self.chance.choice((1, 100)))
        self.model.stop(app, reason.value)


def simulate(seed: int, steps: int, **options: Any) -> Simulator:
    """`run` in a trio run of its own, where nothing is waited for."""
    found: Simulator = trio.run(
        partial(run, seed, steps, **options), clock=trio.testing.MockClock(autojump_threshold=0)
    )
    return found


async def run(
    seed: int,
    steps: int,
    *,
    wrap: Callable[[Store], Store] = lambda store: store,
    told: Callable[[Simulator], None] = lambda _: None,
) -> Simulator:
    """`steps` steps of one seed, on a store in memory. Raises AssertionError with a note of seed and step."""
    async with open_world(None, VirtualClock(), wrap=wrap) as world:
        simulator = Simulator(world, seed)
        try:
            for _ in range(steps):
                await simulator.step()
                told(simulator)
            await simulator.end()
        except Exception as error:
            error.add_note(f"replay: python -m tests.simulator {seed} --steps {simulator.steps}")
            raise
        return simulator
