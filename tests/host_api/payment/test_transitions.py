"""Every state with every event against a store: what is written, and that a refusal writes nothing."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace

from host_api import ledger, reconciliation
from host_api.errors import ApiError
from host_api.ledger import InsufficientFunds
from host_api.money import Money
from host_api.payment import records, sweep, verification
from host_api.payment.fees import FeeTerms
from host_api.payment.orders import (
    HOLD_US,
    REFUND_WINDOW_US,
    TRANSITIONS,
    Capture,
    CloseReason,
    Confirmation,
    Event,
    Order,
    Status,
    digest,
)
from host_api.payment.records import Refund
from host_api.payment.transitions import carry_out, record_created
from host_api.store import Store, open_store
from host_api.store.protocol import Transaction
from runtime.testing import VirtualClock

MONEY = Money(amount=1_000, currency="CNY")
TTL_US = 900_000_000
OF_TIME = {Event.EXPIRE, Event.FINISH}


def order(name: str = "o1", capture: Capture = Capture.AUTO, *, now_us: int) -> Order:
    return Order(
        id=name, app_id="shop", user="alice", out_trade_no=name, money=MONEY, subject="Secret tea",
        created_us=now_us, expires_us=now_us + TTL_US, capture=capture,
    )  # fmt: skip


def yes(asked: Order) -> Confirmation:
    return Confirmation(payee="Shop", digest=digest(asked, "Shop"))


def fund(tx: Transaction, amount: int, reference: str = "first") -> None:
    money = Money(amount=amount, currency="CNY")
    ledger.deposit(tx, user="alice", money=money, reference=reference, new_salt=lambda: bytes(16))


def made(tx: Transaction, status: Status, capture: Capture = Capture.AUTO, name: str = "o1") -> Order:
    """An order that has come to that state by its own way."""
    new = record_created(tx, order(name, capture, now_us=tx.now_us))
    if status is Status.PENDING:
        return new
    if status is Status.CLOSED:
        return carry_out(tx, new, Event.CLOSE)
    asked = carry_out(tx, new, Event.REQUEST)
    if status is Status.CONFIRMING:
        return asked
    return carry_out(tx, asked, Event.CONFIRM, confirmation=yes(asked))


def arguments(event: Event, before: Order) -> dict[str, Any]:
    match event:
        case Event.CONFIRM | Event.AUTHORIZE:
            return {"confirmation": yes(before)}
        case Event.CAPTURE:
            return {"amount": 400}
        case Event.REFUND:
            return {"refund": Refund(id="r1", out_request_no="1", amount=300, fee_returned=3, reason="Bad")}
    return {}


def written(tx: Transaction) -> list[Any]:
    tables = ("orders", "transfers", "refunds", "confirmations", "payment_usage", "events", "audit")
    return [tx.execute(f"SELECT count(*) FROM {table}")[0][0] for table in tables] + tx.execute("SELECT * FROM orders")


def findings(tx: Transaction) -> list[str]:
    return reconciliation.verify(tx) + verification.verify(tx)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.mark.parametrize(("status", "event"), list(product(Status, Event)))
async def test_every_cell_is_written_whole_or_not_at_all(clock: VirtualClock, status: Status, event: Event) -> None:
    capture = Capture.MANUAL if status is Status.AUTHORIZED or event is Event.AUTHORIZE else Capture.AUTO
    capture = Capture.AUTO if status is Status.FINISHED else capture

    def begin(tx: Transaction) -> Order:
        records.set_fee_terms(tx, "shop", FeeTerms(bps=100))
        fund(tx, 5_000)
        return made(tx, Status.SUCCEEDED if status is Status.FINISHED else status, capture)

    def finish(tx: Transaction) -> Order:
        return carry_out(tx, before, Event.FINISH)

    def cell(tx: Transaction) -> None:
        start, rule = written(tx), TRANSITIONS.get((status, event))
        if rule is None:
            with pytest.raises(ApiError):
                carry_out(tx, before, event, **arguments(event, before))
            assert written(tx) == start
            return
        changed = carry_out(tx, before, event, **arguments(event, before))
        assert (changed.status, changed.close_reason) == (rule.to, rule.close_reason)
        assert changed.version == before.version + 1
        assert records.order_by_id(tx, "shop", "o1") == changed
        assert [after - was for after, was in zip(written(tx)[5:7], start[5:7], strict=True)] == [1, 1]
        assert findings(tx) == []

    async with open_store(None, clock) as store:
        before = await store.write(begin)
        if status is Status.FINISHED:
            clock.advance(us=REFUND_WINDOW_US)
            before = await store.write(finish)
        if (status, event) in TRANSITIONS and event in OF_TIME:
            clock.advance(us=before.due_us - clock.now_us())
        await store.write(cell)


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONFIRMING, Status.AUTHORIZED, Status.SUCCEEDED])
async def test_what_time_does_is_not_done_before_its_time(store: Store, clock: VirtualClock, status: Status) -> None:
    capture = Capture.MANUAL if status is Status.AUTHORIZED else Capture.AUTO
    before = await store.write(lambda tx: made(tx, status, capture))
    clock.advance(us=before.due_us - clock.now_us() - 1)
    with pytest.raises(ValueError, match="not yet"):
        await store.write(lambda tx: carry_out(tx, before, before.due_event))
    clock.advance(us=1)
    await store.write(lambda tx: carry_out(tx, before, before.due_event))


# ---- what is told ----------------------------------------------------------------------------------------------------
@pytest.fixture
async def store(clock: VirtualClock) -> Any:
    async with open_store(None, clock) as opened:
        await opened.write(lambda tx: fund(tx, 5_000))
        await opened.write(lambda tx: records.set_fee_terms(tx, "shop", FeeTerms(bps=100)))
        yield opened
        assert opened.read(findings) == []


async def test_each_change_is_one_event_and_one_audit_record(store: Store) -> None:
    def job(tx: Transaction) -> None:
        paid = made(tx, Status.SUCCEEDED)
        carry_out(tx, paid, Event.REFUND, **arguments(Event.REFUND, paid))

    await store.write(job)
    rows = store.read(lambda tx: tx.execute("SELECT app_id, user_id, stream_seq, topic, payload FROM events"))
    assert [row[:4] for row in rows] == [
        ("shop", "alice", 1, "payment.pending"),
        ("shop", "alice", 2, "payment.confirming"),
        ("shop", "alice", 3, "payment.succeeded"),
        ("shop", "alice", 4, "payment.refunded"),
    ]
    assert json.loads(rows[2][4]) == {
        "order_id": "o1", "out_trade_no": "o1", "status": "succeeded", "close_reason": None, "amount": 1_000,
        "currency": "CNY", "captured": 1_000, "refunded": 0, "version": 3,
    }  # fmt: skip
    refunded = json.loads(rows[3][4])
    assert (refunded["status"], refunded["refunded"], refunded["out_request_no"], refunded["refund_amount"]) == (
        "succeeded",
        300,
        "1",
        300,
    )
    told = [json.loads(text) for (text,) in store.read(lambda tx: tx.execute("SELECT record FROM audit ORDER BY n"))]
    assert [record["effect"] for record in told[1:]] == [
        "order.pending",
        "order.confirming",
        "order.succeeded",
        "order.refunded",
    ]
    assert told[3]["app_id"] == "shop"
    assert "subject" not in told[3]
    everything = json.dumps([told, [row[4] for row in rows]])
    assert "alice" not in everything
    assert "Secret" not in everything


# ---- the user's yes --------------------------------------------------------------------------------------------------
async def test_nothing_is_paid_without_a_yes_to_the_order_as_it_is(store: Store) -> None:
    def job(tx: Transaction) -> None:
        asked = made(tx, Status.CONFIRMING)
        for confirmation in (
            None,
            Confirmation(payee="Other", digest=yes(asked).digest),
            yes(replace(asked, version=1)),
        ):
            with pytest.raises(ValueError, match="yes"):
                carry_out(tx, asked, Event.CONFIRM, confirmation=confirmation)

    await store.write(job)


@pytest.mark.parametrize("capture", Capture)
async def test_a_wallet_that_is_short_leaves_the_order_as_it_was(clock: VirtualClock, capture: Capture) -> None:
    def job(tx: Transaction) -> None:
        fund(tx, 999)
        asked = made(tx, Status.CONFIRMING, capture)
        start = written(tx)
        with pytest.raises(InsufficientFunds):
            carry_out(tx, asked, Event.CONFIRM, confirmation=yes(asked))
        assert written(tx) == start
        fund(tx, 1, "second")
        carry_out(tx, asked, Event.CONFIRM, confirmation=yes(asked))
        assert findings(tx) == []

    async with open_store(None, clock) as store:
        await store.write(job)


# ---- time ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("event", [Event.REQUEST, Event.CLOSE, Event.UNINSTALL])
async def test_an_order_whose_time_is_over_takes_nothing_else(store: Store, clock: VirtualClock, event: Event) -> None:
    pending = await store.write(lambda tx: made(tx, Status.PENDING))
    clock.advance(us=TTL_US)

    def job(tx: Transaction) -> None:
        with pytest.raises(ApiError) as refused:
            carry_out(tx, pending, event)
        assert refused.value.details == {"status": "closed", "close_reason": "expired"}
        assert carry_out(tx, pending, Event.EXPIRE).close_reason is CloseReason.EXPIRED

    await store.write(job)


async def test_a_hold_is_the_users_again_the_moment_it_ends(store: Store, clock: VirtualClock) -> None:
    """Though nothing has swept: the balance shows it, and the next payment takes it."""
    wallet = ledger.AccountName(kind=ledger.AccountKind.WALLET, owner="alice", currency="CNY")
    shop = ledger.AccountName(kind=ledger.AccountKind.MERCHANT, owner="shop", currency="CNY")
    for number in range(5):
        await store.write(lambda tx, number=number: made(tx, Status.AUTHORIZED, Capture.MANUAL, f"h{number}"))
    clock.advance(us=HOLD_US - 1)
    assert store.read(lambda tx: sweep.balance(tx, wallet)).available == 0
    assert store.read(lambda tx: sweep.balance(tx, shop)).incoming == 5_000

    def short(tx: Transaction) -> None:
        asked = made(tx, Status.CONFIRMING, name="short")
        with pytest.raises(InsufficientFunds):
            carry_out(tx, asked, Event.CONFIRM, confirmation=yes(asked))

    await store.write(short)
    clock.advance(us=1)
    assert store.read(lambda tx: sweep.balance(tx, wallet)) == ledger.Balance(posted=5_000, held=0, incoming=0)
    assert store.read(lambda tx: sweep.balance(tx, shop)).incoming == 0
    for capture in Capture:
        await store.write(lambda tx, capture=capture: made(tx, Status.AUTHORIZED, capture, f"paid {capture}"))
    assert store.read(lambda tx: sweep.balance(tx, wallet)).available == 3_000
    for number in range(5):
        found = store.read(lambda tx, number=number: records.order_by_id(tx, "shop", f"h{number}"))
        assert found is not None
        assert found.close_reason is CloseReason.EXPIRED
    assert store.read(lambda tx: ledger.balance(tx, wallet)).available == 3_000


async def test_a_hold_is_captured_to_the_last_microsecond(store: Store, clock: VirtualClock) -> None:
    held = [await store.write(lambda tx, n=n: made(tx, Status.AUTHORIZED, Capture.MANUAL, n)) for n in ("in", "out")]
    clock.advance(us=HOLD_US - 1)
    assert (await store.write(lambda tx: carry_out(tx, held[0], Event.CAPTURE))).captured == 1_000
    clock.advance(us=1)
    with pytest.raises(ApiError, match="expired"):
        await store.write(lambda tx: carry_out(tx, held[1], Event.CAPTURE))


async def test_the_refund_window_is_exact(store: Store, clock: VirtualClock) -> None:
    paid = await store.write(lambda tx: made(tx, Status.SUCCEEDED))
    clock.advance(us=REFUND_WINDOW_US - 1)
    paid = await store.write(lambda tx: carry_out(tx, paid, Event.REFUND, **arguments(Event.REFUND, paid)))
    clock.advance(us=1)
    with pytest.raises(ApiError, match="too old") as refused:
        await store.write(lambda tx: carry_out(tx, paid, Event.REFUND, **arguments(Event.REFUND, paid)))
    assert refused.value.details["status"] == "finished"
    assert (await store.write(lambda tx: carry_out(tx, paid, Event.FINISH))).status is Status.FINISHED
