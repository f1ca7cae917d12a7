"""The C side: wasmtime's own bindings, called with plain ints. The only file that touches `wasmtime._ffi`.

The package's public classes have no pool, no suspended calls and no epoch yields; the C functions they stand on do
(docs/decisions/0001). Here is every C function hostel calls, once: its signature, why it is called, and under which
rules. Nothing here knows what a call or a limit is; fiber.py does.

Rules of this file
- SIGNATURES is compared at import with what the installed package declares; a difference refuses to start.
- `library[name]` makes a function object of our own: the package's prototypes stay untouched, ours take ints.
- Short calls keep the GIL (PyDLL): one that drops it may get it back 5 ms later beside a busy Python thread. Only
  `poll_free` drops it.
- A memory's base never moves (the pool reserves its whole span). Its size only grows: a size read once is a lower
bound,
  read again when a check fails. Pointers from a guest are u32 and are checked by whoever uses them.
- Traps and errors handed to us are ours to free; their text holds names chosen by the guest.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_bool, c_char_p, c_int64, c_size_t, c_uint, c_void_p, sizeof, string_at
from itertools import accumulate
from typing import Any

import wasmtime
from wasmtime import _bindings, _ffi

from runtime.errors import StartupError

U32 = 0xFFFF_FFFF

SIGNATURES = {
    # a store is one sandbox: fresh for every call, deleted after it
    "wasmtime_store_new": "wasm_engine_t* void* fn -> wasmtime_store*",
    "wasmtime_store_context": "wasmtime_store* -> wasmtime_context*",
    "wasmtime_store_delete": "wasmtime_store* -> void",
    # the limits of memory, tables and instances; must stand before anything is instantiated
    "wasmtime_store_limiter": "wasmtime_store* i64 i64 i64 i64 i64 -> void",
    # preemption: at the next tick of the engine's epoch the guest yields instead of trapping. The second one is
    # declared to return an error and returns nothing: what ctypes hands back is never looked at
    "wasmtime_context_set_epoch_deadline": "wasmtime_context* size_t -> void",
    "wasmtime_context_epoch_deadline_async_yield_and_update": "wasmtime_context* size_t -> wasmtime_error*",
    "wasmtime_engine_increment_epoch": "wasm_engine_t* -> void",
    # counting instructions, in an engine that does: what is given, and what is left. Never an error there
    "wasmtime_context_set_fuel": "wasmtime_context* size_t -> wasmtime_error*",
    "wasmtime_context_get_fuel": "wasmtime_context* size_t* -> wasmtime_error*",
    # which fiber a host call belongs to: by its store's context, so two threads may poll two fibers
    "wasmtime_caller_context": "wasmtime_caller* -> wasmtime_context*",
    # what runs guest code, as futures that are polled
    "wasmtime_instance_pre_instantiate_async": (
        "wasmtime_instance_pre* wasmtime_context* wasmtime_instance* wasm_trap_t** wasmtime_error**"
        " -> wasmtime_call_future*"
    ),
    "wasmtime_func_call_async": (
        "wasmtime_context* wasmtime_func* wasmtime_val* size_t wasmtime_val* size_t wasm_trap_t** wasmtime_error**"
        " -> wasmtime_call_future*"
    ),
    "wasmtime_call_future_poll": "wasmtime_call_future* -> bool",
    # dropping a future drops the fiber, wherever it stands; before its store goes
    "wasmtime_call_future_delete": "wasmtime_call_future* -> void",
    "wasmtime_instance_export_get": "wasmtime_context* wasmtime_instance* char* size_t wasmtime_extern* -> bool",
    "wasmtime_memory_data": "wasmtime_context* wasmtime_memory* -> u8*",
    "wasmtime_memory_data_size": "wasmtime_context* wasmtime_memory* -> size_t",
    # an instance that gets the memory of a script that was loaded before; under the store's limit, as the guest's own
    "wasmtime_memory_grow": "wasmtime_context* wasmtime_memory* size_t size_t* -> wasmtime_error*",
    # what went wrong
    "wasmtime_trap_code": "wasm_trap_t* u8* -> bool",
    "wasm_trap_message": "wasm_trap_t* wasm_byte_vec_t* -> void",
    "wasm_trap_delete": "wasm_trap_t* -> void",
    "wasmtime_error_message": "wasmtime_error* wasm_byte_vec_t* -> void",
    "wasmtime_error_delete": "wasmtime_error* -> void",
    "wasm_byte_vec_delete": "wasm_byte_vec_t* -> void",
    # a module from native code of our own making; the bytes are copied
    "wasmtime_module_deserialize": "wasm_engine_t* u8* size_t wasmtime_module** -> wasmtime_error*",
    # set up, once an engine
    "wasmtime_linker_define_async_func": (
        "wasmtime_linker* char* size_t char* size_t wasm_functype_t* fn void* fn -> wasmtime_error*"
    ),
    "wasmtime_config_async_stack_size_set": "wasm_config_t* size_t -> void",
    "wasmtime_pooling_allocation_config_new": "-> wasmtime_pooling_allocation_config_t*",
    "wasmtime_pooling_allocation_config_delete": "wasmtime_pooling_allocation_config_t* -> void",
    "wasmtime_pooling_allocation_strategy_set": "wasm_config_t* wasmtime_pooling_allocation_config_t* -> void",
}
_POOL_U32 = ("total_core_instances", "total_memories", "total_tables", "total_stacks", "max_unused_warm_slots")
_POOL_SIZE = ("max_memory_size", "table_elements", "linear_memory_keep_resident", "async_stack_keep_resident",
              "table_keep_resident")  # fmt: skip
SIGNATURES |= {
    f"wasmtime_pooling_allocation_config_{name}_set": f"wasmtime_pooling_allocation_config_t* {word} -> void"
    for names, word in ((_POOL_U32, "u32"), (_POOL_SIZE, "size_t"))
    for name in names
}

_PLAIN: dict[str, Any] = {
    "void": None,
    "bool": c_bool,
    "size_t": c_size_t,
    "i64": c_int64,
    "u32": c_uint,
    "char*": c_char_p,
}
_WORDS = {"c_long": "i64", "c_longlong": "i64", "c_ubyte": "u8", "c_uint": "u32", "c_char": "char", "c_ulong": "size_t"}


def _word(kind: Any) -> str:
    """A ctypes type as SIGNATURES spells it."""
    if kind is None:
        return "void"
    for plain, word in ((c_void_p, "void*"), (c_bool, "bool"), (c_size_t, "size_t")):
        if kind is plain:
            return word
    if issubclass(kind, ctypes._Pointer):
        return _word(kind._type_) + "*"
    if hasattr(kind, "_argtypes_"):
        return "fn"
    name: str = kind.__name__
    return _WORDS.get(name, name)


def declared(name: str) -> str:
    """The signature that the installed package declares, in the words of SIGNATURES; '' where it knows no such
    function."""
    function = getattr(_bindings, f"_{name}", None)
    if function is None:
        return ""
    return " ".join([*map(_word, function.argtypes), "->", _word(function.restype)])


def differences(signatures: dict[str, str] = SIGNATURES) -> list[str]:
    """What the installed wasmtime declares otherwise than this file expects: one line each, empty if nothing."""
    told = []
    for name, expected in signatures.items():
        if (found := declared(name)) != expected:
            told.append(f"{name}: expected ({expected}), the package declares ({found or 'nothing of that name'})")
    for kind, size, offsets in (
        (_ffi.wasmtime_val_t, 32, {"kind": 0, "of": 8}),
        (_ffi.wasmtime_extern_t, 32, {"kind": 0, "of": 8}),
        (_ffi.wasmtime_instance_t, 16, {"store_id": 0}),
        (_ffi.wasmtime_async_continuation_t, 24, {"callback": 0, "env": 8, "finalizer": 16}),
        (_ffi.wasm_byte_vec_t, 16, {"size": 0, "data": 8}),
    ):
        found_offsets = {field: getattr(kind, field).offset for field in offsets}
        if sizeof(kind) != size or found_offsets != offsets:
            told.append(f"{kind.__name__}: expected {size} bytes {offsets}, found {sizeof(kind)} bytes {found_offsets}")
    return told


if _told := differences():
    raise StartupError(
        "this version of wasmtime declares its C API otherwise than hostel was tested with; install one from the"
        " range in pyproject.toml. " + "; ".join(_told),
        code="binding_changed",
    )

_HELD = ctypes.PyDLL(_ffi.dll._name)
_FREE = ctypes.CDLL(_ffi.dll._name)
_LIBC = ctypes.PyDLL(None)


def _c(name: str, library: ctypes.CDLL = _HELD) -> Callable[..., Any]:
    """The C function of that name, taking and giving ints (pointers), as SIGNATURES says."""
    arguments, _, result = SIGNATURES[name].rpartition("-> ")
    function = library[name]
    function.argtypes = [_PLAIN.get(word, c_void_p) for word in arguments.split()]
    function.restype = _PLAIN.get(result, c_void_p)
    return function


store_new = _c("wasmtime_store_new")
store_context = _c("wasmtime_store_context")
store_delete = _c("wasmtime_store_delete")
store_limiter = _c("wasmtime_store_limiter")
set_epoch_deadline = _c("wasmtime_context_set_epoch_deadline")
yield_at_deadline = _c("wasmtime_context_epoch_deadline_async_yield_and_update")
increment_epoch = _c("wasmtime_engine_increment_epoch")
set_fuel = _c("wasmtime_context_set_fuel")
get_fuel = _c("wasmtime_context_get_fuel")
caller_context = _c("wasmtime_caller_context")
instantiate_async = _c("wasmtime_instance_pre_instantiate_async")
call_async = _c("wasmtime_func_call_async")
future_delete = _c("wasmtime_call_future_delete")
poll_held = _c("wasmtime_call_future_poll")
poll_free = _c("wasmtime_call_future_poll", _FREE)
export_get = _c("wasmtime_instance_export_get")
memory_data = _c("wasmtime_memory_data")
memory_size = _c("wasmtime_memory_data_size")
memory_grow = _c("wasmtime_memory_grow")
_deserialize = _c("wasmtime_module_deserialize")

SPACE = memoryview((ctypes.c_char * (1 << 48)).from_address(0)).cast("B")
"""The address space of this process: a slice of it costs a fifth of a call of memmove through ctypes, and holds the GIL
as well. Who reads or writes it has checked the range."""

madvise = _LIBC["madvise"]
madvise.restype, madvise.argtypes = ctypes.c_int, [c_void_p, c_size_t, ctypes.c_int]

# ---- one buffer a fiber holds every C struct of a call ---------------------------------------------------------------
VAL, VALUE_AT = 32, 8
EXTERN, ITEM_AT = 32, 8
INSTANCE, TRAP, ERROR, MEMORY, ITEM, PARAMS, RESULT, FLAG, FUEL, BUFFER = accumulate(
    (0, 16, 8, 8, EXTERN, EXTERN, 2 * VAL, VAL, 8, 8)
)

STRLEN = ctypes.cast(ctypes.CDLL(None)["strlen"], c_void_p).value
"""libc's strlen on a flag byte answers "may the guest go on?": 0 for "", 1 for "\\1". No Python runs at a resume."""
INCREMENT_EPOCH = ctypes.cast(_HELD["wasmtime_engine_increment_epoch"], c_void_p).value
"""Address of the function a ticker's signal stub jumps to."""

