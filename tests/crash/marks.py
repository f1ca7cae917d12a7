"""Durable work whose every part can be counted afterwards: what was written is 1, 2, 3 … n, whole, in order."""

from __future__ import annotations

from pathlib import Path

import trio

from host_api import audit, ledger, reconciliation
from host_api.audit import Head
from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from host_api.store import Store, StoreError, Transaction, open_store
from runtime.testing import VirtualClock
from tests.crash.disk import Recorder

WALLET = AccountName(kind=AccountKind.WALLET, owner="alice", currency="CNY")


def mark(tx: Transaction) -> Head:
    """One more: a deposit of as many units as its number, and with it the audit record of that number."""
    number = audit.head(tx).n + 1
    money = Money(amount=number, currency="CNY")
    ledger.deposit(tx, user="alice", money=money, reference=str(number), new_salt=lambda: bytes(16))
    return audit.head(tx)


async def write_marks(disk: Recorder, directory: Path, tasks: int, each: int) -> list[Head]:
    """`tasks` tasks make `each` marks one after another, each recorded as acknowledged. All heads, from none on."""
    heads = [Head(n=0, hash=bytes(32))]

    async def work(store: Store) -> None:
        for _ in range(each):
            made = await store.write(mark)
            disk.acknowledge(made.n)
            heads.append(made)

    async with open_store(directory, VirtualClock()) as store, trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(work, store)
    return sorted(heads, key=lambda head: head.n)


async def marks_in(directory: Path, heads: list[Head], least: int) -> int | None:
    """How many marks a state directory holds, all sound; None where it is refused. Never fewer than `least`.

    The heads kept outside show exactly what is missing.
    """
    try:
        async with open_store(directory, VirtualClock()) as store:
            return store.read(lambda tx: _sound(tx, heads, least))
    except StoreError as refused:
        assert refused.code == "state_damaged"
        return None


def _sound(tx: Transaction, heads: list[Head], least: int) -> int:
    found = audit.head(tx)
    assert found == heads[found.n], "another history than the one that was written"
    assert least <= found.n, f"{least} were acknowledged, {found.n} are there"
    assert audit.verify(tx) is None
    for head in (heads[least], heads[-1]):
        assert (audit.verify(tx, head) is None) is (head.n <= found.n)
    assert reconciliation.verify(tx) == []
    assert ledger.balance(tx, WALLET).available == found.n * (found.n + 1) // 2
    assert tx.execute("SELECT count(*) FROM transfers")[0][0] == found.n
    return found.n
