"""The static checks: feature profile, structural caps, guest ABI. A refusal says which check, with which numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import wasmtime

from runtime.errors import ModuleError
from runtime.limits import MIB, WASM_PAGE, ModuleCaps, specs
from runtime.sandbox import abi
from runtime.sandbox.checks import check_facts, check_module, check_size
from runtime.sandbox.engine import compile_engine
from tests.runtime.sandbox.proposals import OFF, Off, body, leb, module, section, with_code

CAPS = ModuleCaps()
MEMORY = 16 * MIB


@pytest.fixture(scope="module")
def engine() -> wasmtime.Engine:
    return compile_engine()


def refused(wasm: bytes, caps: ModuleCaps = CAPS, memory_bytes: int = MEMORY) -> ModuleError:
    with pytest.raises(ModuleError) as caught:
        check_module(wasm, caps, memory_bytes)
    return caught.value


# ---- feature profile -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("off", OFF, ids=lambda off: f"{off.proposal}: {off.name}")
def test_a_proposal_that_is_off_is_refused_by_name(off: Off) -> None:
    error = refused(off.wasm)
    assert error.details["proposal"] == off.proposal
    assert repr(off.proposal) in error.message


@pytest.mark.parametrize("off", OFF, ids=lambda off: f"{off.proposal}: {off.name}")
def test_the_compiler_refuses_it_too_where_it_has_a_switch(off: Off, engine: wasmtime.Engine) -> None:
    """wasmtime has no switch for several tables (part of reference types) and for extended constants."""
    if off.switched_off:
        with pytest.raises(wasmtime.WasmtimeError):
            wasmtime.Module(engine, off.wasm)
    else:
        wasmtime.Module(engine, off.wasm)


ON = {
    "honest": module(),
    "bulk memory": module("(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))) (data \"a\")"),
    "multi-value": module(
        "(func (result i32 i32) (i32.const 1) (i32.const 2)) (func (block (result i32 i32) (call 2)) drop drop)"),
    "sign extension": module("(func (drop (i32.extend8_s (i32.const 200))))"),
    "saturating conversion": module("(func (drop (i32.trunc_sat_f64_s (f64.const 1e300))))"),
    "mutable global exported": module('(global (export "g") (mut i32) (i32.const 1))'),
    "reference types": module("(table 2 funcref) (func (table.set (i32.const 0) (ref.null func)))"),
    "typed select": module("(func (drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 0))))"),
    "SIMD": module("(func (drop (i8x16.add (v128.const i64x2 1 2) (v128.load (i32.const 0)))))"),
    "vector global": module("(global v128 (v128.const i64x2 1 2))"),
    "element segments of each form": module(
        "(table 4 funcref) (func $f) (elem (i32.const 0) $f) (elem func $f) (elem declare func $f)"
        " (elem (table 0) (i32.const 1) func $f) (elem (i32.const 2) funcref (ref.func $f) (ref.null func))"
        " (elem funcref (ref.func $f)) (elem declare funcref (ref.func $f))"
        " (elem (table 0) (i32.const 1) funcref (ref.func $f))"),
    "start function": module("(func $s) (start $s)"),
    "br_table": module("(func (block (block (br_table 0 1 0 (i32.const 1)))))"),
    "branch hints": module() + section(0, b"\x19metadata.code.branch_hint\x00"),
    "a custom section of no meaning": module() + section(0, b"\x04name\xff\xff\xff"),
    "numbers in more bytes than they need": body(
        b"\x20\x80\x80\x80\x80\x00\x1a"
        b"\x41\xff\xff\xff\xff\x7f\x1a" b"\x43\x00\x00\x00\x00\xfc\x80\x80\x00\x1a\x42\x00"),
}  # fmt: skip


@pytest.mark.parametrize("wasm", ON.values(), ids=ON.keys())
def test_what_is_in_the_profile_passes_checks_and_compiler(wasm: bytes, engine: wasmtime.Engine) -> None:
    check_module(wasm, CAPS, MEMORY)
    wasmtime.Module(engine, wasm)


# ---- structural caps -------------------------------------------------------------------------------------------------
def _padded(size: int) -> bytes:
    """A module of exactly `size` bytes: a custom section fills it up."""
    wasm = module()
    for length_bytes in range(1, 6):
        room = size - len(wasm) - 1 - length_bytes
        if len(leb(room)) == length_bytes:
            return wasm + section(0, b"\x00" + bytes(room - 1))
    raise ValueError(size)


def _many(text: str, count: int) -> bytes:
    return module("".join(text.replace("#", str(number)) for number in range(count)))


OF_SIZE: dict[str, Callable[[int], bytes]] = {
    "module_bytes": _padded,
    "types": lambda n: module(imports="(type (func (result f32)))" * (n - 2)),
    "imports": lambda n: module(imports='(import "hostel_v1" "post" (func (param i32 i32) (result i32)))' * n),
    "functions": lambda n: _many("(func)", n - 2),
    "globals": lambda n: _many("(global i32 (i32.const 0))", n),
    "exports": lambda n: _many('(export "#" (func 0))', n - 3),
    "elements": lambda n: _many("(elem func 0)", n),
    "element_items": lambda n: module(f"(elem func {'0 ' * (n - 5)}) (elem func 0 0 0 0 0)"),
    "data_segments": lambda n: _many('(data "")', n),
    "tables": lambda n: module("(table 1 funcref)" * n),
    "table_elements": lambda n: module(f"(table {n} funcref)"),
    "params": lambda n: module(f"(func (param {'i64 ' * n}))"),
    "results": lambda n: module(f"(func (result {'i64 ' * n}) unreachable)"),
    "locals": lambda n: with_code(b"\x02" + leb(n - 1) + b"\x7b\x01\x7f\x42\x00\x0b"),
    "body_bytes": lambda n: body(b"\x01" * (n - 4) + b"\x42\x00"),
    "nesting": lambda n: body(b"\x02\x40" * n + b"\x0b" * n + b"\x42\x00"),
    "br_table": lambda n: body(b"\x00\x0e" + leb(n) + bytes(n + 1)),
    "name_bytes": lambda n: module(f'(export "{"x" * n}" (func 0))'),
}
"""Cap → a module that has exactly so much of it."""


def test_every_cap_is_tested() -> None:
    assert list(OF_SIZE) == list(specs(ModuleCaps))


def _value(cap: str) -> tuple[int, ModuleCaps]:
    """A value to test at: the default, but for tables, of which a second is a proposal's matter."""
    if cap == "tables":
        return 0, CAPS.changed({"tables": 0})
    return getattr(CAPS, cap), CAPS


