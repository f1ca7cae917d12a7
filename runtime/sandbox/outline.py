"""Everything of a module but its code: a strict reading of the sections, with every structural cap held on the way.

What lives here: the sections of the binary format, in order. Whether the module fits the guest ABI is checks.py's
question; function bodies are bodies.py's. A count is held against its cap before what it counts is read. What needs
types of the operand stack is left to the compiler's own validation, which runs before it compiles anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from runtime.sandbox import feature_profile as profile
from runtime.sandbox.feature_profile import FUNCREF, value_type
from runtime.sandbox.refusals import Meter, abi_broken, malformed, proposal_off, shown
from runtime.sandbox.wasm_reader import Reader

FUNCTION, TABLE, MEMORY, GLOBAL, TAG = range(5)
KINDS: Final[Mapping[int, str]] = {
    FUNCTION: "function", TABLE: "table", MEMORY: "memory", GLOBAL: "global", TAG: "tag",
}  # fmt: skip
"""What can be imported or exported: binary code → name."""


class FunctionType(NamedTuple):
    """Parameters and results: value type codes in a row."""

    params: bytes
    results: bytes

    def __str__(self) -> str:
        params, results = (", ".join(profile.TYPE_NAMES[code] for code in codes) for codes in self)
        return f"({params}) -> ({results})"


class Extent(NamedTuple):
    """Initial and greatest size of a memory (pages) or table (elements)."""

    least: int
    most: int | None


class Global(NamedTuple):
    """`value` is the initial value of an i32, None for every other type."""

    kind: int
    mutable: bool
    value: int | None


class Export(NamedTuple):
    kind: int
    position: int
    """Its index among all of its kind."""


@dataclass(slots=True)
class Outline:
    """What the sections say. Filled by `read_outline` in the order of the binary format."""

    types: list[FunctionType] = field(default_factory=list)
    imports: list[tuple[str, str, int]] = field(default_factory=list)
    """Module, name, type index: functions only."""
    functions: list[int] = field(default_factory=list)
    """Type index of each defined function."""
    tables: list[Extent] = field(default_factory=list)
    memories: list[Extent] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    exports: dict[str, Export] = field(default_factory=dict)
    data_count: int | None = None
    data_segments: int = 0
    bodies: list[tuple[int, int]] = field(default_factory=list)
    """Where each function body begins and ends."""

    def function_type(self, index: int) -> FunctionType | None:
        """The type of a function, imported or defined; None if there is no such function."""
        if index < len(self.imports):
            return self.types[self.imports[index][2]]
        index -= len(self.imports)
        return self.types[self.functions[index]] if index < len(self.functions) else None


HEADER: Final = b"\0asm\x01\0\0\0"
COMPONENT_LAYER: Final = b"\x01\0"


def read_outline(wasm: bytes, meter: Meter) -> Outline:
    """Reads all sections; raises `ModuleError`."""
    reader = Reader(wasm)
    header = wasm[: len(HEADER)]
    if header[:4] == HEADER[:4] and header[6:] == COMPONENT_LAYER:
        raise proposal_off(profile.COMPONENT_MODEL, 4, "a component")
    if header != HEADER:
        raise malformed(0, "no WebAssembly header (version 1)")
    reader.skip(len(HEADER))
    outline, place = Outline(), -1
    while reader.at < reader.end:
        at = reader.at
        number = reader.byte()
        section = reader.part(reader.u32())
        if number == 0:
            section.text(section.u32())  # a custom section: its name must be one, its content has no meaning here
            continue
        if number not in _ORDER:
            raise profile.other_section(number, at)
        if _ORDER.index(number) <= place:
            raise malformed(at, f"section {number} twice or out of order")
        place = _ORDER.index(number)
        _SECTIONS[number](section, outline, meter)
        section.done(f"section {number}")
    if len(outline.bodies) != len(outline.functions):
        raise malformed(reader.at, f"{len(outline.functions)} functions with {len(outline.bodies)} bodies")
    if outline.data_count not in (None, outline.data_segments):
        raise malformed(reader.at, f"data count {outline.data_count} with {outline.data_segments} segments")
    return outline


def _counted(reader: Reader, meter: Meter, cap: str, where: str) -> range:
    """The indices of a vector whose length is held against a cap."""
    count = reader.u32()
    meter.meet(cap, count, where)
    return range(count)


def _name(reader: Reader, meter: Meter, where: str) -> str:
    length = reader.u32()
    meter.meet("name_bytes", length, where)
    return reader.text(length)


def _index(reader: Reader, known: int, what: str) -> int:
    at = reader.at
    index = reader.u32()
    if index >= known:
        raise malformed(at, f"{what} {index} of {known}")
    return index


def _types(reader: Reader, outline: Outline, meter: Meter) -> None:
    for index in _counted(reader, meter, "types", "type section"):
        at = reader.at
        form = reader.byte()
        if form != 0x60:
            raise profile.other_type_form(form, at)
        params = bytes(value_type(reader) for _ in _counted(reader, meter, "params", f"type {index}"))
        results = bytes(value_type(reader) for _ in _counted(reader, meter, "results", f"type {index}"))
        outline.types.append(FunctionType(params, results))


def _imports(reader: Reader, outline: Outline, meter: Meter) -> None:
    for index in _counted(reader, meter, "imports", "import section"):
        module, name = (_name(reader, meter, f"import {index}") for _ in range(2))
        at = reader.at
        kind = reader.byte()
        if kind == TAG:
            raise proposal_off(profile.EXCEPTIONS, at, "an imported tag")
        if kind not in KINDS:
            raise malformed(at, f"unknown import kind 0x{kind:02x}")
        if kind != FUNCTION:
            raise abi_broken(
                f"import {shown(module)} {shown(name)} is a {KINDS[kind]}; a hostel_v1 module imports functions only:"
                f" define the {KINDS[kind]} inside the module",
                module=shown(module), name=shown(name), kind=KINDS[kind],
            )  # fmt: skip
        outline.imports.append((module, name, _index(reader, len(outline.types), "type")))


def _functions(reader: Reader, outline: Outline, meter: Meter) -> None:
    for _ in _counted(reader, meter, "functions", "function section"):
        outline.functions.append(_index(reader, len(outline.types), "type"))


def _extent(reader: Reader, what: str, most: int) -> Extent:
    """Limits of a memory or table; every flag but "has a maximum" belongs to a proposal that is off."""
    at = reader.at
    flags = reader.byte()
    for bit, proposal in ((0x02, profile.THREADS), (0x04, profile.MEMORY64), (0x08, profile.CUSTOM_PAGE_SIZES)):
        if flags & bit:
            raise proposal_off(proposal, at, f"{what} with flags 0x{flags:02x}")
    if flags > 1:
        raise malformed(at, f"{what} with flags 0x{flags:02x}")
    extent = Extent(reader.u32(), reader.u32() if flags else None)
    if extent.least > most or (extent.most is not None and not extent.least <= extent.most <= most):
        raise malformed(at, f"{what} of {extent.least} to {extent.most}")
    return extent


def _tables(reader: Reader, outline: Outline, meter: Meter) -> None:
    at, count = reader.at, reader.u32()
    if count > 1:
        raise proposal_off(profile.MULTI_TABLE, at, f"a module with {count} tables")
    meter.meet("tables", count, "table section")
    for index in range(count):
        at = reader.at
        if reader.data[at : at + 1] == b"\x40":
            raise proposal_off(profile.FUNCTION_REFERENCES, at, "a table with an initial value")
        if (kind := value_type(reader)) != FUNCREF:
            raise malformed(at, f"a table of {profile.TYPE_NAMES[kind]}")
        outline.tables.append(_extent(reader, "a table", 0xFFFF_FFFF))
        meter.meet("table_elements", outline.tables[-1].least, f"table {index}")


def _memories(reader: Reader, outline: Outline, meter: Meter) -> None:
    at, count = reader.at, reader.u32()
    if count > 1:
        raise proposal_off(profile.MULTI_MEMORY, at, f"a module with {count} memories")
    for _ in range(count):
        outline.memories.append(_extent(reader, "a memory", 0x1_0000))


def _globals(reader: Reader, outline: Outline, meter: Meter) -> None:
    for index in _counted(reader, meter, "globals", "global section"):
        kind, at = value_type(reader), reader.at
        mutable = reader.byte()
        if mutable & 0x02:
            raise proposal_off(profile.THREADS, at, f"shared global {index}")
        if mutable > 1:
            raise malformed(at, f"global {index} with flags 0x{mutable:02x}")
        outline.globals.append(Global(kind, bool(mutable), _constant(reader)))


def _constant(reader: Reader) -> int | None:
    """A constant expression, one instruction and `end`: its value, if it is an i32.

    There are no imported globals, so none can be read here. Whether the type is the one wanted is the validator's.
    """
    at, value = reader.at, None
    match reader.byte():
        case 0x41:
            value = reader.signed(32)
        case 0x42:
            reader.signed(64)
        case 0x43:
            reader.skip(4)
        case 0x44:
            reader.skip(8)
        case 0xD0:
            if (kind := value_type(reader)) != FUNCREF:
                raise malformed(at, f"ref.null of {profile.TYPE_NAMES[kind]}")
        case 0xD2:
            reader.u32()
        case 0xFD:
            if reader.u32() != 12:
                raise malformed(at, "a vector instruction in a constant expression")
            reader.skip(16)
        case 0x23:
            raise proposal_off(profile.GC, at, "a constant that reads a global which is not imported")
        case opcode:
            raise profile.other_constant(opcode, at)
    at = reader.at
    if (opcode := reader.byte()) == 0xFB:
        raise profile.other_constant(opcode, at)
    if opcode != 0x0B:
        raise proposal_off(profile.EXTENDED_CONST, at, "a constant of more than one instruction")
    return value


def _exports(reader: Reader, outline: Outline, meter: Meter) -> None:
    functions = len(outline.imports) + len(outline.functions)
    known = {
        FUNCTION: functions,
        TABLE: len(outline.tables),
        MEMORY: len(outline.memories),
        GLOBAL: len(outline.globals),
    }
    for index in _counted(reader, meter, "exports", "export section"):
        name, at = _name(reader, meter, f"export {index}"), reader.at
        kind = reader.byte()
        if kind == TAG:
            raise proposal_off(profile.EXCEPTIONS, at, "an exported tag")
        if kind not in known:
            raise malformed(at, f"unknown export kind 0x{kind:02x}")
        if name in outline.exports:
            raise malformed(at, f"export {shown(name)} twice")
        outline.exports[name] = Export(kind, _index(reader, known[kind], KINDS[kind]))


def _start(reader: Reader, outline: Outline, meter: Meter) -> None:
    at = reader.at
    kind = outline.function_type(reader.u32())
    if kind != FunctionType(b"", b""):
        raise malformed(at, "a start function that is not () -> ()")


def _elements(reader: Reader, outline: Outline, meter: Meter) -> None:
    items = 0
    for index in _counted(reader, meter, "elements", "element section"):
        at = reader.at
        flags = reader.u32()
        if flags > 7:
            raise malformed(at, f"element segment {index} with flags {flags}")
        if not flags & 1:  # active: at an offset in a table
            if flags & 2:
                _index(reader, len(outline.tables), "table")
            _constant(reader)
        expressions = flags & 4
        if flags & 3:
            _element_kind(reader, bool(expressions))
        count = reader.u32()
        items += count
        meter.meet("element_items", items, f"element segment {index}")
        for _ in range(count):
            if expressions:
                _constant(reader)
            else:
                reader.u32()


def _element_kind(reader: Reader, expressions: bool) -> None:
    at = reader.at
    kind = value_type(reader) if expressions else reader.byte()
    if kind != (FUNCREF if expressions else 0):
        raise malformed(at, f"element segment of kind 0x{kind:02x}")


def _data_count(reader: Reader, outline: Outline, meter: Meter) -> None:
    outline.data_count = reader.u32()
    meter.meet("data_segments", outline.data_count, "data count section")


def _code(reader: Reader, outline: Outline, meter: Meter) -> None:
    for index in _counted(reader, meter, "functions", "code section"):
        size = reader.u32()
        meter.meet("body_bytes", size, f"function {len(outline.imports) + index}")
        reader.skip(size)
        outline.bodies.append((reader.at - size, reader.at))


def _data(reader: Reader, outline: Outline, meter: Meter) -> None:
    outline.data_segments = len(_counted(reader, meter, "data_segments", "data section"))
    for index in range(outline.data_segments):
        at = reader.at
        flags = reader.u32()
        if flags > 2:
            raise malformed(at, f"data segment {index} with flags {flags}")
        if flags == 2 and reader.u32():
            raise proposal_off(profile.MULTI_MEMORY, at, "a data segment for another memory")
        if flags != 1:
            _constant(reader)
        reader.skip(reader.u32())


_SECTIONS: Final[Mapping[int, Callable[[Reader, Outline, Meter], None]]] = {
    1: _types, 2: _imports, 3: _functions, 4: _tables, 5: _memories, 6: _globals, 7: _exports, 8: _start, 9: _elements,
    12: _data_count, 10: _code, 11: _data,
}  # fmt: skip
_ORDER: Final = tuple(_SECTIONS)
"""Numbers of the sections in the order in which they must come."""
