"""A fiber: one guest call in flight, suspended at will. How C is driven, in order; what it means is sandbox.py's.

Life of a fiber's place (the buffer is reused by later calls, the store by later messages of a resident guest only):
  open → poll until done (start functions) → find_memory → begin → poll … → finish → close
  and between finish and close, where the guest stays for another message: next_message → begin → poll … → finish
A poll that is not done left the guest suspended: in an import if `asked` is set, else a tick took its turn away,
also at the very first poll. `answer` readies the guest to go on. `close` is right at any point, and runs in a
`finally`.

One call at a time: nothing touches a store while its guest is polled; two threads may poll two fibers.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import trio

from runtime.errors import Ending
from runtime.limits import WASM_PAGE
from runtime.sandbox import binding as b

_ANSWER = struct.Struct("<B7xQ").pack_into
_PARAM_AT = tuple((b.PARAMS + number * b.VAL + b.VALUE_AT) // 8 for number in range(2))
_TRAP, _ERROR, _RESULT, _FLAG = b.TRAP // 8, b.ERROR // 8, (b.RESULT + b.VALUE_AT) // 8, b.FLAG // 8
"""Words of the buffer. The kinds of the parameters stay 0 there: i32."""


class Over(Exception):
    """The guest is over: the ending, a detail that is safe to log, and numbers for the error."""

    def __init__(self, ending: Ending, detail: str, **details: Any) -> None:
        super().__init__(detail)
        self.ending, self.detail, self.details = ending, detail, details


class Fiber:
    """A place for one call in flight."""

    __slots__ = ("_arguments", "_continuation", "_results", "asked", "at", "base", "buffer", "context", "future",
                 "memory_at", "size", "store", "words")  # fmt: skip

    by_context: ClassVar[dict[int, Fiber]] = {}
    """Context of a store that is open → fiber: how an import finds its fiber, whichever thread polls it."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(b.BUFFER)
        self.at = ctypes.addressof(self.buffer)
        self.words = memoryview(self.buffer).cast("B").cast("Q")
        self.store = self.future = self.context = self.base = self.size = self.memory_at = 0
        self.asked = self._arguments = self._results = 0
        self._continuation = struct.pack("<3Q", b.STRLEN or 0, self.at + b.FLAG, 0)

    def open(self, engine_at: int, pre_at: int, memory_bytes: int, table_elements: int, fuel: int = 0) -> None:
        """A fresh store with its limits armed, and the future that instantiates the module (and runs its `start`).
        `fuel`: what the guest may use, in an engine that counts it."""
        at, words = self.at, self.words
        self.asked = self.base = self.size = 0
        self.store = store = b.store_new(engine_at, None, None)
        self.context = context = b.store_context(store)
        self.by_context[context] = self
        b.store_limiter(store, memory_bytes, table_elements, 1, 1, 1)
        b.set_epoch_deadline(context, 1)
        b.yield_at_deadline(context, 1)
        if fuel:
            b.set_fuel(context, fuel)
        words[_TRAP] = words[_ERROR] = 0
        self.future = b.instantiate_async(pre_at, context, at + b.INSTANCE, at + b.TRAP, at + b.ERROR)

    def next_message(self, fuel: int = 0) -> None:
        """Before the first future of a message that finds the store as the one before left it."""
        b.set_epoch_deadline(self.context, 1)
        if fuel:
            b.set_fuel(self.context, fuel)

    def fuel_left(self) -> int:
        """In an engine that counts it, while no poll runs; 0 before the store is there."""
        self.words[b.FUEL // 8] = 0
        if self.store:
            b.get_fuel(self.context, self.at + b.FUEL)
        return self.words[b.FUEL // 8]

    def begin(self, function: bytes, *arguments: int, results: int = 1) -> None:
        """The future that calls an exported function with i32 arguments; `results` is how many it gives."""
        at, words = self.at, self.words
        for word, value in zip(_PARAM_AT, arguments, strict=False):
            words[word] = value
        item = self._export(function, b.ITEM)
        self.future = b.call_async(
            self.context, item, at + b.PARAMS, len(arguments), at + b.RESULT, results, at + b.TRAP, at + b.ERROR
        )

    def poll(self) -> bool:
        """One slice with the GIL held: right for a short one, bounded by a tick that needs no GIL."""
        return b.poll_held(self.future)  # type: ignore[no-any-return]

    def poll_free(self) -> bool:
        """One slice with the GIL dropped: for a guest that runs long, and where the tick needs the GIL."""
        return b.poll_free(self.future)  # type: ignore[no-any-return]

    def finish(self) -> None:
        """After a poll that was done. Raises Over if the guest trapped or could not be instantiated."""
        b.future_delete(self.future)
        self.future = 0
        words = self.words
        if trap := words[_TRAP]:
            words[_TRAP] = 0
            code = b.take_trap(trap)
            raise Over(Ending.TRAPPED, f"the guest trapped: {code}", trap=code)
        if error := words[_ERROR]:
            words[_ERROR] = 0
            raise Over(Ending.INTERNAL, b.take_error(error))

    @property
    def result(self) -> int:
        """What the function returned, as u64; an i32 is masked by who expects one."""
        return self.words[_RESULT]

    def answer(self, value: int) -> None:
        """The import's i32 result; the next poll lets the guest go on. Where it goes stays valid while the guest is
        suspended."""
        _ANSWER(b.SPACE, self._results, 0, value & b.U32)
        self.asked = 0
        self.words[_FLAG] = 1

    def arguments(self, layout: struct.Struct) -> tuple[int, ...]:
        """Those of the import that is asked for; valid until it is answered."""
        return layout.unpack_from(b.SPACE, self._arguments)

    # ---- memory ------------------------------------------------------------------------------------------------------
    def find_memory(self, size_least: int) -> None:
        """Where the memory is. Its base never moves; its size is at least `size_least` until a check asks again."""
        self.memory_at = self._export(b"memory", b.MEMORY)
        self.base = b.memory_data(self.context, self.memory_at)
        self.size = size_least

    def grown(self) -> int:
        """Bytes of memory now; 0 before it is known. Only while no poll runs."""
        if self.base:
            self.size = b.memory_size(self.context, self.memory_at)
        return self.size

    def grow(self, size: int) -> None:
        """To that many bytes, whole pages, where it has fewer. Only while no future is there. Raises Over."""
        if (missing := size - self.grown()) > 0:
            if error := b.memory_grow(self.context, self.memory_at, missing // WASM_PAGE, self.at + b.RESULT):
                raise Over(Ending.INTERNAL, b.take_error(error))
            self.grown()

    def check(self, pointer: int, length: int) -> int:
        """Address of that range, or Over. Both are u32 held in Python ints: their sum cannot wrap."""
        if pointer + length > self.size and pointer + length > self.grown():
            raise Over(
                Ending.PROTOCOL_VIOLATION,
                f"pointer {pointer} with length {length} is outside the memory of {self.size} bytes",
                pointer=pointer, length=length, memory_bytes=self.size,
            )  # fmt: skip
        return self.base + pointer

    def read(self, pointer: int, length: int) -> bytes:
        """A copy of that range. The caller bounds the length first."""
        at = self.check(pointer, length)
        return b.SPACE[at : at + length].tobytes()

    def write(self, pointer: int, data: bytes) -> None:
        at = self.check(pointer, len(data))
        b.SPACE[at : at + len(data)] = data

    def copy_to(self, address: int, data: bytes) -> None:
        """To an address that `check` gave for at least that many bytes, while the same import is being answered."""
        b.SPACE[address : address + len(data)] = data

    def _export(self, name: bytes, into: int) -> int:
        at = self.at + into
        if not b.export_get(self.context, self.at + b.INSTANCE, name, len(name), at):
            raise Over(Ending.PROTOCOL_VIOLATION, f"no export {name!r}")
        return at + b.ITEM_AT

    def drop(self) -> None:
        """Drops the guest wherever it stands; its memory can still be measured."""
        if self.future:
            b.future_delete(self.future)
            self.future = 0

    def close(self) -> None:
        """Drops the guest and gives its pool slot back. The future first, then the store."""
        self.drop()
        words = self.words
        if words[_TRAP] or words[_ERROR]:
            for word, take in ((_TRAP, b.take_trap), (_ERROR, b.take_error)):
                if pointer := words[word]:
                    words[word] = 0
                    take(pointer)
        if self.store:
            del self.by_context[self.context]
            b.store_delete(self.store)
            self.store = 0
        self.base = self.size = 0


_BY_CONTEXT = Fiber.by_context


def _on_import(
    env: int, caller: int, arguments: int, count: int, results: int, result_count: int, trap: int, continuation: int
) -> None:
    """Every import: notes what was asked and suspends the guest. What it asks for is done outside, where code may
    raise."""
    fiber = _BY_CONTEXT[b.caller_context(caller)]
    fiber.words[_FLAG] = 0
    b.SPACE[continuation : continuation + 24] = fiber._continuation
    fiber.asked, fiber._arguments, fiber._results = env, arguments or 0, results or 0


on_import: Callable[..., None] = b.Import(trio.lowlevel.enable_ki_protection(_on_import))
"""The one callback C calls; `env` is the import's number, from 1. Lives as long as the process."""