@pytest.mark.parametrize("cap", OF_SIZE)
def test_a_module_at_the_cap_passes(cap: str, engine: wasmtime.Engine) -> None:
    value, caps = _value(cap)
    wasm = OF_SIZE[cap](value)
    assert check_module(wasm, caps, MEMORY).measured[cap] == value
    wasmtime.Module.validate(engine, wasm)


@pytest.mark.parametrize("cap", OF_SIZE)
def test_a_module_one_over_the_cap_is_refused_with_the_numbers(cap: str) -> None:
    value, caps = _value(cap)
    error = refused(OF_SIZE[cap](value + 1), caps)
    assert (error.details["cap"], error.details["value"], error.details["found"]) == (cap, value, value + 1)
    assert f"the cap {cap} is {value}" in error.message
    assert str(value + 1) in error.message


@pytest.mark.parametrize("cap", OF_SIZE)
def test_facts_of_another_day_are_held_against_the_caps_of_today(cap: str) -> None:
    value, caps = _value(cap)
    facts = check_module(OF_SIZE[cap](value), caps, MEMORY)
    check_facts(facts, caps, MEMORY)
    if value:
        with pytest.raises(ModuleError, match=f"the cap {cap} is {value - 1}"):
            check_facts(facts, caps.changed({cap: value - 1}), MEMORY)


def test_locals_are_counted_over_all_runs_and_not_before_they_are_stated() -> None:
    wasm = with_code(b"\x03" + leb(2**32 - 1) + b"\x7f" + leb(2**32 - 1) + b"\x7f\x01\x7f\x42\x00\x0b")
    assert refused(wasm).details["found"] == 2**32 - 1


def test_size_alone_is_checked_without_reading() -> None:
    check_size(bytes(CAPS.module_bytes), CAPS)
    with pytest.raises(ModuleError, match="the cap module_bytes is 4194304"):
        check_size(bytes(CAPS.module_bytes + 1), CAPS)


# ---- guest ABI -------------------------------------------------------------------------------------------------------
_TYPES = {"i": "i32", "I": "i64"}


def _import(module_name: str, name: str, kind: abi.Signature) -> str:
    params, results = (" ".join(_TYPES[letter] for letter in letters) for letters in kind)
    return f'(import "{module_name}" "{name}" (func (param {params}) (result {results})))'


def test_every_import_of_the_abi_is_accepted_with_its_type() -> None:
    for (module_name, name), kind in abi.IMPORTS.items():
        facts = check_module(module(imports=_import(module_name, name, kind)), CAPS, MEMORY)
        assert facts.imports == ((module_name, name),)


