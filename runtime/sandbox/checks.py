"""The static checks of a module: what `hostel check` says and what every module passes before it is compiled.

What lives here: the checks in a row, each a sentence of docs/protocol.md (§9), and the facts a sandbox needs later. The
reading of the format stands in outline.py and bodies.py. Pure: bytes in, facts or one `ModuleError` out, for any bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from runtime.limits import WASM_PAGE, ModuleCaps
from runtime.sandbox import abi
from runtime.sandbox.bodies import walk_bodies
from runtime.sandbox.feature_profile import I32, I64
from runtime.sandbox.outline import FUNCTION, GLOBAL, KINDS, MEMORY, FunctionType, Outline, read_outline
from runtime.sandbox.refusals import Meter, abi_broken, over_cap, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFacts:
    """What the checks found out about a module that passed them."""

    sha256: str
    """Of the module's bytes, hex."""
    memory_min_pages: int
    memory_max_pages: int | None
    """As declared; a sandbox's limit may be lower, a refused `memory.grow` is seen by the guest."""
    table_elements: int
    """Initial elements of the table; 0 if there is none."""
    imports: tuple[tuple[str, str], ...]
    """(module, name) of each import, in order, each once."""
    has_initialize: bool
    inbox: tuple[int, int] | None
    """Address and size of the room for messages that the module offers, inside its initial memory."""
    measured: Mapping[str, int]
    """Name of each structural cap → the largest value met."""
    metered: bool = False
    """What is compiled of it is for the engine that counts fuel."""


def check_module(wasm: bytes, caps: ModuleCaps, memory_bytes: int) -> ModuleFacts:
    """Checks a module against the binary format, the feature profile, the structural caps and the guest ABI.

    `memory_bytes` is the memory limit the module is to run under. Time is linear in the module's size: 0.06 s a
    megabyte of honest code, 0.5 s of nothing but blocks. Any bytes give facts or a `ModuleError`, whose details say
    which check failed and where.
    """
    check_size(wasm, caps)
    meter = Meter(caps)
    meter.meet("module_bytes", len(wasm), "module")
    outline = read_outline(wasm, meter)
    for check in _CHECKS:
        check(outline)
    memory = outline.memories[0]
    _fits(memory.least, memory_bytes)
    walk_bodies(wasm, outline, meter)
    return ModuleFacts(
        sha256=hashlib.sha256(wasm).hexdigest(),
        memory_min_pages=memory.least,
        memory_max_pages=memory.most,
        table_elements=sum(table.least for table in outline.tables),
        imports=tuple(dict.fromkeys((module, name) for module, name, _ in outline.imports)),
        has_initialize=abi.INITIALIZE in outline.exports,
        inbox=_inbox(outline),
        measured=meter.measured,
    )


def check_size(wasm: bytes, caps: ModuleCaps) -> None:
    """The one check that reads nothing: for whoever must not spend time on a module. Raises `ModuleError`."""
    Meter(caps).meet("module_bytes", len(wasm), "module")


def check_facts(facts: ModuleFacts, caps: ModuleCaps, memory_bytes: int) -> None:
    """Holds the facts of a module checked earlier against caps and a memory limit of today. Raises `ModuleError`."""
    for cap, found in facts.measured.items():
        if found > (value := getattr(caps, cap)):
            raise over_cap(cap, value, found, "module")
    _fits(facts.memory_min_pages, memory_bytes)


# ---- the guest ABI, one function a rule ------------------------------------------------------------------------------
def _imports_are_known(outline: Outline) -> None:
    """Every import is a function of the ABI's tables, with exactly the type that stands there."""
    for module, name, type_index in outline.imports:
        wanted = abi.IMPORTS.get((module, name))
        what = f"import {shown(module)} {shown(name)}"
        details = {"module": shown(module), "name": shown(name)}
        if wanted is None:
            raise abi_broken(
                f"{what} is not part of hostel_v1: only functions of {abi.HOSTEL!r} and {abi.WASI!r} can be imported",
                **details,
            )
        _has_type(what, outline.types[type_index], wanted, details)


