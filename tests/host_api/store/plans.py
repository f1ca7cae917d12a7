"""SQLite's plan of each statement, and the rule for them: however many rows there are, no others are looked at."""

from __future__ import annotations

from contextlib import AbstractContextManager

from host_api.store import Transaction
from host_api.store.protocol import Bindings, Row


class Explained:
    """A `Transaction` that keeps the plan of each statement."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.now_us = tx.now_us
        self.plans: dict[str, list[str]] = {}

    def execute(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        self.plans[sql] = [row[3] for row in self._tx.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
        return self._tx.execute(sql, bindings)

    def savepoint(self) -> AbstractContextManager[None]:
        return self._tx.savepoint()


def all_by_index(plans: dict[str, list[str]], *, few: str = "none") -> None:
    """`few`: what a search finds few of, however many rows there are, so that they may be sorted for a LIMIT."""
    for sql, plan in plans.items():
        for step in plan:
            by_rowid = " WHERE " not in sql and "USE TEMP B-TREE FOR ORDER BY" not in plan
            walks_in_order = "LIMIT" in sql and (" USING " in step or by_rowid)
            given = step == "SCAN CONSTANT ROW" or "json_each" in step
            assert not step.startswith("SCAN ") or walks_in_order or given, (sql, plan)
            sorts = step == "USE TEMP B-TREE FOR ORDER BY" and not plan[0].endswith(few)
            assert not sorts or "LIMIT" not in sql, (sql, plan)
