"""Numbered changes of the schema: files in schema/, applied in order, each once.

What lives here: which files there are and which are still to be applied. A new version of the schema is a new file
`NNNN_name.sql`, nothing else; an old file is never edited. A state directory that a newer hostel wrote is refused
by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from host_api.store.protocol import StoreError

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def label(self) -> str:
        """`0001_base`, as the file is called."""
        return f"{self.number:04}_{self.name}"


def known_migrations() -> tuple[Migration, ...]:
    """What this hostel brings, in order; numbered from 1 without a gap."""
    found = []
    for entry in files("host_api.store").joinpath("schema").iterdir():
        match = _NAME.match(entry.name)
        if match is None:
            raise RuntimeError(f"schema/{entry.name} is not called NNNN_name.sql")
        found.append(Migration(number=int(match[1]), name=match[2], sql=entry.read_text("utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise RuntimeError(f"schema files have gaps or repeats: {[migration.label for migration in found]}")
    return tuple(found)


def outstanding(applied: Iterable[tuple[int, str]], known: Sequence[Migration]) -> tuple[Migration, ...]:
    """What is still to be applied. Raises StoreError `state_too_new` or `state_damaged`."""
    count = 0
    for number, name in applied:
        count += 1
        if number > len(known):
            raise StoreError(
                "state_too_new",
                f"the state directory was written by a newer hostel (schema {number:04}_{name}; this one knows up to"
                f" {known[-1].label}): upgrade hostel, or restore the backup made before that upgrade",
            )
        if number != count or name != known[number - 1].name:
            raise StoreError(
                "state_damaged",
                f"the state directory has schema {number:04}_{name} where {known[count - 1].label} belongs:"
                " restore a backup",
            )
    return tuple(known[count:])
