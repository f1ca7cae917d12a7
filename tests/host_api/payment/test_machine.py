"""Orders and ledger under random steps, against a model of plain dicts; every invariant after every step.

The steps are the jobs themselves, on a store in memory: who waits for a prompt is test_prompts.py's subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from host_api import ledger, reconciliation
from host_api.errors import ApiError
from host_api.idempotency import RETENTION_US, KeyedRequest, fingerprint
from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from host_api.payment import records, steps, verification
from host_api.payment.cashier import Prompt
from host_api.payment.methods import OrderResult
from host_api.payment.orders import FeeTerms, Order, at, digest, fee
from host_api.payment.prompts import LIFE_US, Answer
from host_api.payment.steps import Bounds
from host_api.store.migrations import known_migrations
from host_api.store.protocol import Store, Transaction
from host_api.store.sqlite import MemoryStore
from runtime.limits import Limits
from runtime.testing import VirtualClock, make_session
from runtime.wire import CanonicalCodec

CODEC = CanonicalCodec(1 << 16)
APPS, USERS, CURRENCIES = ("shop", "taxi"), ("alice", "bob"), ("CNY", "JPY")
LIMITS = Limits(payment_amount=120, payment_day_amount=300, payment_hour_count=6)
TERMS = FeeTerms(bps=60, fixed=1)
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
TTL_US = 900_000_000


@dataclass
class Model:
    """One order, as the specification has it."""

    app: str
    user: str
    number: str
    money: Money
    created: int
    status: str = "pending"
    reason: str | None = None
    declines: int = 0
    paid_at: int | None = None

    def now(self, now_us: int) -> tuple[str, str | None]:
        if self.status in ("pending", "confirming") and now_us >= self.created + TTL_US:
            return "closed", "expired"
        return self.status, self.reason


class PaymentMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.clock = VirtualClock()
        self.store: Store = MemoryStore(self.clock, known_migrations())
        session = make_session(limits=LIMITS)
        self.bounds = Bounds(limits=session.limits, authority=session.authority)
        for app in APPS:
            self.write(lambda tx, app=app: records.set_fee_terms(tx, app, TERMS))
        self.orders: dict[str, Model] = {}
        self.by_number: dict[tuple[str, str], str] = {}
        self.keys: dict[tuple[str, str, str], tuple[Any, str, int]] = {}
        self.wallets: dict[tuple[str, str], int] = {}
        self.merchants: dict[tuple[str, str], int] = {}
        self.opened: dict[str, Prompt] = {}
        self.made = 0

    def write(self, job: Callable[[Transaction], Any]) -> Any:
        return trio.run(self.store.write, job)

    @rule(user=st.sampled_from(USERS), currency=st.sampled_from(CURRENCIES), amount=st.integers(1, 400))
    def deposit(self, user: str, currency: str, amount: int) -> None:
        self.made += 1
        money = Money(amount=amount, currency=currency)
        self.write(lambda tx: ledger.deposit(tx, user=user, money=money, reference=str(self.made)))
        self.wallets[user, currency] = self.wallets.get((user, currency), 0) + amount

    @rule(
        app=st.sampled_from(APPS),
        user=st.sampled_from(USERS),
        currency=st.sampled_from(CURRENCIES),
        amount=st.integers(1, 130),
        number=st.integers(1, 12),
        key=st.integers(1, 12),
    )
    def create(self, app: str, user: str, currency: str, amount: int, number: int, key: int) -> None:
        self.made += 1
        name, content = f"o{self.made}", {"number": number, "amount": [amount, currency]}
        money = Money(amount=amount, currency=currency)

        def wanted(now_us: int) -> Order:
            return Order(
                id=name,
                app_id=app,
                user=user,
                out_trade_no=str(number),
                money=money,
                subject="Tea",
                created_us=now_us,
                expires_us=now_us + TTL_US,
            )

        keyed = KeyedRequest(
            app_id=app,
            user=user,
            method="payment.create",
            key=str(key),
            schema_version=1,
            fingerprint=fingerprint(CODEC, "payment.create", 1, content),
        )
        try:
            job = partial(steps.create, wanted=wanted, keyed=keyed, bounds=self.bounds, encode=encode, decode=decode)
            result = self.write(job)
            outcome = f"new {name}" if result.order_id == name else result.order_id
        except ApiError as error:
            outcome = error.code.code
        assert outcome == self.expected_create(app, user, money, str(number), str(key), content, name)

    def expected_create(self, app: str, user: str, money: Money, number: str, key: str, content: Any, name: str) -> str:
        now = self.clock.now_us()
        known = self.keys.get((app, user, key))
        if known is not None and known[2] > now - RETENTION_US:
            return known[1] if known[0] == content else "key_reused"
        other = self.by_number.get((app, number))
        if other is not None:
            order = self.orders[other]
            if (order.user, order.money) != (user, money):
                return "order_mismatch"
            self.keys[app, user, key] = (content, other, now)
            return other
        recent = [o for o in self.orders.values() if (o.app, o.user) == (app, user) and o.created > now - HOUR_US]
        if money.amount > LIMITS.payment_amount or len(recent) >= LIMITS.payment_hour_count:
            return "limit_exceeded"
        self.orders[name] = Model(app, user, number, money, now)
        self.by_number[app, number] = name
        self.keys[app, user, key] = (content, name, now)
        return f"new {name}"

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def request(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.orders)))
        model = self.orders[name]
        taken = [o for n, o in self.orders.items() if n in self.opened and (o.app, o.user) == (model.app, model.user)]
        if taken:
            return  # Prompts.reserve refuses it
        status, reason = model.now(self.clock.now_us())
        try:
            opened = self.write(lambda tx: steps.open_cashier(tx, model.app, model.user, name))
        except ApiError as error:
            assert error.code.code == ("expired" if reason == "expired" else "invalid_state")
            assert status not in ("pending", "confirming")
            return
        assert status in ("pending", "confirming")
        model.status = "confirming"
        prompt = Prompt(
            order_id=name,
            app_id=model.app,
            user=model.user,
            payee="Payee",
            amount_text="",
            subject="Tea",
            digest=digest(opened, "Payee"),
            token="t",
            expires_us=min(self.clock.now_us() + LIFE_US, opened.expires_us),
        )
        self.opened[name] = prompt

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), answer=st.sampled_from([*Answer, Answer.APPROVED, Answer.APPROVED]))
    def settle(self, data: st.DataObject, answer: Answer) -> None:
        name = data.draw(st.sampled_from(sorted(self.opened)))
        prompt = self.opened.pop(name)
        settled = self.write(lambda tx: steps.settle(tx, prompt, answer, self.bounds))
        self.expect_settled(self.orders[name], answer, prompt)
        model = self.orders[name]
        assert (settled.status.value, settled.close_reason and settled.close_reason.value) == (
            model.status,
            model.reason,
        )

    def expect_settled(self, model: Model, answer: Answer, prompt: Prompt) -> None:
        now = self.clock.now_us()
        if model.now(now) == ("closed", "expired"):
            model.status, model.reason = "closed", "expired"
        elif answer is Answer.DECLINED:
            model.declines += 1
            model.status, model.reason = ("closed", "declined") if model.declines == 3 else ("pending", None)
        elif answer is not Answer.APPROVED or now >= prompt.expires_us:
            model.status = "pending"
        else:
            self.expect_paid(model, now)

    def expect_paid(self, model: Model, now: int) -> None:
        amount, currency = model.money.amount, model.money.currency
        today = sum(
            o.money.amount
            for o in self.orders.values()
            if (o.app, o.user, o.money.currency) == (model.app, model.user, currency)
            and o.paid_at is not None
            and o.paid_at > now - DAY_US
        )
        wallet = self.wallets.get((model.user, currency), 0)
        if today + amount > LIMITS.payment_day_amount:
            model.status, model.reason = "closed", "limit"
        elif wallet < amount:
            model.status, model.reason = "closed", "no_funds"
        else:
            model.status, model.paid_at = "succeeded", now
            self.wallets[model.user, currency] = wallet - amount
            merchant = self.merchants.get((model.app, currency), 0)
            self.merchants[model.app, currency] = merchant + amount - fee(amount, TERMS)

    @rule(us=st.sampled_from([1, LIFE_US - 1, LIFE_US, TTL_US, HOUR_US - 1, HOUR_US, DAY_US, RETENTION_US - DAY_US]))
    def wait(self, us: int) -> None:
        self.clock.advance(us=us)

    @invariant()
    def money_agrees(self) -> None:
        for table, kind in ((self.wallets, AccountKind.WALLET), (self.merchants, AccountKind.MERCHANT)):
            for (owner, currency), amount in table.items():
                name = AccountName(kind=kind, owner=owner, currency=currency)
                assert self.store.read(lambda tx, name=name: ledger.balance(tx, name)).available == amount

    @invariant()
    def orders_agree(self) -> None:
        now = self.clock.now_us()
        for name, model in self.orders.items():
            order = self.store.read(lambda tx, m=model, n=name: records.order_by_id(tx, m.app, n))
            assert order is not None
            seen = at(order, now)
            assert (seen.status.value, seen.close_reason and seen.close_reason.value) == model.now(now)

    @invariant()
    def everything_holds(self) -> None:
        assert self.store.read(reconciliation.verify) == []
        assert self.store.read(verification.verify) == []

    def teardown(self) -> None:
        if hasattr(self, "store"):
            trio.run(self.store.aclose)


def encode(result: OrderResult) -> bytes:
    return CODEC.encode(msgspec.to_builtins(result))


def decode(outcome: bytes) -> OrderResult:
    return msgspec.convert(CODEC.decode(outcome), OrderResult)


PaymentMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestPaymentMachine = PaymentMachine.TestCase
