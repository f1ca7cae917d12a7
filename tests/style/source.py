"""The project's own source, parsed: what the tests of style look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("runtime", "host_api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One Python file."""

    path: str
    """Relative to the repository."""
    text: str
    tree: ast.Module

    @property
    def unit(self) -> str:
        """The part of its package that it belongs to: `cli` for runtime/cli/run.py, `wire` for runtime/wire.py."""
        return Path(self.path).with_suffix("").parts[1]

    def imports(self) -> Iterator[str]:
        """Full names of what it imports, inside functions and for type checking too: `runtime.limits.Limits`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{name.name}" for name in node.names)


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below these folders."""
    files = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    texts = [(str(path.relative_to(ROOT)), path.read_text()) for path in files]
    return tuple(Source(path=path, text=text, tree=ast.parse(text)) for path, text in texts)
