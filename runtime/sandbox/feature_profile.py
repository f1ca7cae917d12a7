"""The feature profile as a table of codes: which value types there are, and which proposal each other code belongs to.

What lives here: names for what is off, so that a refusal says `tail-call` and not `byte 0x12`. The switches of the
compiler stand in engine.py; this table names what they switch off, and refuses what they cannot (multi-table,
extended-const). Codes and names: the proposals' overview documents and the WebAssembly 3.0 binary format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtime.errors import ModuleError
from runtime.sandbox.refusals import malformed, proposal_off
from runtime.sandbox.wasm_reader import Reader

I32, I64, F32, F64, V128, FUNCREF = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70
TYPE_NAMES: Final[Mapping[int, str]] = {
    I32: "i32", I64: "i64", F32: "f32", F64: "f64", V128: "v128", FUNCREF: "funcref",
}  # fmt: skip
"""The value types of the profile."""

THREADS = "threads"
MEMORY64 = "memory64"
MULTI_MEMORY = "multi-memory"
MULTI_TABLE = "multi-table"
CUSTOM_PAGE_SIZES = "custom-page-sizes"
GC = "gc"
EXCEPTIONS = "exception-handling"
FUNCTION_REFERENCES = "function-references"
EXTERNREF = "externref"
TAIL_CALL = "tail-call"
RELAXED_SIMD = "relaxed-simd"
WIDE_ARITHMETIC = "wide-arithmetic"
STACK_SWITCHING = "stack-switching"
COMPONENT_MODEL = "component-model"
EXTENDED_CONST = "extended-const"
MEMORY_CONTROL = "memory-control"

_OTHER_TYPES: Final[Mapping[int, str]] = {
    0x6F: EXTERNREF, 0x72: EXTERNREF,
    0x63: FUNCTION_REFERENCES, 0x64: FUNCTION_REFERENCES, 0x73: FUNCTION_REFERENCES,
    0x69: EXCEPTIONS, 0x74: EXCEPTIONS,
    0x68: STACK_SWITCHING, 0x75: STACK_SWITCHING,
    **dict.fromkeys((0x65, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x71, 0x77, 0x78), GC),
}  # fmt: skip
_OTHER_TYPE_FORMS: Final[Mapping[int, str]] = {
    0x5D: STACK_SWITCHING, 0x65: THREADS, **dict.fromkeys((0x4C, 0x4D, 0x4E, 0x4F, 0x50, 0x5E, 0x5F), GC),
}  # fmt: skip
_OTHER_SECTIONS: Final[Mapping[int, str]] = {13: EXCEPTIONS, 14: GC}

_OTHER_OPCODES: Final[Mapping[int, str]] = {
    **dict.fromkeys((0x06, 0x07, 0x08, 0x09, 0x0A, 0x18, 0x19, 0x1F), EXCEPTIONS),
    0x12: TAIL_CALL, 0x13: TAIL_CALL,
    **dict.fromkeys((0x14, 0x15, 0xD4, 0xD5, 0xD6), FUNCTION_REFERENCES),
    0xD3: GC, 0xFB: GC, 0xFE: THREADS,
    **dict.fromkeys(range(0xE0, 0xE7), STACK_SWITCHING),
}  # fmt: skip
_OTHER_CONSTANTS: Final[Mapping[int, str]] = {
    **dict.fromkeys((0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E), EXTENDED_CONST),
    0xFB: GC,
}  # fmt: skip
_OTHER_BULK: Final[Mapping[int, str]] = {18: MEMORY_CONTROL, **dict.fromkeys(range(19, 23), WIDE_ARITHMETIC)}
_RELAXED_SIMD: Final = range(0x100, 0x114)


def value_type(reader: Reader) -> int:
    """The next value type, one of `TYPE_NAMES`."""
    at = reader.at
    code = reader.byte()
    if code not in TYPE_NAMES:
        raise _refused(_OTHER_TYPES.get(code), at, f"value type 0x{code:02x}")
    return code


def other_type(code: int, at: int) -> ModuleError:
    """Why a value type or block type is refused."""
    return _refused(_OTHER_TYPES.get(code), at, f"type 0x{code:02x}")


def other_type_form(code: int, at: int) -> ModuleError:
    """Why a type definition is refused that is no function type."""
    return _refused(_OTHER_TYPE_FORMS.get(code), at, f"type definition 0x{code:02x}")


def other_section(number: int, at: int) -> ModuleError:
    """Why a section is refused that is not one of the thirteen known."""
    return _refused(_OTHER_SECTIONS.get(number), at, f"section {number}")


def other_constant(opcode: int, at: int) -> ModuleError:
    """Why an instruction is refused in a constant expression."""
    return _refused(_OTHER_CONSTANTS.get(opcode), at, f"instruction 0x{opcode:02x} in a constant expression")


def other_opcode(opcode: int, sub: int | None, at: int) -> ModuleError:
    """Why an instruction is refused that the profile does not have."""
    if sub is None:
        return _refused(_OTHER_OPCODES.get(opcode), at, f"instruction 0x{opcode:02x}")
    named = _OTHER_BULK.get(sub) if opcode == 0xFC else (RELAXED_SIMD if sub in _RELAXED_SIMD else None)
    return _refused(named, at, f"instruction 0x{opcode:02x} {sub}")


def _refused(proposal: str | None, at: int, what: str) -> ModuleError:
    return malformed(at, f"unknown {what}") if proposal is None else proposal_off(proposal, at, what)
