"""Guests of the conformance tests, each written for one question.

A guest here is WebAssembly text: the test writes the body of `hostel_handle`, which notes numbers and bytes in a record
of 255 bytes; the record is the guest's answer. So a test sees what the guest saw, and nothing of the host's inside.
What must not live here: expectations.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import wasmtime

from runtime import Reply
from runtime.sandbox import abi

HEAD = b"\x94\x01\x01\xc0\xc4\xff"
"""Of the answer [1, 1, nil, bytes]: the record follows."""
RECORD_BYTES = 255
RECORD = 1024
REQUESTS = 4096
ROOM = 8192
"""Where tests let responses go; free up to INBOX."""
INBOX, INBOX_BYTES = 49152, 4096
DONE = f"(i64.const {(RECORD - len(HEAD)) << 32 | len(HEAD) + RECORD_BYTES})"
"""What hostel_handle returns to answer with the record."""
_LETTERS = {"i": "i32", "I": "i64"}


def _import(module: str, name: str) -> str:
    kind = abi.IMPORTS[module, name]
    params = "".join(f"(param {_LETTERS[letter]})" for letter in kind.params)
    results = "".join(f"(result {_LETTERS[letter]})" for letter in kind.results)
    return f'(import "{module}" "{name}" (func ${name} {params} {results}))'


def data(at: int, content: bytes) -> str:
    """A data segment."""
    text = "".join(f"\\{byte:02x}" for byte in content)
    return f'(data (i32.const {at}) "{text}")'


def note(place: int, value: str) -> str:
    """Notes an i32 at that place of the record."""
    return f"(i32.store (i32.const {RECORD + 4 * place}) {value})"


def copy(place: int, at: int, length: int) -> str:
    """Notes bytes of memory, from that place of the record on."""
    return f"(memory.copy (i32.const {RECORD + 4 * place}) (i32.const {at}) (i32.const {length}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """`handle`: the body of hostel_handle, an i64 at its end. `requests`: bytes laid into memory, told by `request`."""

    handle: str = DONE
    requests: Sequence[bytes] = ()
    alloc: str = f"(i32.const {ROOM})"
    initialize: str = ""
    start: str = ""
    memory: str = "1 4"
    inbox: bool = True
    wasi: Sequence[str] = ()
    more: str = ""

    def wasm(self) -> bytes:
        at, laid = REQUESTS, []
        for content in self.requests:
            laid.append(data(at, content))
            at += len(content)
        imports = [_import(abi.HOSTEL, name) for name in abi.HOSTEL_IMPORTS]
        imports += [_import(abi.WASI, name) for name in self.wasi]
        inbox = (
            f'(global (export "hostel_inbox") i32 (i32.const {INBOX}))'
            f'(global (export "hostel_inbox_size") i32 (i32.const {INBOX_BYTES}))'
        )
        return bytes(
            wasmtime.wat2wasm(f"""(module {" ".join(imports)}
            (memory (export "memory") {self.memory})
            {data(RECORD - len(HEAD), HEAD)} {" ".join(laid)} {inbox if self.inbox else ""} {self.more}
            {f'(func (export "_initialize") {self.initialize})' if self.initialize else ""}
            {f"(func $start {self.start}) (start $start)" if self.start else ""}
            (func (export "hostel_alloc") (param $length i32) (result i32) {self.alloc})
            (func (export "hostel_handle") (param $pointer i32) (param $size i32) (result i64) {self.handle}))""")
        )

    def request(self, number: int) -> str:
        """Pointer and length of a request, as the first two operands of call and post."""
        at = REQUESTS + sum(len(content) for content in self.requests[:number])
        return f"(i32.const {at}) (i32.const {len(self.requests[number])})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a guest noted, and the reply it came with."""

    reply: Reply

    def numbers(self, count: int) -> tuple[int, ...]:
        """The first places, as signed numbers."""
        return struct.unpack_from(f"<{count}i", self.reply.value)

    def response(self, place: int, length: int) -> Any:
        """The wire message noted from that place on."""
        return msgspec.msgpack.decode(self.reply.value[4 * place : 4 * place + length])
