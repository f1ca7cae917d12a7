"""The ledger: double entry, no overdraft, two phases; and that its proof finds what is broken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from host_api import ledger, reconciliation
from host_api.ledger import (
    AccountKind,
    AccountName,
    Balance,
    DepositMismatch,
    InsufficientFunds,
    Leg,
    NotPending,
)
from host_api.money import AMOUNT_MAX, Money
from host_api.store import ConstraintViolated, Store, Transaction, open_store
from host_api.store.migrations import known_migrations
from host_api.store.sqlite import MemoryStore
from runtime.testing import VirtualClock

CNY = "CNY"
ALICE = AccountName(kind=AccountKind.WALLET, owner="alice", currency=CNY)
BOB = AccountName(kind=AccountKind.WALLET, owner="bob", currency=CNY)
SHOP = AccountName(kind=AccountKind.MERCHANT, owner="shop", currency=CNY)
FEE = AccountName(kind=AccountKind.FEE, currency=CNY)
FUNDING = AccountName(kind=AccountKind.FUNDING, currency=CNY)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(clock: VirtualClock) -> AsyncIterator[Store]:
    async with open_store(None, clock) as opened:
        await opened.write(lambda tx: deposit(tx, "alice", 100, "first"))
        yield opened


def deposit(tx: Transaction, user: str, amount: int, reference: str) -> bool:
    money = Money(amount=amount, currency=CNY)
    return ledger.deposit(tx, user=user, money=money, reference=reference, new_salt=lambda: bytes(16))


def leg(amount: int, cause: str = "o1", *, debit: AccountName = ALICE, credit: AccountName = SHOP, n: int = 0) -> Leg:
    return Leg(kind="capture", cause=cause, debit=debit, credit=credit, amount=amount, n=n)


def balance(store: Store, name: AccountName) -> Balance:
    return store.read(lambda tx: ledger.balance(tx, name))


def findings(store: Store) -> list[str]:
    return store.read(reconciliation.verify)


async def test_a_deposit_comes_from_the_world_outside(store: Store) -> None:
    assert balance(store, ALICE) == Balance(posted=100, held=0, incoming=0)
    assert balance(store, FUNDING).posted == -100
    assert balance(store, BOB) == Balance(posted=0, held=0, incoming=0)
    assert findings(store) == []


async def test_a_deposit_happens_once_a_reference(store: Store) -> None:
    assert await store.write(lambda tx: deposit(tx, "alice", 100, "first")) is False
    for user, amount in (("alice", 101), ("bob", 100)):
        with pytest.raises(DepositMismatch):
            await store.write(lambda tx, user=user, amount=amount: deposit(tx, user, amount, "first"))
    assert balance(store, ALICE).posted == 100
    assert await store.write(lambda tx: deposit(tx, "alice", 1, "second")) is True
    assert balance(store, ALICE).posted == 101


async def test_each_deposit_leaves_one_audit_record_that_names_nobody(store: Store) -> None:
    await store.write(lambda tx: deposit(tx, "alice", 100, "first"))
    await store.write(lambda tx: deposit(tx, "bob", 7, "second"))
    records = [json.loads(text) for (text,) in store.read(lambda tx: tx.execute("SELECT record FROM audit ORDER BY n"))]
    assert [(r["effect"], r["amount"], r["currency"]) for r in records] == [
        ("ledger.deposited", 100, CNY),
        ("ledger.deposited", 7, CNY),
    ]
    assert records[1]["reference"] == sha256(b"second").hexdigest()
    assert len({r["subject"] for r in records}) == 2
    assert not {"alice", "bob", "first"} & set(json.dumps(records).split('"'))


@pytest.mark.parametrize("reference", ["", "x" * 129, "a\nb"])
async def test_a_deposit_needs_a_reference(store: Store, reference: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        await store.write(lambda tx: deposit(tx, "alice", 1, reference))


async def test_a_wallet_covers_its_whole_balance_and_not_one_unit_more(store: Store) -> None:
    with pytest.raises(InsufficientFunds):
        await store.write(lambda tx: ledger.move(tx, [leg(101)]))
    await store.write(lambda tx: ledger.move(tx, [leg(100)]))
    assert (balance(store, ALICE).posted, balance(store, SHOP).posted) == (0, 100)
    with pytest.raises(InsufficientFunds):
        await store.write(lambda tx: ledger.move(tx, [leg(1, "o2")]))
    assert findings(store) == []


async def test_a_batch_is_all_or_nothing_and_the_job_may_go_on(store: Store) -> None:
    def job(tx: Transaction) -> None:
        with pytest.raises(InsufficientFunds):
            ledger.move(tx, [leg(60), leg(61, debit=SHOP, credit=FEE, n=1)])
        ledger.move(tx, [leg(60), leg(60, debit=SHOP, credit=FEE, n=1)])

    await store.write(job)
    assert [balance(store, name).posted for name in (ALICE, SHOP, FEE)] == [40, 0, 60]
    assert findings(store) == []


async def test_a_transfer_of_the_same_cause_collides(store: Store) -> None:
    await store.write(lambda tx: ledger.move(tx, [leg(1)]))
    with pytest.raises(ConstraintViolated):
        await store.write(lambda tx: ledger.move(tx, [leg(1)]))
    assert balance(store, ALICE).posted == 99


async def test_the_store_itself_forbids_an_overdraft(store: Store) -> None:
    with pytest.raises(ConstraintViolated, match="no_overdraft"):
        await store.write(lambda tx: tx.execute("UPDATE accounts SET debits_posted = 101 WHERE kind = 'wallet'"))


async def test_a_counter_never_passes_64_bits(store: Store) -> None:
    await store.write(lambda tx: tx.execute("UPDATE accounts SET credits_posted = 9223372036854775807"))
    with pytest.raises(ConstraintViolated):
        await store.write(lambda tx: deposit(tx, "alice", 1, "second"))


@pytest.mark.parametrize("amount", [-1, 0, AMOUNT_MAX + 1, 2**63, 1.0, True, "5", float("nan")])
def test_what_cannot_be_moved(amount: Any) -> None:
    with pytest.raises(ValueError, match="minor units"):
        leg(amount)


def test_a_transfer_stays_in_one_currency_and_goes_somewhere() -> None:
    euro = AccountName(kind=AccountKind.MERCHANT, owner="shop", currency="EUR")
    with pytest.raises(ValueError, match="one currency"):
        leg(1, credit=euro)
    with pytest.raises(ValueError, match="another"):
        leg(1, credit=ALICE)


@pytest.mark.parametrize(("kind", "owner"), [(AccountKind.WALLET, ""), (AccountKind.FUNDING, "alice")])
def test_who_owns_which_kind(kind: AccountKind, owner: str) -> None:
    with pytest.raises(ValueError, match="owner"):
        AccountName(kind=kind, owner=owner, currency=CNY)


# ---- two phases ----------------------------------------------------------------------------------------------------
def hold(amount: int, clock: VirtualClock, cause: str = "h") -> Callable[[Transaction], bytes]:
    return lambda tx: ledger.hold(tx, leg(amount, cause), expires_us=clock.now_us() + 1_000_000, order_id=cause)


async def test_a_hold_is_posted_in_part_and_the_rest_given_back(store: Store, clock: VirtualClock) -> None:
    pending = await store.write(hold(70, clock))
    assert balance(store, ALICE) == Balance(posted=100, held=70, incoming=0)
    assert balance(store, SHOP) == Balance(posted=0, held=0, incoming=70)
    with pytest.raises(InsufficientFunds):
        await store.write(lambda tx: ledger.move(tx, [leg(31)]))
    for amount in (0, 71):
        with pytest.raises(ValueError, match="held"):
            await store.write(lambda tx, amount=amount: ledger.post(tx, pending, amount))
    await store.write(lambda tx: ledger.post(tx, pending, 50))
    assert balance(store, ALICE) == Balance(posted=50, held=0, incoming=0)
    assert balance(store, SHOP) == Balance(posted=50, held=0, incoming=0)
    assert findings(store) == []


async def test_a_hold_is_resolved_once(store: Store, clock: VirtualClock) -> None:
    for first in (lambda tx, p: ledger.post(tx, p, 1), ledger.void):
        pending = await store.write(hold(10, clock, cause=first.__name__))
        await store.write(lambda tx, first=first, pending=pending: first(tx, pending))
        for again in (lambda tx, p: ledger.post(tx, p, 1), ledger.void):
            with pytest.raises(NotPending):
                await store.write(lambda tx, again=again, pending=pending: again(tx, pending))
    with pytest.raises(NotPending):
        await store.write(lambda tx: ledger.void(tx, bytes(16)))
    assert balance(store, ALICE) == Balance(posted=99, held=0, incoming=0)
    assert findings(store) == []


async def test_a_hold_whose_time_is_over_can_only_be_given_back(store: Store, clock: VirtualClock) -> None:
    pending = await store.write(hold(100, clock))
    clock.advance(us=999_999)
    clock.advance(us=1)
    with pytest.raises(NotPending, match="time"):
        await store.write(lambda tx: ledger.post(tx, pending, 100))
    await store.write(lambda tx: ledger.void(tx, pending))
    assert balance(store, ALICE) == Balance(posted=100, held=0, incoming=0)
    assert findings(store) == []


# ---- the proof -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE accounts SET credits_posted = credits_posted + 1 WHERE kind = 'merchant'", "by its transfers"),
        ("UPDATE accounts SET credits_posted = credits_posted + 1 WHERE kind = 'merchant'", "debits less credits"),
        ("UPDATE transfers SET amount = amount + 1 WHERE kind = 'capture' AND phase = 'single'", "by its transfers"),
        ("UPDATE transfers SET amount = 500 WHERE kind = 'capture' AND phase = 'single'", "overdrawn"),
        ("UPDATE transfers SET currency = 'EUR' WHERE kind = 'capture'", "EUR between accounts of CNY"),
        ("UPDATE transfers SET amount = 11 WHERE phase = 'post'", "differs from the hold"),
        ("UPDATE transfers SET order_id = 'x' WHERE phase = 'post'", "differs from the hold"),
        ("DELETE FROM transfers WHERE kind = 'deposit'", "overdrawn"),
    ],
)
async def test_the_proof_finds(store: Store, clock: VirtualClock, damage: str, found: str) -> None:
    await store.write(lambda tx: ledger.move(tx, [leg(40)]))
    pending = await store.write(hold(10, clock))
    await store.write(lambda tx: ledger.post(tx, pending, 5))
    assert findings(store) == []
    await store.write(lambda tx: tx.execute(damage))
    assert found in "; ".join(findings(store))


class LedgerMachine(RuleBasedStateMachine):
    """Random moves, holds, posts, voids and time, against a model of plain dicts."""

    @initialize()
    def open(self) -> None:
        self.clock = VirtualClock()
        self.store: Store = MemoryStore(self.clock, known_migrations())
        self.available: dict[AccountName, int] = {}
        self.posted: dict[AccountName, int] = {}
        self.held: dict[bytes, tuple[int, int]] = {}
        self.made = 0

    def write(self, job: Callable[[Transaction], Any]) -> Any:
        return trio.run(self.store.write, job)

    def add(self, table: dict[AccountName, int], name: AccountName, amount: int) -> None:
        table[name] = table.get(name, 0) + amount

    @rule(user=st.sampled_from(["alice", "bob"]), amount=st.integers(1, 50))
    def deposit(self, user: str, amount: int) -> None:
        self.made += 1
        assert self.write(lambda tx: deposit(tx, user, amount, f"d{self.made}"))
        for table in (self.available, self.posted):
            self.add(table, ALICE if user == "alice" else BOB, amount)

    @rule(
        path=st.lists(st.sampled_from([ALICE, BOB, SHOP, FEE]), min_size=2, max_size=4),
        amounts=st.lists(st.integers(1, 60), min_size=3, max_size=3),
    )
    def move(self, path: list[AccountName], amounts: list[int]) -> None:
        pairs = [(a, b, n) for a, b, n in zip(path, path[1:], amounts, strict=False) if a != b]
        if not pairs:
            return
        self.made += 1
        legs = [leg(n, f"m{self.made}", debit=a, credit=b, n=at) for at, (a, b, n) in enumerate(pairs)]
        available, posted, covered = dict(self.available), dict(self.posted), True
        for a, b, n in pairs:
            covered = covered and available.get(a, 0) >= n
            for table in (available, posted):
                self.add(table, a, -n)
                self.add(table, b, n)
        try:
            self.write(lambda tx: ledger.move(tx, legs))
            assert covered
            self.available, self.posted = available, posted
        except InsufficientFunds:
            assert not covered

    @rule(amount=st.integers(1, 60), life_us=st.integers(1, 20))
    def hold(self, amount: int, life_us: int) -> None:
        self.made += 1
        expires = self.clock.now_us() + life_us
        job = lambda tx: ledger.hold(tx, leg(amount, f"h{self.made}"), expires_us=expires, order_id="")  # noqa: E731
        if self.available.get(ALICE, 0) < amount:
            with pytest.raises(InsufficientFunds):
                self.write(job)
        else:
            self.held[self.write(job)] = (amount, expires)
            self.add(self.available, ALICE, -amount)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), post=st.booleans())
    def resolve(self, data: st.DataObject, post: bool) -> None:
        pending = data.draw(st.sampled_from(sorted(self.held)))
        amount, expires = self.held[pending]
        taken = data.draw(st.integers(1, amount)) if post else 0
        if post and expires <= self.clock.now_us():
            with pytest.raises(NotPending):
                self.write(lambda tx: ledger.post(tx, pending, taken))
            return
        self.write(lambda tx: ledger.post(tx, pending, taken) if post else ledger.void(tx, pending))
        del self.held[pending]
        self.add(self.available, ALICE, amount - taken)
        self.add(self.posted, ALICE, -taken)
        for table in (self.available, self.posted):
            self.add(table, SHOP, taken)

    @rule(us=st.integers(1, 15))
    def wait(self, us: int) -> None:
        self.clock.advance(us=us)

    @invariant()
    def holds_together(self) -> None:
        assert findings(self.store) == []
        for name in (ALICE, BOB, SHOP, FEE):
            found = balance(self.store, name)
            assert (found.available, found.posted) == (self.available.get(name, 0), self.posted.get(name, 0))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            trio.run(self.store.aclose)


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
