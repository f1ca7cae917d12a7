"""Backups through a daemon's socket while guests are paid: what was acknowledged before one began is in it, once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.money import Money
from host_api.prompts import prompt
from host_api.store import open_store
from runtime import wire
from runtime.backup import restore
from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.testing import VirtualClock
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.test_serve import served, tell, until

APP = "org.example.guest"
USERS = 8
BACKUPS = 3
EACH = 5
LIMITS = {"payment_hour_count": 1_000, "payment_day_amount": 1_000_000}


class Load:
    """Users who pay one after the other, through one client, and the answers that their front end gives."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.is_over = False
        self.asked = 0
        self.paid: set[str] = set()
        """Orders whose guests were told `succeeded`."""

    async def _ask(self, user: str, method: str, params: dict[str, Any]) -> Any:
        script = Script().ask(wire.request(1, method, params))
        reply = await self._client.call(APP, "run", script.params(), user=user)
        (told,) = script.responses(reply.value)
        assert told[2] is None, told
        return told[3]

    async def pay(self, user: str) -> None:
        while not self.is_over:
            self.asked += 1
            number = f"{user}{self.asked}"
            amount = {"amount": 5, "currency": "CNY"}
            order = {"key": number, "out_trade_no": number, "amount": amount, "subject": "Tea"}
            made = await self._ask(user, "payment.create", order)
            told = await self._ask(user, "payment.request", {"order_id": made["order_id"], "wait_ms": 60_000})
            assert told["status"] == "succeeded"
            self.paid.add(made["order_id"])

    async def confirm(self, user: str) -> None:
        while not self.is_over:
            for waiting in await self._client.prompts.pending(user):
                shown = await self._client.prompts.issue(waiting.id)
                await self._client.prompts.answer(shown.id, shown.token, shown.digest, True)
            await trio.lowlevel.checkpoint()


async def test_what_was_acknowledged_is_in_the_backup_and_nothing_is_paid_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "ANSWERABLE_AFTER_US", 0)  # nobody reads what is shown
    acknowledged: list[set[str]] = []
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client, trio.open_nursery() as nursery:
            await client.install(bundle(scripted(), APP), grant=["payment"], limits=LIMITS)
            load = Load(client)
            for n in range(USERS):
                await host.deposit(f"user{n}", Money(amount=1_000, currency="CNY"), reference=f"{n}")
                nursery.start_soon(load.pay, f"user{n}")
                nursery.start_soon(load.confirm, f"user{n}")
            for n in range(BACKUPS):
                await until(lambda: len(load.paid) >= EACH * (n + 1))  # noqa: B023
                acknowledged.append(set(load.paid))
                await client.backup(tmp_path / f"copy{n}")
            load.is_over = True
            nursery.cancel_scope.cancel()
        tell(signal.SIGTERM)
    for n, known in enumerate(acknowledged):
        await restore(tmp_path / f"copy{n}", tmp_path / f"new{n}", VirtualClock())  # which recomputes everything
        paid, received = await _paid_in(tmp_path / f"new{n}")
        assert known <= paid
        assert received == 5 * len(paid)


async def _paid_in(state: Path) -> tuple[set[str], int]:
    """Orders that are paid, and what the payee has."""
    async with open_store(state, VirtualClock()) as store:
        paid = {str(row[0]) for row in store.read(lambda tx: tx.execute("SELECT id FROM orders WHERE captured = 5"))}
        moved = store.read(
            lambda tx: tx.execute("SELECT coalesce(sum(amount), 0) FROM transfers WHERE kind = 'capture'")
        )
    return paid, int(moved[0][0])
