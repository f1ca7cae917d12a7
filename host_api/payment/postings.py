"""What each effect of an order is in the ledger: which accounts, which legs, one linked batch each.

What lives here: transfers and nothing else; the order's own figures are transitions.py's. Whoever may be short of money
raises InsufficientFunds, and then nothing of the batch happened.
"""

from __future__ import annotations

from host_api.ledger import AccountKind, AccountName, Leg, hold, move, post, resolution_id, void
from host_api.payment.orders import Order
from host_api.payment.records import Refund
from host_api.store.protocol import Transaction

CAPTURE = "capture"
"""wallet → merchant, at once or through a hold."""
FEE = "fee"
REFUND = "refund"
FEE_RETURN = "fee_return"


def pay(tx: Transaction, order: Order, fee: int) -> None:
    """The whole amount to the merchant, and the platform's fee from there. InsufficientFunds: the wallet's."""
    move(tx, [_capture(order), *_fee(order, fee)], order_id=order.id)


def reserve(tx: Transaction, order: Order, until_us: int) -> None:
    """Hold the whole amount. InsufficientFunds: the wallet's."""
    hold(tx, _capture(order), expires_us=until_us, order_id=order.id)


def take(tx: Transaction, order: Order, amount: int, fee: int) -> None:
    """Of what is held, `amount` to the merchant, the rest back to the wallet; the fee from the merchant."""
    held = _capture(order).id
    with tx.savepoint():
        post(tx, held, amount)
        if fee:
            move(tx, _fee(order, fee), order_id=order.id, batch=resolution_id(held))


def release(tx: Transaction, order: Order) -> None:
    """All of what is held back to the wallet."""
    void(tx, _capture(order).id)


def give_back(tx: Transaction, order: Order, refund: Refund) -> None:
    """The platform's share of the fee to the merchant, then the refund to the wallet: so that a merchant with nothing
    but this payment can refund all of it. InsufficientFunds: the merchant's."""
    wallet, merchant, platform = _accounts(order)
    legs = [Leg(kind=REFUND, cause=refund.id, debit=merchant, credit=wallet, amount=refund.amount)]
    if refund.fee_returned:
        legs.insert(
            0, Leg(kind=FEE_RETURN, cause=refund.id, debit=platform, credit=merchant, amount=refund.fee_returned)
        )
    move(tx, legs, order_id=order.id, refund_id=refund.id)


def _capture(order: Order) -> Leg:
    wallet, merchant, _ = _accounts(order)
    return Leg(kind=CAPTURE, cause=order.id, debit=wallet, credit=merchant, amount=order.money.amount)


def _fee(order: Order, fee: int) -> list[Leg]:
    _, merchant, platform = _accounts(order)
    return [Leg(kind=FEE, cause=order.id, debit=merchant, credit=platform, amount=fee)] if fee else []


def _accounts(order: Order) -> tuple[AccountName, AccountName, AccountName]:
    """The user's wallet, the program's merchant account, the platform's fee account."""
    currency = order.money.currency
    return (
        AccountName(kind=AccountKind.WALLET, owner=order.user, currency=currency),
        AccountName(kind=AccountKind.MERCHANT, owner=order.app_id, currency=currency),
        AccountName(kind=AccountKind.FEE, currency=currency),
    )
