"""Builds the sample programs: `python sample_programs/build.py`, or `make samples`.

A program is a folder with `source/main.c` or `source/main.wat`; its module goes to `bundle/program.wasm`, ready for
`hostel pack`. Built modules are kept in the repository, so that nobody needs a compiler to run them; beside each lies
`program.sources.json` with the compiler, the command and the SHA-256 of every source and of the module. The same
sources give the same bytes in any folder (tests/samples holds both to it).

What must not live here: packing, running, anything a host does.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SDK = "host_api/guest/c"
ZIG_VERSION = "0.17.1"
STACK_BYTES = 16_384
"""Also the size of the inbox: hostel.h tells why the two are one number."""
MEMORY_BYTES, MEMORY_BYTES_MAX = 131_072, 524_288
RECORD = "program.sources.json"

C_FLAGS = (
    "-target", "wasm32-freestanding", "-std=c11", "-Oz", "-s", "-nostdlib", "-Wall", "-Wextra", "-Werror", f"-I{SDK}",
    "-Wl,--no-entry", f"-Wl,-z,stack-size={STACK_BYTES}",
    f"-Wl,--initial-memory={MEMORY_BYTES}", f"-Wl,--max-memory={MEMORY_BYTES_MAX}",
    "-Wl,--export=hostel_inbox", "-Wl,--export=hostel_inbox_size",
)  # fmt: skip


class BuildError(Exception):
    """A program could not be built, or is not what its record says. The message tells what to do."""


def programs(root: Path = ROOT) -> list[Path]:
    """Every sample's folder, in order of name."""
    mains = [found for kind in ("c", "wat") for found in (root / "sample_programs").glob(f"**/source/main.{kind}")]
    return sorted(main.parent.parent for main in mains)


def sources(program: Path, root: Path = ROOT) -> dict[str, str]:
    """Path from the root → SHA-256 of all that decides the module's bytes."""
    files = sorted(file for file in (program / "source").iterdir() if file.is_file())
    if (program / "source/main.c").exists():
        files += sorted((root / SDK).glob("*.h"))
    return {file.relative_to(root).as_posix(): _sha256(file.read_bytes()) for file in files}


def build(program: Path, root: Path = ROOT) -> tuple[bytes, dict[str, Any]]:
    """The module's bytes, and the record to keep beside them. Writes nothing; raises BuildError."""
    if (program / "source/main.c").exists():
        module, compiler, command = _build_c(program, root)
    else:
        module, compiler, command = _build_wat(program)
    record = {
        "compiler": compiler,
        "command": command,
        "sources": sources(program, root),
        "module": {"path": "bundle/program.wasm", "bytes": len(module), "sha256": _sha256(module)},
    }
    return module, record


def write(program: Path, module: bytes, record: dict[str, Any]) -> bool:
    """Puts module and record in place. False if both were there already."""
    target, told = program / "bundle/program.wasm", program / RECORD
    text = json.dumps(record, indent=2) + "\n"
    if target.exists() and target.read_bytes() == module and told.exists() and told.read_text() == text:
        return False
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(module)
    told.write_text(text)
    return True


def stale(program: Path, root: Path = ROOT) -> str | None:
    """Why the module kept for this program is not the one of its sources; None if it is. Needs no compiler."""
    try:
        record = json.loads((program / RECORD).read_text())
        module = (program / record["module"]["path"]).read_bytes()
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    now = sources(program, root)
    changed = sorted(
        path for path in now.keys() | record["sources"].keys() if now.get(path) != record["sources"].get(path)
    )
    if changed:
        return f"changed since it was built: {', '.join(changed)}"
    if _sha256(module) != record["module"]["sha256"] or len(module) != record["module"]["bytes"]:
        return f"{record['module']['path']} is not the module that was built"
    return None


def has_compiler() -> bool:
    return importlib.util.find_spec("ziglang") is not None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _build_c(program: Path, root: Path) -> tuple[bytes, str, list[str]]:
    if not has_compiler() or version("ziglang") != ZIG_VERSION:
        found = f"{version('ziglang')} is here" if has_compiler() else "it is not installed"
        raise BuildError(f"ziglang {ZIG_VERSION} is needed, {found}: pip install ziglang=={ZIG_VERSION}")
    main = (program / "source/main.c").relative_to(root).as_posix()
    command = ["python", "-m", "ziglang", "cc", *C_FLAGS, "-o", "program.wasm", main]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "program.wasm"
        run = [str(out) if part == "program.wasm" else part for part in command[1:]]
        done = subprocess.run([sys.executable, *run], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not out.exists():
            raise BuildError(f"{main} does not compile:\n{done.stderr}")
        return out.read_bytes(), f"ziglang {ZIG_VERSION}", command


def _build_wat(program: Path) -> tuple[bytes, str, list[str]]:
    import wasmtime

    try:
        module = wasmtime.wat2wasm((program / "source/main.wat").read_text())
    except wasmtime.WasmtimeError as error:
        raise BuildError(f"{program.name}/source/main.wat does not assemble:\n{error}") from None
    return bytes(module), f"wasmtime {version('wasmtime')}", ["wasmtime.wat2wasm", "source/main.wat"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the sample programs.")
    parser.add_argument("names", nargs="*", help="folders below sample_programs; all of them where none is given")
    parser.add_argument("--check", action="store_true", help="only say which modules do not fit their sources")
    options = parser.parse_args()
    known = {program.relative_to(ROOT / "sample_programs").as_posix(): program for program in programs()}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}; there are {', '.join(known)}")
    failed = False
    for name in options.names or known:
        try:
            if options.check:
                told = stale(known[name])
                failed |= told is not None
            else:
                module, record = build(known[name])
                told = f"{len(module)} bytes{'' if write(known[name], module, record) else ', as before'}"
        except BuildError as error:
            told, failed = str(error), True
        print(f"{name}: {told or 'fits its sources'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
