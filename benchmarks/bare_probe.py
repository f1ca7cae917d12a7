"""The yardstick: a fresh pooled sandbox and one suspended host call, written the obvious way on the package's bindings.

What somebody gets who has found the C functions and calls them as ctypes is commonly used: classes, `byref`, `POINTER`
objects, a callback for the host call and one for its continuation. Limits on memory, an epoch deadline, MessagePack in
the answer; no broker, no limits beyond, no receipt. Independent of runtime/ on purpose.
"""

from __future__ import annotations

import ctypes
from collections.abc import Awaitable, Callable
from ctypes import POINTER, byref, c_void_p, cast, memmove, string_at
from typing import Any, ClassVar, TypeAlias

import msgpack  # type: ignore[import-untyped]
import trio
import wasmtime
from wasmtime import _ffi as ffi

SLOTS = 512
MEMORY_BYTES = 16 << 20
_NO_FINALIZER = ctypes.CFUNCTYPE(None, c_void_p)(0)
Serve: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""What a guest is answered: a request in, a response out."""


class _Call:
    """One sandbox and what it asks for."""

    of_store: ClassVar[dict[Any, _Call]] = {}

    def __init__(self, engine: wasmtime.Engine, pre: Any, serve: Serve) -> None:
        self._serve = serve
        self.request: bytes | None = None
        self.reply: bytes | None = None
        self.into = 0
        self.results: Any = None
        self.store = wasmtime.Store(engine, self)
        self.store.set_limits(memory_size=MEMORY_BYTES, table_elements=1_000, instances=1, tables=1, memories=1)
        self.store.set_epoch_deadline(1)
        self.context = self.store._context()
        self.data = ffi.wasmtime_context_get_data(self.context)
        self.of_store[self.data] = self
        ffi.wasmtime_context_epoch_deadline_async_yield_and_update(self.context, 1)
        self.instance, trap, error = (
            ffi.wasmtime_instance_t(),
            POINTER(ffi.wasm_trap_t)(),
            POINTER(ffi.wasmtime_error_t)(),
        )
        future = ffi.wasmtime_instance_pre_instantiate_async(
            pre.ptr(), self.context, byref(self.instance), byref(trap), byref(error)
        )
        if not ffi.wasmtime_call_future_poll(future) or trap or error:
            raise RuntimeError("not instantiated at once")
        ffi.wasmtime_call_future_delete(future)
        self.memory = self._export(b"memory").memory

    def _export(self, name: bytes) -> Any:
        item = ffi.wasmtime_extern_t()
        if not ffi.wasmtime_instance_export_get(self.context, byref(self.instance), name, len(name), byref(item)):
            raise RuntimeError(f"no export {name!r}")
        return item.of

    def base(self) -> int:
        return cast(ffi.wasmtime_memory_data(self.context, byref(self.memory)), c_void_p).value or 0

    async def call(self, name: bytes, *arguments: int) -> Any:
        params = (ffi.wasmtime_val_t * len(arguments))()
        for param, value in zip(params, arguments, strict=True):
            param.kind, param.of.i32 = 0, value
        results = (ffi.wasmtime_val_t * 1)()
        trap, error = POINTER(ffi.wasm_trap_t)(), POINTER(ffi.wasmtime_error_t)()
        function = self._export(name).func
        future = ffi.wasmtime_func_call_async(
            self.context, byref(function), params, len(arguments), results, 1, byref(trap), byref(error)
        )
        try:
            while not ffi.wasmtime_call_future_poll(future):
                if self.request is not None:
                    request, self.request = self.request, None
                    self.reply = await self._serve(request)
        finally:
            ffi.wasmtime_call_future_delete(future)
        if trap or error:
            raise RuntimeError("the guest trapped")
        return results[0].of

    def close(self) -> None:
        del self.of_store[self.data]
        self.store.close()


async def _serve(request: bytes) -> bytes:
    _, msgid, method, _ = msgpack.unpackb(request)
    await trio.lowlevel.checkpoint()
    answer: bytes = msgpack.packb([1, msgid, None, {"method": method}])
    return answer


@ffi.wasmtime_func_async_callback_t  # type: ignore[untyped-decorator]
def _on_call(
    env: Any, caller: Any, arguments: Any, count: int, results: Any, result_count: int, trap: Any, continuation: Any
) -> None:
    context = ffi.wasmtime_caller_context(caller)
    call = _Call.of_store[ffi.wasmtime_context_get_data(context)]
    base = call.base()
    at, size, into = (arguments[index].of.i32 & 0xFFFF_FFFF for index in range(3))
    call.request = string_at(base + at, size)
    call.into, call.results = base + into, results
    continuation.contents.callback = _on_resume
    continuation.contents.env = call.data
    continuation.contents.finalizer = _NO_FINALIZER


@ffi.wasmtime_func_async_continuation_callback_t  # type: ignore[untyped-decorator]
def _on_resume(data: int) -> bool:
    call = _Call.of_store[data]
    if call.reply is None:
        return False
    memmove(call.into, call.reply, len(call.reply))
    call.results[0].kind, call.results[0].of.i32 = 0, len(call.reply)
    call.reply = None
    return True


class BareProbe:
    """`call(message)` gives the guest's answer. Nothing to close: it goes when it is dropped."""

    def __init__(self, wasm: bytes, serve: Serve = _serve) -> None:
        self._serve = serve
        config = wasmtime.Config()
        config.epoch_interruption = True
        config.memory_reservation = MEMORY_BYTES
        pool = ffi.wasmtime_pooling_allocation_config_new()
        for what in ("core_instances", "memories", "tables", "stacks"):
            getattr(ffi, f"wasmtime_pooling_allocation_config_total_{what}_set")(pool, SLOTS)
        ffi.wasmtime_pooling_allocation_config_max_memory_size_set(pool, MEMORY_BYTES)
        ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
        self._engine = wasmtime.Engine(config)
        self._linker = wasmtime.Linker(self._engine)
        self._kind = wasmtime.FuncType([wasmtime.ValType.i32()] * 4, [wasmtime.ValType.i32()])
        if ffi.wasmtime_linker_define_async_func(
            self._linker.ptr(), b"hostel_v1", 9, b"call", 4, self._kind.ptr(), _on_call, None, _NO_FINALIZER
        ):
            raise RuntimeError("the import cannot be defined")
        self._module = wasmtime.Module(self._engine, wasm)
        self._pre = self._linker.instantiate_pre(self._module)

    async def call(self, message: bytes) -> bytes:
        call = _Call(self._engine, self._pre, self._serve)
        try:
            at = (await call.call(b"hostel_alloc", len(message))).i32
            memmove(call.base() + at, message, len(message))
            packed = (await call.call(b"hostel_handle", at, len(message))).i64
            return string_at(call.base() + (packed >> 32), packed & 0xFFFF_FFFF)
        finally:
            call.close()
