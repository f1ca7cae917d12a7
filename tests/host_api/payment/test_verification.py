"""The proof of orders finds each kind of damage, and names the order."""

from __future__ import annotations

from typing import Any

import pytest

from host_api.payment import verification
from host_api.payment.fees import FeeTerms
from runtime.testing import VirtualClock


class UndoneError(Exception):
    """Carries what was found out of a job that must leave no trace."""


async def found(world: Any, *damage: str, order_id: str | None = None) -> str:
    def undone(tx: Any) -> None:
        for statement in damage:
            tx.execute(statement)
        raise UndoneError("; ".join(verification.verify_order(tx, order_id) if order_id else verification.verify(tx)))

    with pytest.raises(UndoneError) as seen:
        await world.store.write(undone)
    return str(seen.value)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("DELETE FROM confirmations", "0 confirmations"),
        ("UPDATE confirmations SET payee = 'Other Shop'", "digest does not cover"),
        ("UPDATE confirmations SET digest = zeroblob(32)", "digest does not cover"),
        ("UPDATE confirmations SET amount = 1", "another version, amount or currency"),
        ("DELETE FROM payment_usage", "usage row"),
        ("UPDATE payment_usage SET amount = 1", "usage row"),
        ("UPDATE orders SET fee = 3, fee_returned = 0", "fee 3"),
        ("UPDATE orders SET fee_returned = 0", "refunded 250 and 0 of the fee"),
        ("UPDATE orders SET refunded = 251", "refunded 251"),
        ("UPDATE orders SET captured = 1249", "captured 1249"),
        ("UPDATE orders SET status = 'pending', captured = 0, refunded = 0, fee_returned = 0, fee = 0", "captured 0"),
        ("UPDATE orders SET app_id = 'other'", "accounts that are not its own"),
        ("UPDATE orders SET currency = 'EUR'", "transfer of CNY"),
        ("UPDATE orders SET due_us = 0", "due at 0"),
        ("UPDATE refunds SET amount = amount - 1", "by its refunds 249"),
        ("UPDATE refunds SET fee_returned = 0", "is not what its transfers are"),
        ("UPDATE transfers SET refund_id = 'r' WHERE kind = 'refund'", "is not what its transfers are"),
        ("UPDATE transfers SET order_id = 'lost' WHERE kind = 'fee'", "1 transfers of no order"),
        ("DELETE FROM events WHERE stream_seq = 1", "its first 1 events are gone"),
        ("DELETE FROM events WHERE stream_seq = 2", "with a gap"),
        ("DELETE FROM events WHERE stream_seq = 4", "with a gap"),
        ("DELETE FROM events", "its first 4 events are gone"),
        ("DELETE FROM event_streams", "0 events for 4 changes"),
        ("UPDATE orders SET version = 5", "4 audit records for 5 changes"),
        ("UPDATE orders SET untold = 1", "4 audit records for 3 changes"),
        ("UPDATE orders SET audit_n = audit_n - 1", "3 audit records for 4 changes"),
        ("UPDATE events SET payload = replace(payload, 'pending', 'succeeded')", "its event 1 and audit record differ"),
        ("UPDATE events SET payload = replace(payload, '\"refunded\":250', '\"refunded\":0')", "event 4 and audit"),
        ("UPDATE events SET topic = 'payment.closed' WHERE stream_seq = 3", "event 3 and audit"),
        ("UPDATE audit SET record = replace(record, ':\"confirming\"', ':\"finished\"')", "told as finished"),
        ("UPDATE audit SET record = replace(record, '\"refunded\":250', '\"refunded\":0')", "how it stands"),
        ("DELETE FROM audit WHERE n = (SELECT max(n) FROM audit)", "0 audit records for 4 changes"),
        ("DELETE FROM audit WHERE n = 3", "3 audit records for 4 changes"),
        ("UPDATE audit SET record = replace(record, 'order.pending', 'other.pending')", "3 audit records"),
        ("UPDATE audit SET record = replace(record, 'ledger.deposited', 'order.stray')", "5 audit records of orders"),
    ],
)  # fmt: skip
async def test_the_proof_finds(world: Any, damage: str, expected: str) -> None:
    await world.payments.set_fee_terms("org.example.shop", FeeTerms(bps=60))
    await world.deposit(1250)
    paid = await world.pay()
    await world.refund(paid.order_id, 250)
    assert world.findings() == []
    told = await found(world, damage)
    assert expected in told
    assert "transfers of no order" in told or "of orders" in told or paid.order_id in told


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE orders SET status = 'closed', close_reason = 'voided', due_us = 0", "closed with 1250 held"),
        ("DELETE FROM confirmations", "0 confirmations"),
        ("UPDATE orders SET hold_until_us = hold_until_us + 1", "authorized with 1250 held"),
        ("UPDATE payment_usage SET amount = 1249", "usage row"),
        ("UPDATE transfers SET phase = 'single', expires_us = NULL WHERE phase = 'pending'", "by its transfers 1250"),
    ],
)
async def test_the_proof_finds_with_a_hold(world: Any, damage: str, expected: str) -> None:
    await world.deposit(1250)
    held = await world.hold()
    assert world.findings() == []
    assert expected in await found(world, damage)
    assert expected in await found(world, damage, order_id=held.order_id)


async def test_a_hold_that_outlives_its_order_is_found(world: Any) -> None:
    await world.deposit(1250)
    held = await world.hold()
    await world.close(held.order_id)
    told = await found(world, "DELETE FROM transfers WHERE phase = 'void'")
    assert "closed with 1250 held" in told


async def test_one_order_alone_is_proved(world: Any) -> None:
    await world.deposit(2500)
    one, other = await world.pay(), await world.pay()
    damage = f"UPDATE payment_usage SET amount = 1 WHERE order_id = '{one.order_id}'"
    assert "usage row" in await found(world, damage, order_id=one.order_id)
    assert await found(world, damage, order_id=other.order_id) == ""
    assert await found(world, order_id="f" * 32) == "no such order"


async def test_events_that_were_acknowledged_and_deleted_are_not_missed(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1250)
    paid = await world.pay()
    await world.store.write(lambda tx: tx.execute("DELETE FROM events WHERE stream_seq = 1"))
    assert "its first 1 events are gone, and 0 were acknowledged" in world.findings()[0]
    await world.store.write(lambda tx: tx.execute("UPDATE event_streams SET acked_seq = 2"))
    assert world.findings() == []
    await world.refund(paid.order_id, 1)


async def test_an_order_older_than_the_outbox_is_proved_from_there_on(world: Any) -> None:
    order = await world.create()
    for damage in (
        "DELETE FROM events",
        "DELETE FROM event_streams",
        "DELETE FROM audit",
        "UPDATE orders SET untold = 1, audit_n = 0",
    ):
        await world.store.write(lambda tx, damage=damage: tx.execute(damage))
    assert world.findings() == []
    await world.close(order.order_id)
    assert world.findings() == []
