"""Orders and ledger under random events and random waits, against a model of plain dicts; every invariant after each.

The transitions themselves, on a store in memory: keys, limits and prompts have tests of their own, and all together is
the simulator's. What this adds is that hypothesis shrinks what it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from host_api import ledger, reconciliation
from host_api.errors import ApiError
from host_api.ledger import AccountKind, AccountName, InsufficientFunds
from host_api.money import Money
from host_api.payment import records, sweep, verification
from host_api.payment.fees import FeeTerms, fee, fee_returned
from host_api.payment.orders import (
    HOLD_US,
    REFUND_WINDOW_US,
    Capture,
    CloseReason,
    Confirmation,
    Event,
    Order,
    at,
    digest,
)
from host_api.payment.records import Refund
from host_api.payment.transitions import carry_out, record_created
from host_api.store.migrations import known_migrations
from host_api.store.protocol import Store, Transaction
from host_api.store.sqlite import MemoryStore
from runtime.testing import VirtualClock

APPS, USERS = ("shop", "taxi"), ("alice", "bob")
TERMS = FeeTerms(bps=777, fixed=1)
TTL_US = 900_000_000
OPEN = ("pending", "confirming")
NO = {Event.DECLINE, Event.PROMPT_TIMEOUT, Event.LAST_DECLINE}
ENDS = {
    Event.NO_FUNDS: "no_funds",
    Event.OVER_LIMIT: "limit",
    Event.CLOSE: "closed",
    Event.UNINSTALL: "uninstalled",
    Event.REVOKE: "revoked",
}


@dataclass
class Model:
    """One order, as the specification has it."""

    app: str
    user: str
    amount: int
    manual: bool
    due: int
    status: str = "pending"
    reason: str | None = None
    declines: int = 0
    captured: int = 0
    refunds: list[int] = field(default_factory=list)

    def close(self, reason: str) -> None:
        self.status, self.reason, self.due = "closed", reason, 0

    def pass_to(self, now: int) -> None:
        """What time has done by then."""
        if 0 < self.due <= now:
            if self.status == "succeeded":
                self.status, self.due = "finished", 0
            else:
                self.close("expired")

    @property
    def held(self) -> int:
        return self.amount if self.status == "authorized" else 0


class PaymentMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.clock = VirtualClock()
        self.store: Store = MemoryStore(self.clock, known_migrations())
        self.replay = reconciliation.Replay()
        for app in APPS:
            self.write(lambda tx, app=app: records.set_fee_terms(tx, app, TERMS))
        self.orders: dict[str, Model] = {}
        self.deposits = dict.fromkeys(USERS, 0)
        self.made = 0

    def write(self, job: Callable[[Transaction], Any]) -> Any:
        return trio.run(self.store.write, job)

    def change(self, name: str, event: Event, **arguments: Any) -> str:
        """Carries the event out; what came of it. The order is the model's as time has it."""
        self.orders[name].pass_to(self.clock.now_us())

        def job(tx: Transaction) -> str:
            stored = records.order_whosever(tx, name)
            assert stored is not None
            if event is Event.CONFIRM:
                arguments["confirmation"] = Confirmation(payee="Payee", digest=digest(stored, "Payee"))
            try:
                return carry_out(tx, stored, event, **arguments).status.value
            except InsufficientFunds:
                return "short"

        try:
            return str(self.write(job))
        except ApiError as error:
            return error.code.code

    def available(self, user: str) -> int:
        """What the user could pay with now."""
        for order in self.orders.values():
            order.pass_to(self.clock.now_us())
        out = sum(o.captured - sum(o.refunds) + o.held for o in self.orders.values() if o.user == user)
        return self.deposits[user] - out

    @rule(user=st.sampled_from(USERS), amount=st.integers(1, 300))
    def deposit(self, user: str, amount: int) -> None:
        self.made += 1
        money, reference = Money(amount=amount, currency="CNY"), str(self.made)
        self.write(
            lambda tx: ledger.deposit(tx, user=user, money=money, reference=reference, new_salt=lambda: bytes(16))
        )
        self.deposits[user] += amount

    @rule(app=st.sampled_from(APPS), user=st.sampled_from(USERS), amount=st.integers(1, 130), manual=st.booleans())
    def create(self, app: str, user: str, amount: int, manual: bool) -> None:
        self.made += 1
        name, now = f"o{self.made}", self.clock.now_us()
        order = Order(
            id=name, app_id=app, user=user, out_trade_no=name, money=Money(amount=amount, currency="CNY"),
            subject="Tea", created_us=now, expires_us=now + TTL_US, capture=Capture.MANUAL if manual else Capture.AUTO,
        )  # fmt: skip
        self.write(lambda tx: record_created(tx, order))
        self.orders[name] = Model(app, user, amount, manual, now + TTL_US)

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def pay(self, data: st.DataObject) -> None:
        """The cashier, asked and answered."""
        name = data.draw(st.sampled_from(sorted(self.orders)))
        model = self.orders[name]
        came = self.change(name, Event.REQUEST)
        if model.status != "pending":
            assert came not in OPEN
            return
        model.status = came
        event = data.draw(st.sampled_from([Event.CONFIRM, Event.CONFIRM, *NO - {Event.LAST_DECLINE}, Event.WITHDRAW]))
        came = self.change(name, event)
        if event in NO:
            model.declines += 1
            model.status = "pending"
            if model.declines == 3:
                model.close("declined")
        elif event is Event.WITHDRAW:
            model.status = "pending"
        elif self.available(model.user) < model.amount:
            assert came == "short"
            return
        else:
            now = self.clock.now_us()
            model.status, model.due = ("authorized", now + HOLD_US) if model.manual else self.paid(model, now)
        assert came == model.status

    def paid(self, model: Model, now: int, amount: int | None = None) -> tuple[str, int]:
        model.captured = model.amount if amount is None else amount
        return "succeeded", now + REFUND_WINDOW_US

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), event=st.sampled_from(sorted(ENDS)))
    def end(self, data: st.DataObject, event: Event) -> None:
        name = data.draw(st.sampled_from(sorted(self.orders)))
        model = self.orders[name]
        came = self.change(name, event)
        if event in (Event.NO_FUNDS, Event.OVER_LIMIT):
            fits = model.status == "confirming"
        else:
            fits = model.status in (*OPEN, "authorized")
        if fits:
            model.close("voided" if model.held and event is Event.CLOSE else ENDS[event])
        assert (came == "closed") is fits

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def capture(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.orders)))
        model = self.orders[name]
        amount = data.draw(st.integers(1, model.amount))
        came = self.change(name, Event.CAPTURE, amount=amount)
        if model.status == "authorized":
            model.status, model.due = self.paid(model, self.clock.now_us(), amount)
            assert came == "succeeded"
        else:
            assert came in ("invalid_state", "expired", "declined", "insufficient_funds")

    @precondition(lambda self: any(o.captured > sum(o.refunds) for o in self.orders.values()))
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        some = sorted(name for name, o in self.orders.items() if o.captured > sum(o.refunds))
        name = data.draw(st.sampled_from(some))
        model, before = self.orders[name], sum(self.orders[name].refunds)
        amount = data.draw(st.integers(1, model.captured - before))
        charged = fee(model.captured, TERMS)
        back = [fee_returned(charged, model.captured, total) for total in (before, before + amount)]
        number = str(len(model.refunds))
        made = Refund(
            id=f"{name} {number}", out_request_no=number, amount=amount, fee_returned=back[1] - back[0], reason="Bad"
        )
        came = self.change(name, Event.REFUND, refund=made)
        if model.status == "succeeded":
            model.refunds.append(amount)
        assert came == ("succeeded" if model.status == "succeeded" else "refund_window_over")

    @rule(us=st.sampled_from([1, TTL_US - 1, TTL_US, HOLD_US - 1, HOLD_US, REFUND_WINDOW_US]))
    def wait(self, us: int) -> None:
        self.clock.advance(us=us)

    @rule(at_most=st.integers(1, 5))
    def sweep(self, at_most: int) -> None:
        assert self.write(lambda tx: sweep.sweep(tx, at_most)) <= at_most

    @rule(app=st.sampled_from(APPS))
    def uninstall(self, app: str) -> None:
        self.write(lambda tx: sweep.close_program(tx, app, CloseReason.UNINSTALLED, 1_000))
        for model in self.orders.values():
            model.pass_to(self.clock.now_us())
            if model.app == app and model.status in (*OPEN, "authorized"):
                model.close("uninstalled")

    @invariant()
    def orders_agree(self) -> None:
        for name, model in self.orders.items():
            model.pass_to(self.clock.now_us())
            stored = self.store.read(lambda tx, name=name: records.order_whosever(tx, name))
            assert stored is not None
            seen = at(stored, self.clock.now_us())
            assert (seen.status.value, seen.close_reason and seen.close_reason.value) == (model.status, model.reason)
            assert (seen.captured, seen.refunded) == (model.captured, sum(model.refunds))

    @invariant()
    def money_agrees(self) -> None:
        for user in USERS:
            wallet = AccountName(kind=AccountKind.WALLET, owner=user, currency="CNY")
            assert self.store.read(lambda tx, wallet=wallet: sweep.balance(tx, wallet)).available == self.available(
                user
            )
        taken = dict.fromkeys(APPS, 0)
        for o in self.orders.values():
            if o.captured:
                charged, back = fee(o.captured, TERMS), sum(o.refunds)
                taken[o.app] += o.captured - back - charged + fee_returned(charged, o.captured, back)
        for app, amount in taken.items():
            merchant = AccountName(kind=AccountKind.MERCHANT, owner=app, currency="CNY")
            assert self.store.read(lambda tx, name=merchant: sweep.balance(tx, name)).available == amount

    @invariant()
    def everything_holds(self) -> None:
        assert self.store.read(self.replay.advance) == []
        assert self.store.read(verification.verify) == []

    def teardown(self) -> None:
        if hasattr(self, "store"):
            trio.run(self.store.aclose)


PaymentMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestPaymentMachine = PaymentMachine.TestCase
