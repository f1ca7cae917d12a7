"""The zig that the package `ziglang` brings: the compiler of C, of Zig and of the JavaScript engine.

What lives here: whether it is there, which version is ours, how it is started. No flag of a language.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from runtime.toolchains.process import compiled
from runtime.toolchains.toolchain import BuildError, Built, Found, Missing

VERSION: Final = "0.17.1"
CURE: Final = f"pip install ziglang=={VERSION}"


def find() -> Found | Missing:
    """As `Toolchain.find`."""
    try:
        there = version("ziglang")
    except PackageNotFoundError:
        return Missing(name=f"ziglang {VERSION}", cure=CURE)
    return Found(name=f"ziglang {there}", exact=there == VERSION)


def build(arguments: Sequence[str], what: str, root: Path) -> Built:
    """What `python -m ziglang` makes of these, run in `root`. Raises BuildError."""
    found = find()
    if isinstance(found, Missing):
        raise BuildError(f"{found.name} is not installed: {found.cure}")
    # -P: the package itself, not what a project has of that name: Python looks into the folder it runs in first.
    module = compiled([sys.executable, "-P", "-m", "ziglang", *arguments], what, root)
    return Built(module=module, compiler=found.name, command=("python", "-m", "ziglang", *arguments))
