"""Whether a project's module is there, and of its sources: told as it is packed, checked or tested. None builds it."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Final

from runtime.cli import report
from runtime.errors import UsageError

RECORD: Final = "program.sources.json"
"""Where there is one, sources that it holds are not newer, whatever their times: a checkout gives them any order."""


def check_built(folder: Path) -> None:
    """Raises UsageError: a project has sources, and the module that its manifest names was not built of them yet."""
    manifest = folder / "bundle/manifest.json"
    if (folder / "bundle/program.wasm").exists() or not (folder / "source").is_dir() or not manifest.is_file():
        return
    if b'"program.wasm"' in manifest.read_bytes():
        named = shlex.quote(str(folder))
        raise UsageError(f"{named} has sources and no bundle/program.wasm: hostel build {named} makes it of them")


def warn_of_stale(folder: Path) -> list[str]:
    """A line where a source is newer than the module that was built of it; said on standard error too."""
    if not is_stale(folder):
        return []
    line = f"a source is newer than bundle/program.wasm; build it first: hostel build {shlex.quote(str(folder))}"
    report.say(f"warning: {line}")
    return [line]


def is_stale(folder: Path) -> bool:
    """A source is younger than the module that was built of it, and not one of the record's."""
    module, source = folder / "bundle/program.wasm", folder / "source"
    if not module.is_file() or not source.is_dir():
        return False
    built = module.stat().st_mtime_ns
    newer = [file for file in source.rglob("*") if file.is_file() and file.stat().st_mtime_ns > built]
    recorded = _recorded(folder / RECORD) if newer else set()
    return any(hashlib.sha256(file.read_bytes()).hexdigest() not in recorded for file in newer)


def _recorded(record: Path) -> set[str]:
    try:
        return set(json.loads(record.read_bytes())["sources"].values())
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return set()
