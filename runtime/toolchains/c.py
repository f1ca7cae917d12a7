"""C: one source file, compiled freestanding by the clang in `ziglang`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runtime.toolchains import ziglang
from runtime.toolchains.process import MODULE
from runtime.toolchains.toolchain import Built, Found, Missing

STACK_BYTES: Final = 16_384
"""Also the size of the inbox: hostel.h tells why the two are one number."""
MEMORY_BYTES, MEMORY_BYTES_MAX = 131_072, 524_288
FLAGS: Final = (
    "-target", "wasm32-freestanding", "-std=c11", "-Oz", "-s", "-nostdlib", "-Wall", "-Wextra", "-Werror",
    "-Wl,--no-entry", f"-Wl,-z,stack-size={STACK_BYTES}",
    f"-Wl,--initial-memory={MEMORY_BYTES}", f"-Wl,--max-memory={MEMORY_BYTES_MAX}",
    "-Wl,--export=hostel_inbox", "-Wl,--export=hostel_inbox_size",
)  # fmt: skip


class C:
    """As `Toolchain`."""

    language = "c"
    main = "source/main.c"
    sdk = "c"
    flags = FLAGS

    def find(self) -> Found | Missing:
        return ziglang.find()

    def build(self, project: Path, sdk: Path, root: Path) -> Built:
        folder, headers = project.relative_to(root).as_posix(), sdk.relative_to(root).as_posix()
        source = (project / self.main).relative_to(root).as_posix()
        # What __FILE__ says is the same wherever the project lies.
        places = () if folder == "." else (f"-fmacro-prefix-map={folder}/=",)
        return ziglang.build(["cc", *self.flags, *places, f"-I{headers}", "-o", MODULE, source], source, root)
