"""Guests on wasmtime's public classes: a module's imports and exports (§4.2, §4.3), and one call of it (§4.5)."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import wasmtime
from wasmtime import Caller, FuncType, ValType

from . import wasi
from .call import Call, Ended
from .wire import Refused

TICK_S, COMPUTE_TICKS = 0.05, 30
"""A guest that computes so many ticks without a host call is stopped: all that this host knows of CPU time."""
_I32, _I64 = ValType.i32(), ValType.i64()
_EXPORTS = {"hostel_alloc": ("i32", "i32"), "hostel_handle": ("i32 i32", "i64"), "_initialize": ("", "")}
_OFF = (
    "threads", "memory64", "multi_memory", "tail_call", "relaxed_simd", "gc", "exceptions", "function_references",
    "wide_arithmetic", "stack_switching", "custom_page_sizes",
)  # fmt: skip


@functools.cache
def engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.cranelift_opt_level = "none"
    for name in _OFF:
        setattr(config, f"wasm_{name}", False)
    made = wasmtime.Engine(config)

    def tick() -> None:
        while True:
            time.sleep(TICK_S)
            made.increment_epoch()

    threading.Thread(target=tick, daemon=True).start()
    return made


# ---- what a module may be --------------------------------------------------------------------------------------------
@functools.lru_cache(64)
def _compiled(data: bytes) -> wasmtime.Module:
    return wasmtime.Module(engine(), data)


def module(data: bytes, memory_bytes: int) -> wasmtime.Module:
    """Raises Refused."""
    if not data.startswith(b"\0asm"):  # wasmtime would take WebAssembly's text format as well
        raise Refused("module_refused", "this is no WebAssembly", check="malformed", offset=0, what="magic")
    try:
        made = _compiled(data)
    except wasmtime.WasmtimeError as error:
        text = ascii(str(error))[:200]
        raise Refused("module_refused", "wasmtime refuses the module", check="compiler", text=text) from None
    store = wasmtime.Store(engine())
    for one in made.imports:
        if not isinstance(one.type, FuncType) or _known(store, one.module, one.name or "") != _shape(one.type):
            place = {"module": ascii(one.module)[:80], "name": ascii(one.name)[:80]}
            raise Refused("module_refused", f"the import {place['module']} {place['name']} is not of the ABI",
                          check="abi", kind=type(one.type).__name__, **place)  # fmt: skip
    _check_exports(made, memory_bytes)
    return made


def _known(store: wasmtime.Store, module: str, name: str) -> tuple[str, str] | None:
    try:
        return _shape(linker().get(store, module, name).type(store))
    except wasmtime.WasmtimeError:
        return None


def _shape(of: Any) -> tuple[str, str]:
    return " ".join(map(str, of.params)), " ".join(map(str, of.results))


def _check_exports(made: wasmtime.Module, memory_bytes: int) -> None:
    exports = {one.name: one.type for one in made.exports}
    memory = exports.get("memory")
    if not isinstance(memory, wasmtime.MemoryType):
        raise Refused("module_refused", "it must export its memory as memory", check="abi", export="memory")
    for name, shape in _EXPORTS.items():
        told = exports.get(name)
        if name == "_initialize" and told is None:
            continue
        if not isinstance(told, FuncType) or _shape(told) != shape:
            raise Refused("module_refused", f"it must export {name}: {shape}", check="abi", export=name)
    inbox = [exports[name] for name in ("hostel_inbox", "hostel_inbox_size") if name in exports]
    fit = all(
        isinstance(one, wasmtime.GlobalType) and (str(one.content), one.mutable) == ("i32", False) for one in inbox
    )
    if len(inbox) == 1 or not fit:
        raise Refused("module_refused", "an inbox is two immutable i32 globals", check="abi", export="hostel_inbox")
    if (size := memory.limits.min * 65_536) > memory_bytes:
        raise Refused("module_refused", "its memory does not fit the limit", check="abi", limit="memory_bytes",
                      value=memory_bytes, found=size, unit="bytes")  # fmt: skip


# ---- what it imports -------------------------------------------------------------------------------------------------
_calling = threading.local()


@functools.cache
def linker() -> wasmtime.Linker:
    """Of all guests: which call a function acts for is known by the thread."""
    made = wasmtime.Linker(engine())
    made.allow_shadowing = True
    made.define_wasi()
    for name, params, function in (("call", 4, Call.call), ("post", 2, Call.post), ("wait", 3, Call.wait),
                                   ("take", 2, Call.take)):  # fmt: skip
        shape = FuncType([_I32] * params, [_I32])
        made.define_func("hostel_v1", name, shape, _bound(function), access_caller=True)
    for name, (kinds, answers, shim) in wasi.FUNCTIONS.items():
        shape = FuncType([_I64 if kind == "I" else _I32 for kind in kinds], [_I32] * answers)
        made.define_func("wasi_snapshot_preview1", name, shape, _bound(shim), access_caller=True)
    return made


def _bound(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(caller: Caller, *operands: int) -> Any:
        call: Call = _calling.call
        memory = caller["memory"]
        assert isinstance(memory, wasmtime.Memory)
        call.attach(caller, memory)
        with call.clock.lock:
            answer = function(call, *operands)
        call.store.set_epoch_deadline(COMPUTE_TICKS)
        return answer

    return run


# ---- one call --------------------------------------------------------------------------------------------------------
def run(call: Call, made: wasmtime.Module, message: bytes) -> bytes:
    """The guest's response. Raises Ended for every other way to end."""
    call.store = wasmtime.Store(engine())
    call.store.set_limits(memory_size=call.limits["memory_bytes"], table_elements=call.limits["table_elements"])
    call.store.set_wasi(wasmtime.WasiConfig())
    call.store.set_epoch_deadline(COMPUTE_TICKS)
    before, began = getattr(_calling, "call", None), time.thread_time()
    _calling.call = call
    try:
        return _through(call, made, message)
    except wasmtime.Trap as trap:
        raise _of_trap(call, trap) from None
    except wasmtime.WasmtimeError as error:
        raise Ended("trapped", ascii(str(error))[:200]) from None
    finally:
        _calling.call = before
        call.usage["memory_bytes_peak"] = call.memory_bytes()
        call.usage["memory_at_limit"] = call.memory_bytes() + 65_536 > call.limits["memory_bytes"]
        call.usage["cpu_us"] = int((time.thread_time() - began) * 1e6)


