"""The proof that everything the host keeps holds together: ledger, orders, events and audit, all of it recomputed.

What lives here: which proofs there are, and their order. Each is in the file of what it proves.
"""

from __future__ import annotations

from collections.abc import Callable

from host_api import audit, reconciliation
from host_api.events import verification as events
from host_api.payment import verification as payments
from host_api.store import Transaction


def verify(tx: Transaction, head: audit.Head | None = None, progress: Callable[[str], None] | None = None) -> list[str]:
    """What is wrong, one line each; empty when all holds. `head`: what the audit must begin with; `progress` is told
    the name of each part before it is looked at."""
    parts: tuple[tuple[str, Callable[[Transaction], list[str]]], ...] = (
        ("ledger", reconciliation.verify),
        ("payments", payments.verify),
        ("events", events.verify),
        ("audit", lambda tx: [found for found in (audit.verify(tx, head),) if found]),
    )
    findings = []
    for name, proof in parts:
        if progress is not None:
            progress(name)
        findings += [f"{name}: {finding}" for finding in proof(tx)]
    return findings
