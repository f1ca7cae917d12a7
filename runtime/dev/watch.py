"""What changed in a folder: times and sizes of its files, looked at again and again. Reads no file.

What lives here: which files count, and how many. Built modules do not: they change with every build.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeAlias

from runtime.bundle.refusal import shown
from runtime.errors import UsageError

FILES_MOST: Final = 5_000
SKIPPED: Final = frozenset({"node_modules", "__pycache__", "zig-out", "target", "scenarios"})
"""Folders that no build and no bundle reads; and those whose names begin with a dot."""
Seen: TypeAlias = dict[str, tuple[int, int]]
"""Path from the folder → time of the last change in ns, and size."""


def seen(folder: Path, *, but: frozenset[str] = frozenset()) -> Seen:
    """All files below it but the paths in `but`. One that vanishes meanwhile is not there. Raises UsageError where
    there are too many to look at."""
    found: Seen = {}
    waiting = [folder]
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.name.startswith(".") or entry.name in SKIPPED:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                    continue
                state = entry.stat()
            except OSError:
                continue
            path = Path(entry.path).relative_to(folder).as_posix()
            if path not in but:
                found[path] = state.st_mtime_ns, state.st_size
        if len(found) > FILES_MOST:
            raise UsageError(f"more than {FILES_MOST} files below {shown(str(folder))}: name the project's own folder")
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def changed(before: Seen, after: Seen) -> list[str]:
    """Paths that are new, gone or not as they were, in order."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
