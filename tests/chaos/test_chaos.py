"""Chaos: payments through the daemon's socket while its workers and the daemon itself are killed with kill -9.

Every call ends in an answer or a named error; what was acknowledged is there after each restart, once, and everything
the host keeps holds together. HOSTEL_LONG=1: 60 s, a worker every second, the daemon five times. -s prints the figures.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from benchmarks import guests
from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from host_api.store import Transaction, open_store
from runtime.client import Client
from runtime.testing import VirtualClock
from tests.chaos.daemon import Daemon, hostel, kill_worker, serving, until
from tests.chaos.payers import AMOUNT, GRANT, LIMITS, PAYERS, REFUND, Load, Told, order_of
from tests.crash.scale import LONG

DEPOSIT = 10**9
DAEMON_KILLS, WORKER_KILLS_EACH, PAUSE_S = (5, 10, 1.0) if LONG else (1, 2, 0.25)
"""So many workers before each kill of the daemon, and after the last one."""
LEAST_ANSWERS = 60
"""Between two kills, so that each meets a load."""


async def install(client: Client) -> str:
    """The forwarding guest, and users with money."""
    bundle = guests.archive("shop", guests.forward(), asks=GRANT)
    app = await client.install(bundle, grant=GRANT, limits=LIMITS)
    for number in range(PAYERS):
        await client.deposit(f"user{number}", Money(amount=DEPOSIT, currency="CNY"), reference=f"for user{number}")
    return app.app_id


class Killer:
    """What is killed, and what is looked at after each restart."""

    def __init__(self, daemon: Daemon, load: Load) -> None:
        self._daemon, self._load, self._chance = daemon, load, random.Random(1)
        self.workers = self.daemons = 0
        self.starts_s: list[float] = []
        """From each kill of the daemon to the next one's `ready`."""

    async def rage(self) -> None:
        for _ in range(DAEMON_KILLS):
            await self._kill_workers()
            await self._pause()
            began = trio.current_time()
            await self._daemon.kill()
            self.daemons += 1
            await self._daemon.start()
            self.starts_s.append(trio.current_time() - began)
            await self._look()
        await self._kill_workers()
        await self._pause()

    async def _kill_workers(self) -> None:
        for _ in range(WORKER_KILLS_EACH):
            await self._pause()
            kill_worker(self._chance.choice(await until(self._daemon.workers)))
            self.workers += 1

    async def _pause(self) -> None:
        """Not shorter than said, and long enough for a load to be there."""
        answers = self._load.told.endings
        enough = answers["answer"] + LEAST_ANSWERS
        await trio.sleep(PAUSE_S)
        await until(lambda: answers["answer"] >= enough)

    async def _look(self) -> None:
        """Everything holds together, and all that is acknowledged by now is there."""
        paid = sorted(self._load.told.paid)
        async with self._daemon.client() as client:
            assert await client.verify() == []
            for order_id in self._chance.sample(paid, min(20, len(paid))):
                assert (await client.order(self._load.app, order_id)).status == "succeeded"


@pytest.mark.slow
async def test_every_call_ends_and_no_payment_is_lost_or_double(tmp_path: Path) -> None:
    began = trio.current_time()
    async with serving(tmp_path) as daemon:
        async with daemon.client() as client:
            load = Load(daemon, await install(client))
        killer = Killer(daemon, load)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await killer.rage()
            load.stopping = True
        async with daemon.client() as client:
            await as_acknowledged(client, load)
        assert await daemon.stop() == 0
    told = load.told
    print(f"\n{trio.current_time() - began:.1f} s, workers killed {killer.workers}, daemons killed {killer.daemons}, "
          f"ready again after at most {max(killer.starts_s):.1f} s")  # fmt: skip
    print(f"calls: {dict(told.endings)}; paid {len(told.paid)}, refunded {len(told.refunds)}; "
          f"creates: {dict(told.again)}; answers of users: {dict(told.answers)}")  # fmt: skip
    assert told.wrong == []
    assert told.endings["worker_lost"] and told.endings["connection_lost"]
    for command in ("ledger", "audit"):
        print((await hostel(command, "verify", "--state", str(daemon.state))).strip())
    assert await lost(daemon.state, told) == []


async def as_acknowledged(client: Client, load: Load) -> None:
    """The same keys find the same orders, and each user has paid exactly for what was acknowledged."""
    told = load.told
    spent: Counter[str] = Counter()
    given_back = Counter(order_id for order_id, _ in told.refunds)
    for (user, _), order_id in told.orders.items():
        spent[user] += AMOUNT - REFUND * given_back[order_id]
    for user in (f"user{number}" for number in range(PAYERS)):
        balance = await client.balance(AccountName(kind=AccountKind.WALLET, owner=user, currency="CNY"))
        assert (balance.available, balance.held) == (DEPOSIT - spent[user], 0), user
    sample = random.Random(2).sample(sorted(told.orders), min(200, len(told.orders)))
    for user, number in sample:
        again = await client.call(load.app, "payment.create", order_of(user, number), user=user)
        assert (again.value["order_id"], again.value["replayed"]) == (told.orders[user, number], True)


async def lost(state: Path, told: Told) -> list[str]:
    """What was acknowledged and is not there, and what is there twice or was never asked for."""
    async with open_store(state, VirtualClock()) as store:
        return store.read(partial(_lost, told))


def _lost(told: Told, tx: Transaction) -> list[str]:
    rows: list[Any] = list(tx.execute("SELECT id, out_trade_no, status FROM orders"))
    status = {row[0]: row[2] for row in rows}
    refunds = {row[0] for row in tx.execute("SELECT id FROM refunds")}
    numbers = Counter(tx.execute("SELECT order_id, out_request_no FROM refunds"))
    twice = [name for name, count in Counter(row[1] for row in rows).items() if count > 1]
    return [
        *(f"lost: order {name}" for name in told.paid if status.get(name) != "succeeded"),
        *(f"lost: refund {name}" for name in told.refunds.values() if name not in refunds),
        *(f"double: {name}" for name in twice),
        *(f"refunded twice: {name}" for name, count in numbers.items() if count > 1),
        *(f"nobody asked for refund {name}" for name in refunds - set(told.refunds.values())),
        *(f"nobody asked for order {name}" for name in status.keys() - set(told.orders.values())),
    ]
