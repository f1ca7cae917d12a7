"""Modules that are cheap to send and dear to compile: one function each, used by test_compile_bombs.py.

`OUTSIDE` are those that a structural cap refuses before the compiler sees them; `INSIDE` stay under every cap, and only
the limits of the process that compiles them stand in their way. All fit `hostel_v1`, so nothing else refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.runtime.sandbox.proposals import leb, section

I32, I64, V128 = b"\x7f", b"\x7e", b"\x7b"
END, DROP, ZERO, GET = b"\x0b", b"\x1a", b"\x41\x00", b"\x20\x00"
LOOP, BLOCK, IF, BR_IF = b"\x03\x40", b"\x02\x40", b"\x04\x40", b"\x0d\x00"
ALLOC, HANDLE = b"\x00" + ZERO + END, b"\x00\x42\x00" + END
STEP = GET + GET + b"\x6c\x21\x00"
"""The parameter times itself: nothing that could be folded away."""
KEEP = ZERO + GET + b"\x36\x02\x00"
"""Stores the parameter, so that what made it is needed."""
BODY = 128 * 1_024 - 64
"""Bytes of a function inside the cap, with room for its locals."""
ROOM = 4 * 1_024 * 1_024 - 8_192
"""Bytes of functions inside the cap on a module."""


def many(items: list[bytes]) -> bytes:
    return leb(len(items)) + b"".join(items)


def kind(params: bytes = b"", results: bytes = b"") -> bytes:
    """A function type."""
    return b"\x60" + leb(len(params)) + params + leb(len(results)) + results


def function(code: bytes, count: int = 0, of: bytes = I32) -> bytes:
    """A body with `count` locals of one type; `code` without its last end."""
    return (b"\x01" + leb(count) + of if count else b"\x00") + code + END


def wasm(
    bodies: list[bytes],
    *,
    types: tuple[bytes, ...] = (),
    of: bytes | None = None,
    memory: bytes = b"\x01\x00\x01",
    table: bytes = b"",
    globals_: int = 0,
    exports: int = 0,
    data: int = 0,
) -> bytes:
    """A guest with these functions besides its own two. `of`: their type, else (i32) → (); `types`: further ones."""
    known = [kind(I32, I32), kind(I32 * 2, I64), of or kind(I32), *types]
    names = [b"\x06memory\x02\x00", b"\x0chostel_alloc\x00\x00", b"\x0dhostel_handle\x00\x01"]
    names += [leb(len(name)) + name + b"\x00\x00" for name in (f"e{number}".encode() for number in range(exports))]
    sized = {body: leb(len(body)) + body for body in {ALLOC, HANDLE, *bodies}}
    parts = [
        (1, many(known)), (3, many([b"\x00", b"\x01", *([b"\x02"] * len(bodies))])), (4, table), (5, memory),
        (6, many([I32 + b"\x00" + ZERO + END] * globals_) if globals_ else b""), (7, many(names)),
        (10, many([sized[body] for body in (ALLOC, HANDLE, *bodies)])),
        (11, many([b"\x00" + ZERO + END + b"\x01x"] * data) if data else b""),
    ]  # fmt: skip
    return b"\0asm\x01\0\0\0" + b"".join(section(number, content) for number, content in parts if content)


def fill(code: bytes, size: int = BODY) -> bytes:
    """That code, over and over."""
    return code * (size // len(code))


def copies(body: bytes, most: int = 20_000 - 2, room: int = ROOM) -> list[bytes]:
    """As many functions as fit inside the caps."""
    return [body] * min(most, room // (len(body) + 5))


def nest(opening: bytes, depth: int, inside: bytes = b"") -> bytes:
    return opening * depth + inside + END * depth


def br_table(targets: int) -> bytes:
    return BLOCK + GET + b"\x0e" + leb(targets) + b"\x00" * (targets + 1) + END


def truncations(size: int) -> bytes:
    """f32.convert_i32_s, i32.trunc_f32_s: two bytes that become a hundred of native code."""
    return GET + fill(b"\xb2\xa8", size) + DROP


def distinct(count: int, params: int) -> tuple[bytes, ...]:
    """That many function types, no two the same: the digits of a number, as i32, i64, f32 and f64."""
    return tuple(kind(bytes(127 - (number >> 2 * digit & 3) for digit in range(params))) for number in range(count))


def switches(arms: int, size: int) -> bytes:
    """A loop around switches; each arm is a block that writes a local."""
    arm = ZERO + b"\x21\x00"
    return LOOP + fill(BLOCK * arms + GET + b"\x0e" + leb(arms - 1) + b"".join(map(leb, range(arms))) +
                       (END + arm) * arms, size) + END  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bomb:
    """One row. `cap`: which structural cap refuses it; None: none does."""

    make: Callable[[], bytes]
    cap: str | None = None


OUTSIDE: Mapping[str, Bomb] = {
    "100,000 small functions": Bomb(make=lambda: wasm([function(STEP * 4)] * 100_000), cap="functions"),
    "one straight line of 3 MB": Bomb(make=lambda: wasm([function(fill(STEP, 3_000_000))]), cap="body_bytes"),
    "1,000 params and results, called 1,000 times": Bomb(
        make=lambda: wasm([function(b"\x00"), function(b"\x10\x02" * 1_000)], of=kind(I64 * 1_000, I64 * 1_000)),
        cap="params",
    ),
    "1,000 params and results, called 4,000 times": Bomb(
        make=lambda: wasm([function(b"\x00"), function(b"\x10\x02" * 4_000)], of=kind(I64 * 1_000, I64 * 1_000)),
        cap="params",
    ),
    "loops nested 10,000 deep": Bomb(make=lambda: wasm([function(nest(LOOP, 10_000))]), cap="nesting"),
    "loops nested 30,000 deep": Bomb(make=lambda: wasm([function(nest(LOOP, 30_000))]), cap="nesting"),
    "2,000 functions of 900 params": Bomb(
        make=lambda: wasm([function(b"")] * 2_000, of=kind(I64 * 900)), cap="params"
    ),
    "50,000 br_if in a row": Bomb(
        make=lambda: wasm([function(BLOCK + fill(GET + BR_IF, 200_000) + END)]), cap="body_bytes"
    ),
    "49,000 locals and 10,000 ifs": Bomb(
        make=lambda: wasm([function(fill(GET + IF + END, 60_000), 49_000)]), cap="locals"
    ),
    "a switch of 20,000 arms in a loop": Bomb(
        make=lambda: wasm([function(LOOP + br_table(20_000) + END, 1_000)]), cap="br_table"
    ),
    "200 branch tables of 10,000 targets": Bomb(make=lambda: wasm([function(br_table(10_000))] * 200), cap="br_table"),
    "700,000 float truncations": Bomb(make=lambda: wasm([function(truncations(1_400_000))]), cap="body_bytes"),
    "99,000 types": Bomb(make=lambda: wasm([], types=distinct(99_000, 9)), cap="types"),
    "10,000 functions of 50,000 v128 locals": Bomb(
        make=lambda: wasm([function(b"", 50_000, V128)] * 10_000), cap="locals"
    ),
    "900,000 empty functions": Bomb(make=lambda: wasm([function(b"")] * 900_000), cap="functions"),
    "990,000 globals": Bomb(make=lambda: wasm([], globals_=990_000), cap="module_bytes"),
    "99,000 globals": Bomb(make=lambda: wasm([], globals_=99_000), cap="globals"),
    "99,000 data segments": Bomb(make=lambda: wasm([], data=99_000), cap="data_segments"),
    "99,000 exports": Bomb(make=lambda: wasm([], exports=99_000), cap="exports"),
    "a table of 10,000,000": Bomb(
        make=lambda: wasm([], table=b"\x01\x70\x00" + leb(10_000_000)), cap="table_elements"
    ),
    "a memory of 4 GiB": Bomb(make=lambda: wasm([], memory=b"\x01\x00" + leb(65_536)), cap="memory_bytes"),
}  # fmt: skip

INSIDE: Mapping[str, Bomb] = {
    "an honest program of 2 MB, mostly names": Bomb(
        make=lambda: wasm([function(fill(STEP, 1_000))] * 300) + section(0, b"\x04name" + bytes(1_900_000))
    ),
    "straight lines": Bomb(make=lambda: wasm(copies(function(fill(STEP) + KEEP)))),
    "32 params, 8 results, called over and over": Bomb(
        make=lambda: wasm(copies(function(fill(b"\x42\x00" * 32 + b"\x10\x02" + DROP * 8) + b"\x42\x00" * 8)),
                          of=kind(I64 * 32, I64 * 8))
    ),
    "loops in loops, with a way out of each": Bomb(
        make=lambda: wasm(copies(function(fill(nest(LOOP + GET + BR_IF, 1_000)))))
    ),
    "25,000 br_if in a row": Bomb(make=lambda: wasm([function(BLOCK + fill(GET + BR_IF, 100_000) + END)])),
    "br_if in a row": Bomb(make=lambda: wasm(copies(function(BLOCK + fill(GET + BR_IF) + END)))),
    "1,000 locals and ifs": Bomb(
        make=lambda: wasm(copies(function(fill(GET + IF + ZERO + b"\x21\x00" + END), 1_000)))
    ),
    "1,000 locals and switches of 1,000 arms in a loop": Bomb(
        make=lambda: wasm(copies(function(switches(1_000, BODY - 16), 1_000)))
    ),
    "branch tables of 1,024 targets": Bomb(make=lambda: wasm(copies(function(fill(br_table(1_024)))))),
    "float truncations": Bomb(make=lambda: wasm(copies(function(truncations(BODY))))),
    "indirect calls": Bomb(
        make=lambda: wasm(copies(function(fill(GET + GET + b"\x11\x02\x00"))), table=b"\x01\x70\x00\x01")
    ),
    "2,000 types of 32 params": Bomb(make=lambda: wasm([], types=distinct(1_990, 32))),
    "20,000 functions of 1,000 v128 locals": Bomb(make=lambda: wasm([function(b"", 1_000, V128)] * 19_998)),
    "20,000 empty functions": Bomb(make=lambda: wasm([function(b"")] * 19_998)),
}  # fmt: skip
