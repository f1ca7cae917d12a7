"""The self-check of C signatures: it knows the installed package, and sees each kind of difference."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.sandbox import binding


def test_the_installed_wasmtime_declares_what_is_expected() -> None:
    assert binding.differences() == []


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("wasmtime_store_new", "wasm_engine_t* void* -> wasmtime_store*"),
        ("wasmtime_store_delete", "wasmtime_store* -> bool"),
        ("wasmtime_call_future_poll", "wasmtime_context* -> bool"),
        ("wasmtime_store_limiter", "wasmtime_store* i64 i64 i64 i64 size_t -> void"),
        ("wasmtime_no_such_function", "-> void"),
    ],
)
def test_a_changed_signature_is_told_by_name(name: str, signature: str) -> None:
    (told,) = binding.differences({name: signature})
    assert told.startswith(f"{name}: expected ({signature})")


def test_a_difference_refuses_to_start() -> None:
    """In a process of its own, with a package that declares one function otherwise."""
    code = (
        "import ctypes; from wasmtime import _bindings as b\n"
        "b._wasmtime_store_delete.restype = ctypes.c_bool\n"
        "from runtime.errors import StartupError\n"
        "try:\n    import runtime.sandbox.binding\n"
        "except StartupError as error:\n    print(error.code, 'wasmtime_store_delete' in str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["binding_changed", "True"]


def test_struct_layouts_leave_room_for_every_value() -> None:
    places = [binding.INSTANCE, binding.TRAP, binding.ERROR, binding.MEMORY, binding.ITEM, binding.PARAMS,
              binding.RESULT, binding.FLAG, binding.FUEL, binding.BUFFER]  # fmt: skip
    assert places == sorted(set(places)) and all(place % 8 == 0 for place in places)
