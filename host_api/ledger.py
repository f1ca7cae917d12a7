"""The ledger: accounts, immutable transfers in linked batches, two phases; nobody but the world outside is overdrawn.

What lives here: the rules of double entry over a `Transaction` that is handed in; reconciliation.py proves them. No
clock (the transaction's time is used), no order, no user interface: who may move what is decided by the callers.
Every function runs inside a job of `Store.write`, `balance` also in `Store.read`.

After TigerBeetle: pending → posted or voided, at most once; balances as four counters; a transfer's id is
made by its cause, so that a repeat collides instead of counting twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from host_api import audit
from host_api.money import AMOUNT_MAX, EXPONENTS, Money
from host_api.store.protocol import Transaction

REFERENCE_CHARS_MAX: Final = 128


class AccountKind(StrEnum):
    """Whose money an account holds."""

    FUNDING = "funding"
    """The world outside: money comes from there. The only kind that may be overdrawn."""
    WALLET = "wallet"
    """A user's."""
    MERCHANT = "merchant"
    """What a program took and was not yet paid out."""
    FEE = "fee"
    """The platform's."""
    SUSPENSE = "suspense"
    """Money whose owner is being found out."""


class Phase(StrEnum):
    SINGLE = "single"
    PENDING = "pending"
    POST = "post"
    VOID = "void"


class LedgerError(Exception):
    """A transfer was refused; nothing of its batch happened."""

    code = "ledger_refused"


class InsufficientFunds(LedgerError):
    code = "insufficient_funds"


class NotPending(LedgerError):
    """There is no such pending transfer any more: posted, voided, expired or never made."""

    code = "not_pending"