Import = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p)
"""An imported function as C calls it: env, caller, arguments, count, results, count, trap, continuation. Pointers
come as ints. It must never raise, and must fill in the continuation: an unfilled one aborts the process."""


def address(thing: Any) -> int:
    """Where a pointer of the package's points. Not by `ctypes.cast`, after which the pointer keeps itself alive."""
    at = c_void_p.from_buffer(thing).value
    if not at:
        raise ValueError("null pointer")
    return at


def pooled_engine(config: wasmtime.Config, *, stack_bytes: int, **pool: int) -> wasmtime.Engine:
    """An engine whose instances, memories, tables and fiber stacks come from a pool made once."""
    _c("wasmtime_config_async_stack_size_set")(address(config.ptr()), stack_bytes)
    settings = _c("wasmtime_pooling_allocation_config_new")()
    for name, value in pool.items():
        _c(f"wasmtime_pooling_allocation_config_{name}_set")(settings, value)
    _c("wasmtime_pooling_allocation_strategy_set")(address(config.ptr()), settings)  # copies it
    _c("wasmtime_pooling_allocation_config_delete")(settings)
    return wasmtime.Engine(config)


def load_module(engine_at: int, native: bytes | bytearray) -> wasmtime.Module:
    """A module of native code, which is believed. Not `wasmtime.Module.deserialize`: that one copies it once more, and
    makes a class for each length. Raises wasmtime.WasmtimeError: the engine does not take it."""
    module = ctypes.POINTER(_ffi.wasmtime_module_t)()
    begin = ctypes.c_char.from_buffer(native) if native and isinstance(native, bytearray) else None
    at = bytes(native) if begin is None else ctypes.addressof(begin)
    if failed := _deserialize(engine_at, at, len(native), ctypes.addressof(module)):
        raise wasmtime.WasmtimeError(take_error(failed))
    return wasmtime.Module._from_ptr(module)