def _memory_is_exported(outline: Outline) -> None:
    """There is exactly one memory, defined in the module and exported as `memory`."""
    if not outline.memories:
        raise abi_broken(
            "the module defines no memory; hostel_v1 needs exactly one, exported as 'memory'", export=abi.MEMORY
        )
    _exported(outline, abi.MEMORY, MEMORY)


def _functions_are_exported(outline: Outline) -> None:
    """`hostel_alloc` and `hostel_handle` are exported with their exact types."""
    for name, wanted in abi.EXPORTS.items():
        _has_exported_type(outline, name, wanted)


def _initialize_fits(outline: Outline) -> None:
    """`_initialize`, if there is one, takes nothing and gives nothing."""
    if abi.INITIALIZE in outline.exports:
        _has_exported_type(outline, abi.INITIALIZE, abi.Signature("", ""))


def _inbox_fits(outline: Outline) -> None:
    """Address and size of the inbox come together, as immutable i32 globals, and lie inside the initial memory."""
    _inbox(outline)


_CHECKS: Final[tuple[Callable[[Outline], None], ...]] = (
    _imports_are_known,
    _memory_is_exported,
    _functions_are_exported,
    _initialize_fits,
    _inbox_fits,
)


# ---- what the rules are made of --------------------------------------------------------------------------------------
def _fits(pages: int, memory_bytes: int) -> None:
    if pages * WASM_PAGE > memory_bytes:
        raise abi_broken(
            f"the module asks for {pages} pages ({pages * WASM_PAGE} bytes) of memory at start; the limit memory_bytes"
            f" is {memory_bytes}; build with a smaller stack or initial memory, or ask the operator for more",
            limit="memory_bytes", value=memory_bytes, found=pages * WASM_PAGE, unit="bytes",
        )  # fmt: skip


def _inbox(outline: Outline) -> tuple[int, int] | None:
    present = [name for name in (abi.INBOX, abi.INBOX_SIZE) if name in outline.exports]
    if not present:
        return None
    if len(present) == 1:
        raise abi_broken(f"{present[0]!r} is exported without its other half; an inbox needs both {abi.INBOX!r} and"
                         f" {abi.INBOX_SIZE!r}", export=present[0])  # fmt: skip
    pointer, size = (_constant_global(outline, name) for name in present)
    memory = outline.memories[0].least * WASM_PAGE
    if not size or pointer + size > memory:
        raise abi_broken(
            f"the inbox of {size} bytes at {pointer} is not inside the initial memory of {memory} bytes",
            export=abi.INBOX, value=memory, found=pointer + size, unit="bytes",
        )  # fmt: skip
    return pointer, size


def _constant_global(outline: Outline, name: str) -> int:
    """The value of an exported i32 global, as an unsigned number."""
    found = outline.globals[_exported(outline, name, GLOBAL)]
    if found.kind != I32 or found.mutable or found.value is None:
        raise abi_broken(f"export {name!r} is not an immutable i32 global with a constant value", export=name)
    return found.value & 0xFFFF_FFFF


def _exported(outline: Outline, name: str, kind: int) -> int:
    """The index of an export that must be there and be of that kind."""
    export = outline.exports.get(name)
    if export is None:
        raise abi_broken(f"the module does not export the {KINDS[kind]} {name!r}, which hostel_v1 needs", export=name)
    if export.kind != kind:
        raise abi_broken(f"export {name!r} is a {KINDS[export.kind]}; hostel_v1 needs a {KINDS[kind]}", export=name)
    return export.position


def _has_exported_type(outline: Outline, name: str, wanted: abi.Signature) -> None:
    found = outline.function_type(_exported(outline, name, FUNCTION))
    _has_type(f"export {name!r}", found, wanted, {"export": name})


def _has_type(what: str, found: FunctionType | None, wanted: abi.Signature, details: Mapping[str, str]) -> None:
    codes = {"i": I32, "I": I64}
    exact = FunctionType(
        bytes(codes[letter] for letter in wanted.params), bytes(codes[letter] for letter in wanted.results)
    )
    if found != exact:
        raise abi_broken(f"{what} has type {found}; hostel_v1 wants {exact}", **details)
