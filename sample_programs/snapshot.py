"""A module with its start behind it: runs one function in it and gives the module anew, its memory as it is then.

What lives here: the run, and the rewriting of the binary format's memory, export and data sections. For modules of our
own that are built here (the JavaScript engine); nothing of it runs in a host. The start may ask nobody for anything: an
import that is called ends it. So the same module and input give the same bytes, on any machine, at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import wasmtime

from runtime.limits import WASM_PAGE
from runtime.sandbox import abi
from runtime.sandbox.outline import KINDS
from runtime.sandbox.wasm_reader import Reader

_HEAD: Final = b"\0asm\x01\0\0\0"
_MEMORY, _GLOBAL, _EXPORT, _DATA, _DATA_COUNT = 5, 6, 7, 11, 12
_MUTABLE: Final = 1
_GAP_BYTES: Final = 24
"""Zeros that end a segment: fewer cost less than the head of another one."""


class SnapshotError(Exception):
    """The module cannot be started, or is not one that can be written anew."""


def snapshot(module: bytes, start: str, given: bytes) -> bytes:
    """The module after `_initialize`, if it has one, and the export `start` of type (ptr i32, len i32) → i32, which is
    given room from `hostel_alloc` and answers 0. Neither is exported any more. Raises SnapshotError.

    Globals are not kept: there may be one that changes, the stack's pointer, which is back where it was when a function
    has returned.
    """
    sections = list(_sections(module))
    _check_globals(sections)
    memory = _started(module, start, given)
    gone = {start, abi.INITIALIZE}
    parts = [_HEAD]
    for number, body in sections:
        if number == _MEMORY:
            body = _memory(body, len(memory) // WASM_PAGE)
        elif number == _EXPORT:
            body = _exports(body, gone)
        elif number in (_DATA, _DATA_COUNT):
            continue
        parts.append(_section(number, body))
    parts.append(_section(_DATA, _data(memory)))
    return b"".join(parts)


def _started(module: bytes, start: str, given: bytes) -> bytes:
    store = wasmtime.Store()
    compiled = wasmtime.Module(store.engine, module)
    instance = wasmtime.Instance(store, compiled, [_unanswered(store, each) for each in compiled.imports])
    exports = instance.exports(store)

    def run(name: str, *arguments: int) -> int:
        function = exports[name]
        if not isinstance(function, wasmtime.Func):
            raise SnapshotError(f"{name} is no function")
        try:
            return int(function(store, *arguments) or 0)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise SnapshotError(f"{name} did not return: {error}") from None

    if abi.INITIALIZE in exports:
        run(abi.INITIALIZE)
    memory = exports[abi.MEMORY]
    if not isinstance(memory, wasmtime.Memory):
        raise SnapshotError("memory is no memory")
    pointer = run("hostel_alloc", len(given))
    memory.write(store, given, pointer)
    if answer := run(start, pointer, len(given)):
        raise SnapshotError(f"{start} answered {answer}")
    return bytes(memory.read(store))


def _unanswered(store: wasmtime.Store, wanted: wasmtime.ImportType) -> wasmtime.Func:
    def refuse(*_: object) -> None:
        raise wasmtime.WasmtimeError(f"{wanted.module}.{wanted.name} was called")

    if not isinstance(wanted.type, wasmtime.FuncType):
        raise SnapshotError(f"{wanted.module}.{wanted.name} is no function")
    return wasmtime.Func(store, wanted.type, refuse)


# ---- the binary format -----------------------------------------------------------------------------------------------
def _sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    if not module.startswith(_HEAD):
        raise SnapshotError("no module")
    reader = Reader(module, len(_HEAD))
    while reader.at < reader.end:
        number = reader.byte()
        yield number, reader.take(reader.u32())


def _section(number: int, body: bytes) -> bytes:
    return bytes([number]) + _u32(len(body)) + body


def _u32(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _i32(value: int) -> bytes:
    """Signed LEB128 of a number that is an address."""
    out = bytearray()
    while value > 0x3F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _check_globals(sections: list[tuple[int, bytes]]) -> None:
    """All are i32 constants, and one changes."""
    changing = 0
    for number, body in sections:
        if number != _GLOBAL:
            continue
        reader = Reader(body)
        for _ in range(reader.count()):
            reader.byte()
            changing += reader.byte() == _MUTABLE
            if reader.byte() != 0x41:
                raise SnapshotError("a global that is no i32 constant")
            reader.signed(32)
            reader.byte()
    if changing != 1:
        raise SnapshotError(f"{changing} globals change; one may, the stack's pointer")


def _memory(body: bytes, pages: int) -> bytes:
    reader = Reader(body)
    reader.u32()
    has_most = reader.byte() & 1
    reader.u32()
    most = reader.u32() if has_most else 0
    return b"\x01" + bytes([has_most]) + _u32(pages) + (_u32(most) if has_most else b"")


def _exports(body: bytes, gone: set[str]) -> bytes:
    reader = Reader(body)
    kept = []
    for _ in range(reader.count()):
        name = reader.text(reader.u32())
        kind, index = reader.byte(), reader.u32()
        if kind not in KINDS:
            raise SnapshotError(f"export {name} is of kind {kind}")
        if name not in gone:
            kept.append(_u32(len(name.encode())) + name.encode() + bytes([kind]) + _u32(index))
    return _u32(len(kept)) + b"".join(kept)


def _data(memory: bytes) -> bytes:
    """What is not zero, as active segments."""
    runs = re.compile(rb"[^\0](?:[^\0]|\0{1,%d}(?=[^\0]))*" % (_GAP_BYTES - 1), re.DOTALL)
    parts = []
    for run in runs.finditer(memory):
        parts.append(b"\0\x41" + _i32(run.start()) + b"\x0b" + _u32(len(run[0])) + run[0])
    return _u32(len(parts)) + b"".join(parts)
