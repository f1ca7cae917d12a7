"""A host killed under load: nothing that was acknowledged is lost, nothing is half done, and the same keys go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from host_api.payment.methods import CreateParams, RequestParams
from host_api.prompts.cashier import ScriptedCashier
from host_api.store import open_store
from runtime.testing import VirtualClock, make_session

USERS = 24

CHILD = """
import sys, os, secrets, trio, msgspec
from pathlib import Path
from host_api import ledger
from host_api.money import Money
from host_api.payment.methods import CreateParams, RequestParams
from host_api.payment.service import PaymentService
from host_api.prompts.cashier import ScriptedCashier
from host_api.prompts.desk import Desk
from host_api.store import open_store
from runtime.limits import Limits
from runtime.testing import VirtualClock, make_session
from runtime.wire import CanonicalCodec

async def pay(store, payments, user):
    money = Money(amount=1_000_000, currency="CNY")
    await store.write(
        lambda tx: ledger.deposit(tx, user=user, money=money, reference=f"for {user}", new_salt=lambda: bytes(16)))
    session = make_session(user=user, limits=Limits(payment_hour_count=1_000_000))
    for number in range(10_000):
        params = {"key": f"{number}", "out_trade_no": f"{user}-{number}", "subject": "Tea",
                  "amount": {"amount": 10, "currency": "CNY"}}
        order = await payments.create(session, msgspec.convert(params, CreateParams))
        os.write(1, f"created {user} {number} {order.order_id}\\n".encode())
        paid = await payments.request(session, RequestParams(order_id=order.order_id, wait_ms=60_000))
        os.write(1, f"{paid.status} {user} {number} {order.order_id}\\n".encode())

async def main(path, users):
    async with open_store(Path(path), VirtualClock()) as store, trio.open_nursery() as nursery:
        desk = Desk(store=store, clock=store, nursery=nursery, cashier=ScriptedCashier(lambda _: True),
                    new_id=lambda: secrets.token_hex(16), new_token=lambda: secrets.token_hex(32))
        payments = PaymentService(store=store, codec=CanonicalCodec(1 << 16), desk=desk,
                                  ids=lambda: secrets.token_hex(16))
        for number in range(users):
            nursery.start_soon(pay, store, payments, f"user{number}")

trio.run(main, sys.argv[1], int(sys.argv[2]))
"""


def load_until(state: Path, acknowledged: int) -> list[list[str]]:
    """Run the child until it has acknowledged so many steps, kill it, and give back all it had acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(state), str(USERS)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    lines = []
    try:
        for line in child.stdout:
            lines.append(line)
            if len(lines) == acknowledged:
                child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    return [line.decode().split() for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("acknowledged", [1, 150, 900])
async def test_a_kill_under_load_loses_nothing_acknowledged(
    tmp_path: Path, world_of: Any, clock: VirtualClock, acknowledged: int
) -> None:
    state = tmp_path / "state"
    lines = await trio.to_thread.run_sync(load_until, state, acknowledged)
    assert len(lines) >= acknowledged
    async with open_store(state, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, ScriptedCashier(lambda _: True))
        assert world.findings() == []
        stored = dict(store.read(lambda tx: tx.execute("SELECT id, status FROM orders")))
        for step, _, _, order_id in lines:
            assert step in ("created", "succeeded")
            assert order_id in stored
            assert step == "created" or stored[order_id] == "succeeded"
        await _go_on(world, lines)
        assert world.findings() == []


async def _go_on(world: Any, lines: list[list[str]]) -> None:
    """The same keys again: the same orders, each paid once."""
    paid_before = {order_id for step, _, _, order_id in lines if step == "succeeded"}
    for _, user, number, order_id in [line for line in lines if line[0] == "created"][-30:]:
        params = {
            "key": number,
            "out_trade_no": f"{user}-{number}",
            "subject": "Tea",
            "amount": {"amount": 10, "currency": "CNY"},
        }
        session = make_session(user=user)
        again = await world.payments.create(session, msgspec.convert(params, CreateParams))
        assert (again.order_id, again.replayed) == (order_id, True)
        now = world.query(session, order_id=order_id)
        assert now.status in (("succeeded",) if order_id in paid_before else ("succeeded", "pending", "confirming"))
        if now.status != "succeeded":  # a prompt that was open when the host died is shown again
            now = await world.payments.request(session, RequestParams(order_id=order_id, wait_ms=1_000))
        assert now.status == "succeeded"
