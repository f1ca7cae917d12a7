"""A WebAssembly module as its sections, and one put around by functions that fit the guest ABI.

What lives here: just enough of the binary format to take a valid module apart and put it together again. Nothing is
checked: what is read was made by `wasm-tools`, or by this project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

HEADER: Final = b"\0asm\x01\0\0\0"
TYPE, IMPORT, FUNCTION, EXPORT, CODE = 1, 2, 3, 7, 10
I32, I64 = 0x7F, 0x7E
ANSWER_AT: Final = 512
REQUEST_AT: Final = 2_048
ROOM_AT: Final = 4_096
ROOM: Final = 1_024
ALLOC, HANDLE = "hostel_alloc", "hostel_handle"
_ANSWER: Final = b"\x94\x01\x01\xc0\xc0"
"""A response to msgid 1 with nil."""


class Section(NamedTuple):
    id: int
    content: bytes


def leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def signed(value: int) -> bytes:
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value & 0x7F))


def read_leb(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def split(wasm: bytes) -> list[Section]:
    found, at = [], len(HEADER)
    while at < len(wasm):
        size, begin = read_leb(wasm, at + 1)
        found.append(Section(wasm[at], wasm[begin : begin + size]))
        at = begin + size
    return found


def joined(sections: list[Section]) -> bytes:
    return HEADER + b"".join(bytes((one.id,)) + leb(len(one.content)) + one.content for one in sections)


def _count(content: bytes) -> int:
    return read_leb(content, 0)[0]


def _appended(content: bytes, *more: bytes) -> bytes:
    """A vector with more behind it."""
    count, at = read_leb(content, 0)
    return leb(count + len(more)) + content[at:] + b"".join(more)


def imported_functions(content: bytes) -> Mapping[str, int]:
    """Name → index, of an import section in which everything is a function."""
    count, at = read_leb(content, 0)
    found: dict[str, int] = {}
    for index in range(count):
        size, at = read_leb(content, at)
        at += size
        size, at = read_leb(content, at)
        name, at = content[at : at + size].decode(), at + size
        _, at = read_leb(content, at + 1)
        found.setdefault(name, index)
    return found


def _exported(content: bytes) -> dict[str, tuple[int, int]]:
    """Name → kind and index."""
    count, at = read_leb(content, 0)
    found = {}
    for _ in range(count):
        size, at = read_leb(content, at)
        name, at = content[at : at + size].decode(), at + size
        index, after = read_leb(content, at + 1)
        found[name], at = (content[at], index), after
    return found


def _stored(address: int, data: bytes) -> bytes:
    """Instructions that write `data`, in pieces of eight bytes."""
    out = b""
    for at in range(0, len(data), 8):
        value = int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "little", signed=True)
        out += b"\x41" + signed(address + at) + b"\x42" + signed(value) + b"\x37\x00\x00"
    return out


def _body(code: bytes) -> bytes:
    content = b"\x00" + code + b"\x0b"
    return leb(len(content)) + content


def answering(wasm: bytes, request: bytes) -> bytes:
    """The module with its own `hostel_alloc` and `hostel_handle` inside of new ones: room where there is some; a
    request to the host first, then what the module does, then an answer that is well formed."""
    sections = {one.id: one.content for one in split(wasm)}
    imports = imported_functions(sections.get(IMPORT, b"\0"))
    exports = _exported(sections[EXPORT])
    types, functions = _count(sections[TYPE]), len(imports) + _count(sections[FUNCTION])
    asked = b""
    if "call" in imports:
        numbers = (REQUEST_AT, len(request), ROOM_AT, ROOM)
        asked = _stored(REQUEST_AT, request) + b"".join(b"\x41" + signed(one) for one in numbers)
        asked += b"\x10" + leb(imports["call"]) + b"\x1a"
    own = b"\x20\x00\x20\x01\x10" + leb(exports[HANDLE][1]) + b"\x1a"
    answer = _stored(ANSWER_AT, _ANSWER) + b"\x42" + signed(ANSWER_AT << 32 | len(_ANSWER))
    changed = {
        TYPE: _appended(sections[TYPE], b"\x60\x01\x7f\x01\x7f", b"\x60\x02\x7f\x7f\x01\x7e"),
        FUNCTION: _appended(sections[FUNCTION], leb(types), leb(types + 1)),
        CODE: _appended(sections[CODE], _body(b"\x41" + signed(1_024)), _body(asked + own + answer)),
    }
    exports[ALLOC], exports[HANDLE] = (0, functions), (0, functions + 1)
    changed[EXPORT] = leb(len(exports)) + b"".join(
        leb(len(name.encode())) + name.encode() + bytes((kind,)) + leb(index) for name, (kind, index) in exports.items()
    )
    return joined([Section(one.id, changed.get(one.id, one.content)) for one in split(wasm)])
