"""What a run found: rows with their bars, as a table and as JSON. Knows no subject."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `bar` is what is promised, `floor` what it must never be worse than; both in the figure's unit."""

    subject: str
    what: str
    value: float
    unit: str
    bar: float | None = None
    floor: float | None = None
    at_most: bool = True
    """False: more is better."""

    @property
    def verdict(self) -> str:
        """met, not met, below the floor; '' where nothing is promised."""
        if self.bar is None:
            return ""
        if self._holds(self.bar):
            return "met"
        return "not met" if self.floor is None or self._holds(self.floor) else "below the floor"

    def _holds(self, bound: float) -> bool:
        return self.value <= bound if self.at_most else self.value >= bound

    def bounds(self) -> str:
        """The bar as text: `≤ 45 (never 60)`."""
        if self.bar is None:
            return ""
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {_text(self.bar)}" + (f" (never {_text(self.floor)})" if self.floor is not None else "")


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def machine(scratch: Path) -> dict[str, str | int]:
    """What the figures depend on. `scratch`: where files were written."""
    model = platform.processor()
    with Path("/proc/cpuinfo").open() as info:
        model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), model)
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": _filesystem(scratch),
        **{name: version(name) for name in ("wasmtime", "trio", "apsw", "extism")},
    }


def _filesystem(path: Path) -> str:
    """The kind of file system that holds `path`: the longest mount point above it."""
    with Path("/proc/mounts").open() as mounts:
        kinds = {fields[1]: fields[2] for fields in map(str.split, mounts)}
    return next((kinds[str(parent)] for parent in (path, *path.parents) if str(parent) in kinds), "unknown")


def show(rows: Sequence[Row], about: Mapping[str, str | int], console: Console) -> None:
    """The table, one section a subject."""
    table = Table()
    for heading in ("", "figure", "unit", "bar", ""):
        table.add_column(heading, justify="right" if heading == "figure" else "left")
    subject = ""
    for row in rows:
        if row.subject != subject:
            subject = row.subject
            table.add_section()
            table.add_row(f"[bold]{subject}")
        colour = {"met": "green", "not met": "yellow", "below the floor": "red"}.get(row.verdict, "default")
        verdict = f"[{colour}]{row.verdict}"
        table.add_row(f"  {row.what}", _text(row.value), row.unit, row.bounds(), verdict)
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)


def document(rows: Sequence[Row], about: Mapping[str, str | int]) -> dict[str, Any]:
    """The run as plain values."""
    fields = ("subject", "what", "value", "unit", "bar", "floor", "at_most")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(about),
        "rows": [{**{name: getattr(row, name) for name in fields}, "verdict": row.verdict} for row in rows],
    }


def write(path: Path, rows: Sequence[Row], about: Mapping[str, str | int]) -> None:
    path.write_text(json.dumps(document(rows, about), indent=1, ensure_ascii=False) + "\n")
