"""The compilers that programs are built with. One file a language, each a `Toolchain`; here is which there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtime.toolchains.assemblyscript import AssemblyScript
from runtime.toolchains.c import C
from runtime.toolchains.rust import Rust
from runtime.toolchains.toolchain import BuildError, Built, Found, Missing, Toolchain
from runtime.toolchains.zig import Zig

__all__ = ["TOOLCHAINS", "BuildError", "Built", "Found", "Missing", "Toolchain"]

TOOLCHAINS: Final[Mapping[str, Toolchain]] = {
    "c": C(),
    "zig": Zig(),
    "rust": Rust(),
    "assemblyscript": AssemblyScript(),
}
"""By language, in the order in which they are shown."""
