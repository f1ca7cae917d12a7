"""Every constraint of the tables of money is needed: taken out, a row goes in that must not; and only that row's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio

from host_api.store import ConstraintViolated, Transaction
from host_api.store.migrations import known_migrations
from host_api.store.sqlite import MemoryStore
from runtime.testing import VirtualClock
from tests.mutation.rows import BREAKS, FIRST, VALID
from tests.mutation.schema import Constraint, constraints

CONSTRAINTS = constraints()


def insert(tx: Transaction, table: str, row: Mapping[str, Any]) -> None:
    columns = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    tx.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", dict(row))


def try_rows(known: Any, attempts: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Exception | None]:
    """What each attempt ends with, each on top of the first rows; the first rows themselves are the attempt ''."""

    async def run() -> dict[str, Exception | None]:
        store, ends = MemoryStore(VirtualClock(), known), {}
        rows = [(table, {**VALID[table], **changes}) for table, changes in FIRST]

        def one(tx: Transaction, table: str, row: Mapping[str, Any]) -> None:
            try:
                with tx.savepoint():
                    insert(tx, table, row)
                    raise KeyError("it went in")
            except KeyError:
                return

        def all_of(tx: Transaction) -> None:
            for table, row in rows:
                insert(tx, table, row)

        for label, job in {"": all_of, **{k: lambda tx, v=v: one(tx, *v) for k, v in attempts.items()}}.items():
            try:
                ends[label] = await store.write(job)
            except Exception as error:
                ends[label] = error
        await store.aclose()
        return ends

    return trio.run(run)


def breaking(constraint: Constraint) -> tuple[str, Mapping[str, Any]]:
    (changes,) = (row for label, row in BREAKS.items() if constraint.label.startswith(label))
    return constraint.table, {**VALID[constraint.table], **changes}


def test_a_valid_row_goes_in_and_no_breaking_one_does() -> None:
    valid = {f"valid {table}": (table, row) for table, row in VALID.items()}
    ends = try_rows(known_migrations(), {**valid, **{c.label: breaking(c) for c in CONSTRAINTS}})
    assert {label for label, end in ends.items() if end is None} == {"", *valid}
    assert {type(end) for end in ends.values()} == {type(None), ConstraintViolated}


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: c.label)
def test_without_it_something_wrong_goes_in(constraint: Constraint) -> None:
    ends = try_rows(constraint.without, {"breaking": breaking(constraint)})
    if ends[""] is not None:  # without it SQLite itself refuses to work: a key that others refer to
        assert "foreign key mismatch" in str(ends[""])
    else:
        assert ends["breaking"] is None


def test_there_is_a_breaking_row_for_each_and_each_is_of_one() -> None:
    labels = [constraint.label for constraint in CONSTRAINTS]
    assert len(labels) > 60
    assert [label for label in labels if sum(label.startswith(known) for known in BREAKS) != 1] == []
    assert [known for known in BREAKS if not any(label.startswith(known) for label in labels)] == []
