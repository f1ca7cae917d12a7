"""The modules kept in the repository are the ones of their sources, and the exports are what hosts look for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import wasmtime

from host_api.capability import parse_grants
from runtime.bundle import Bundle, pack
from runtime.limits import ModuleCaps
from runtime.sandbox.checks import check_module
from runtime.toolchains import Found, Missing, c, ziglang

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "echo",
    "grocery_delivery",
    "hostile/forged_order",
    "hostile/memory_declared",
    "hostile/memory_hog",
    "hostile/spin",
    "medical_triage",
    "parcel_logistics",
    "public_services",
    "tests/samples/codec/assemblyscript",
    "tests/samples/codec/c",
    "tests/samples/codec/rust",
    "tests/samples/codec/zig",
)
C_NAMES = ("echo", "grocery_delivery", "hostile/forged_order")
ABSENT = isinstance(ziglang.find(), Missing)


def copied(folder: Path) -> Path:
    """The part of the tree that a build reads, somewhere else."""
    for part in ("sample_programs", "host_api/guest", "tests/samples/codec"):
        shutil.copytree(ROOT / part, folder / part)
    return folder


def place(name: str, root: Path = ROOT) -> Path:
    """The folder of the program that is called so."""
    return root / name if name.startswith("tests/") else root / "sample_programs" / name


def test_every_sample_is_listed_here(samples: ModuleType) -> None:
    assert tuple(map(samples.name_of, samples.programs())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_module_fits_its_sources(samples: ModuleType, name: str) -> None:
    assert samples.stale(place(name)) is None


def test_a_stale_module_is_found(samples: ModuleType, tmp_path: Path) -> None:
    root = copied(tmp_path)
    program = root / "sample_programs/echo"
    assert samples.stale(program, root) is None
    header = root / "host_api/guest/c/hostel.h"
    text = header.read_text()
    header.write_text(text + "\n")
    assert samples.stale(program, root) == "changed since it was built: host_api/guest/c/hostel.h"
    header.write_text(text)
    (program / "source/extra.h").write_text("")
    assert "source/extra.h" in samples.stale(program, root)
    (program / "source/extra.h").unlink()
    module = program / "bundle/program.wasm"
    module.write_bytes(module.read_bytes() + b"\0")
    assert samples.stale(program, root) == "bundle/program.wasm is not the module that was built"
    module.unlink()
    assert samples.stale(program, root) == "program.wasm is missing"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("build") / "somewhere else")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_rebuilt_elsewhere_it_is_the_same_byte_for_byte(samples: ModuleType, name: str, elsewhere: Path) -> None:
    kept = place(name)
    try:
        module, record = samples.build(place(name, elsewhere), elsewhere)
    except samples.ToolchainAbsent as absent:
        pytest.skip(f"NOT BUILT AGAIN: {absent}")
    if record["compiler"] not in (kept / samples.RECORD).read_text():
        pytest.skip(f"it was built with another version than {record['compiler']}")
    assert module == (kept / "bundle/program.wasm").read_bytes()
    assert not samples.write(kept, module, record)


@pytest.mark.parametrize("name", C_NAMES)
def test_the_inbox_is_two_immutable_globals_and_the_memory_has_a_maximum(name: str) -> None:
    engine = wasmtime.Engine()
    module = wasmtime.Module.from_file(engine, str(ROOT / "sample_programs" / name / "bundle/program.wasm"))
    exports = {export.name: export.type for export in module.exports}
    assert set(exports) == {"memory", "hostel_alloc", "hostel_handle", "hostel_inbox", "hostel_inbox_size"}
    for inbox in ("hostel_inbox", "hostel_inbox_size"):
        assert not exports[inbox].mutable and str(exports[inbox].content) == "i32"
    limits = exports["memory"].limits
    assert (limits.min * 65536, limits.max * 65536) == (c.MEMORY_BYTES, c.MEMORY_BYTES_MAX)

    store = wasmtime.Store(engine)
    empty = [wasmtime.Func(store, item.type, lambda *_: 0) for item in module.imports]
    made = wasmtime.Instance(store, module, empty).exports(store)
    at, size = made["hostel_inbox"].value(store), made["hostel_inbox_size"].value(store)
    assert size == c.STACK_BYTES
    assert at >= c.STACK_BYTES and at + size <= c.MEMORY_BYTES


@pytest.mark.parametrize("name", C_NAMES)
def test_the_sdk_is_plain_c_without_warnings(samples: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if ABSENT:
        pytest.skip(f"ziglang is not installed: {ziglang.CURE}")
    strict = ("-std=c99", "-pedantic", "-Wconversion", "-Wshadow")
    monkeypatch.setattr(c.C, "flags", (*(flag for flag in c.FLAGS if flag != "-std=c11"), *strict))
    assert samples.build(ROOT / "sample_programs" / name)[0]


def test_an_arena_of_a_fixed_size_leaves_the_rest_of_the_memory_alone(
    samples: ModuleType, tmp_path: Path, guest_of: Callable[[bytes], Any]
) -> None:
    if ABSENT:
        pytest.skip(f"ziglang is not installed: {ziglang.CURE}")
    root = copied(tmp_path)
    source = root / "sample_programs/echo/source/main.c"
    fixed = "#define HOSTEL_ARENA_BYTES 70000u\n#define HOSTEL_REPLY_BYTES 32768u\n"
    source.write_text(fixed + source.read_text().replace("#define HOSTEL_REPLY_BYTES 131072u\n", ""))
    echo = guest_of(samples.build(root / "sample_programs/echo", root)[0])
    for inbox, size in ((True, 10_000), (False, 10_000), (True, 30_000)):
        echo.inbox = inbox
        assert echo.call("echo", {"value": "x" * size}) == "x" * size
    with pytest.raises(AssertionError, match="no room"):
        echo.call("echo", {"value": "x" * 80_000})
    assert echo.memory_pages == 2


def test_what_does_not_compile_is_an_error_with_the_compilers_words(samples: ModuleType, tmp_path: Path) -> None:
    if ABSENT:
        pytest.skip(f"ziglang is not installed: {ziglang.CURE}")
    root = copied(tmp_path)
    (root / "sample_programs/echo/source/main.c").write_text('#include "hostel.h"\n')
    with pytest.raises(samples.BuildError, match="hostel_main"):
        samples.build(root / "sample_programs/echo", root)


def test_a_missing_compiler_is_a_skip_for_all_and_a_failure_by_name(
    samples: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so loudly, with the cure; what needs no compiler is built all the same."""
    monkeypatch.setattr(c.C, "find", lambda _: Missing(name="ziglang 0.17.1", cure="pip install ziglang==0.17.1"))
    monkeypatch.setattr(samples, "programs", lambda: [place("echo"), place("hostile/spin")])
    monkeypatch.setattr(samples, "ENGINE_BUILD", "no such file")
    for options, code, said in (
        ([], 0, "SKIPPED, NOT BUILT: ziglang"),
        (["--all"], 1, "ziglang"),
        (["echo"], 1, "ziglang"),
    ):
        monkeypatch.setattr("sys.argv", ["build.py", *options])
        assert samples.main() == code
        first, *rest = capsys.readouterr().out.splitlines()
        assert first == f"echo: {said} 0.17.1 is needed and not here: pip install ziglang==0.17.1"
        assert rest == ([] if options == ["echo"] else ["hostile/spin: 114 bytes, as before"])


