"""The walk over function bodies: every instruction known, nesting, locals and branch tables inside their caps.

What lives here: one pass, no stack of types (the compiler validates those). Its time is linear in the bytes; a body
that is accepted has been read to its last byte.
"""

from __future__ import annotations

from runtime.errors import ModuleError
from runtime.sandbox import feature_profile as profile
from runtime.sandbox.feature_profile import value_type
from runtime.sandbox.opcodes import (
    BLOCK_TYPE,
    BR_TABLE,
    ELSE,
    END,
    MEMORY_ARGUMENT,
    ONE_MEMORY,
    OPENING,
    PREFIXED,
    REF_NULL,
    RUN,
    TYPED_SELECT,
    U32,
    immediates,
)
from runtime.sandbox.outline import Outline
from runtime.sandbox.refusals import Meter, malformed, proposal_off
from runtime.sandbox.wasm_reader import Reader


def walk_bodies(wasm: bytes, outline: Outline, meter: Meter) -> None:
    """Walks all bodies; raises `ModuleError`."""
    for index, (start, end) in enumerate(outline.bodies, len(outline.imports)):
        where = f"function {index}"
        reader = Reader(wasm, start, end)
        _locals(reader, meter, where)
        _walk(reader, meter, where)


def _locals(reader: Reader, meter: Meter, where: str) -> None:
    """Locals are stated as runs: ten bytes can stand for 4 thousand million of them."""
    total = 0
    for _ in range(reader.count()):
        total += reader.u32()
        meter.meet("locals", total, where)
        value_type(reader)


def _walk(reader: Reader, meter: Meter, where: str) -> None:
    wasm, at, end = reader.data, reader.at, reader.end
    depth = deepest = 0
    run, block_type = RUN.match, BLOCK_TYPE.match
    while True:
        taken = run(wasm, at, end)
        if taken:
            at = taken.end()
        if at >= end:
            raise malformed(at, f"{where} without an end")
        opcode = wasm[at]
        if opcode == END:
            at += 1
            if not depth:
                break
            depth -= 1
        elif opcode in OPENING:
            taken = block_type(wasm, at + 1, end)
            if not taken:
                raise _block_type(Reader(wasm, at + 1, end))
            at = taken.end()
            depth += 1
            if depth > deepest:
                deepest = depth
        elif opcode == ELSE:
            at += 1
        elif opcode == BR_TABLE:
            at = _br_table(Reader(wasm, at + 1, end), meter, where)
        elif opcode == TYPED_SELECT:
            at = _typed_select(Reader(wasm, at + 1, end))
        else:
            raise _not_taken(Reader(wasm, at, end))
    meter.meet("nesting", deepest, where)
    if at != end:
        raise malformed(at, f"{end - at} bytes after the end of {where}")


def _br_table(reader: Reader, meter: Meter, where: str) -> int:
    targets = reader.u32()
    meter.meet("br_table", targets, where)
    for _ in range(targets + 1):  # and the default
        reader.u32()
    return reader.at


def _typed_select(reader: Reader) -> int:
    at = reader.at
    if reader.u32() != 1:
        raise malformed(at, "a select of more than one type")
    value_type(reader)
    return reader.at


def _block_type(reader: Reader) -> ModuleError:
    at = reader.at
    return profile.other_type(reader.byte(), at)


def _not_taken(reader: Reader) -> ModuleError:
    """Why the pattern stopped here: an instruction that is not in the table, or one whose immediates are wrong."""
    at = reader.at
    opcode = reader.byte()
    sub = reader.u32() if opcode in PREFIXED else None
    form = immediates(opcode, sub)
    if form is None:
        return profile.other_opcode(opcode, sub, at)
    what = f"instruction 0x{opcode:02x}" if sub is None else f"instruction 0x{opcode:02x} {sub}"
    if _names_another_memory(form, reader):
        return proposal_off(profile.MULTI_MEMORY, at, what)
    if opcode == REF_NULL:
        return profile.other_type(reader.byte(), at)
    return malformed(at, f"immediates of {what}")


def _names_another_memory(form: bytes, reader: Reader) -> bool:
    if form.startswith(MEMORY_ARGUMENT):
        return bool(reader.u32() & 0x40)
    if not form.endswith(ONE_MEMORY):
        return False
    if form.startswith(U32):
        reader.u32()
    return any(reader.u32() for _ in range(form.removeprefix(U32).count(ONE_MEMORY)))
