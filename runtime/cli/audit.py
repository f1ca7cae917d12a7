"""`hostel audit verify`, `head` and `list`: the chain of records over every effect, proved and read."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.door import UNNAMED, Door
from runtime.cli.proof import HeadFile, proved

if TYPE_CHECKING:
    from runtime.client import Client

RECORDS_MAX = 1_000
"""Asked for at once."""
AsLines = Annotated[bool, Parameter(name="--json", help="One JSON document a record, each on a line of its own.")]


def verify(*, door: Door = UNNAMED, head: HeadFile = None, as_json: report.AsJson = False) -> None:
    """Recompute the audit's chain of hashes. Ends with 0 only if every record is as it was written and, with --head, if
    the chain begins with all that the head covers: without one, records cut off its end cannot be noticed."""
    found, kept = proved(door, head, audit_only=True)
    now = found.head
    if as_json:
        report.show_json({"records": now.n, "hash": now.hash.hex(), "begins_with": kept.n if kept else None})
    else:
        against = f" and begins with the {kept.n} of the head" if kept else ""
        report.show_line(f"the audit holds{against}: {now.n} records, the last with hash {now.hash.hex()}")


def head(*, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Print the audit's head as JSON, signed with the host's key. Keep it outside of this machine: hostel audit verify
    --head proves with it that nothing before it was changed or cut off."""

    async def signed(client: Client) -> dict[str, Any]:
        return (await client.signed_head()).as_dict()

    report.show_json(door.ask(signed))


def list_(
    *,
    door: Door = UNNAMED,
    effect: Annotated[str, Parameter(help="Only this effect (order.succeeded), or all that begin so (order.).")] = "",
    app: Annotated[str, Parameter(help="Only what concerns the program with this id.")] = "",
    after: Annotated[int, Parameter(help="Only records with a higher number.")] = 0,
    as_json: AsLines = False,
) -> None:
    """Print the audit's records, one a line, oldest first. They are shown as they stand; hostel audit verify proves
    them."""

    async def shows(client: Client) -> None:
        last, looked_at = after, -1
        while last != looked_at:
            looked_at = last
            records, last = await client.audit_records(last, RECORDS_MAX, effect=effect, app=app)
            for n, text in records:
                record = {"n": n, **json.loads(text)}
                report.show_line(json.dumps(record, ensure_ascii=False) if as_json else _line(record))

    door.ask(shows)


def _line(record: dict[str, Any]) -> str:
    n, at_us, effect = record.pop("n"), record.pop("at_us"), record.pop("effect")
    at = datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC)
    rest = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in record.items())
    return f"{n:>8} {at:%Y-%m-%dT%H:%M:%SZ} {effect} {rest}"
