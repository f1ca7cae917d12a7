"""AssemblyScript: one main file, compiled by `asc`, which runs in node; `import … from "hostel"` is the SDK.

What lives here: where asc is looked for, its flags, which of its runtimes a program gets. Not the SDK.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from runtime.toolchains.process import MODULE, compiled
from runtime.toolchains.toolchain import BuildError, Built, Found, Missing

VERSION: Final = "0.28.20"
CURE: Final = f"npm install assemblyscript@{VERSION}"
PLACE: Final = "HOSTEL_ASC"
"""Environment variable: the path of `asc`."""
FLAGS: Final = (
    "-O3s", "--noColors",
    "--use", "abort=~lib/serve/abort", "--use", "seed=~lib/host/seed", "--use", "console=~lib/lines/lines",
)  # fmt: skip
"""Optimised; what AssemblyScript would import from the host is the SDK's own."""
NODE_FLAGS: Final = ("--enable-source-maps", "--liftoff-only")
"""Of node. Without the first asc starts a second node, with it; asc is WebAssembly for the most part, and has ended by
the time that optimising it would pay: half of a build."""
ALONE: Final = ("--config", f"{os.devnull}/none")
"""No file: a project's asconfig.json can name code that asc runs."""


class AssemblyScript:
    """As `Toolchain`."""

    language = "assemblyscript"
    main = "source/main.ts"
    sdk = "assemblyscript"

    def find(self) -> Found | Missing:
        return _find(Path.cwd())

    def build(self, project: Path, sdk: Path, root: Path) -> Built:
        found = _find(project)
        if isinstance(found, Missing):
            raise BuildError(f"{found.name} is not installed: {found.cure}")
        asc = _asc(project)
        # Paths in the module's messages are those from the project, wherever it lies; the SDK's begin with ~lib.
        places = ("--baseDir", project.relative_to(root).as_posix(), "--lib", sdk.relative_to(root).as_posix())
        arguments = (self.main, *places, *FLAGS, "--runtime", _runtime(project), "-o", MODULE)
        module = compiled([_node(), *NODE_FLAGS, str(asc), *arguments, *ALONE], f"{project.name}/{self.main}", root)
        return Built(module=module, compiler=found.name, command=("asc", *arguments))


def _find(project: Path) -> Found | Missing:
    asc = _asc(project)
    if asc is None:
        return Missing(name=f"assemblyscript {VERSION}", cure=CURE)
    if not _node():
        return Missing(name="node", cure="install Node.js 20 or newer, with npm")
    there = _version(asc)
    return Found(name=f"assemblyscript {there}", exact=there == VERSION)


def _asc(project: Path) -> Path | None:
    """The project's own before one that is named or lies on the path: what npm installed there was meant for it."""
    places = [project / "node_modules/assemblyscript/bin/asc.js"]
    if named := os.environ.get(PLACE) or shutil.which("asc"):
        places.append(Path(named).resolve())
    return next((place for place in places if place.is_file()), None)


def _node() -> str:
    return shutil.which("node") or ""


def _version(asc: Path) -> str:
    """As the package that it lies in says."""
    try:
        said = json.loads((asc.parent.parent / "package.json").read_text())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return "of an unknown version"
    return str(said)[:32]


def _runtime(project: Path) -> str:
    """A sandbox that answers one message is gone before memory is worth freeing; one that stays needs a collector."""
    try:
        told = json.loads((project / "bundle/manifest.json").read_text())["program"]["lifetime"]
    except (OSError, ValueError, KeyError, TypeError):
        return "stub"
    return "incremental" if told == "resident" else "stub"