def define_import(
    linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType, function: Any, number: int
) -> None:
    """Makes `function` the import; it gets `number` as env. The linker borrows kind and function: keep both."""
    module_bytes, name_bytes = module.encode(), name.encode()
    failed = _c("wasmtime_linker_define_async_func")(
        address(linker.ptr()), module_bytes, len(module_bytes), name_bytes, len(name_bytes),
        address(kind.ptr()), ctypes.cast(function, c_void_p), number, None,
    )  # fmt: skip
    if failed:
        raise StartupError(f"cannot define {module}.{name}: {take_error(failed)}")


# ---- what went wrong -------------------------------------------------------------------------------------------------
TRAP_CODES: dict[int, str] = {
    code.value: code.name.removeprefix("WASMTIME_TRAP_CODE_").lower() for code in _ffi.wasmtime_trap_code_enum
}
"""What the C API calls each trap: stack_overflow, memory_out_of_bounds, unreachable_code_reached …"""
TEXT_MOST = 160


def take_trap(trap: int) -> str:
    """Frees the trap. → its code, or its text cut and escaped where it has none (safe to log)."""
    code = ctypes.c_uint8()
    if _c("wasmtime_trap_code")(trap, ctypes.addressof(code)) and code.value in TRAP_CODES:
        _c("wasm_trap_delete")(trap)
        return TRAP_CODES[code.value]
    return _take_text(trap, "wasm_trap_message", "wasm_trap_delete")


def take_error(error: int) -> str:
    """Frees the error. → its text, cut and escaped (safe to log)."""
    return _take_text(error, "wasmtime_error_message", "wasmtime_error_delete")


def _take_text(pointer: int, text: str, delete: str) -> str:
    vector = _ffi.wasm_byte_vec_t()
    at = ctypes.addressof(vector)
    _c(text)(pointer, at)
    cut = string_at(vector.data, min(vector.size, TEXT_MOST)).rstrip(b"\0")
    _c("wasm_byte_vec_delete")(at)
    _c(delete)(pointer)
    return ascii(cut.decode("utf-8", "replace"))[1:-1]
