"""Builds the guests of the suite: each NAME.wat and NAME.c beside this file becomes NAME.wasm. The modules are kept, so
that nobody needs a compiler to judge a host; `--check` says which do not fit their sources, by guests.sources.json.

    python tests/conformance/guests/build.py [--check]
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORD = HERE / "guests.sources.json"
SDK = "host_api/guest/c"
C_FLAGS = (
    "-target", "wasm32-freestanding", "-std=c11", "-Oz", "-s", "-nostdlib", "-Wall", "-Wextra", "-Werror",
    "-Wl,--no-entry", "-Wl,-z,stack-size=16384", "-Wl,--initial-memory=131072", "-Wl,--max-memory=33554432",
    "-Wl,--export=hostel_inbox", "-Wl,--export=hostel_inbox_size",
)  # fmt: skip


def sources() -> list[Path]:
    return sorted([*HERE.glob("*.wat"), *HERE.glob("*.c")])


def build(source: Path) -> bytes:
    if source.suffix == ".wat":
        import wasmtime

        return bytes(wasmtime.wat2wasm(source.read_text()))
    root = HERE.parents[2]
    out = source.with_suffix(".wasm")
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *C_FLAGS,
        f"-I{SDK}",
        "-o",
        str(out),
        str(source.relative_to(root)),
    ]
    subprocess.run(command, cwd=root, check=True)
    return out.read_bytes()


def record() -> dict[str, dict[str, str]]:
    return {
        source.name: {"source": _digest(source), "module": _digest(source.with_suffix(".wasm"))} for source in sources()
    }


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def main() -> int:
    if "--check" in sys.argv:
        kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        now = record()
        stale = sorted(name for name in kept.keys() | now.keys() if kept.get(name) != now.get(name))
        for name in stale:
            print(f"{name} is not what its module was built from: run python tests/conformance/guests/build.py")
        return 1 if stale else 0
    for source in sources():
        module = build(source)
        source.with_suffix(".wasm").write_bytes(module)
        print(f"{source.stem}.wasm: {len(module)} bytes")
    RECORD.write_text(json.dumps(record(), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
