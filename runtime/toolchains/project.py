"""A project's folder and the toolchain it is for: found by its main source, built into its bundle.

What lives here: which language a project is written in, which SDK it is built against, and where the module goes. How
each language is compiled stands in its own file.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Final

from runtime.toolchains import TOOLCHAINS
from runtime.toolchains.toolchain import BuildError, Built, Missing, Toolchain

MODULE: Final = "bundle/program.wasm"
SDK: Final = "sdk"
"""A project's own copy of its language's SDK, as hostel new makes it."""


def toolchain_of(folder: Path) -> Toolchain | None:
    """Of the language that the project is written in; None where there is nothing to compile."""
    return next((one for one in TOOLCHAINS.values() if (folder / one.main).is_file()), None)


def sdk_of(folder: Path, toolchain: Toolchain) -> Path:
    """The project's own, else the one that this package brings."""
    own = folder / SDK
    return own if own.is_dir() else Path(str(files("host_api"))) / "guest" / toolchain.sdk


def build_project(folder: Path) -> Built | None:
    """Compiles the project, and puts the module into its bundle where it is not there already. None: nothing is to be
    compiled, as for a script. Raises BuildError, also where the toolchain is missing."""
    folder = folder.resolve()
    toolchain = toolchain_of(folder)
    if toolchain is None or toolchain.language == "javascript":
        return None
    if isinstance(found := toolchain.find(), Missing):
        raise BuildError(f"{found.name} is not here: {found.cure}")
    sdk = sdk_of(folder, toolchain).resolve()
    built = toolchain.build(folder, sdk, Path(os.path.commonpath((folder, sdk))))
    target = folder / MODULE
    if not target.is_file() or target.read_bytes() != built.module:
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        target.parent.mkdir(exist_ok=True)
        aside.write_bytes(built.module)
        aside.replace(target)
    return built
