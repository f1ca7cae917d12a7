"""Refunds through a daemon's socket while their users are erased and their program is uninstalled with all it kept.

Each is answered or has a named error, what was acknowledged is in the wallet, and the commands that prove the books say
that they hold. Through the library, at every step: tests/hostile/test_money_crossings.py.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from host_api.prompts.prompt import PromptError
from runtime import wire
from runtime.client import Client
from runtime.errors import HostelError
from tests.chaos.daemon import PATIENCE_S, hostel, serving, until_told
from tests.chaos.payers import LIMITS
from tests.hostile.guests import Script, bundle, scripted

APP, GRANT = "org.example.guest", ("payment", "payment.refund")
USERS = tuple(f"user{n}" for n in range(8))
GONE, STAY = USERS[:4], USERS[4:]
DEPOSIT, PAID, REFUNDS = 1_000, 100, 8


async def ask(client: Client, user: str, method: str, params: dict[str, Any]) -> list[Any]:
    """The response to one request of a guest."""
    script = Script().ask(wire.request(1, f"payment.{method}", params))
    reply = await client.call(APP, "run", script.params(), user=user)
    return script.responses(reply.value)[0]


class Shoppers:
    """Users who paid once each, and what their refunds came to."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.orders: dict[str, str] = {}
        self.refunded: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    async def pay(self, user: str) -> None:
        money = {"amount": PAID, "currency": "CNY"}
        order = {"key": "k", "out_trade_no": user, "amount": money, "subject": "Tea"}
        order_id = (await ask(self.client, user, "create", order))[3]["order_id"]
        told = await ask(self.client, user, "request", {"order_id": order_id, "wait_ms": 60_000})
        assert told[3]["status"] == "succeeded"
        self.orders[user] = order_id

    async def answer_all(self) -> None:
        """Yes to whatever waits, as soon as an answer counts, until all have paid."""
        shown: dict[str, Any] = {}

        async def all_paid() -> bool:
            for waiting in await self.client.prompts.pending():
                try:
                    issued = shown.get(waiting.id) or await self.client.prompts.issue(waiting.id)
                    shown[waiting.id] = issued
                    await self.client.prompts.answer(issued.id, issued.token, issued.digest, True)
                except PromptError:  # nobody can have read it yet
                    continue
            return len(self.orders) == len(USERS)

        await until_told(all_paid)

    async def refund(self, client: Client, user: str) -> None:
        for number in range(REFUNDS):
            asked = {"order_id": self.orders[user], "out_request_no": f"{number}", "amount": 5, "reason": "Bad"}
            try:
                told = await ask(client, user, "refund", {"key": f"{number}", **asked})
            except HostelError as error:
                self.refused[error.code] += 1
            else:
                self.refunded[user] += 5 if told[2] is None else 0


async def wallet(client: Client, user: str) -> int:
    return (await client.balance(AccountName(kind=AccountKind.WALLET, owner=user, currency="CNY"))).posted


@pytest.mark.slow
async def test_refunds_while_users_are_erased_and_their_program_goes(tmp_path: Path) -> None:
    async with serving(tmp_path) as daemon, daemon.client() as client, daemon.client() as operator:
        await client.install(bundle(scripted(), APP), grant=GRANT, limits=LIMITS)
        shoppers = Shoppers(client)
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(shoppers.answer_all)
                for user in USERS:
                    await client.deposit(user, Money(amount=DEPOSIT, currency="CNY"), reference=user)
                    nursery.start_soon(shoppers.pay, user)
            async with trio.open_nursery() as nursery:
                for user in USERS:
                    nursery.start_soon(shoppers.refund, client, user)
                await until_told(partial(_some_refunds, shoppers))
                for user in GONE:
                    nursery.start_soon(partial(operator.erase_user, user, forfeit_balance=True))
                nursery.start_soon(partial(operator.uninstall, APP, end_calls=True, erase=True))
        assert await client.verify() == []
        for user in STAY:
            assert shoppers.refunded[user] <= await wallet(client, user) - DEPOSIT + PAID <= 5 * REFUNDS
        assert [await wallet(client, user) for user in GONE] == [0] * len(GONE)
        assert set(shoppers.refused) <= {"revoked", "not_installed", "user_erased", "program_changing"}
        for words in (("ledger", "verify"), ("audit", "verify")):
            await hostel(*words, "--socket", str(daemon.socket))


async def _some_refunds(shoppers: Shoppers) -> bool:
    return sum(shoppers.refunded.values()) > 0
