"""Hostile guests: one that does whatever a script says, and modules written for one question.

What lives here: making guests and bundles, and reading what a script's guest told. The scripted guest is real
WebAssembly that takes steps from its message, so that one compilation serves hundreds of tests and any sequence of host
calls, with any pointers, can be tried. What must not live here: expectations.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import wasmtime

from host_api.capability import CAPABILITIES
from runtime.bundle import Bundle, pack_contents
from runtime.limits import WASM_PAGE
from runtime.sandbox import abi

PAGES = 40
"""The scripted guest's memory at start."""
MEMORY = PAGES * WASM_PAGE
ROOM = 0x1_0000
"""Where responses go unless a script says otherwise: 448 KiB."""
TOLD = 0x8_0000
MESSAGE = 0x10_0000
"""Where its messages lie, and with them the bytes a script brings along."""
U32 = 0xFFFF_FFFF

WASI_USED = ("proc_exit", "fd_write", "poll_oneoff", "clock_time_get", "random_get", "sched_yield")
_LETTERS = {"i": "i32", "I": "i64"}


def imported(module: str, name: str) -> str:
    """The import of one function of the ABI, as WAT, named `$name`."""
    kind = abi.IMPORTS[module, name]
    params = "".join(f"(param {_LETTERS[letter]})" for letter in kind.params)
    results = "".join(f"(result {_LETTERS[letter]})" for letter in kind.results)
    return f'(import "{module}" "{name}" (func ${name} {params} {results}))'


def _imports() -> str:
    hostel = [imported(abi.HOSTEL, name) for name in abi.HOSTEL_IMPORTS]
    return " ".join(hostel + [imported(abi.WASI, name) for name in WASI_USED])


# ---- the scripted guest ----------------------------------------------------------------------------------------------
_A, _B, _C, _D = (f"(i32.load offset={at} (local.get $at))" for at in (4, 8, 12, 16))
_STEPS: Mapping[str, str] = {
    "call": f"(call $call {_A} {_B} {_C} {_D})",
    "post": f"(call $post {_A} {_B})",
    "wait": f"(call $wait {_A} {_B} {_C})",
    "take": f"(call $take {_A} {_B})",
    "memory_grow": f"(memory.grow {_A})",
    "memory_fill": f"(block (result i32) (memory.fill {_A} {_B} {_C}) (i32.const 0))",
    "table_grow": f"(table.grow (ref.null func) {_A})",
    "table_fill": f"(block (result i32) (table.fill {_A} (ref.null func) {_B}) (i32.const 0))",
    "spin": f"(call $spin {_A})",
    "load": f"(i32.load8_u {_A})",
    "store": f"(block (result i32) (i32.store8 {_A} {_B}) (i32.const 0))",
    "divide": f"(i32.div_s {_A} {_B})",
    "truncate": "(i32.trunc_f32_s (f32.const nan))",
    "recurse": "(call $recurse (i32.const 0))",
    "call_through_table": f"(i32.wrap_i64 (call_indirect (type $other) (i64.const 0) {_A}))",
    "unreachable": "(unreachable)",
    "global_add": f"(block (result i32) (global.set $kept (i32.add (global.get $kept) {_A})) (global.get $kept))",
    "table_taken": f"(i32.eqz (ref.is_null (table.get {_A})))",
    "table_set": f"(block (result i32) (table.set {_A} (ref.func $spin)) (i32.const 0))",
    "proc_exit": f"(block (result i32) (call $proc_exit {_A}) (i32.const 0))",
    "fd_write": f"(call $fd_write {_A} {_B} {_C} {_D})",
    "poll_oneoff": f"(call $poll_oneoff {_A} {_B} {_C} {_D})",
    "clock_time_get": f"(call $clock_time_get {_A} (i64.const 0) {_B})",
    "random_get": f"(call $random_get {_A} {_B})",
    "sched_yield": "(call $sched_yield)",
    "again": f"(block (result i32) (global.set $end (i32.const {TOLD + 9}))"
    f" (local.set $at (i32.add (local.get $first) (i32.mul {_A} (i32.const 20)))) (br $next))",
    "give": f"(return (i64.or (i64.shl (i64.extend_i32_u {_A}) (i64.const 32)) (i64.extend_i32_u {_B})))",
    "show": f"(block (result i32) (call $show {_A} {_B}) (br $done))",
    "show_last": f"(block (result i32) (call $show {_A} (global.get $last)) (br $done))",
}
"""Step → what it gives, an i32 that is told. `again` goes to a step, and forgets what was told; `give` returns."""
_NUMBERS = {name: number for number, name in enumerate(_STEPS)}


