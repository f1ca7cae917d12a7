"""Builds the sample programs and the JavaScript engine: `python sample_programs/build.py`, or `make samples`.

A program is a folder with a main source of a language in runtime/toolchains, or `source/main.wat`; its module goes to
`bundle/program.wasm`, ready for `hostel pack`. Built modules are kept in the repository, so that nobody needs a
compiler to run them; beside each lies `program.sources.json` with the compiler, the command and the SHA-256 of every
source and of the module. The same sources give the same bytes in any folder (tests/samples holds both to it). A script
needs no building: of JavaScript only the engine is built, by build_engine.py.

What must not live here: a compiler's flags, packing, running, anything a host does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from runtime.toolchains import TOOLCHAINS, BuildError, Built, Found, Toolchain  # noqa: E402

RECORD: Final = "program.sources.json"
WAT: Final = "source/main.wat"
ENGINE: Final = "javascript engine"
ENGINE_BUILD: Final = "sample_programs/build_engine.py"


class ToolchainAbsent(BuildError):
    """The compiler that this program's record names is not here. The message tells how it is had."""


def programs(root: Path = ROOT) -> list[Path]:
    """The folder of every sample that has a module, and of the tests' programs for codecs, in order of name."""
    mains = {WAT, *(one.main for one in TOOLCHAINS.values() if one.language != "javascript")}
    above = (root / "sample_programs", root / "sample_programs/hostile", root / "tests/samples/codec")
    folders = (folder for place in above for folder in place.iterdir())
    return sorted(folder for folder in folders if any((folder / main).is_file() for main in mains))


def name_of(program: Path, root: Path = ROOT) -> str:
    """`grocery_delivery`, `hostile/spin`; outside of this folder the path from the root."""
    return program.relative_to(root).as_posix().removeprefix("sample_programs/")


def toolchain_of(program: Path) -> Toolchain | None:
    """Of the language that it is written in; None for WAT."""
    return next((one for one in TOOLCHAINS.values() if (program / one.main).is_file()), None)


def sources(program: Path, root: Path = ROOT) -> dict[str, str]:
    """Path from the root → SHA-256 of all that decides the module's bytes."""
    files = _files(program / "source")
    if toolchain := toolchain_of(program):
        files += _files(_sdk(toolchain, root))
    return {file.relative_to(root).as_posix(): _sha256(file.read_bytes()) for file in files}


def build(program: Path, root: Path = ROOT) -> tuple[bytes, dict[str, Any]]:
    """The module's bytes, and the record to keep beside them. Writes nothing; raises BuildError, and ToolchainAbsent
    where the very compiler that the samples are built with is not here."""
    toolchain = toolchain_of(program)
    if toolchain is None:
        built = _assembled(program)
    else:
        _require(toolchain)
        built = toolchain.build(program, _sdk(toolchain, root), root)
    record = {
        "compiler": built.compiler,
        "command": list(built.command),
        "sources": sources(program, root),
        "module": {"path": "bundle/program.wasm", "bytes": len(built.module), "sha256": _sha256(built.module)},
    }
    return built.module, record


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


def _files(folder: Path) -> list[Path]:
    """All below it but pages and the template of `hostel new`, which reach no module."""
    found = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".md")
    return sorted(file for file in found if "template" not in file.relative_to(folder).parts)


def _sdk(toolchain: Toolchain, root: Path) -> Path:
    return root / "host_api/guest" / toolchain.sdk


def _require(toolchain: Toolchain) -> None:
    found = toolchain.find()
    if not isinstance(found, Found):
        raise ToolchainAbsent(f"{found.name} is needed and not here: {found.cure}")
    if not found.exact:
        raise ToolchainAbsent(f"{found.name} is here, which is not the version the samples are built with")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _assembled(program: Path) -> Built:
    import wasmtime

    try:
        module = wasmtime.wat2wasm((program / WAT).read_text())
    except wasmtime.WasmtimeError as error:
        raise BuildError(f"{program.name}/{WAT} does not assemble:\n{error}") from None
    command = ("wasmtime.wat2wasm", WAT)
    return Built(module=bytes(module), compiler=f"wasmtime {version('wasmtime')}", command=command)


# ---- the command -----------------------------------------------------------------------------------------------------
def _build_engine(*, check: bool) -> bool:
    """Whether it went well; what there is to say, its own script prints."""
    return subprocess.run([sys.executable, ENGINE_BUILD, *(["--check"] if check else [])], cwd=ROOT).returncode == 0


def _told(program: Path, *, check: bool) -> tuple[str, bool]:
    """What to print of it, and whether it went well."""
    if check:
        reason = stale(program)
        return reason or "fits its sources", reason is None
    module, record = build(program)
    return f"{len(module)} bytes{'' if write(program, module, record) else ', as before'}", True


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the sample programs and the JavaScript engine.")
    parser.add_argument("names", nargs="*", help="folders below sample_programs, or 'javascript engine'")
    parser.add_argument("--check", action="store_true", help="only say which modules do not fit their sources")
    parser.add_argument("--all", action="store_true", help="fail where a compiler is missing, in place of a skip")
    options = parser.parse_args()
    known = {name_of(program): program for program in programs()}
    names = [*known, *([ENGINE] if (ROOT / ENGINE_BUILD).exists() else [])]
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"no such program: {', '.join(unknown)}; there are {', '.join(names)}")
    failed = False
    for name in options.names or names:
        if name == ENGINE:
            failed |= not _build_engine(check=options.check)
            continue
        try:
            told, well = _told(known[name], check=options.check)
            failed |= not well
        except ToolchainAbsent as absent:
            asked = bool(options.names) or options.all
            told, failed = f"{'' if asked else 'SKIPPED, NOT BUILT: '}{absent.message}", failed or asked
        except BuildError as error:
            told, failed = error.message, True
        print(f"{name}: {told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
