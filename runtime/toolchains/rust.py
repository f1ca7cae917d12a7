"""Rust: two crates, the SDK and the program, compiled by a `rustc` that has the standard library of WebAssembly.

What lives here: which compiler and linker are taken, and their flags. No cargo: a program has no other dependency.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from runtime.toolchains.process import MODULE, compiled
from runtime.toolchains.toolchain import BuildError, Built, Found, Missing

TARGET: Final = "wasm32-unknown-unknown"
EXACT: Final = ("rustc 1.63.0", "Debian LLD 14.0.6")
"""Debian 12's own, in the very words: another build of the same version has other bytes."""
CURE: Final = (
    f"rustup target add {TARGET}; or on Debian: "
    "apt-get install --no-install-recommends rustc libstd-rust-dev-wasm32 lld-14"
)
LINKERS: Final = ("wasm-ld-14", "wasm-ld")
"""Where the compiler has none of its own."""
STACK_BYTES: Final = 65_536
LIBRARY: Final = "libhostel.rlib"
SECONDS_MOST: Final = 2.0
"""For one question, which takes some hundredths where the machine is not busy."""
FLAGS: Final = (
    "--edition=2021", f"--target={TARGET}", "-Copt-level=z", "-Cpanic=abort", "-Ccodegen-units=1",
    "-Ctarget-feature=+bulk-memory",
)  # fmt: skip
LIBRARY_FLAGS: Final = ("--crate-type=rlib", "--crate-name=hostel", "-Clinker-plugin-lto")
PROGRAM_FLAGS: Final = (
    "--crate-type=cdylib", "--crate-name=program", "-Clto=fat", "-Cstrip=symbols",
    f"-Clink-arg=-zstack-size={STACK_BYTES}",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """A compiler that can do it."""

    rustc: str
    version: str
    linker: str | None
    """None: its own."""


class Rust:
    """As `Toolchain`. The compiler is `$RUSTC`, else the one on the path, else Debian's."""

    language = "rust"
    main = "source/main.rs"
    sdk = "rust"

    def find(self) -> Found | Missing:
        tools = _tools()
        if tools is None:
            return Missing(name=f"rustc with {TARGET}", cure=CURE)
        linked_by = _answer(tools.linker, "--version") if tools.linker else ""
        return Found(name=tools.version, exact=(tools.version, linked_by) == EXACT)

    def build(self, project: Path, sdk: Path, root: Path) -> Built:
        tools = _tools()
        if tools is None:
            raise BuildError(f"no rustc that can make WebAssembly: {CURE}")
        folder, library = project.relative_to(root).as_posix(), sdk.relative_to(root).as_posix()
        # What file!() and a panic say is the same wherever project and SDK lie.
        common = [*FLAGS, f"--remap-path-prefix={library}=hostel"]
        of_program = [] if folder == "." else [f"--remap-path-prefix={folder}/source=source"]
        first = [*common, *LIBRARY_FLAGS, "-o", MODULE, f"{library}/lib.rs"]
        linker = [f"-Clinker={tools.linker}"] if tools.linker else []
        second = [*common, *of_program, *PROGRAM_FLAGS, *linker]
        source = (project / self.main).relative_to(root).as_posix()
        last = ("-o", MODULE, source)
        with tempfile.TemporaryDirectory() as out:
            made = Path(out) / LIBRARY
            sources = tuple(file.read_bytes() for file in sorted(sdk.glob("*.rs")))
            made.write_bytes(_library((tools.rustc, *first), root, sources))
            module = compiled([tools.rustc, *second, f"--extern=hostel={made}", *last], source, root)
        typed = ("rustc", *(LIBRARY if part == MODULE else part for part in first))
        command = (*typed, "&&", "rustc", *second, f"--extern=hostel={LIBRARY}", *last)
        return Built(module=module, compiler=tools.version, command=command)


@lru_cache(maxsize=1)
def _library(command: tuple[str, ...], root: Path, sources: tuple[bytes, ...]) -> bytes:
    """The SDK's crate, of its `sources` as they are now: kept for the next build of this process, as `hostel dev` makes
    one after the other."""
    return compiled(command, command[-1], root)


def _tools() -> _Tools | None:
    """The first compiler that has the target's library and a linker: the file itself, not rustup's stand-in for it,
    which runs whatever a rust-toolchain.toml in the project says."""
    for named in _compilers():
        root = Path(_answer(named, "--print=sysroot") or os.devnull)
        folder = root / "lib/rustlib"
        if not (folder / TARGET / "lib").is_dir():
            continue
        rustc = str(itself) if (itself := root / "bin/rustc").is_file() else named
        own = any(folder.glob("*/bin/rust-lld"))
        linker = next((name for name in LINKERS if shutil.which(name)), None)
        if own or linker:
            return _Tools(rustc=rustc, version=_answer(rustc, "--version"), linker=None if own else linker)
    return None


def _compilers() -> Iterator[str]:
    if chosen := os.environ.get("RUSTC"):
        yield chosen
    else:
        yield from ("rustc", "/usr/bin/rustc")


def _answer(program: str, question: str) -> str:
    """The line that a program says to that; "" where it cannot be asked."""
    try:
        done = subprocess.run(
            [program, question], cwd=os.sep, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=SECONDS_MOST,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