class DepositMismatch(LedgerError):
    """The deposit's reference was used with other content."""

    code = "deposit_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountName:
    """Which account: there is one for each kind, owner and currency. `owner`: user, app_id, or '' (funding, fee)."""

    kind: AccountKind
    owner: str = ""
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise ValueError(f"unknown currency {ascii(self.currency)[:16]}")
        if (self.owner == "") is (self.kind in (AccountKind.WALLET, AccountKind.MERCHANT)):
            raise ValueError(f"a {self.kind} account {'needs an' if self.owner == '' else 'has no'} owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Minor units. available + held = posted; incoming is pending and cannot be used yet."""

    posted: int
    held: int
    incoming: int

    @property
    def available(self) -> int:
        return self.posted - self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One transfer to be made: `amount` minor units from `debit` to `credit`, both of one currency."""

    kind: str
    cause: str
    """The id of the order, refund or deposit it is for."""
    debit: AccountName
    credit: AccountName
    amount: int
    n: int = 0
    """Tells transfers of one kind and cause apart."""

    def __post_init__(self) -> None:
        if self.debit.currency != self.credit.currency:
            raise ValueError("a transfer stays within one currency")
        if self.debit == self.credit:
            raise ValueError("a transfer goes from one account to another")
        if type(self.amount) is not int or not 1 <= self.amount <= AMOUNT_MAX:
            raise ValueError(f"a transfer moves 1 to {AMOUNT_MAX} minor units")

    @property
    def id(self) -> bytes:
        text = f"hostel transfer 1\0{self.kind}\0{self.n}\0{self.cause}"
        return sha256(text.encode()).digest()[:16]


_SELECT_ACCOUNT = "SELECT id FROM accounts WHERE kind = :kind AND owner = :owner AND currency = :currency"
_INSERT_ACCOUNT = "INSERT INTO accounts (kind, owner, currency) VALUES (:kind, :owner, :currency) RETURNING id"
_INSERT_TRANSFER = """
    INSERT INTO transfers (id, batch_id, kind, phase, debit_account, credit_account, amount, currency, pending_id,
                           expires_us, order_id, refund_id, created_us)
    VALUES (:id, :batch, :kind, :phase, :debit, :credit, :amount, :currency, :pending,
            :expires_us, :order_id, :refund_id, :now_us)"""
_COVERED = "(kind = 'funding' OR credits_posted - debits_posted - debits_pending >= :amount)"
_NAMED = "kind = :kind AND owner = :owner AND currency = :currency"
_DEBIT = f"UPDATE accounts SET debits_posted = debits_posted + :amount WHERE {_NAMED} AND {_COVERED} RETURNING id"
_CREDIT = f"UPDATE accounts SET credits_posted = credits_posted + :amount WHERE {_NAMED} RETURNING id"
_HOLD_DEBIT = (
    f"UPDATE accounts SET debits_pending = debits_pending + :amount WHERE {_NAMED} AND {_COVERED} RETURNING id"
)
_HOLD_CREDIT = f"UPDATE accounts SET credits_pending = credits_pending + :amount WHERE {_NAMED} RETURNING id"
_SETTLE_DEBIT = """
    UPDATE accounts SET debits_pending = debits_pending - :held, debits_posted = debits_posted + :amount
    WHERE id = :id"""
_SETTLE_CREDIT = """
    UPDATE accounts SET credits_pending = credits_pending - :held, credits_posted = credits_posted + :amount
    WHERE id = :id"""
_PENDING = """
    SELECT kind, debit_account, credit_account, amount, currency, expires_us, order_id FROM transfers
    WHERE id = :id AND phase = 'pending'
      AND NOT EXISTS (SELECT 1 FROM transfers AS later WHERE later.pending_id = :id)"""


def _account_id(tx: Transaction, name: AccountName) -> int:
    """The account's row; opened if there is none yet."""
    key = {"kind": name.kind.value, "owner": name.owner, "currency": name.currency}
    rows = tx.execute(_SELECT_ACCOUNT, key) or tx.execute(_INSERT_ACCOUNT, key)
    return int(rows[0][0])


def _counted(tx: Transaction, counting: str, name: AccountName, amount: int, *, spends: bool) -> int:
    """Count the amount in one of the account's columns; the account's row. Opened if there is none yet; raises
    InsufficientFunds, with nothing written, where the account `spends` what it has not."""
    bindings = {"kind": name.kind.value, "owner": name.owner, "currency": name.currency, "amount": amount}
    rows = tx.execute(counting, bindings)
    if not rows:
        if spends and name.kind is not AccountKind.FUNDING:
            raise InsufficientFunds(f"{name.kind} account does not cover {amount} {name.currency}")
        _account_id(tx, name)
        rows = tx.execute(counting, bindings)
    return int(rows[0][0])


def move(
    tx: Transaction, legs: Sequence[Leg], *, order_id: str = "", refund_id: str = "", batch: bytes | None = None
) -> None:
    """Make the transfers, all or none, in order: a later leg may spend what an earlier one brought.

    `batch`: the id of the first transfer of the linked batch they belong to; their own first one by default.
    Raises InsufficientFunds. A repeat of any of them raises ConstraintViolated: callers look first.
    """
    with nullcontext() if len(legs) == 1 else tx.savepoint():  # one alone is refused before anything is written
        for leg in legs:
            _record(tx, leg, Phase.SINGLE, batch=batch or legs[0].id, order_id=order_id, refund_id=refund_id)


def hold(tx: Transaction, leg: Leg, *, expires_us: int, order_id: str) -> bytes:
    """Reserve the amount until it is posted, voided or `expires_us`; returns the pending transfer's id.

    Raises InsufficientFunds.
    """
    _record(tx, leg, Phase.PENDING, batch=leg.id, order_id=order_id, expires_us=expires_us)
    return leg.id


def _record(
    tx: Transaction,
    leg: Leg,
    phase: Phase,
    *,
    batch: bytes,
    order_id: str,
    refund_id: str = "",
    expires_us: int | None = None,
) -> None:
    take, give = (_HOLD_DEBIT, _HOLD_CREDIT) if phase is Phase.PENDING else (_DEBIT, _CREDIT)
    debit = _counted(tx, take, leg.debit, leg.amount, spends=True)
    credit = _counted(tx, give, leg.credit, leg.amount, spends=False)
    tx.execute(
        _INSERT_TRANSFER,
        {
            "id": leg.id,
            "batch": batch,
            "kind": leg.kind,
            "phase": phase.value,
            "debit": debit,
            "credit": credit,
            "amount": leg.amount,
            "currency": leg.debit.currency,
            "pending": None,
            "expires_us": expires_us,
            "order_id": order_id,
            "refund_id": refund_id,
            "now_us": tx.now_us,
        },
    )


def post(tx: Transaction, pending_id: bytes, amount: int) -> None:
    """Take `amount` of what is held and give the rest back. Raises NotPending, also when the hold's time is over;
    ValueError for an amount outside 1..held."""
    _resolve(tx, pending_id, Phase.POST, amount)


def void(tx: Transaction, pending_id: bytes) -> None:
    """Give all of what is held back, in time or after it: nothing expires here by itself. Raises NotPending."""
    _resolve(tx, pending_id, Phase.VOID, 0)


def _resolve(tx: Transaction, pending_id: bytes, phase: Phase, amount: int) -> None:
    rows = tx.execute(_PENDING, {"id": pending_id})
    if not rows:
        raise NotPending("there is no such hold, or it was posted or voided")
    kind, debit, credit, held, currency, expires_us, order_id = rows[0]
    if phase is Phase.POST and expires_us <= tx.now_us:
        raise NotPending("the hold's time is over")
    if phase is Phase.POST and not 1 <= amount <= held:
        raise ValueError(f"{amount} is not between 1 and the {held} held")
    with tx.savepoint():
        tx.execute(_SETTLE_DEBIT, {"id": debit, "held": held, "amount": amount})
        tx.execute(_SETTLE_CREDIT, {"id": credit, "held": held, "amount": amount})
        resolution = resolution_id(pending_id)
        tx.execute(
            _INSERT_TRANSFER,
            {
                "id": resolution,
                "batch": resolution,
                "kind": kind,
                "phase": phase.value,
                "debit": debit,
                "credit": credit,
                "amount": amount if phase is Phase.POST else held,
                "currency": currency,
                "pending": pending_id,
                "expires_us": None,
                "order_id": order_id,
                "refund_id": "",
                "now_us": tx.now_us,
            },
        )


def resolution_id(pending_id: bytes) -> bytes:
    """Of the transfer that posts or voids a hold: there is one at most."""
    return sha256(b"hostel resolution 1\0" + pending_id).digest()[:16]


def balance(tx: Transaction, name: AccountName) -> Balance:
    """Zeros for an account that was never used."""
    rows = tx.execute(
        "SELECT credits_posted - debits_posted, debits_pending, credits_pending FROM accounts"
        " WHERE kind = :kind AND owner = :owner AND currency = :currency",
        {"kind": name.kind.value, "owner": name.owner, "currency": name.currency},
    )
    posted, held, incoming = rows[0] if rows else (0, 0, 0)
    return Balance(posted=posted, held=held, incoming=incoming)


def deposit(tx: Transaction, *, user: str, money: Money, reference: str, new_salt: Callable[[], bytes]) -> bool:
    """An operator's: money from the world outside into a user's wallet. `reference` makes it happen once; it should
    name nobody, because its hash stays when the user is erased.

    True if it was made now, False if it had been made before with the same content. The audit gets a hash of the
    reference, the money, and the user as audit.subject, for which `new_salt` gives 16 random bytes.
    Raises DepositMismatch if the reference was used with other content, ValueError for a reference that is empty, too
    long or not printable.
    """
    if not 1 <= len(reference) <= REFERENCE_CHARS_MAX or not reference.isprintable():
        raise ValueError(f"a deposit's reference is 1 to {REFERENCE_CHARS_MAX} printable characters")
    wallet = AccountName(kind=AccountKind.WALLET, owner=user, currency=money.currency)
    funding = AccountName(kind=AccountKind.FUNDING, currency=money.currency)
    leg = Leg(kind="deposit", cause=reference, debit=funding, credit=wallet, amount=money.amount)
    made = tx.execute("SELECT credit_account, amount FROM transfers WHERE id = :id", {"id": leg.id})
    if not made:
        move(tx, (leg,))
        audit.record(
            tx,
            "ledger.deposited",
            reference=sha256(reference.encode()).hexdigest(),
            amount=money.amount,
            currency=money.currency,
            subject=audit.subject(tx, user, new_salt),
        )
        return True
    if made[0] != (_account_id(tx, wallet), money.amount):
        raise DepositMismatch(
            f"deposit {ascii(reference)[:80]} was made before, to another wallet or of another amount"
        )
    return False
