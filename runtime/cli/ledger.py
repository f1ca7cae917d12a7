"""`hostel ledger verify` and `balance`: everything the host keeps, recomputed; and what lies in the accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.proof import HeadFile, on_existing, proved
from runtime.cli.state import State

if TYPE_CHECKING:
    from host_api.ledger import Balance
    from host_api.store import Store, Transaction

_COUNTED: Final = ("accounts", "transfers", "orders", "refunds", "events", "audit")


def verify(*, state: State, head: HeadFile = None, as_json: report.AsJson = False) -> None:
    """Recompute ledger, payments, events and audit from what they were made of. Ends with 0 only if all of it holds;
    the first difference is named, and with --json the first hundred."""
    from runtime import verification

    counts, kept = proved(state, head, verification.verify, lambda tx, kept: (_counts(tx), kept))
    if as_json:
        report.show_json({**counts, "begins_with": kept.n if kept else None})
    else:
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        against = f", and the audit begins with the {kept.n} of the head" if kept else ""
        report.show_line(f"everything holds{against}: {told}")


def _counts(tx: Transaction) -> dict[str, int]:
    """Rows by table, for whoever wonders how much was looked at."""
    counts = {name: int(tx.execute(f"SELECT count(*) FROM {name}")[0][0]) for name in _COUNTED}
    return {"audit_records" if name == "audit" else name: count for name, count in counts.items()}


def balance(
    *,
    state: State,
    owner: Annotated[str, Parameter(help="A user or program: its accounts, instead of sums over all of them.")] = "",
    as_json: report.AsJson = False,
) -> None:
    """Show what lies in the ledger's accounts: sums by kind and currency, or the accounts of one owner. With --json,
    amounts are in minor units."""

    async def read(store: Store) -> list[dict[str, Any]]:
        return store.read(lambda tx: _rows(tx, owner))

    rows = on_existing(state, read)
    if as_json:
        report.show_json(rows)
    else:
        columns = ("kind", "currency", ">accounts", ">available", ">held", ">incoming")
        report.show_table(columns, [_shown(row) for row in rows])


def _rows(tx: Transaction, owner: str) -> list[dict[str, Any]]:
    from host_api import balances

    if owner:
        return [_row(name.kind, name.currency, 1, told) for name, told in balances.of_owner(tx, owner)]
    return [_row(total.kind, total.currency, total.accounts, total.balance) for total in balances.totals(tx)]


def _row(kind: str, currency: str, accounts: int, told: Balance) -> dict[str, Any]:
    amounts = {"available": told.available, "held": told.held, "incoming": told.incoming}
    return {"kind": str(kind), "currency": currency, "accounts": accounts, **amounts}


def _shown(row: dict[str, Any]) -> tuple[object, ...]:
    amounts = (decimal(row[name], row["currency"]) for name in ("available", "held", "incoming"))
    return row["kind"], row["currency"], row["accounts"], *amounts


def decimal(amount: int, currency: str) -> str:
    """In the currency's own unit, for a column of a table: also 0 and less, which no Money is."""
    from host_api.money import EXPONENTS

    exponent = EXPONENTS[currency]
    digits = f"{abs(amount):0{exponent + 1}}"
    text = f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
    return f"-{text}" if amount < 0 else text
