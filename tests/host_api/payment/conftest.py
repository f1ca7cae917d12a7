"""A small world to pay in: a store in memory, a clock that is set, a cashier that follows a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api import ledger, reconciliation
from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from host_api.payment import verification
from host_api.payment.cashier import Cashier, ScriptedCashier
from host_api.payment.methods import CreateParams, OrderResult, QueryParams, RequestParams
from host_api.payment.prompts import Prompts
from host_api.payment.service import PaymentService
from host_api.store import Store, open_store
from runtime.testing import SeededIds, VirtualClock, make_session
from runtime.wire import CanonicalCodec


class World:
    """One host's payments, and what tests do with them."""

    def __init__(self, store: Store, clock: VirtualClock, nursery: trio.Nursery, cashier: Cashier | None) -> None:
        self.store = store
        self.clock = clock
        self.cashier = ScriptedCashier(lambda _: True)
        self.prompts = Prompts(cashier=cashier or self.cashier, nursery=nursery, clock=store)
        self.payments = PaymentService(
            store=store,
            codec=CanonicalCodec(1 << 16),
            prompts=self.prompts,
            ids=SeededIds(1),
            tokens=SeededIds(2),
        )
        self.made = 0

    def session(self, user: str = "alice", **changes: Any) -> Any:
        return make_session(user=user, **changes)

    async def deposit(self, amount: int, user: str = "alice", currency: str = "CNY") -> None:
        self.made += 1
        money = Money(amount=amount, currency=currency)
        await self.store.write(lambda tx: ledger.deposit(tx, user=user, money=money, reference=f"deposit {self.made}"))

    async def create(self, session: Any = None, **changes: Any) -> OrderResult:
        """An order of 12.50 CNY; numbers and keys are made up unless given. Params pass validation as in the broker."""
        self.made += 1
        params = {
            "key": f"key-{self.made}",
            "out_trade_no": f"no-{self.made}",
            "amount": {"amount": 1250, "currency": "CNY"},
            "subject": "Fruit basket",
            **changes,
        }
        return await self.payments.create(session or self.session(), msgspec.convert(params, CreateParams))

    async def request(self, order_id: str, session: Any = None, wait_ms: int = 150_000) -> OrderResult:
        params = RequestParams(order_id=order_id, wait_ms=wait_ms)
        return await self.payments.request(session or self.session(), params)

    def query(self, session: Any = None, **params: str) -> OrderResult:
        return self.payments.query(session or self.session(), msgspec.convert(params, QueryParams))

    async def pay(self, amount: int = 1250, session: Any = None, currency: str = "CNY") -> OrderResult:
        order = await self.create(session, amount={"amount": amount, "currency": currency})
        return await self.request(order.order_id, session)

    def available(self, kind: str = "wallet", owner: str = "alice", currency: str = "CNY") -> int:
        name = AccountName(kind=AccountKind(kind), owner=owner, currency=currency)
        return self.store.read(lambda tx: ledger.balance(tx, name)).available

    def count(self, table: str) -> int:
        return int(self.store.read(lambda tx: tx.execute(f"SELECT count(*) FROM {table}"))[0][0])

    def findings(self) -> list[str]:
        return self.store.read(reconciliation.verify) + self.store.read(verification.verify)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def world(clock: VirtualClock) -> AsyncIterator[World]:
    """In memory. Whatever a test did, the ledger and the orders hold together after it."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        made = World(store, clock, nursery, None)
        yield made
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        assert made.findings() == []


@pytest.fixture
async def file_world(clock: VirtualClock, tmp_path: Path) -> AsyncIterator[World]:
    """In a state directory, with the writer thread."""
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        made = World(store, clock, nursery, None)
        yield made
        nursery.cancel_scope.cancel()
        assert made.findings() == []


@pytest.fixture
def world_of() -> Callable[..., World]:
    """World(store, clock, nursery, cashier), for tests that open the store themselves."""
    return World
