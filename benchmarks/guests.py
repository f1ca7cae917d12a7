"""The guests that are measured, and hosts that hold them. All of them are a few lines of WebAssembly text.

FORWARD hands the message it is given to the host as its request, and what the host answers back as its own answer: so
`host.call(app, "storage.get", {"key": "k"})` is one call of a program with that one host call in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import wasmtime

from host_api.services import Outside
from runtime import App, Bundle, Host, HostSettings, Limits, ModuleCaps, ScriptedCashier
from runtime.bundle import pack_contents
from runtime.sandbox.artifacts import ArtifactCache, Compiled
from runtime.sandbox.checks import check_module
from runtime.sandbox.compile_child import compile_bytes
from runtime.sandbox.engine import compile_engine, fingerprint

_FORWARD = """(module
  (import "hostel_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2 2)
  (global (export "hostel_inbox") i32 (i32.const 65536))
  (global (export "hostel_inbox_size") i32 (i32.const 4096))
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 65536))
  (func (export "hostel_handle") (param $at i32) (param $size i32) (result i64)
    (i64.or (i64.const 0x40000000000)
      (i64.extend_i32_u (call $call (local.get $at) (local.get $size) (i32.const 1024) (i32.const 4096)))))
  %s)"""
_SPIN = """(module
  (memory (export "memory") 1 1)
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "hostel_handle") (param i32 i32) (result i64) (loop $on (br $on)) (i64.const 0)))"""


def _text(content: bytes) -> str:
    """As WebAssembly text has it between quotes."""
    return "".join(f"\\{byte:02x}" for byte in content)


_ACK = b"\x94\x00\x07\xaaevents.ack\x81\xa3seq"
_SEQ_AT = 20
"""Of a notification [2, "hostel.event", {"seq": …: where the number begins; it is copied as it stands."""
_ACKNOWLEDGE = f"""(module
  (import "hostel_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2 2)
  (data (i32.const 1024) "{_text(_ACK)}")
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 65536))
  (func (export "hostel_handle") (param $at i32) (param $size i32) (result i64) (local $first i32)
    (local.set $first (i32.load8_u offset={_SEQ_AT} (local.get $at)))
    (memory.copy (i32.const {1024 + len(_ACK)}) (i32.add (local.get $at) (i32.const {_SEQ_AT})) (i32.const 9))
    (drop (call $call
      (i32.const 1024)
      (i32.add (i32.const {len(_ACK) + 1}) (select (i32.const 0)
        (i32.shl (i32.const 1) (i32.sub (local.get $first) (i32.const 0xcc)))
        (i32.lt_u (local.get $first) (i32.const 0x80))))
      (i32.const 4096) (i32.const 4096)))
    (i64.const 0)))"""

UNRATED: Mapping[str, int] = {
    "calls_per_s": 1_000_000, "calls_burst": 1_000_000, "cpu_us_per_s": 64_000_000, "cpu_burst_us": 3_600_000_000,
}  # fmt: skip
"""The limits a benchmark raises so that one program may use a whole core; all others are the default ones."""
USER = "alice"
Grant = Sequence[str] | Mapping[str, Mapping[str, Any]]
GRANT: Grant = ("storage", "payment")


def forward(number: int | None = None) -> bytes:
    """The forwarding guest; with a number, one of many that differ, and have data."""
    data = "" if number is None else f'(data (i32.const 40) "program {number}")'
    return bytes(wasmtime.wat2wasm(_FORWARD % data))


def spin() -> bytes:
    """A guest that never ends."""
    return bytes(wasmtime.wat2wasm(_SPIN))


def acknowledge() -> bytes:
    """A guest that acknowledges each event it is woken for."""
    return bytes(wasmtime.wat2wasm(_ACKNOWLEDGE))


def archive(name: str, wasm: bytes, *, asks: Iterable[str] = GRANT, events: bool = False) -> bytes:
    """The bundle of a program that asks for these capabilities, and for events if so."""
    manifest = {
        "app_id": f"org.example.{name}", "name": name, "version": {"name": "1.0.0", "code": 1},
        "req_permissions": [{"name": capability, "reason": "to be measured"} for capability in asks],
        "program": {"module": "program.wasm", "events": events},
    }  # fmt: skip
    return pack_contents({"manifest.json": msgspec.json.encode(manifest), "program.wasm": wasm})


def bundle(name: str, wasm: bytes, *, asks: Iterable[str] = GRANT, events: bool = False) -> Bundle:
    """As `archive`, read."""
    return Bundle.from_bytes(archive(name, wasm, asks=asks, events=events))


async def install(
    host: Host, name: str, wasm: bytes, *, grant: Grant = GRANT, limits: Mapping[str, int] | None = None
) -> App:
    """A program that asks for what it is granted, rated as `UNRATED`, with these limits besides."""
    made = bundle(name, wasm, asks=grant)
    return await host.install(made, grant=grant, limits={**UNRATED, **(limits or {})})


@asynccontextmanager
async def open_host(
    state: Path | None = None, *, outside: Outside | None = None, **changes: Any
) -> AsyncIterator[Host]:
    """A host with default settings but for `changes`, and a cashier that always says yes."""
    settings = replace(HostSettings(allow_unsigned=True), **changes)
    cashier = ScriptedCashier(lambda _: True)
    async with Host.open(state, settings=settings, cashier=cashier, outside=outside) as host:
        yield host


async def stored(host: Host, app: App) -> None:
    """A value under `k`, read once: from then on in the cache."""
    await host.call(app, "storage.put", {"key": "k", "value": "x" * 40}, user=USER)
    await host.call(app, "storage.get", {"key": "k"}, user=USER)


def compile_into(folder: Path, modules: Iterable[bytes]) -> None:
    """Fills a host's `cache_dir` without a child process for each module: these guests are ours."""
    cache = ArtifactCache(folder / "artifacts", folder / "keys" / "artifacts", fingerprint=fingerprint())
    engine = compile_engine()
    for wasm in modules:
        facts = check_module(wasm, ModuleCaps(), Limits().memory_bytes)
        cache.put(facts.sha256, Compiled(artifact=compile_bytes(wasm, engine), facts=facts))
