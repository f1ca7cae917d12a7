"""A small world to pay in: a store in memory, a clock that is set, a cashier that follows a script."""

from __future__ import annotations

import json
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
from host_api.payment import sweep, verification
from host_api.payment.methods import (
    CaptureParams,
    CloseParams,
    CreateParams,
    OrderResult,
    QueryParams,
    RequestParams,
)
from host_api.payment.refund_methods import RefundParams, RefundResult
from host_api.payment.service import PaymentService
from host_api.prompts.cashier import Cashier, ScriptedCashier
from host_api.prompts.desk import Desk
from host_api.store import Store, open_store
from runtime.testing import SeededIds, VirtualClock, make_session
from runtime.wire import CanonicalCodec


class World:
    """One host's payments, and what tests do with them."""

    def __init__(
        self, store: Store, clock: VirtualClock, nursery: trio.Nursery, cashier: Cashier | None = None, seed: int = 0
    ) -> None:
        """`cashier`: in the place of the scripted one. `seed`: another for a second world on one store."""
        self.store = store
        self.clock = clock
        self.cashier = ScriptedCashier(lambda _: True)
        self.desk = Desk(
            store=store,
            clock=store,
            nursery=nursery,
            cashier=cashier or self.cashier,
            new_id=SeededIds(3 * seed),
            new_token=SeededIds(3 * seed + 2),
        )
        self.payments = PaymentService(
            store=store, codec=CanonicalCodec(1 << 16), desk=self.desk, ids=SeededIds(3 * seed + 1)
        )
        self.made = 1_000_000 * seed

    def stored_status(self) -> list[str]:
        """Of all orders, the oldest first: what a crash would leave."""
        asked = "SELECT status FROM orders ORDER BY created_us, id"
        return [row[0] for row in self.store.read(lambda tx: tx.execute(asked))]

    def session(self, user: str = "alice", **changes: Any) -> Any:
        return make_session(user=user, **changes)

    async def deposit(self, amount: int, user: str = "alice", currency: str = "CNY") -> None:
        self.made += 1
        money = Money(amount=amount, currency=currency)
        await self.store.write(
            lambda tx: ledger.deposit(
                tx, user=user, money=money, reference=f"deposit {self.made}", new_salt=lambda: bytes(16)
            )
        )

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

    async def hold(self, amount: int = 1250, session: Any = None, currency: str = "CNY") -> OrderResult:
        """An order with manual capture, confirmed."""
        order = await self.create(session, amount={"amount": amount, "currency": currency}, capture="manual")
        return await self.request(order.order_id, session)

    async def capture(self, order_id: str, amount: int | None = None, session: Any = None, **changes: Any) -> Any:
        params = {"key": self.new_key(), "order_id": order_id, "amount": amount, **changes}
        return await self.payments.capture(session or self.session(), msgspec.convert(params, CaptureParams))

    async def close(self, order_id: str, session: Any = None, **changes: Any) -> OrderResult:
        params = {"key": self.new_key(), "order_id": order_id, **changes}
        return await self.payments.close(session or self.session(), msgspec.convert(params, CloseParams))

    async def refund(self, order_id: str, amount: int, session: Any = None, **changes: Any) -> RefundResult:
        params = {
            "key": self.new_key(),
            "order_id": order_id,
            "out_request_no": f"back-{self.made}",
            "amount": amount,
            "reason": "One apple was bad",
            **changes,
        }
        session = session or self.session(granted=["payment", "payment.refund"])
        return await self.payments.refund(session, msgspec.convert(params, RefundParams))

    def new_key(self) -> str:
        self.made += 1
        return f"key-{self.made}"

    def told(self, order_id: str) -> list[tuple[str, dict[str, Any]]]:
        """The order's events: topic and payload."""
        rows = self.store.read(
            lambda tx: tx.execute("SELECT topic, payload FROM events WHERE stream = ? ORDER BY stream_seq", (order_id,))
        )
        return [(topic, json.loads(payload)) for topic, payload in rows]

    def query(self, session: Any = None, **params: str) -> OrderResult:
        return self.payments.query(session or self.session(), msgspec.convert(params, QueryParams))

    async def pay(self, amount: int = 1250, session: Any = None, currency: str = "CNY") -> OrderResult:
        order = await self.create(session, amount={"amount": amount, "currency": currency})
        return await self.request(order.order_id, session)

    def available(self, kind: str = "wallet", owner: str = "alice", currency: str = "CNY") -> int:
        return self.balance(kind, owner, currency).available

    def balance(self, kind: str = "wallet", owner: str = "alice", currency: str = "CNY") -> ledger.Balance:
        """As everybody sees it, holds whose time is over left out."""
        name = AccountName(kind=AccountKind(kind), owner=owner, currency=currency)
        return self.store.read(lambda tx: sweep.balance(tx, name))

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
        made = World(store, clock, nursery)
        yield made
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        assert made.findings() == []


@pytest.fixture
async def file_world(clock: VirtualClock, tmp_path: Path) -> AsyncIterator[World]:
    """In a state directory, with the writer thread."""
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        made = World(store, clock, nursery)
        yield made
        nursery.cancel_scope.cancel()
        assert made.findings() == []


@pytest.fixture
def world_of() -> Callable[..., World]:
    """World(store, clock, nursery, cashier), for tests that open the store themselves."""
    return World
