"""Orders that the release before manual capture, refunds, events and audit wrote: they hold together, and go on."""

from __future__ import annotations

from pathlib import Path

from host_api import ledger, reconciliation
from host_api.ledger import AccountKind, AccountName, Leg
from host_api.money import Money
from host_api.payment import records, sweep, verification
from host_api.payment.orders import REFUND_WINDOW_US, Confirmation, Event, Order, Status, digest
from host_api.payment.records import Refund
from host_api.payment.transitions import carry_out
from host_api.store import open_store
from host_api.store.migrations import known_migrations
from host_api.store.protocol import Transaction
from runtime.testing import VirtualClock

MONEY = Money(amount=100, currency="CNY")
TTL_US = 900_000_000
_ORDER = """
    INSERT INTO orders (id, app_id, user_id, out_trade_no, amount, currency, subject, capture, status, close_reason,
        declines, captured, refunded, fee, version, created_us, expires_us)
    VALUES (:id, 'shop', 'alice', :id, 100, 'CNY', 'Tea', 'auto', :id, :reason,
        0, :captured, 0, 0, :version, :now, :over)"""
_CONFIRMATION = "INSERT INTO confirmations VALUES ('succeeded', 2, 100, 'CNY', 'Payee', :digest, :now)"
_USAGE = "INSERT INTO payment_usage VALUES ('succeeded', 'shop', 'alice', 'CNY', 100, :now)"


def written_then(tx: Transaction) -> None:
    """One order of each status, named after it."""
    wallet = AccountName(kind=AccountKind.WALLET, owner="alice", currency="CNY")
    shop = AccountName(kind=AccountKind.MERCHANT, owner="shop", currency="CNY")
    outside = AccountName(kind=AccountKind.FUNDING, currency="CNY")
    ledger.move(tx, [Leg(kind="deposit", cause="d", debit=outside, credit=wallet, amount=200)])
    for status, version in (("pending", 1), ("confirming", 2), ("succeeded", 3), ("closed", 3)):
        reason, captured = ("declined" if status == "closed" else ""), (100 if status == "succeeded" else 0)
        times = {"now": tx.now_us, "over": tx.now_us + TTL_US}
        tx.execute(_ORDER, {"id": status, "reason": reason, "captured": captured, "version": version, **times})
    capture = Leg(kind="capture", cause="succeeded", debit=wallet, credit=shop, amount=100)
    ledger.move(tx, [capture], order_id="succeeded")
    asked = Order(
        id="succeeded", app_id="shop", user="alice", out_trade_no="succeeded", money=MONEY, subject="Tea",
        created_us=tx.now_us, expires_us=tx.now_us + TTL_US, version=2,
    )  # fmt: skip
    tx.execute(_CONFIRMATION, {"digest": digest(asked, "Payee"), "now": tx.now_us})
    tx.execute(_USAGE, {"now": tx.now_us})


def findings(tx: Transaction) -> list[str]:
    return reconciliation.verify(tx) + verification.verify(tx)


def found(tx: Transaction, name: str) -> Order:
    order = records.order_by_id(tx, "shop", name)
    assert order is not None
    return order


async def test_what_the_release_before_wrote_holds_together_and_goes_on(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with open_store(tmp_path / "state", clock, known=known_migrations()[:1]) as store:
        await store.write(written_then)
    async with open_store(tmp_path / "state", clock) as store:
        assert store.read(findings) == []
        assert store.read(lambda tx: found(tx, "confirming")).status is Status.PENDING
        paid = store.read(lambda tx: found(tx, "succeeded"))
        assert paid.due_us == clock.now_us() + REFUND_WINDOW_US
        back = Refund(id="r", out_request_no="1", amount=40, fee_returned=0, reason="Bad")
        await store.write(lambda tx: carry_out(tx, paid, Event.REFUND, refund=back))

        def pay(tx: Transaction) -> Order:
            asked = carry_out(tx, found(tx, "confirming"), Event.REQUEST)
            yes = Confirmation(payee="Payee", digest=digest(asked, "Payee"))
            return carry_out(tx, asked, Event.CONFIRM, confirmation=yes)

        assert (await store.write(pay)).captured == 100
        clock.advance(us=TTL_US)
        assert await store.write(lambda tx: sweep.sweep(tx, 10)) == 1
        assert store.read(findings) == []
        assert store.read(lambda tx: tx.execute("SELECT count(*) FROM events")) == [(4,)]