@pytest.mark.parametrize("key", abi.IMPORTS, ids=".".join)
def test_an_import_of_another_type_is_refused(key: tuple[str, str]) -> None:
    kind = abi.IMPORTS[key]
    for wrong in (abi.Signature(kind.params + "i", kind.results), abi.Signature(kind.params, kind.results + "I")):
        error = refused(module(imports=_import(*key, wrong)))
        assert key[1] in error.message
        assert "has type" in error.message


def test_the_wasi_types_are_those_that_wasmtime_links(engine: wasmtime.Engine) -> None:
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    everything = "".join(_import(abi.WASI, name, kind) for name, kind in abi.WASI_IMPORTS.items())
    linker.instantiate_pre(wasmtime.Module(engine, module(imports=everything)))


INBOX = '(global (export "hostel_inbox") i32 (i32.const {}))(global (export "hostel_inbox_size") i32 (i32.const {}))'
HALF = '(global (export "hostel_inbox_size") i32 (i32.const 9))'
UNFIT = {
    "unknown module": (module(imports='(import "env" "abort" (func))'), "import 'env' 'abort' is not part"),
    "unknown function": (module(imports='(import "hostel_v1" "sleep" (func))'), "'hostel_v1' 'sleep' is not part"),
    "other WASI": (module(imports='(import "wasi_unstable" "fd_write" (func))'), "'wasi_unstable'"),
    "hostile name": (module(imports=r'(import "\1b[31m" "\n\e2\80\ae" (func))'), r"import '\x1b[31m' '\n\u202e'"),
    "long name": (module(imports=f'(import "env" "{"y" * 256}" (func))'), "'yyy"),
    "mutable global import": (module(imports='(import "env" "g" (global (mut i32)))'), "import 'env' 'g' is a global"),
    "table import": (module(imports='(import "env" "t" (table 1 funcref))'), "import 'env' 't' is a table"),
    "memory import": (
        module(imports='(import "env" "memory" (memory 1))', memory='(export "memory" (memory 0))'),
        "import 'env' 'memory' is a memory",
    ),
    "no memory": (module(memory=""), "the module defines no memory"),
    "memory not exported": (module(memory="(memory 1)"), "does not export the memory 'memory'"),
    "memory is a function": (module(memory='(memory 1) (func (export "memory"))'), "export 'memory' is a function"),
    "no alloc": (module(alloc=""), "does not export the function 'hostel_alloc'"),
    "no handle": (module(handle=""), "does not export the function 'hostel_handle'"),
    "handle of another type": (
        module(handle='(func (export "hostel_handle") (param i32 i32) (result i32) (i32.const 0))'),
        "export 'hostel_handle' has type (i32, i32) -> (i32); hostel_v1 wants (i32, i32) -> (i64)",
    ),
    "alloc is a global": (module(alloc='(global (export "hostel_alloc") i32 (i32.const 0))'), "is a global"),
    "alloc without a result": (module(alloc='(func (export "hostel_alloc") (param i32))'), "(i32) -> ()"),
    "initialize of another type": (module('(func (export "_initialize") (param i32))'), "'_initialize' has type"),
    "half an inbox": (module(HALF), "'hostel_inbox_size' is exported without its other half"),
    "inbox at the end": (module(INBOX.format(WASM_PAGE - 8, 9)), "not inside the initial memory of 65536"),
    "inbox far away": (module(INBOX.format(-1, 1)), "of 1 bytes at 4294967295"),
    "inbox of nothing": (module(INBOX.format(0, 0)), "inbox of 0 bytes"),
    "mutable inbox": (module(INBOX.format(0, 9).replace(" i32 (", " (mut i32) (", 1)), "not an immutable i32"),
    "inbox of i64": (module(INBOX.format(0, 9).replace(" i32 (i32", " i64 (i64", 1)), "not an immutable i32"),
    "inbox is a function": (module(HALF + '(func (export "hostel_inbox"))'), "export 'hostel_inbox' is a function"),
}  # fmt: skip


