"""What others offer in Python for the same thing: Extism's SDK, and wasmtime's public classes. One host call each.

Both block while the host answers and neither limits CPU time here; the answer is the bare probe's, MessagePack in and
out. Extism keeps the compiled module on disk only if told to; its own way to compile once is CompiledPlugin.
"""

from __future__ import annotations

import msgpack  # type: ignore[import-untyped]
import wasmtime
from extism.extism import CompiledPlugin, Plugin, host_fn  # type: ignore[import-untyped]

_EXTISM_GUEST = """(module
  (import "extism:host/env" "input_offset" (func $input (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (import "extism:host/user" "ask" (func $ask (param i64) (result i64)))
  (memory (export "memory") 2 2)
  (func (export "handle") (result i32) (local $answer i64)
    (local.set $answer (call $ask (call $input)))
    (call $output (local.get $answer) (call $length (local.get $answer)))
    (i32.const 0)))"""


def _answer(request: bytes) -> bytes:
    _, msgid, method, _ = msgpack.unpackb(request)
    answer: bytes = msgpack.packb([1, msgid, None, {"method": method}])
    return answer


@host_fn("ask")  # type: ignore[untyped-decorator]
def _ask(request: bytes) -> bytes:
    return _answer(request)


class Extism:
    """Three ways to call one guest. Synchronous, but awaited as all cases are."""

    def __init__(self) -> None:
        self._wasm = bytes(wasmtime.wat2wasm(_EXTISM_GUEST))
        self._functions = [_ask]
        self._warm = Plugin(self._wasm, functions=self._functions)
        self._compiled = CompiledPlugin(self._wasm, functions=self._functions)

    async def fresh(self, message: bytes) -> bytes:
        """A plugin a call from the module's bytes: what its documentation shows."""
        return bytes(Plugin(self._wasm, functions=self._functions).call("handle", message))

    async def fresh_compiled(self, message: bytes) -> bytes:
        """A plugin a call, compiled once."""
        return bytes(Plugin(self._compiled).call("handle", message))

    async def warm(self, message: bytes) -> bytes:
        """One plugin for all calls: the guest's memory is shared between them."""
        return bytes(self._warm.call("handle", message))


class PublicClasses:
    """wasmtime's documented classes: Store, Linker and Instance for each call. No pool, no interruption."""

    def __init__(self, wasm: bytes) -> None:
        self._engine = wasmtime.Engine()
        self._module = wasmtime.Module(self._engine, wasm)
        self._kind = wasmtime.FuncType([wasmtime.ValType.i32()] * 4, [wasmtime.ValType.i32()])

    async def call(self, message: bytes) -> bytes:
        store = wasmtime.Store(self._engine)
        linker = wasmtime.Linker(self._engine)
        linker.define_func("hostel_v1", "call", self._kind, _on_call, access_caller=True)
        exports = linker.instantiate(store, self._module).exports(store)
        memory, handle = exports["memory"], exports["hostel_handle"]
        assert isinstance(memory, wasmtime.Memory) and isinstance(handle, wasmtime.Func)
        memory.write(store, message, 65_536)
        packed = handle(store, 65_536, len(message))
        at = packed >> 32
        answer = bytes(memory.read(store, at, at + (packed & 0xFFFF_FFFF)))
        store.close()
        return answer


def _on_call(caller: wasmtime.Caller, at: int, size: int, into: int, capacity: int) -> int:
    memory = caller["memory"]
    assert isinstance(memory, wasmtime.Memory)
    answer = _answer(bytes(memory.read(caller, at, at + size)))
    memory.write(caller, answer, into)
    return len(answer)
