"""The static checks over bytes that nobody chose: facts or one kind of error, and never at odds with the compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import wasmtime
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.errors import ModuleError
from runtime.limits import MIB, ModuleCaps
from runtime.sandbox.checks import ModuleFacts, check_module
from runtime.sandbox.engine import compile_engine
from runtime.sandbox.opcodes import PLAIN, PREFIXED
from tests.runtime.sandbox.proposals import OFF, body, leb, module

CAPS = ModuleCaps()
STRUCTURED = {0x02, 0x03, 0x04, 0x05, 0x0B, 0x0E, 0x1C}
MESSAGE_MOST = 600


@pytest.fixture(scope="module")
def engine() -> wasmtime.Engine:
    return compile_engine()


def verdict(wasm: bytes) -> ModuleFacts | ModuleError:
    """Whatever else is raised fails the test."""
    try:
        return check_module(wasm, CAPS, 16 * MIB)
    except ModuleError as error:
        assert error.message.isascii() or "…" in error.message
        assert error.message.isprintable()
        assert len(error.message) <= MESSAGE_MOST
        assert error.details["check"] in {"malformed", "proposal", "cap", "abi"}
        return error


RICH = module(
    '(table 4 funcref) (global $g (mut i32) (i32.const 1)) (global i64 (i64.const -5)) (global f32 (f32.const 1))'
    ' (data (i32.const 8) "abc") (data "passive") (elem (i32.const 0) 0 1) (elem declare func 1)'
    ' (func (export "_initialize") (local i32 i64 v128) (block (result i32) (loop $l (br_if $l (local.get 0)))'
    " (if (result i32) (global.get $g) (then (i32.const -7)) (else (memory.grow (i32.const 1))))"
    " (br_table 0 0 0 (i32.const 1)))"
    " (drop) (local.set 2 (v128.load offset=5 (i32.const 3))) (table.set (i32.const 1) (ref.func 1))"
    " (memory.copy (i32.const 0) (i32.const 1) (i32.const 2)) (drop (call_indirect (param i32) (result i32)"
    " (i32.const 1) (i32.const 0))) (drop (i64.const 0x7fffffffffffffff)) (drop (f64.const 2)))",
    imports='(import "hostel_v1" "post" (func (param i32 i32) (result i32)))',
)  # fmt: skip
SEEDS = (RICH, module(), *(off.wasm for off in OFF))


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A known module with some of its bytes changed, taken out, doubled or put in."""
    wasm = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(wasm)))
        until = draw(st.integers(at, min(len(wasm), at + 8)))
        wasm[at:until] = draw(st.one_of(st.binary(max_size=6), st.just(bytes(wasm[at:until] * 2))))
    return bytes(wasm)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda tail: b"\0asm\x01\0\0\0" + tail)))
@example(b"\0asm\x01\0\0\0\x00\xff\xff\xff\xff\x0f")
def test_any_bytes_give_facts_or_a_module_error(wasm: bytes) -> None:
    verdict(wasm)


def agrees(engine: wasmtime.Engine, wasm: bytes) -> None:
    """What the checks call malformed, the compiler does not accept either."""
    found = verdict(wasm)
    if isinstance(found, ModuleError) and found.details["check"] == "malformed":
        with pytest.raises(wasmtime.WasmtimeError):
            wasmtime.Module.validate(engine, wasm)


@given(spoiled())
@settings(max_examples=400)
def test_a_spoiled_module_is_called_malformed_only_if_the_compiler_refuses_it(
    engine: wasmtime.Engine, wasm: bytes
) -> None:
    agrees(engine, wasm)


@given(st.binary(max_size=60))
@settings(max_examples=400)
def test_any_function_body_is_called_malformed_only_if_the_compiler_refuses_it(
    engine: wasmtime.Engine, code: bytes
) -> None:
    """Behind `unreachable` the stack holds whatever is wanted, so that many sequences of instructions are valid."""
    agrees(engine, body(b"\x00" + code + b"\x00"))


def _known() -> Iterator[bytes]:
    """Every instruction of the tables with immediates of zero, in as many bytes as the form needs."""
    for codes, form in PLAIN:
        for code in codes:
            yield bytes([code]) + _zeros(form)
    for prefix, rows in PREFIXED.items():
        for codes, form in rows:
            for code in codes:
                yield bytes([prefix]) + leb(code) + _zeros(form)


def _zeros(form: bytes) -> bytes:
    if form == b"p":
        return b"\x70"
    return next(bytes(n) for n in range(20) if re.fullmatch(form, bytes(n), re.DOTALL))


def test_every_instruction_of_the_tables_is_one_of_the_compilers(engine: wasmtime.Engine) -> None:
    for instruction in _known():
        wasm = body(b"\x00" + instruction + b"\x00")
        assert isinstance(verdict(wasm), ModuleFacts), instruction.hex()
        wasmtime.Module.validate(engine, wasm)


def test_every_other_instruction_is_refused_by_both(engine: wasmtime.Engine) -> None:
    known = {code for codes, _ in PLAIN for code in codes} | STRUCTURED | set(PREFIXED)
    unknown = [bytes([code]) for code in range(256) if code not in known]
    for prefix, rows in PREFIXED.items():
        subs = {code for codes, _ in rows for code in codes}
        unknown += [bytes([prefix]) + leb(sub) for sub in range(0x140) if sub not in subs]
    assert len(unknown) > 400
    for instruction in unknown:
        wasm = body(b"\x00" + instruction + bytes(16))
        found = verdict(wasm)
        assert isinstance(found, ModuleError), instruction.hex()
        with pytest.raises(wasmtime.WasmtimeError):
            wasmtime.Module.validate(engine, wasm)
