"""A shop: a site with one scripted guest that takes payments, a user with money, and a clock that is set.

What lives here: how a guest asks for payments, in few words. What must not live here: expectations.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runtime import AccountKind, AccountName, App, Money, wire
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site

GRANT = ("payment", "payment.refund")
ROOMY = {"calls_burst": 1_000_000, "cpu_burst_us": 3_600_000_000, "payment_hour_count": 1_000_000}
"""Limits for a shop whose clock stands still: what is used up does not come back."""


class Shop:
    """A site with one scripted guest, a user with money, and a clock that is set."""

    def __init__(self, site: Site, clock: VirtualClock, app: App) -> None:
        self.site, self.clock, self.app = site, clock, app
        self.made = 0

    async def ask(self, method: str, /, user: str = "alice", app: App | None = None, **params: Any) -> Any:
        """The result that the guest is given, or the code of its error with its details."""
        request = wire.request(1, f"payment.{method}", params)
        _, _, error, result = await self.site.ask(request, app or self.app, user=user)
        return result if error is None else (error["code"], error["details"])

    async def keyed(self, method: str, /, **params: Any) -> Any:
        self.made += 1
        return await self.ask(method, **{"key": f"key-{self.made}", **params})

    async def create(self, amount: int = 1_250, /, **params: Any) -> Any:
        self.made += 1
        wanted = {"out_trade_no": f"no-{self.made}", "amount": {"amount": amount, "currency": "CNY"}, "subject": "Tea"}
        return await self.keyed("create", **{**wanted, **params})

    async def pay(self, amount: int = 1_250, /, **params: Any) -> Any:
        order = await self.create(amount, **params)
        whose = {name: params[name] for name in ("user", "app") if name in params}
        return await self.ask("request", order_id=order["order_id"], wait_ms=60_000, **whose)

    async def hold(self, amount: int = 1_250, /, **params: Any) -> Any:
        return await self.pay(amount, capture="manual", **params)

    async def refund(self, order: Any, amount: int, /, **params: Any) -> Any:
        asked = {"order_id": order["order_id"], "out_request_no": f"back-{self.made}", "amount": amount}
        return await self.keyed("refund", **{**asked, "reason": "Bad", **params})

    async def status(self, order: Any, /, **whose: Any) -> tuple[str, str | None]:
        seen = await self.ask("query", order_id=order["order_id"], **whose)
        return seen["status"], seen["close_reason"]

    def available(self, kind: AccountKind = AccountKind.WALLET, owner: str = "alice") -> int:
        return self.site.host.balance(AccountName(kind=kind, owner=owner, currency="CNY")).available

    async def deposit(self, amount: int, user: str = "alice") -> None:
        await self.site.host.deposit(user, Money(amount=amount, currency="CNY"))


@asynccontextmanager
async def open_shop(
    opened: Opened, state: Path | None, clock: VirtualClock | None = None, *, deposit: int = 10_000, **limits: int
) -> AsyncIterator[Shop]:
    """Whatever a guest does to it: ledger, orders, events and audit hold when the block is left."""
    clock = clock or VirtualClock()
    async with opened(state, clock=clock) as site:
        shop = Shop(site, clock, await site.install(grant=GRANT, **{**ROOMY, "payment_day_amount": 10**9, **limits}))
        if deposit:
            await shop.deposit(deposit)
        yield shop
        assert site.host.verify() == []
