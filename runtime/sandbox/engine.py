"""The feature profile and the engine's configuration: one place, so that compiler and executor cannot differ.

`hostel_v1` is core WebAssembly: MVP, bulk memory, multi-value, sign extension, saturating float conversions, mutable
globals, reference types (funcref) and SIMD. Everything else is off by name (DESIGN: one small module per proposal
proves it). What the Python package cannot switch off by name is refused by checks.py instead.
"""

from __future__ import annotations

import hashlib
import platform

import wasmtime

from runtime.limits import KIB, MEMORY_BYTES_CEILING

STACK_BYTES = 512 * KIB
"""What a guest may use of its fiber's stack before it traps."""

OFF = (
    "wasm_threads", "wasm_tail_call", "wasm_relaxed_simd", "wasm_multi_memory", "wasm_memory64", "wasm_component_model",
    "wasm_exceptions", "wasm_function_references", "wasm_gc", "wasm_wide_arithmetic", "wasm_custom_page_sizes",
    "wasm_stack_switching", "shared_memory", "gc_support",
)  # fmt: skip
ON = ("wasm_reference_types", "wasm_simd", "wasm_bulk_memory", "wasm_multi_value")


def engine_config(*, metered: bool = False) -> wasmtime.Config:
    """Configuration without the pool: what a compiled artifact depends on. `metered`: it counts fuel, and every NaN is
    the same one, so that the same module on the same bytes does the same in as many steps, on any processor."""
    config = wasmtime.Config()
    for name in OFF:
        setattr(config, name, False)
    for name in ON:
        setattr(config, name, True)
    config.epoch_interruption = True
    config.parallel_compilation = False
    config.max_wasm_stack = STACK_BYTES
    config.memory_reservation = MEMORY_BYTES_CEILING
    config.memory_reservation_for_growth = 0
    config.cranelift_opt_level = "speed"
    config.consume_fuel = config.cranelift_nan_canonicalization = metered
    # A module's data is mapped or, in a jail, copied. Copying counts: where fuel is counted it is always copied.
    config.memory_init_cow = not metered
    config.debug_info = False
    return config


def compile_engine(*, metered: bool = False) -> wasmtime.Engine:
    """An engine that only compiles: no pool, no slots."""
    return wasmtime.Engine(engine_config(metered=metered))


def fingerprint() -> str:
    """What an artifact is valid for besides its module: wasmtime version, processor and configuration. Hex."""
    from importlib.metadata import version  # here: it costs 40 ms, and the compile child never asks

    told = (
        "hostel artifact 1", version("wasmtime"), platform.machine(), platform.system(),
        ",".join(OFF), ",".join(ON), str(MEMORY_BYTES_CEILING), str(STACK_BYTES),
        "epoch speed", "fuel copies data",
    )  # fmt: skip
    return hashlib.sha256("\0".join(told).encode()).hexdigest()
