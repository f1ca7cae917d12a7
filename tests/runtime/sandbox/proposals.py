"""One small module for each WebAssembly proposal that the feature profile leaves out, and the honest one they spoil.

What lives here: fixtures that other tests use too. Each module is valid under its proposal and fits the ABI otherwise.
`switched_off` says whether the compiler alone refuses it as well; where wasmtime has no switch, only the checks do.
"""

from __future__ import annotations

from dataclasses import dataclass

import wasmtime

_HANDLE = '(func (export "hostel_handle") (param i32 i32) (result i64) (i64.const 0))'
_ALLOC = '(func (export "hostel_alloc") (param i32) (result i32) (i32.const 0))'
_MEMORY = '(memory (export "memory") 1)'


def module(
    fields: str = "", *, imports: str = "", memory: str = _MEMORY, alloc: str = _ALLOC, handle: str = _HANDLE
) -> bytes:
    """A module that fits hostel_v1, with other fields added or some of its own replaced."""
    return bytes(wasmtime.wat2wasm(f"(module {imports} {memory} {alloc} {handle} {fields})"))


def body(code: bytes, locals_: bytes = b"\x00") -> bytes:
    """A module whose `hostel_handle` has this body (without its last `end`), whether that is valid or not."""
    function = locals_ + code + b"\x0b"
    return with_code(function)


def with_code(function: bytes) -> bytes:
    """A module whose `hostel_handle` is these bytes: locals and instructions."""
    alloc = b"\x00\x41\x00\x0b"
    code = b"\x02" + leb(len(alloc)) + alloc + leb(len(function)) + function
    return (
        b"\0asm\x01\0\0\0"
        + section(1, b"\x02\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7e")
        + section(3, b"\x02\x00\x01")
        + section(4, b"\x01\x70\x00\x01")
        + section(5, b"\x01\x00\x01")
        + section(6, b"\x01\x7f\x01\x41\x00\x0b")
        + section(7, b"\x03\x06memory\x02\x00\x0chostel_alloc\x00\x00\x0dhostel_handle\x00\x01")
        + section(9, b"\x01\x03\x00\x01\x00")
        + section(12, b"\x01")
        + section(10, code)
        + section(11, b"\x01\x01\x01a")
    )


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + leb(len(content)) + content


def leb(number: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Off:
    """A module of a proposal that is off."""

    proposal: str
    name: str
    wasm: bytes
    switched_off: bool = True


def _off(proposal: str, name: str, wasm: bytes, *, switched_off: bool = True) -> Off:
    return Off(proposal=proposal, name=name, wasm=wasm, switched_off=switched_off)


OFF: tuple[Off, ...] = (
    _off("threads", "atomic load", module("(func (drop (i32.atomic.load (i32.const 0))))")),
    _off("threads", "shared memory", module(memory='(memory (export "memory") 1 1 shared)')),
    _off("memory64", "memory", module(memory='(memory (export "memory") i64 1)')),
    _off("memory64", "table", module("(table i64 1 funcref)")),
    _off("multi-memory", "second memory", module("(memory 1)")),
    _off("multi-memory", "load from it", body(b"\x41\x00\x28\x42\x00\x00\x1a\x42\x00")),
    _off("multi-memory", "size of it", body(b"\x3f\x01\x1a\x42\x00")),
    _off("multi-memory", "fill of it", body(b"\x41\x00\x41\x00\x41\x00\xfc\x0b\x01\x42\x00")),
    _off("multi-memory", "initialisation of it", body(b"\x41\x00\x41\x00\x41\x00\xfc\x08\x00\x01\x42\x00")),
    _off("multi-table", "second table", module("(table 1 funcref) (table 1 funcref)"), switched_off=False),
    _off("custom-page-sizes", "memory", module(memory='(memory (export "memory") 1 (pagesize 1))')),
    _off("gc", "struct type", module("(type (struct (field i32)))")),
    _off("gc", "recursive types", module("(rec (type (func)) (type (func)))")),
    _off("gc", "i31 reference", module("(func (drop (ref.i31 (i32.const 1))))")),
    _off("gc", "anyref local", module("(func (local anyref))")),
    _off("gc", "reference equality", body(b"\xd0\x70\xd0\x70\xd3\x1a\x42\x00")),
    _off("exception-handling", "tag", module("(tag)")),
    _off("exception-handling", "imported tag", module(imports='(import "env" "t" (tag))')),
    _off("exception-handling", "exnref local", module("(func (local exnref))")),
    _off("exception-handling", "try_table", module("(func (try_table))")),
    _off("exception-handling", "throw_ref", body(b"\x00\x0a")),
    _off("exception-handling", "legacy try", body(b"\x06\x40\x19\x0b\x42\x00")),
    _off("function-references", "typed reference", module("(type $f (func)) (func (param (ref null $f)))")),
    _off("function-references", "call_ref", module("(type $f (func)) (func (call_ref $f (unreachable)))")),
    _off("function-references", "br_on_null", body(b"\xd0\x70\xd5\x00\x1a\x42\x00")),
    _off("function-references", "table of initial value", module(
        "(func $f) (elem declare func $f) (table 1 funcref (ref.func $f))")),
    _off("externref", "parameter", module("(func (param externref))")),
    _off("externref", "null", module("(func (drop (ref.null extern)))")),
    _off("tail-call", "return_call", module("(func $f (return_call $f))")),
    _off("tail-call", "return_call_indirect", module("(table 1 funcref) (func (return_call_indirect (i32.const 0)))")),
    _off("relaxed-simd", "relaxed conversion", module(
        "(func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0))))")),
    _off("wide-arithmetic", "128-bit sum", module(
        "(func (param i64) (i64.add128 (local.get 0) (local.get 0) (local.get 0) (local.get 0)) (drop) (drop))")),
    _off("stack-switching", "continuation type", module("(type $f (func)) (type (cont $f))")),
    _off("stack-switching", "suspend", body(b"\xe2\x00\x42\x00")),
    _off("component-model", "component", bytes(wasmtime.wat2wasm("(component)"))),
    _off("extended-const", "sum in a constant", module(
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))"), switched_off=False),
    _off("gc", "constant of a defined global", module("(global $a i32 (i32.const 1)) (global i32 (global.get $a))")),
    _off("memory-control", "discard", body(b"\x41\x00\x41\x00\xfc\x12\x00\x42\x00")),
)  # fmt: skip