@pytest.mark.parametrize(("wasm", "said"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_the_abi_is_refused(wasm: bytes, said: str) -> None:
    error = refused(wasm)
    assert error.details["check"] == "abi"
    assert said in error.message


def test_facts_of_an_honest_module() -> None:
    wasm = module(
        '(table 7 funcref) (func (export "_initialize"))' + INBOX.format(1024, 4096),
        imports='(import "hostel_v1" "call" (func (param i32 i32 i32 i32) (result i32)))'
        '(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))'
        '(import "hostel_v1" "call" (func (param i32 i32 i32 i32) (result i32)))',
        memory='(memory (export "memory") 2 300)',
    )
    facts = check_module(wasm, CAPS, MEMORY)
    assert (facts.memory_min_pages, facts.memory_max_pages, facts.table_elements) == (2, 300, 7)
    assert facts.imports == (("hostel_v1", "call"), ("wasi_snapshot_preview1", "sched_yield"))
    assert facts.has_initialize
    assert facts.inbox == (1024, 4096)
    assert facts.measured["module_bytes"] == len(wasm)
    assert facts.measured["imports"] == 3
    assert check_module(module(), CAPS, MEMORY).inbox is None


def test_an_inbox_that_ends_where_memory_ends_fits() -> None:
    assert check_module(module(INBOX.format(WASM_PAGE - 9, 9)), CAPS, MEMORY).inbox == (WASM_PAGE - 9, 9)


def test_initial_memory_is_held_against_the_limit_it_runs_under() -> None:
    wasm = module(memory='(memory (export "memory") 4)')
    facts = check_module(wasm, CAPS, 4 * WASM_PAGE)
    error = refused(wasm, memory_bytes=4 * WASM_PAGE - 1)
    assert (error.details["limit"], error.details["value"], error.details["found"]) == (
        "memory_bytes",
        4 * WASM_PAGE - 1,
        4 * WASM_PAGE,
    )
    with pytest.raises(ModuleError, match="the limit memory_bytes is 65536"):
        check_facts(facts, CAPS, WASM_PAGE)


# ---- the binary format -----------------------------------------------------------------------------------------------
_HEADER = b"\0asm\x01\0\0\0"
_VOID = section(1, b"\x01\x60\x00\x00")
BROKEN = {
    "nothing": b"",
    "a text": b"(module)",
    "version 2": b"\0asm\x02\0\0\0",
    "section past the end": _HEADER + b"\x01\x05\x00",
    "section twice": _HEADER + _VOID + _VOID,
    "sections out of order": _HEADER + section(3, b"\x00") + section(1, b"\x00"),
    "unknown section": _HEADER + section(15, b""),
    "bytes left over in a section": _HEADER + section(1, b"\x00\x00"),
    "number of six bytes": _HEADER + section(1, b"\x80\x80\x80\x80\x80\x00"),
    "number over 32 bits": _HEADER + section(1, b"\x80\x80\x80\x80\x10"),
    "custom section without a name": _HEADER + section(0, b""),
    "custom section of a name that is not UTF-8": _HEADER + section(0, b"\x01\xff"),
    "unknown value type": _HEADER + section(1, b"\x01\x60\x01\x01\x00"),
    "function of an unknown type": _HEADER + _VOID + section(3, b"\x01\x01") + section(10, b"\x01\x02\x00\x0b"),
    "a function without a body": _HEADER + _VOID + section(3, b"\x01\x00"),
    "a body without a function": _HEADER + section(10, b"\x01\x02\x00\x0b"),
    "data count without data": _HEADER + section(12, b"\x01"),
    "memory of 65,537 pages": _HEADER + section(5, b"\x01\x00\x81\x80\x04"),
    "memory of less at most than at least": _HEADER + section(5, b"\x01\x01\x02\x01"),
    "export of nothing": _HEADER + section(7, b"\x01\x01a\x00\x00"),
    "start of nothing": _HEADER + section(8, b"\x00"),
    "constant without an end": _HEADER + section(6, b"\x01\x7f\x00\x41\x00"),
    "body without an end": with_code(b"\x00\x42\x00"),
    "block without an end": with_code(b"\x00\x02\x40\x42\x00\x0b"),
    "bytes after the end": with_code(b"\x00\x42\x00\x0b\x0b"),
    "unknown instruction": body(b"\x27"),
    "unknown vector instruction": body(b"\xfd\x9a\x01"),
    "unknown block type": body(b"\x02\x41"),
    "negative block type": body(b"\x02\xff\x7f"),
    "i32 constant over 32 bits": body(b"\x41\xff\xff\xff\xff\x0f"),
    "immediates past the end": with_code(b"\x00\x44\x00\x0b"),
    "branch table past the end": with_code(b"\x00\x0e\x64\x0b"),
}


@pytest.mark.parametrize("wasm", BROKEN.values(), ids=BROKEN.keys())
def test_malformed_modules_are_refused_as_such(wasm: bytes, engine: wasmtime.Engine) -> None:
    assert refused(wasm).details["check"] == "malformed"
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module.validate(engine, wasm)


def test_an_export_twice_is_refused() -> None:
    wasm = module().replace(b"\x0chostel_alloc", b"\x0dhostel_handle", 1)
    assert refused(wasm).details["check"] == "malformed"
