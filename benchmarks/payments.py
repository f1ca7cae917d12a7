"""Durable writes: ledger transfers straight on the file store, and whole payments from request to receipt."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks import guests
from benchmarks.measure import Scale, Timing, interleaved, timed
from benchmarks.report import Row
from host_api import audit, ledger
from host_api.ledger import AccountKind, AccountName, Leg
from host_api.money import Money
from host_api.store import Store, open_store
from runtime import App, Host
from runtime.sources import SystemClock

SUBJECT = "durable, on the file store (SQLite, synchronous=FULL)"
IN_FLIGHT = 64
_PLENTY = Money(amount=10**11, currency="CNY")
PAYMENT_LIMITS = {"payment_hour_count": 1_000_000, "payment_day_amount": 10**12}


async def rows(scale: Scale) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with _ledger(Path(folder) / "ledger") as store, guests.open_host(Path(folder) / "host") as host:
            app = await guests.install(host, "forward", guests.forward(), limits=PAYMENT_LIMITS)
            for number in range(IN_FLIGHT):
                await host.deposit(f"user{number}", _PLENTY)
            numbers = count()

            async def transfer(_: int) -> None:
                leg = _leg(next(numbers))
                await store.write(lambda tx: ledger.move(tx, (leg,)))

            async def payment(number: int) -> None:
                await pay(host, app, f"user{number % IN_FLIGHT}", f"order{next(numbers)}")

            async def sync() -> Timing:
                return _syncs(Path(folder) / "synced", scale.calls // 10 + 1)

            found = await interleaved(
                {
                    "transfers": lambda: timed(transfer, scale.calls * 2, tasks=IN_FLIGHT),
                    "payments": lambda: timed(payment, scale.calls // 4, tasks=IN_FLIGHT),
                    "syncs": sync,
                },
                scale.rounds,
            )
    moved, paid, syncs = (found[name] for name in ("transfers", "payments", "syncs"))
    row = partial(Row, subject=SUBJECT)
    return [
        row(what=f"ledger transfers, {IN_FLIGHT} in flight", value=moved.per_s, unit="/s", bar=8_000, at_most=False),
        row(what="ledger transfers, p99", value=moved.p99_us / 1e3, unit="ms"),
        row(what=f"whole payments, three commits each, {IN_FLIGHT} in flight", value=paid.per_s, unit="/s"),
        row(what="whole payments, p99", value=paid.p99_us / 1e3, unit="ms"),
        row(what="whole payments, CPU time of the process", value=paid.cpu_us, unit="µs each"),
        row(what="for scale: this disk's fdatasync of 4 KiB, p50", value=syncs.p50_us / 1e3, unit="ms"),
    ]  # fmt: skip


def _wallet(number: int) -> AccountName:
    return AccountName(kind=AccountKind.WALLET, owner=f"user{number % IN_FLIGHT}", currency=_PLENTY.currency)


def _leg(number: int) -> Leg:
    merchant = AccountName(kind=AccountKind.MERCHANT, owner="org.example.shop", currency=_PLENTY.currency)
    return Leg(kind="capture", cause=f"order{number}", debit=_wallet(number), credit=merchant, amount=1)


@asynccontextmanager
async def _ledger(path: Path) -> AsyncIterator[Store]:
    """A store whose wallets are full."""
    async with open_store(path, SystemClock()) as store:
        for number in range(IN_FLIGHT):
            user = _wallet(number).owner
            job = partial(
                ledger.deposit, user=user, money=_PLENTY, reference=user, new_salt=partial(bytes, audit.SALT_BYTES)
            )
            await store.write(job)
        yield store


async def pay(host: Host, app: App, user: str, order: str) -> str:
    """An order made, asked for, confirmed by the cashier, captured; its id."""
    amount = {"amount": 1, "currency": _PLENTY.currency}
    created = await host.call(
        app, "payment.create", {"key": order, "out_trade_no": order, "amount": amount, "subject": "Apples"}, user=user
    )
    asked = {"order_id": created.value["order_id"], "wait_ms": 10_000}
    settled = await host.call(app, "payment.request", asked, user=user)
    if settled.value["status"] != "succeeded":
        raise RuntimeError(f"a payment ended as {settled.value['status']}")
    return str(created.value["order_id"])


def _syncs(path: Path, times: int) -> Timing:
    """One block at a time, as the disk alone would have it."""
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(bytes(4_096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    p50 = median(took) * 1e6
    return Timing(p50_us=p50, p99_us=p50, max_us=max(took) * 1e6, per_s=times / sum(took), cpu_us=0)
