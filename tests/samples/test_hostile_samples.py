"""The hostile guests do what they claim, so that a host which survives them has survived something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

HOSTILE = Path(__file__).resolve().parents[2] / "sample_programs/hostile"


def load(name: str, *, memory_bytes: int = 1 << 24, fuel: int = 1_000_000) -> tuple[wasmtime.Store, Any]:
    config = wasmtime.Config()
    config.consume_fuel = True
    store = wasmtime.Store(wasmtime.Engine(config))
    store.set_limits(memory_size=memory_bytes)
    store.set_fuel(fuel)
    module = wasmtime.Module.from_file(store.engine, str(HOSTILE / name / "bundle/program.wasm"))
    return store, wasmtime.Instance(store, module, []).exports(store)


def test_spin_never_answers() -> None:
    store, exports = load("spin")
    with pytest.raises(wasmtime.Trap, match="fuel"):
        exports["hostel_handle"](store, 0, 0)


def test_memory_hog_takes_all_that_the_host_gives() -> None:
    store, exports = load("memory_hog")
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        exports["hostel_handle"](store, 0, 0)
    assert exports["memory"].data_len(store) == 1 << 24


def test_memory_declared_wants_more_than_any_limit() -> None:
    with pytest.raises(wasmtime.WasmtimeError, match="memory"):
        load("memory_declared")


def test_forged_order_tells_what_the_host_said(guest: Callable[[str], Any]) -> None:
    thief = guest("hostile/forged_order")
    for params in ({}, {"order_id": "order" + "0" * 27}):
        said = thief.call("steal", params)
        assert said["stolen"] is False and said["host_said"]["code"] == "not_found"
    thief.host.payment_create("k", "n", {"amount": 1, "currency": "CNY"}, "a careless host", 900)
    (order,) = thief.host.orders.values()
    assert thief.call("steal", {"order_id": order["order_id"]}) == {"stolen": True, "host_said": order}
