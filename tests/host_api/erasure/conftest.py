"""A host's services without its sandboxes: every method, called as the broker calls it, on one store.

`plant` has a user do all that leaves something: with markers in every text that a user, a program or an operator can
choose. Whoever looks for the markers afterwards finds what was not erased.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
import trio
import trio.testing

from host_api import audit, ledger, reconciliation
from host_api.events import verification as events_verification
from host_api.events.outbox import publish
from host_api.money import Money
from host_api.payment import verification
from host_api.prompts.cashier import ScriptedCashier
from host_api.prompts.desk import Desk
from host_api.services import Outside, Services, Sources, build
from host_api.store import Store, open_store
from host_api.user.pairwise import PairwiseIds
from runtime.testing import SeededIds, VirtualClock, make_session
from runtime.wire import CanonicalCodec

SHOP, OTHER = "org.example.shop", "org.example.other"
GRANTS = ("payment", "payment.refund", "storage", "notify", "user.login", "user.profile", "user.phone", "user.address")
NOTICES = {"shipped": {"en": "Order {no} is on its way"}}


class Site:
    """The services, and what tests do with them."""

    def __init__(self, store: Store, clock: VirtualClock, nursery: trio.Nursery, seed: int = 1) -> None:
        self.store, self.clock = store, clock
        self.cashier = ScriptedCashier(lambda _: True)
        salts, ids = SeededIds(seed), SeededIds(seed + 1)
        self.desk = Desk(
            store=store, clock=store, nursery=nursery, cashier=self.cashier, new_id=ids, new_token=SeededIds(seed + 2)
        )
        self.services: Services = build(
            Sources(
                store=store, clock=store, codec=CanonicalCodec(16 << 20), new_id=ids,
                new_salt=lambda: bytes.fromhex(salts()),
            ),
            Outside(), desk=self.desk, pairwise=PairwiseIds(bytes(32)), programs=None,  # type: ignore[arg-type]
            acknowledged=lambda app_id: None,
        )  # fmt: skip
        self.erasure = self.services.erasure
        self._made = 0

    def session(self, user: str, app_id: str = SHOP, **changes: Any) -> Any:
        return make_session(user=user, app_id=app_id, granted=GRANTS, notices=NOTICES, **changes)

    async def ask(self, session: Any, method: str, **params: Any) -> Mapping[str, Any]:
        """One request, its params converted as in the broker."""
        bound = self.services.bound[method]
        values = msgspec.convert(params, bound.method.params)
        result = bound.run(session, values)
        if bound.method.waits:
            result = await result  # type: ignore[misc]
        return dict(msgspec.structs.asdict(result))

    def key(self) -> str:
        self._made += 1
        return f"key-{self._made}"

    async def order(self, session: Any, mark: str = "", amount: int = 1_250, **changes: Any) -> str:
        """Its id. Whatever a program may choose has `mark` in it."""
        created = await self.ask(
            session, "payment.create", key=f"{mark}{self.key()}", out_trade_no=f"{mark}no-{self._made}",
            amount={"amount": amount, "currency": "CNY"}, subject=f"{mark}a basket", **changes,
        )  # fmt: skip
        return str(created["order_id"])

    async def pay(self, session: Any, mark: str = "", **changes: Any) -> str:
        order_id = await self.order(session, mark, **changes)
        await self.ask(session, "payment.request", order_id=order_id, wait_ms=60_000)
        return order_id

    async def leave_open(self, session: Any, order_id: str) -> None:
        """Its prompt waits for an answer that never comes; later ones are answered."""
        before, self.cashier._released = self.cashier._released, trio.Event()
        await self.ask(session, "payment.request", order_id=order_id, wait_ms=0)
        await trio.testing.wait_all_tasks_blocked()
        self.cashier._released = before

    async def deposit(self, user: str, amount: int = 10_000, currency: str = "CNY") -> None:
        money, reference = Money(amount=amount, currency=currency), self.key()
        await self.store.write(
            lambda tx: ledger.deposit(tx, user=user, money=money, reference=reference, new_salt=lambda: bytes(16))
        )

    def findings(self) -> list[str]:
        """Every proof there is."""
        broken = self.store.read(audit.verify)
        return [
            *self.store.read(reconciliation.verify),
            *self.store.read(verification.verify),
            *self.store.read(events_verification.verify),
            *([broken] if broken else []),
        ]

    async def plant(self, user: str, mark: str, app_id: str = SHOP) -> None:
        """All that can be kept of a user by a program: each text has `mark` in it."""
        session = self.session(user, app_id)
        await self.services.users.put(
            user,
            {
                "nickname": f"{mark}nick",
                "avatar": f"https://img.example/{mark}.png",
                "phone": phone_of(mark),
                "address": f'{{"recipient":"{mark}name","city":"{mark}city"}}',
            },
        )
        for key, value in (("cart", {"note": f"{mark}note", "n": 3}), (f"{mark}key", [f"{mark}long" * 500])):
            await self.ask(session, "storage.put", key=key, value=value)
            await self.ask(session, "storage.get", key=key)
        scopes = ["nickname", "phone_masked", "address"]
        await self.ask(session, "user.authorize", scopes=scopes, wait_ms=60_000)
        await self.ask(session, "notify.request", wait_ms=60_000)
        await self.ask(session, "notify.send", template="shipped", params={"no": f"{mark}81"})
        await self.deposit(user)
        paid = await self.pay(session, mark)
        await self.ask(
            session, "payment.refund", key=f"{mark}{self.key()}", order_id=paid, out_request_no=f"{mark}back",
            amount=250, reason=f"{mark}reason",
        )  # fmt: skip
        await self.pay(session, mark, capture="manual")
        await self.leave_open(session, await self.order(session, mark))
        stream = self.key()  # a stream is an id of the host's, as an order's is
        await self.store.write(
            lambda tx: publish(
                tx, app_id=app_id, user=user, stream=stream, topic="other.thing", payload={"text": f"{mark}x"}
            )
        )


def phone_of(mark: str) -> str:
    """A field that cannot hold the mark itself."""
    return f"+86{crc32(mark.encode()):011}"


@asynccontextmanager
async def opened(state: Path | None, clock: VirtualClock, seed: int = 1) -> AsyncIterator[Site]:
    """Whatever a test did, every proof holds after it."""
    async with open_store(state, clock) as store, trio.open_nursery() as nursery:
        site = Site(store, clock, nursery, seed)
        yield site
        nursery.cancel_scope.cancel()
        assert site.findings() == []


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "file"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Site]:
    async with opened(tmp_path / "state" if request.param == "file" else None, clock) as made:
        yield made