def _scripted() -> str:
    cases = "\n".join(
        f"(if (i32.eq (local.get $step) (i32.const {number})) (then (global.set $last {code}) (br $tell)))"
        for number, code in enumerate(_STEPS.values())
    )
    return f"""(module {_imports()}
      (type $other (func (param i64) (result i64)))
      (memory (export "memory") {PAGES})
      (table 2 funcref)
      (elem declare func $spin)
      (elem (i32.const 0) $spin)
      (global $kept (mut i32) (i32.const 0))
      (global $last (mut i32) (i32.const 0))
      (global $end (mut i32) (i32.const {TOLD + 9}))
      (func $spin (param $turns i32) (result i32)
        (loop $on (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
          (br_if $on (i32.ne (local.get $turns) (i32.const 0))))
        (local.get $turns))
      (func $recurse (param i32) (result i32) (i32.add (i32.const 1) (call $recurse (local.get 0))))
      (func $tell (param i32)
        (i32.store (global.get $end) (local.get 0))
        (global.set $end (i32.add (global.get $end) (i32.const 4))))
      (func $show (param $from i32) (param $length i32)
        (call $tell (local.get $length))
        (memory.copy (global.get $end) (local.get $from) (local.get $length))
        (global.set $end (i32.add (global.get $end) (local.get $length))))
      (func (export "hostel_alloc") (param i32) (result i32) (i32.const {MESSAGE}))
      (func (export "hostel_handle") (param $pointer i32) (param $size i32) (result i64)
        (local $at i32) (local $first i32) (local $step i32)
        ;; after [0, 1, "run", {{"s": — a bin of 8, 16 or 32 bits of length
        (local.set $at (i32.add (local.get $pointer) (i32.add (i32.const 12)
          (i32.sub (i32.shl (i32.const 1) (i32.sub (i32.load8_u offset=10 (local.get $pointer)) (i32.const 0xc4)))
                   (i32.const 1)))))
        (local.set $first (local.get $at))
        (loop $next
          (local.set $step (i32.load (local.get $at)))
          (if (i32.ne (local.get $step) (i32.const {len(_STEPS)}))
            (then
              (block $done
                (block $tell {cases})
                (call $tell (global.get $last)))
              (local.set $at (i32.add (local.get $at) (i32.const 20)))
              (br $next))))
        (i32.store (i32.const {TOLD}) (i32.const 0xc0010194))
        (i32.store8 (i32.const {TOLD + 4}) (i32.const 0xc6))
        (local.set $step (i32.sub (global.get $end) (i32.const {TOLD + 9})))
        (i32.store8 (i32.const {TOLD + 5}) (i32.shr_u (local.get $step) (i32.const 24)))
        (i32.store8 (i32.const {TOLD + 6}) (i32.shr_u (local.get $step) (i32.const 16)))
        (i32.store8 (i32.const {TOLD + 7}) (i32.shr_u (local.get $step) (i32.const 8)))
        (i32.store8 (i32.const {TOLD + 8}) (local.get $step))
        (i64.or (i64.const {TOLD << 32}) (i64.extend_i32_u (i32.add (local.get $step) (i32.const 9))))))"""


def scripted() -> bytes:
    """The module of the scripted guest."""
    return bytes(wasmtime.wat2wasm(_scripted()))


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a script's own, by their place among them: an operand that becomes their address."""

    at: int


Operand: TypeAlias = int | Bytes


