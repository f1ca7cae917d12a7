"""`hostel audit verify`, `head` and `list`: the chain of records over every effect, proved and read."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from runtime.cli import report
from runtime.cli.proof import HeadFile, audit_key, on_existing, proved
from runtime.cli.state import State

if TYPE_CHECKING:
    from host_api.audit import Head
    from host_api.store import Store, Transaction

CHUNK: Final = 1_000
AsLines = Annotated[bool, Parameter(name="--json", help="One JSON document a record, each on a line of its own.")]


def verify(*, state: State, head: HeadFile = None, as_json: report.AsJson = False) -> None:
    """Recompute the audit's chain of hashes. Ends with 0 only if every record is as it was written and, with --head, if
    the chain begins with all that the head covers: without one, records cut off its end cannot be noticed."""
    from host_api import audit

    def proof(tx: Transaction, kept: Head | None, part: Callable[[str], None]) -> list[str]:
        part("audit")
        return [found for found in (audit.verify(tx, kept),) if found]

    now, kept = proved(state, head, proof, lambda tx, kept: (audit.head(tx), kept))
    if as_json:
        report.show_json({"records": now.n, "hash": now.hash.hex(), "begins_with": kept.n if kept else None})
    else:
        against = f" and begins with the {kept.n} of the head" if kept else ""
        report.show_line(f"the audit holds{against}: {now.n} records, the last with hash {now.hash.hex()}")


def head(*, state: State, as_json: report.AsJson = False) -> None:
    """Print the audit's head as JSON, signed with the host's key. Keep it outside of this machine: hostel audit verify
    --head proves with it that nothing before it was changed or cut off."""
    from host_api import audit
    from runtime import signed_head

    async def signed(store: Store) -> dict[str, Any]:
        key = await audit_key(store, state)
        return signed_head.sign(store.read(audit.head), store.now_us(), key).as_dict()

    report.show_json(on_existing(state, signed))


def list_(
    *,
    state: State,
    effect: Annotated[str, Parameter(help="Only this effect (order.succeeded), or all that begin so (order.).")] = "",
    app: Annotated[str, Parameter(help="Only what concerns the program with this id.")] = "",
    after: Annotated[int, Parameter(help="Only records with a higher number.")] = 0,
    as_json: AsLines = False,
) -> None:
    """Print the audit's records, one a line, oldest first. They are shown as they stand; hostel audit verify proves
    them."""
    from host_api import audit

    async def shows(store: Store) -> None:
        last = after
        while records := store.read(partial(audit.records_after, n=last, at_most=CHUNK)):
            for n, text in records:
                record = {"n": n, **json.loads(text)}
                if _asked_for(record, effect, app):
                    report.show_line(json.dumps(record, ensure_ascii=False) if as_json else _line(record))
            last = records[-1][0]

    on_existing(state, shows)


def _asked_for(record: dict[str, Any], effect: str, app: str) -> bool:
    same = record["effect"].startswith(effect) if effect.endswith(".") else effect in ("", record["effect"])
    return same and app in ("", record.get("app_id"))


def _line(record: dict[str, Any]) -> str:
    n, at_us, effect = record.pop("n"), record.pop("at_us"), record.pop("effect")
    at = datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC)
    rest = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in record.items())
    return f"{n:>8} {at:%Y-%m-%dT%H:%M:%SZ} {effect} {rest}"