def _of_trap(call: Call, trap: wasmtime.Trap) -> Ended:
    if trap.trap_code is not wasmtime.TrapCode.INTERRUPT:
        return Ended("trapped", ascii(trap.message)[:200])
    return Ended(call.taken or "deadline_exceeded", "it computed for too long", limit="wall_ms",
                 value=call.limits["wall_ms"], unit="ms")  # fmt: skip


def _through(call: Call, made: wasmtime.Module, message: bytes) -> bytes:
    instance = linker().instantiate(call.store, made)
    exports = instance.exports(call.store)
    functions: dict[str, Any] = {name: exports[name] for name in ("hostel_alloc", "hostel_handle")}
    memory: Any = exports["memory"]
    call.attach(call.store, memory)
    if (initialize := exports.get("_initialize")) is not None:
        initialize(call.store)  # type: ignore[operator]
    at = _inbox(call.store, exports, len(message))
    if at is None:
        at = functions["hostel_alloc"](call.store, len(message)) & 0xFFFFFFFF
        if at == 0:
            raise Ended("failed", "the guest has no room for the message")
    call.attach(call.store, memory)
    call.write(at, message)
    call.may_ask = True
    told = functions["hostel_handle"](call.store, at, len(message)) & 0xFFFFFFFFFFFFFFFF
    call.attach(call.store, memory)
    with call.clock.lock:
        call.finish_posted()
    if call.is_notification and told:
        raise Ended("protocol_violation", "a notification is answered with 0")
    if (size := told & 0xFFFFFFFF) > call.limits["message_out_bytes"]:
        limit = call.limits["message_out_bytes"]
        raise Ended("protocol_violation", "its answer is too long", limit="message_out_bytes", value=limit, used=size,
                    unit="bytes")  # fmt: skip
    return call.read(told >> 32, size)


def _inbox(store: wasmtime.Store, exports: Any, size: int) -> int | None:
    if (at := exports.get("hostel_inbox")) is None or exports["hostel_inbox_size"].value(store) < size:
        return None
    return int(at.value(store)) & 0xFFFFFFFF