def test_another_version_of_the_compiler_builds_no_sample(samples: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c.C, "find", lambda _: Found(name="ziglang 0.18.0", exact=False))
    with pytest.raises(samples.ToolchainAbsent, match=r"0\.18\.0 is here, which is not the version"):
        samples.build(place("echo"))


def test_a_stack_that_is_not_the_inboxs_size_traps_at_once(samples: ModuleType, tmp_path: Path) -> None:
    """Else the host would write messages over the program's data."""
    if ABSENT:
        pytest.skip(f"ziglang is not installed: {ziglang.CURE}")
    root = copied(tmp_path)
    source = root / "sample_programs/echo/source/main.c"
    source.write_text(source.read_text().replace("HOSTEL_INBOX_BYTES 16384u", "HOSTEL_INBOX_BYTES 8192u"))
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, samples.build(root / "sample_programs/echo", root)[0])
    store = wasmtime.Store(engine)
    empty = [wasmtime.Func(store, item.type, lambda *_: 0) for item in module.imports]
    with pytest.raises(wasmtime.Trap):
        wasmtime.Instance(store, module, empty).exports(store)["hostel_handle"](store, 0, 0)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("tests/")])
def test_every_sample_packs_and_asks_for_what_can_be_granted(name: str) -> None:
    bundle = Bundle.from_bytes(pack(ROOT / "sample_programs" / name / "bundle"))
    asked = {permission.name: permission.constraints for permission in bundle.manifest.req_permissions}
    assert set(parse_grants(asked).as_dict()) == set(asked)


@pytest.mark.parametrize("name", C_NAMES)
def test_the_hosts_checks_find_the_inbox_and_only_known_imports(name: str) -> None:
    wasm = (ROOT / "sample_programs" / name / "bundle/program.wasm").read_bytes()
    facts = check_module(wasm, ModuleCaps(), c.MEMORY_BYTES_MAX)
    assert facts.inbox is not None and facts.inbox[1] == c.STACK_BYTES
    assert {module for module, _ in facts.imports} <= {"hostel_v1", "wasi_snapshot_preview1"}
