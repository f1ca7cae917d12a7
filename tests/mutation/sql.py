"""Statements changed on their way to the database: a condition left out, an edge moved by one, a write not made.

The code is as it is; only what it says to the store is another thing. Statements are found by running the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from host_api.store.protocol import Row, Store, Transaction

T = TypeVar("T")
_END = re.compile(r"\b(ORDER BY|LIMIT|RETURNING|ON CONFLICT|GROUP BY)\b|\)")
_EDGE = re.compile(r"(<=|>=|<|>)(?= :)|(?<= )(<=|>=|<|>)(?= \d)")
_OTHER_EDGE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
WRITES_MOST = 10_000
_WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One statement and what is run in its place; None: nothing is."""

    sql: str
    instead: str | None
    what: str

    @property
    def label(self) -> str:
        return f"{' '.join(self.sql.split())[:100]} … {self.what}"


def mutants(statements: list[str]) -> list[Mutant]:
    return [mutant for sql in statements for mutant in _of(sql)]


def _of(sql: str) -> Iterator[Mutant]:
    if sql.lstrip().startswith(_WRITES):
        yield Mutant(sql, None, "not run")
    for start, end in _wheres(sql):
        parts = _conjuncts(sql[start:end])
        for n, part in enumerate(parts):
            rest = " AND ".join([*parts[:n], *parts[n + 1 :]]) or "1"
            yield Mutant(sql, f"{sql[:start]} {rest} {sql[end:]}", f"without {' '.join(part.split())}")
    for found in _EDGE.finditer(sql):
        other = _OTHER_EDGE[found[0]]
        yield Mutant(
            sql, sql[: found.start()] + other + sql[found.end() :], f"{found[0]} at {found.start()} is {other}"
        )


def _wheres(sql: str) -> Iterator[tuple[int, int]]:
    """Where each condition begins and ends."""
    for found in re.finditer(r"\bWHERE\b", sql):
        depth, at = 0, found.end()
        while at < len(sql):
            if sql[at] == "(":
                depth += 1
            elif depth == 0 and _END.match(sql, at) and not sql[at - 1].isalnum():
                break
            elif sql[at] == ")":
                depth -= 1
            at += 1
        yield found.end(), at


def _conjuncts(condition: str) -> list[str]:
    parts, depth, start, between = [], 0, 0, False
    for found in re.finditer(r"[()]|\bBETWEEN\b|\bAND\b", condition):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth:
            continue
        if found[0] == "AND" and not between:
            parts.append(condition[start : found.start()])
            start = found.end()
        between = found[0] == "BETWEEN" or (between and found[0] != "AND")
    return [*parts, condition[start:]]


class _Changed:
    """A transaction that runs `instead` where `sql` is meant."""

    def __init__(self, tx: Transaction, change: Callable[[str], str | None]) -> None:
        self._tx = tx
        self._change = change
        self.now_us = tx.now_us

    def execute(self, sql: str, bindings: Any = ()) -> list[Row]:
        instead = self._change(sql)
        return [] if instead is None else self._tx.execute(instead, bindings)

    def savepoint(self) -> AbstractContextManager[None]:
        return self._tx.savepoint()


class ChangedStore:
    """A store before a store; every statement goes through `change`."""

    def __init__(self, store: Store, change: Callable[[str], str | None]) -> None:
        self._store = store
        self._change = change
        self._writes = 0
        self.now_us = store.now_us
        self.scrub = store.scrub
        self.aclose = store.aclose

    async def write(self, job: Callable[[Transaction], T]) -> T:
        self._writes += 1
        if self._writes > WRITES_MOST:
            raise AssertionError("with this change something never ends")
        return await self._store.write(lambda tx: job(_Changed(tx, self._change)))

    def read(self, job: Callable[[Transaction], T]) -> T:
        return self._store.read(lambda tx: job(_Changed(tx, self._change)))
