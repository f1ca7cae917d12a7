"""A host under load that is killed, and what is found of it afterwards.

The child process pays, captures and refunds for many users at once, by wire bytes on the file store, and tells each
answer over a pipe once it has it. `python -m tests.crash.load DIRECTORY` is that child.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from host_api.store import open_store
from runtime.limits import Limits
from runtime.testing import VirtualClock
from tests.simulator.world import World, available

APP, USERS = "shop", 24
LIMITS = Limits(payment_hour_count=1_000_000, payment_day_amount=10**12)
AMOUNT, REFUND = 10, 3


@dataclass(frozen=True, slots=True)
class Told:
    """One acknowledgement: what was done to which order of whom, and what the answer named."""

    what: str
    user: str
    number: int
    name: str


async def pay(world: World, user: str) -> None:
    """Payments one after the other, until the process is killed."""
    number = 0
    await world.deposit(user, 10**9, reference=f"for {user}")
    tell("deposited", user, 0, "-")
    while True:
        number += 1
        capture = "manual" if number % 2 else "auto"
        order_id = (await create(world, user, number, capture))["order_id"]
        tell("created", user, number, order_id)
        await ask(world, user, "request", order_id=order_id)
        world.clock.advance(s=1)
        await world.decide(APP, user, True)
        tell("confirmed", user, number, order_id)
        if capture == "manual":
            await ask(world, user, "capture", key=f"c{number}", order_id=order_id)
            tell("captured", user, number, order_id)
        refund = await ask(
            world, user, "refund", key=f"r{number}", order_id=order_id, out_request_no="1", amount=REFUND, reason="late"
        )
        tell("refunded", user, number, refund["refund_id"])


async def create(world: World, user: str, number: int, capture: str) -> dict[str, Any]:
    params = {"key": f"k{number}", "out_trade_no": f"{user}-{number}", "subject": "Tea", "capture": capture}
    return await ask(world, user, "create", amount={"amount": AMOUNT, "currency": "CNY"}, **params)


async def ask(world: World, user: str, method: str, **params: Any) -> dict[str, Any]:
    code, told = await world.ask(APP, user, f"payment.{method}", **params)
    if code is not None:
        raise AssertionError(f"{method} of {user}: {code} {told}")
    return told


def tell(what: str, user: str, number: int, name: str) -> None:
    os.write(1, f"{what} {user} {number} {name}\n".encode())


async def load(directory: str) -> None:
    clock = VirtualClock()
    async with open_store(Path(directory), clock) as store, trio.open_nursery() as nursery:
        world = World(store, clock, nursery, ids=lambda: secrets.token_hex(16))
        world.install(APP, LIMITS)
        await world.set_fees(APP, 250, 1)
        for number in range(USERS):
            nursery.start_soon(pay, world, f"user{number}")


def killed_after(state: Path, acknowledgements: int) -> list[Told]:
    """Runs the child until it has told so many, kills it, and gives back all it had told."""
    child = subprocess.Popen([sys.executable, "-m", "tests.crash.load", str(state)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    lines: list[bytes] = []
    try:
        for line in child.stdout:
            lines.append(line)
            if len(lines) == acknowledgements:
                child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    if child.returncode != -signal.SIGKILL:
        raise AssertionError(f"the child ended by itself: {child.returncode}")
    whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return [Told(what, user, int(number), name) for what, user, number, name in whole]


async def lost(state: Path, told: list[Told]) -> list[str]:
    """What was acknowledged and is not there, or is there and is wrong; empty if all is well. The same keys go on."""
    clock = VirtualClock()
    async with open_store(state, clock) as store, trio.open_nursery() as nursery:
        world = World(store, clock, nursery, ids=lambda: secrets.token_hex(16))
        world.install(APP, LIMITS)
        found = world.findings()
        orders = dict(store.read(lambda tx: tx.execute("SELECT id, status FROM orders")))
        refunds = {row[0] for row in store.read(lambda tx: tx.execute("SELECT id FROM refunds"))}
        for one in told:
            if not _is_there(world, one, orders, refunds):
                found.append(f"lost: {one}")
        for one in [one for one in told if one.what == "created"][-20:]:
            capture = "manual" if one.number % 2 else "auto"
            again = await create(world, one.user, one.number, capture)
            if (again["order_id"], again["replayed"]) != (one.name, True):
                found.append(f"made again: {one}")
        nursery.cancel_scope.cancel()
        return found + world.findings()


def _is_there(world: World, told: Told, orders: dict[str, str], refunds: set[str]) -> bool:
    match told.what:
        case "deposited":
            return world.store.read(lambda tx: available(tx, "wallet", told.user, "CNY")) > 0
        case "refunded":
            return told.name in refunds
        case "created":
            return told.name in orders
        case "captured":
            return orders.get(told.name) == "succeeded"
        case _:
            return orders.get(told.name) in ("authorized", "succeeded")


def counts(told: list[Told]) -> Counter[str]:
    return Counter(one.what for one in told)


if __name__ == "__main__":
    trio.run(load, sys.argv[1])