class Script:
    """Steps for the scripted guest, made one after the other; every method gives the script, to go on with."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, tuple[Operand, ...]]] = []
        self._bytes = b""
        self._vectors: list[tuple[int, Bytes, int]] = []  # where an iovec lies, and what it is to point at

    def step(self, name: str, *operands: Operand) -> Script:
        self._steps.append((name, operands))
        return self

    def bring(self, content: bytes) -> Bytes:
        """Brings them along, 8-byte aligned to each other."""
        at = len(self._bytes)
        self._bytes += content + bytes(-len(content) % 8)
        return Bytes(at)

    def call(self, request: bytes, *, into: int = ROOM, capacity: int = 0x6_0000) -> Script:
        return self.step("call", self.bring(request), len(request), into, capacity)

    def ask(self, request: bytes) -> Script:
        """A call, and the response shown."""
        return self.call(request).step("show_last", ROOM)

    def post(self, request: bytes) -> Script:
        return self.step("post", self.bring(request), len(request))

    def wait(self, timeout_ms: int = -1, *, capacity: int = 0x6_0000) -> Script:
        return self.step("wait", ROOM, capacity, timeout_ms)

    def awaited(self) -> Script:
        """A wait, and the response shown."""
        return self.wait().step("show_last", ROOM)

    def print(self, text: bytes, stream: int = 1) -> Script:
        at, vector = self.bring(text), self.bring(bytes(8))
        self._vectors.append((vector.at, at, len(text)))
        return self.step("fd_write", stream, vector, 1, ROOM)

    def params(self) -> dict[str, bytes]:
        """What `Host.call(app, "run", …)` takes."""
        size = 20 * len(self._steps) + 4 + len(self._bytes)
        head = 10 + (2 if size < 1 << 8 else 3 if size < 1 << 16 else 5)
        base = MESSAGE + head + 20 * len(self._steps) + 4
        own = bytearray(self._bytes)
        for where, at, length in self._vectors:
            struct.pack_into("<II", own, where, base + at.at, length)
        packed = []
        for name, operands in self._steps:
            values = [base + operand.at if isinstance(operand, Bytes) else operand & U32 for operand in operands]
            packed.append(struct.pack("<5I", _NUMBERS[name], *values, *[0] * (4 - len(values))))
        return {"s": b"".join(packed) + struct.pack("<I", len(_STEPS)) + bytes(own)}

    def told(self, value: bytes) -> list[Any]:
        """What the guest told, step by step: signed numbers, and bytes for what it was to show."""
        found, at = [], 0
        for name, _ in self._steps:
            (number,) = struct.unpack_from("<i", value, at)
            at += 4
            if name.startswith("show"):
                found.append(value[at : at + number])
                at += number
            else:
                found.append(number)
        return found

    def responses(self, value: bytes) -> list[list[Any]]:
        """The wire messages it showed."""
        return [msgspec.msgpack.decode(shown) for shown in self.told(value) if isinstance(shown, bytes)]


# ---- modules for one question ----------------------------------------------------------------------------------------
OK_AT = 512
OK = f"(i64.const {OK_AT << 32 | 5})"
"""What hostel_handle returns to answer nil."""
_OK_DATA = f'(data (i32.const {OK_AT}) "\\94\\01\\01\\c0\\c0")'


def module(
    handle: str = OK,
    *,
    alloc: str = "(i32.const 1024)",
    initialize: str = "",
    start: str = "",
    memory: str = "1",
    imports: Sequence[str] = (),
    more: str = "",
) -> bytes:
    """A module from the bodies of its functions, as WAT. `imports`: names of hostel_v1 or WASI functions."""
    lines = [imported(abi.HOSTEL if name in abi.HOSTEL_IMPORTS else abi.WASI, name) for name in imports]
    return bytes(
        wasmtime.wat2wasm(f"""(module {" ".join(lines)} (memory (export "memory") {memory}) {_OK_DATA} {more}
          {f'(func (export "_initialize") {initialize})' if initialize else ""}
          {f"(func $start {start}) (start $start)" if start else ""}
          (func (export "hostel_alloc") (param $size i32) (result i32) {alloc})
          (func (export "hostel_handle") (param $pointer i32) (param $size i32) (result i64) {handle}))""")
    )


def bundle(
    wasm: bytes, app_id: str = "org.example.guest", *, code: int = 1, limits: Mapping[str, int] | None = None,
    events: bool = False, lifetime: str = "fresh", asks: Sequence[str] = tuple(CAPABILITIES),
) -> Bundle:  # fmt: skip
    """A bundle of that module that asks for every capability there is, and works without. `events`: it takes them."""
    manifest = {
        "app_id": app_id,
        "name": "Guest",
        "version": {"name": "1", "code": code},
        "req_permissions": [{"name": name, "reason": "to test", "required": False} for name in asks],
        "notices": [{"id": "shipped", "text": {"en": "Order {no} is on its way", "zh-Hans": "订单 {no} 配送中"}}],
        "program": {"module": "program.wasm", "limits": dict(limits or {}), "events": events, "lifetime": lifetime},
    }
    return Bundle.from_bytes(pack_contents({"manifest.json": msgspec.json.encode(manifest), "program.wasm": wasm}))
