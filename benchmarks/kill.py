"""Acknowledged work against kill -9: `python -m benchmarks.kill`. Run after run in one state directory.

A child process holds a host and acknowledges each deposit and each whole payment over a pipe, once it was answered. At
a random time it is killed. Then the directory is opened here: whatever was acknowledged, in this run or an earlier one,
must be there, and everything the host keeps must hold together. What is there without having been acknowledged is
counted too: the kill came between the commit and the answer.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from threading import Timer

import trio

from benchmarks import guests
from benchmarks.measure import Scale
from benchmarks.payments import IN_FLIGHT, PAYMENT_LIMITS, pay
from benchmarks.report import Row
from host_api.ledger import AccountKind, AccountName, Leg
from host_api.money import Money
from host_api.store import Transaction, open_store
from runtime import App, Host, verification
from runtime.sources import SystemClock

SUBJECT = "kill -9 under load: deposits and whole payments"
PAYERS = IN_FLIGHT // 2
"""Of the tasks in flight; the others make deposits."""
LONGEST_S = 0.6
"""From the first acknowledgement to the kill."""
SEED = 1
CHILD = "--child"
_MONEY = Money(amount=1_000_000, currency="CNY")
_DONE = """
    SELECT id FROM orders WHERE status = 'succeeded' UNION ALL SELECT hex(id) FROM transfers WHERE kind = 'deposit'"""


@dataclass
class Tally:
    """What came of all runs so far."""

    runs: int = 0
    acknowledged: set[str] = field(default_factory=set)
    """Ids: of orders that were paid, of the transfers of deposits."""
    lost: set[str] = field(default_factory=set)
    unacknowledged: int = 0
    """Found without having been acknowledged."""
    findings: list[str] = field(default_factory=list)
    """What does not hold together."""

    def look(self, tx: Transaction) -> None:
        """Hold what is stored against what was acknowledged."""
        stored = {name for (name,) in tx.execute(_DONE)}
        self.runs += 1
        self.lost |= self.acknowledged - stored
        self.unacknowledged = len(stored - self.acknowledged)
        self.findings += verification.verify(tx)


async def rehearse(state: Path, runs: int, seed: int = SEED) -> Tally:
    """So many kills in this directory, at times that follow from the seed."""
    chance, tally = random.Random(seed), Tally()
    for number in range(runs):
        kill = partial(_killed, state, number, chance.uniform(0, LONGEST_S))
        tally.acknowledged.update(await trio.to_thread.run_sync(kill))
        async with open_store(state, SystemClock()) as store:
            store.read(tally.look)
    return tally


def _killed(state: Path, number: int, after_s: float) -> list[str]:
    """What a child acknowledged until it was killed, so long after its first acknowledgement."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kill", CHILD, str(state), str(number)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    timer = Timer(after_s, child.kill)
    try:
        told = child.stdout.readline()  # type: ignore[union-attr]
        timer.start()
        told += child.stdout.read()  # type: ignore[union-attr]
    finally:
        timer.cancel()
        child.kill()
        child.communicate()
    if not told:
        raise RuntimeError(f"the child ended with {child.returncode} before it acknowledged anything")
    return told[: told.rfind(b"\n") + 1].decode().split()


# ---- the child -------------------------------------------------------------------------------------------------------
async def _work(state: Path, number: int) -> None:
    """Until it is killed. Users are new in each run: a prompt that was open when the host died still waits for its
    user, who is asked nothing else meanwhile."""
    async with guests.open_host(state) as host, trio.open_nursery() as nursery:
        app = await guests.install(host, "forward", guests.forward(), limits=PAYMENT_LIMITS)
        for task in range(IN_FLIGHT):
            user = f"user{number}-{task}"
            if task < PAYERS:
                nursery.start_soon(_pay, host, app, user)
            else:
                nursery.start_soon(_deposit, host, user)


async def _pay(host: Host, app: App, user: str) -> None:
    await host.deposit(user, _MONEY, reference=user)
    _acknowledge(_deposit_id(user))
    for number in count():
        _acknowledge(await pay(host, app, user, f"{user}-{number}"))


async def _deposit(host: Host, user: str) -> None:
    for number in count():
        reference = f"{user}-{number}"
        await host.deposit(user, _MONEY, reference=reference)
        _acknowledge(_deposit_id(reference))


def _deposit_id(reference: str) -> str:
    """Of the deposit's transfer: a hash of its kind and reference, whatever the accounts are."""
    funding, wallet = (
        AccountName(kind=kind, owner=owner, currency=_MONEY.currency)
        for kind, owner in ((AccountKind.FUNDING, ""), (AccountKind.WALLET, "anybody"))
    )
    return Leg(kind="deposit", cause=reference, debit=funding, credit=wallet, amount=1).id.hex().upper()


def _acknowledge(name: str) -> None:
    os.write(1, f"{name}\n".encode())


# ---- what is told ----------------------------------------------------------------------------------------------------
async def rows(scale: Scale) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return told(await rehearse(Path(folder) / "state", scale.kills))


def told(tally: Tally) -> list[Row]:
    row = partial(Row, subject=SUBJECT, unit="")
    return [
        row(what="runs", value=tally.runs),
        row(what="acknowledged", value=len(tally.acknowledged)),
        row(what="acknowledged and lost", value=len(tally.lost), bar=0),
        row(what="found unacknowledged", value=tally.unacknowledged),
        row(what="findings of hostel's own verification", value=len(tally.findings), bar=0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(CHILD, nargs=2, metavar=("STATE", "NUMBER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        trio.run(_work, Path(options.child[0]), int(options.child[1]))
    with tempfile.TemporaryDirectory() as folder:
        tally = trio.run(rehearse, Path(folder) / "state", options.runs, options.seed)
    for row in told(tally):
        print(f"{row.value:10,.0f}  {row.what}")
    for finding in tally.findings:
        print(finding)
    sys.exit(bool(tally.lost or tally.findings))


if __name__ == "__main__":
    main()
