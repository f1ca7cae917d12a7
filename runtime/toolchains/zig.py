"""Zig: one root file, compiled freestanding by `ziglang`; `@import("hostel")` is the SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runtime.toolchains import ziglang
from runtime.toolchains.process import MODULE
from runtime.toolchains.toolchain import Built, Found, Missing

STACK_BYTES: Final = 32_768
"""Also the size of the inbox: hostel.zig tells why the two are one number."""
MEMORY_BYTES, MEMORY_BYTES_MAX = 131_072, 1_048_576
EXPORTS: Final = ("hostel_alloc", "hostel_handle", "hostel_inbox", "hostel_inbox_size")
# ReleaseSafe: a sum that overflows traps in place of a wrong amount; modules are a third larger than of ReleaseSmall.
FLAGS: Final = (
    "-target", "wasm32-freestanding", "-O", "ReleaseSafe", "-fstrip", "-fno-entry", "--name", "program",
    "--stack", str(STACK_BYTES), f"--initial-memory={MEMORY_BYTES}", f"--max-memory={MEMORY_BYTES_MAX}",
    *(f"--export={name}" for name in EXPORTS),
)  # fmt: skip


class Zig:
    """As `Toolchain`."""

    language = "zig"
    main = "source/main.zig"
    sdk = "zig"

    def find(self) -> Found | Missing:
        return ziglang.find()

    def build(self, project: Path, sdk: Path, root: Path) -> Built:
        source = (project / self.main).relative_to(root).as_posix()
        library = (sdk / "hostel.zig").relative_to(root).as_posix()
        modules = ("--dep", "hostel", f"-Mroot={source}", f"-Mhostel={library}")
        return ziglang.build(["build-exe", *FLAGS, f"-femit-bin={MODULE}", *modules], source, root)
