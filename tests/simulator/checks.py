"""The invariants: of what was touched after each step, of everything now and then; rows against the model's dicts."""

from __future__ import annotations

from typing import Any

from host_api.store.protocol import Transaction
from tests.simulator.model import Model
from tests.simulator.order import Order
from tests.simulator.world import World, available, findings

BY_ITSELF = {"pending", "closed", "finished"}
"""What an order can become without anybody doing anything; it may be written down later."""
_ROW = (
    "SELECT status, close_reason, declines, captured, refunded, fee, fee_returned, version FROM orders WHERE id = :id"
)
_TOLD = "SELECT stream_seq, topic FROM events WHERE app_id = :app_id AND stream = :id ORDER BY stream_seq"
_BALANCES = """
    SELECT currency, sum(debits_posted) - sum(credits_posted), sum(debits_pending) - sum(credits_pending),
        min(CASE WHEN kind = 'funding' THEN 0 ELSE credits_posted - debits_posted - debits_pending END)
    FROM accounts GROUP BY currency"""


class Checks:
    def __init__(self, world: World, model: Model) -> None:
        self.world = world
        self.model = model
        self.refund_ids: dict[str, str] = {}

    def balanced(self) -> None:
        """Invariants 1 and 3, over all accounts."""
        for currency, posted, pending, least in self.world.plain.read(lambda tx: tx.execute(_BALANCES)):
            assert posted == pending == 0, f"{currency}: off by {posted} posted, {pending} pending"
            assert least >= 0, f"{currency}: somebody is overdrawn by {-least}"

    def of(self, order_id: str, refund_id: str | None = None) -> None:
        """What belongs to one order: its row, its events, its user's and its program's money."""
        order = self.model.at(self.model.orders[order_id])

        self.world.plain.read(lambda tx: self._order(tx, order, swept=False))
        self.world.store.read(lambda tx: self._money(tx, order.app, order.user, order.currency))
        if refund_id is not None:
            assert self.refund_ids.setdefault(refund_id, order_id) == order_id, "one id for refunds of two orders"

    def all(self, *, swept: bool = False) -> None:
        """Everything. `swept`: nothing is left to be written down."""

        def look(tx: Transaction) -> None:
            for order in self.model.orders.values():
                self._order(tx, self.model.at(order), swept=swept)
            assert tx.execute("SELECT count(*) FROM orders") == [(len(self.model.orders),)]
            made = sum(len(order.refunds) for order in self.model.orders.values())
            assert tx.execute("SELECT count(*) FROM refunds") == [(made,)]
            assert findings(tx) == []

        def look_at_money(tx: Transaction) -> None:
            for user, currency in self.model.wallets:
                for app in self.model.programs:
                    self._money(tx, app, user, currency)
            for currency, fees in self.model.fees.items():
                assert available(tx, "fee", "", currency) == fees

        self.world.plain.read(look)
        self.world.store.read(look_at_money)

    def _order(self, tx: Transaction, order: Order, *, swept: bool) -> None:
        topics = tx.execute(_TOLD, {"app_id": order.app, "id": order.id})
        told = [topic.removeprefix("payment.") for _, topic in topics]
        assert [number for number, _ in topics] == list(range(1, len(told) + 1)), f"{order.id}: a gap in its events"
        late = order.told[len(told) :]
        assert told == order.told[: len(told)], f"{order.id}: told {told}, the model says {order.told}"
        assert set(late) <= BY_ITSELF and not (swept and late), f"{order.id}: {late} was not told"
        if not late:
            wanted: tuple[Any, ...] = (
                order.status,
                order.reason or "",
                order.declines,
                order.captured,
                order.refunded,
                order.fee,
                order.fee_back,
                len(order.told),
            )
            assert tx.execute(_ROW, {"id": order.id}) == [wanted], f"{order.id}: the model says {wanted}"

    def _money(self, tx: Transaction, app: str, user: str, currency: str) -> None:
        wallet = available(tx, "wallet", user, currency)
        assert wallet == self.model.available(user, currency), f"{user} has {wallet} {currency}"
        merchant = available(tx, "merchant", app, currency)
        assert merchant == self.model.merchants[app, currency], f"{app} has {merchant} {currency}"
