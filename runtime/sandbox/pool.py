"""A pool of sandbox slots on one engine, and the modules loaded into it. Nothing compiles here.

Everything guests share lives here and is immutable: the engine, the linker with every import defined once, the loaded
modules. What a call changes lives in its store, which is fresh for every call.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import wasmtime

from runtime.errors import ModuleError, StartupError
from runtime.limits import KIB, MEMORY_BYTES_CEILING, TABLE_ELEMENTS_CEILING, WASM_PAGE
from runtime.sandbox import abi, binding
from runtime.sandbox.engine import STACK_BYTES, engine_config
from runtime.sandbox.fiber import Fiber, on_import
from runtime.sandbox.script import Script, Scripts

IMPORT_NUMBERS: dict[tuple[str, str], int] = {key: number for number, key in enumerate(abi.IMPORTS, 1)}
"""(module, name) → the number an import is asked by."""

_KINDS = {"i": wasmtime.ValType.i32, "I": wasmtime.ValType.i64}


class ArtifactRefused(ModuleError):
    """Compiled for another processor; compiling it here mends that."""


class Facts(Protocol):
    """What the static checks found out about a module and a sandbox needs (checks.ModuleFacts has it)."""

    @property
    def sha256(self) -> str: ...
    @property
    def memory_min_pages(self) -> int: ...
    @property
    def memory_max_pages(self) -> int | None: ...
    @property
    def has_initialize(self) -> bool: ...
    @property
    def inbox(self) -> tuple[int, int] | None: ...
    @property
    def imports(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def metered(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A loaded module. Keeps alive what C only borrows; dropped modules are freed when no call uses them any more."""

    engine_at: int
    pre_at: int
    inbox_at: int
    inbox_size: int
    has_initialize: bool
    posts: bool
    reads_clock: bool
    memory_bytes_max: int
    """What its memory could grow to: the lesser of the declared maximum and the pool's ceiling."""
    memory_bytes_min: int
    metered: bool
    """Of the engine that counts fuel."""
    keep: tuple[Any, ...] = field(repr=False)
    scripts: Scripts
    """What scripts left in instances of this pool."""
    script: Script | None = None
    """What each fresh instance loads before its message; None for a module that is the program itself."""


class Pool:
    """`slots` sandboxes at once, each with up to MEMORY_BYTES_CEILING of address space reserved and none of it used.

    A program whose module has data keeps fast while it has two warm slots; `keep_resident_bytes` of a slot's memory
    stay mapped and are zeroed by hand between calls, which spares page faults. Closed by dropping it, after its ticker.
    """

    def __init__(
        self, *, slots: int, keep_resident_bytes: int = 128 * KIB, metered: bool = False, warm_slots: int | None = None
    ) -> None:
        """`metered`: its engine counts fuel; only modules compiled for that are loaded into it. `warm_slots`: so many
        that were used and are free stay with the module they were used for, before one is used for another; None:
        all. It only helps where data is mapped, and each keeps memory."""
        self.slots, self.metered = slots, metered
        self._kept_bytes = keep_resident_bytes
        self.engine = binding.pooled_engine(
            engine_config(metered=metered),
            stack_bytes=STACK_BYTES + 128 * KIB,
            total_core_instances=slots, total_memories=slots, total_tables=slots, total_stacks=slots,
            max_unused_warm_slots=slots if warm_slots is None else warm_slots,
            max_memory_size=MEMORY_BYTES_CEILING, table_elements=TABLE_ELEMENTS_CEILING,
            linear_memory_keep_resident=keep_resident_bytes, async_stack_keep_resident=16 * KIB,
            table_keep_resident=16 * KIB,
        )  # fmt: skip
        self.engine_at = binding.address(self.engine.ptr())
        self._linker = wasmtime.Linker(self.engine)
        self._kinds = []
        for (module, name), signature in abi.IMPORTS.items():
            kind = wasmtime.FuncType(
                [_KINDS[letter]() for letter in signature.params], [_KINDS[letter]() for letter in signature.results]
            )
            binding.define_import(self._linker, module, name, kind, on_import, IMPORT_NUMBERS[module, name])
            self._kinds.append(kind)
        self._scripts = Scripts()
        self._idle: list[Fiber] = []
        self.places = 0

    def load(self, artifact: bytes | bytearray, facts: Facts) -> Module:
        """Native code of our own compiler's making, already authenticated (artifacts.py): it is mapped and trusted.

        Raises ArtifactRefused where wasmtime does not take it: made for a processor with other features.
        """
        try:
            module = binding.load_module(self.engine_at, artifact)
            pre = self._linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as error:
            raise ArtifactRefused(
                f"the compiled module does not load: {ascii(str(error))[:200]}", code="internal"
            ) from None
        inbox_at, inbox_size = facts.inbox or (0, 0)
        pages = facts.memory_max_pages
        return Module(
            engine_at=self.engine_at,
            pre_at=binding.address(pre.ptr()),
            inbox_at=inbox_at,
            inbox_size=inbox_size,
            has_initialize=facts.has_initialize,
            posts=(abi.HOSTEL, "post") in facts.imports,
            reads_clock=any(module == abi.WASI for module, _ in facts.imports),
            memory_bytes_max=MEMORY_BYTES_CEILING if pages is None else min(pages * WASM_PAGE, MEMORY_BYTES_CEILING),
            memory_bytes_min=facts.memory_min_pages * WASM_PAGE,
            metered=self.metered,
            scripts=self._scripts,
            keep=(self, module, pre),
        )

    def take_place(self, make: Callable[[], Fiber] | None = None) -> Fiber:
        """A place for one call; the caller has made sure that a slot is free (`places` counts those in use). `make`:
        one of its own kind, for this call alone."""
        if self.places >= self.slots:
            raise StartupError(f"all {self.slots} sandbox slots are in use", code="overloaded")
        self.places += 1
        if make is not None:
            return make()
        return self._idle.pop() if self._idle else Fiber()

    def give_place(self, fiber: Fiber) -> None:
        """Takes back a closed place."""
        self.places -= 1
        if type(fiber) is Fiber:
            self._idle.append(fiber)

    def cool(self, memory_at: int) -> None:
        """Gives back what the slot of a sandbox that was closed keeps mapped; `memory_at`: where its memory was. The
        pages are zero, and so they are again when the slot is used next. For who has closed very many at once."""
        binding.madvise(memory_at, self._kept_bytes, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """No call may be in flight. The engine goes when the last module is dropped."""
        self._idle.clear()
