"""`hostel ledger verify` and `balance`: everything the host keeps, recomputed; and what lies in the accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.door import UNNAMED, Door
from runtime.cli.proof import HeadFile, proved
from runtime.errors import UsageError

if TYPE_CHECKING:
    from host_api.balances import Total


def verify(*, door: Door = UNNAMED, head: HeadFile = None, as_json: report.AsJson = False) -> None:
    """Recompute ledger, payments, events and audit from what they were made of. Ends with 0 only if all of it holds;
    the first difference is named, and with --json the first hundred."""
    found, kept = proved(door, head)
    counts = {"audit_records" if name == "audit" else name: count for name, count in found.rows.items()}
    if as_json:
        report.show_json({**counts, "begins_with": kept.n if kept else None})
    else:
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        against = f", and the audit begins with the {kept.n} of the head" if kept else ""
        report.show_line(f"everything holds{against}: {told}")


def balance(
    *name: Annotated[str, Parameter(show=False)],
    door: Door = UNNAMED,
    owner: Annotated[str, Parameter(help="A user or program: its accounts, instead of sums over all of them.")] = "",
    as_json: report.AsJson = False,
) -> None:
    """Show what lies in the ledger's accounts: sums by kind and currency, or the accounts of one owner. With --json,
    amounts are in minor units."""
    if name:
        raise UsageError(
            "ledger balance takes no name: hostel user show NAME shows what a user has, and --owner NAME the accounts"
        )

    rows = [_row(total) for total in door.ask(lambda client: client.balances(owner))]
    if as_json:
        report.show_json(rows)
    else:
        columns = ("kind", "currency", ">accounts", ">available", ">held", ">incoming")
        report.show_table(columns, [_shown(row) for row in rows])


def _row(total: Total) -> dict[str, Any]:
    balance = total.balance
    amounts = {"available": balance.available, "held": balance.held, "incoming": balance.incoming}
    return {"kind": str(total.kind), "currency": total.currency, "accounts": total.accounts, **amounts}


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
