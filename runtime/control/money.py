"""Methods for money: deposits, balances, and how an order stands."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from host_api.contract import Result
from host_api.ledger import REFERENCE_CHARS_MAX, AccountKind, AccountName, Balance
from host_api.money import Money
from runtime.control.method import AppId, ControlMethod, ControlParams, Id, Role, User

_BALANCE: Final = {"posted": 10_000, "held": 0, "incoming": 0}


class Deposit(ControlParams, frozen=True, kw_only=True):
    user: Annotated[User, Meta(min_length=1)]
    money: Money
    reference: Annotated[str, Meta(min_length=1, max_length=REFERENCE_CHARS_MAX)] | None = None
    """Booked once, however often it is sent; `$key` where this is left out."""


class Deposited(Result, frozen=True, kw_only=True):
    booked: bool
    """False: the reference was booked before, and nothing happened."""


class BalanceOf(ControlParams, frozen=True, kw_only=True):
    account: AccountName


class BalanceTold(Result, frozen=True, kw_only=True):
    balance: Balance


class Balances(ControlParams, frozen=True, kw_only=True):
    owner: User = ""
    """A user or program: its accounts; '': sums over all accounts by kind and currency."""


class AccountRow(Result, frozen=True, kw_only=True):
    kind: AccountKind
    currency: str
    accounts: int
    balance: Balance


class BalancesTold(Result, frozen=True, kw_only=True):
    rows: tuple[AccountRow, ...]


class OrderOf(ControlParams, frozen=True, kw_only=True):
    app: AppId
    order_id: Id


class OrderTold(Result, frozen=True, kw_only=True):
    status: str
    close_reason: str | None
    """Why, of a closed one."""


DEPOSIT: Final = ControlMethod(
    name="deposit", role=Role.OPERATOR, params=Deposit, result=Deposited, effect=True, keyed=True,
    summary="Money from outside into a user's wallet.",
    example={"user": "alice", "money": {"amount": 10_000, "currency": "CNY"}, "$key": "topup-2026-0001"},
    answer={"booked": True},
)  # fmt: skip
BALANCE: Final = ControlMethod(
    name="balance", role=Role.AUDITOR, params=BalanceOf, result=BalanceTold, effect=False, waits=False,
    summary="What lies in one account; zeros where it was never used.",
    example={"account": {"kind": "wallet", "owner": "alice", "currency": "CNY"}}, answer={"balance": _BALANCE},
)  # fmt: skip
BALANCES: Final = ControlMethod(
    name="balances", role=Role.AUDITOR, params=Balances, result=BalancesTold, effect=False, waits=False,
    summary="The accounts of one owner, or sums over all of them.", example={"owner": "alice"},
    answer={"rows": [{"kind": "wallet", "currency": "CNY", "accounts": 1, "balance": _BALANCE}]},
)  # fmt: skip
ORDER: Final = ControlMethod(
    name="order", role=Role.CALLER, params=OrderOf, result=OrderTold, effect=False, waits=False,
    summary="How an order stands now: for a front end that has answered its prompt.",
    example={"app": "org.example.grocery", "order_id": "5f0e1d2c3b4a5968"},
    answer={"status": "succeeded", "close_reason": None},
)  # fmt: skip

METHODS: Final = (DEPOSIT, BALANCE, BALANCES, ORDER)
