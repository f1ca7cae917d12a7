"""The schema with one constraint taken out: every CHECK, UNIQUE, REFERENCES and compound key of the tables of money and
of the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from host_api.store.migrations import Migration, known_migrations

TABLES = (
    "accounts", "transfers", "merchants", "orders", "confirmations", "payment_usage", "idempotency", "refunds",
    "events", "audit", "prompts", "developers", "developer_keys", "modules", "assets", "asset_lists", "scripts",
    "releases", "refused_uploads", "programs", "trial_users",
)  # fmt: skip
_TABLE = re.compile(r"CREATE TABLE (\w+) \(\n(.*?)\n\) STRICT;", re.DOTALL)
_COLUMN = re.compile(r"ALTER TABLE (\w+) ADD COLUMN ([^;]*);", re.DOTALL)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_STARTS = re.compile(r"\b(CHECK \(|UNIQUE \(|UNIQUE|REFERENCES \w+ \(|PRIMARY KEY \(|(?:TEXT|BLOB) PRIMARY KEY)")


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint, and the migrations without it."""

    table: str
    text: str
    without: tuple[Migration, ...]

    @property
    def label(self) -> str:
        return f"{self.table}: {self.text}"


def constraints(known: Sequence[Migration] | None = None) -> list[Constraint]:
    """All of them, in the order in which the schema has them."""
    migrations = known_migrations() if known is None else tuple(known)
    return [
        Constraint(table, shown, (*migrations[:n], replace(migration, sql=sql), *migrations[n + 1 :]))
        for n, migration in enumerate(migrations)
        for table, shown, sql in _cuts(_COMMENT.sub("", migration.sql))
        if table in TABLES
    ]


def _cuts(sql: str) -> Iterator[tuple[str, str, str]]:
    """Table, constraint, and the SQL without it."""
    for found in (*_TABLE.finditer(sql), *_COLUMN.finditer(sql)):
        table, body, start = found[1], found[2], found.start(2)
        for item_start, item in _items(body):
            for kept, constraint in _without(item):
                changed = body[:item_start] + kept + body[item_start + len(item) :]
                changed = re.sub(r",(\s*),", r",\1", re.sub(r",\s*\Z", "", changed))
                column = "" if item.strip() == constraint else f"{item.split()[0]} "
                yield table, column + " ".join(constraint.split()), sql[:start] + changed + sql[found.end(2) :]


def _items(body: str) -> Iterator[tuple[int, str]]:
    """Columns and constraints of a table, with where they begin."""
    depth, start = 0, 0
    for at, character in enumerate(body):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            yield start, body[start:at]
            start = at + 1
    yield start, body[start:]


def _without(item: str) -> Iterator[tuple[str, str]]:
    """The item without each of its constraints, and that constraint."""
    if re.match(r"\s*(CONSTRAINT|CHECK|UNIQUE|PRIMARY)\b", item):
        yield "", item.strip()
        return
    for found in _STARTS.finditer(item):
        if _depth(item[: found.start()]):
            continue
        end = _closing(item, found.end()) if found[0].endswith("(") else found.end()
        kept = f"{found[0][:4]} NOT NULL" if found[0].endswith(" PRIMARY KEY") else ""
        yield item[: found.start()] + kept + item[end:], item[found.start() : end]


def _depth(text: str) -> int:
    return text.count("(") - text.count(")")


def _closing(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    raise ValueError(f"no closing bracket in {text!r}")
