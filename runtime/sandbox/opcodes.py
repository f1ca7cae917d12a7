"""The instructions of the feature profile, each with the form of its immediates: a table, and the pattern made from it.

What lives here: which opcode is followed by what. A function body is mostly instructions that need no more than being
stepped over, so the table becomes one regular expression over bytes that takes a run of them in one go (40 MB a second,
where a loop in Python manages 1). The alternatives begin with different bytes and repetition is possessive: matching
never backtracks, time is linear in the bytes. Instructions that open, close or branch by table are bodies.py's.

Source of the codes: WebAssembly core specification 2.0, chapters 5.4 (instructions) and 5.2 (numbers).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from runtime.sandbox.feature_profile import FUNCREF, TYPE_NAMES

# ---- immediates: LEB128 as the specification bounds it, in as many bytes as the type allows --------------------------
U32: Final = rb"(?:[\x80-\xff]{0,3}+[\x00-\x7f]|[\x80-\xff]{4}[\x00-\x0f])"
S32: Final = rb"(?:[\x80-\xff]{0,3}+[\x00-\x7f]|[\x80-\xff]{4}[\x00-\x07\x78-\x7f])"
S64: Final = rb"(?:[\x80-\xff]{0,8}+[\x00-\x7f]|[\x80-\xff]{9}[\x00\x7f])"
NONE: Final = rb""
LANE: Final = rb"."
MEMORY_ARGUMENT: Final = rb"(?:[\x00-\x3f]|[\x80-\xbf]\x80{0,3}+\x00)" + U32
"""Alignment below 2**6 (bit 6 would name another memory), offset."""
ONE_MEMORY: Final = rb"\x00"


def _codes(*parts: int | range) -> tuple[int, ...]:
    return tuple(code for part in parts for code in ((part,) if isinstance(part, int) else part))


PLAIN: Final[tuple[tuple[tuple[int, ...], bytes], ...]] = (
    (_codes(0x00, 0x01, 0x0F, 0x1A, 0x1B, 0xD1), NONE),  # unreachable nop return drop select ref.is_null
    (_codes(0x0C, 0x0D, 0x10), U32),  # br br_if call
    (_codes(0x11), U32 + U32),  # call_indirect: type, table
    (_codes(range(0x20, 0x27)), U32),  # local.* global.* table.get table.set
    (_codes(range(0x28, 0x3F)), MEMORY_ARGUMENT),  # loads and stores
    (_codes(0x3F, 0x40), ONE_MEMORY),  # memory.size memory.grow
    (_codes(0x41), S32),  # i32.const
    (_codes(0x42), S64),  # i64.const
    (_codes(0x43), rb".{4}"),  # f32.const
    (_codes(0x44), rb".{8}"),  # f64.const
    (_codes(range(0x45, 0xC5)), NONE),  # numeric, sign extension from 0xc0 on
    (_codes(0xD0), re.escape(bytes([FUNCREF]))),  # ref.null func
    (_codes(0xD2), U32),  # ref.func
)
"""Instructions of one byte that only need stepping over: codes → immediates."""

BULK_PREFIX: Final = 0xFC
BULK: Final[tuple[tuple[tuple[int, ...], bytes], ...]] = (
    (_codes(range(8)), NONE),  # saturating conversions
    (_codes(8), U32 + ONE_MEMORY),  # memory.init
    (_codes(9, 13), U32),  # data.drop elem.drop
    (_codes(10), ONE_MEMORY + ONE_MEMORY),  # memory.copy
    (_codes(11), ONE_MEMORY),  # memory.fill
    (_codes(12, 14), U32 + U32),  # table.init table.copy
    (_codes(15, 16, 17), U32),  # table.grow table.size table.fill
)

VECTOR_PREFIX: Final = 0xFD
_VECTOR_GAPS: Final = frozenset(
    (154, 162, 165, 166, 175, 176, 178, 179, 180, 187, 194, 197, 198, 207, 208, 210, 211, 212, 226, 238)
)
VECTOR: Final[tuple[tuple[tuple[int, ...], bytes], ...]] = (
    (_codes(range(12), 92, 93), MEMORY_ARGUMENT),  # v128.load* v128.store v128.load*_zero
    (_codes(12, 13), rb".{16}"),  # v128.const i8x16.shuffle
    (_codes(range(14, 21), range(35, 84)), NONE),
    (_codes(range(21, 35)), LANE),  # extract_lane replace_lane
    (_codes(range(84, 92)), MEMORY_ARGUMENT + LANE),  # v128.load*_lane v128.store*_lane
    (_codes(*(code for code in range(94, 256) if code not in _VECTOR_GAPS)), NONE),
)
PREFIXED: Final[Mapping[int, tuple[tuple[tuple[int, ...], bytes], ...]]] = {BULK_PREFIX: BULK, VECTOR_PREFIX: VECTOR}


# ---- the pattern -----------------------------------------------------------------------------------------------------
def _any_of(codes: Iterable[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]"


def _sub_codes(codes: tuple[int, ...]) -> bytes:
    """Codes 0–255 as LEB128 of a u32: one or two bytes, or padded to at most five."""
    small, large = [code for code in codes if code < 0x80], [code & 0x7F for code in codes if code >= 0x80]
    forms = []
    if small:
        forms += [_any_of(small), _any_of(code | 0x80 for code in small) + rb"\x80{0,3}+\x00"]
    if large:
        forms += [_any_of(code | 0x80 for code in large) + rb"(?:\x01|\x81\x80{0,2}+\x00)"]
    return b"(?:" + b"|".join(forms) + b")"


def _run_pattern() -> re.Pattern[bytes]:
    forms = [_any_of(codes) + immediates for codes, immediates in PLAIN]
    for prefix, rows in PREFIXED.items():
        subs = b"|".join(_sub_codes(codes) + immediates for codes, immediates in rows)
        forms.append(_any_of([prefix]) + b"(?:" + subs + b")")
    return re.compile(b"(?:" + b"|".join(forms) + b")*+", re.DOTALL)


RUN: Final = _run_pattern()
"""A run of instructions, the longest possible, perhaps of none."""
BLOCK_TYPE: Final = re.compile(
    b"(?:" + _any_of((0x40, *TYPE_NAMES)) + rb"|[\x00-\x3f]|[\x80-\xff]{1,3}[\x00-\x3f]|[\x80-\xff]{4}[\x00-\x0f])"
)
"""Empty, one value type, or the index of a function type as a signed number that is not negative."""

END, ELSE, BLOCK, LOOP, IF, BR_TABLE, TYPED_SELECT, REF_NULL = 0x0B, 0x05, 0x02, 0x03, 0x04, 0x0E, 0x1C, 0xD0
OPENING: Final = frozenset((BLOCK, LOOP, IF))


def immediates(opcode: int, sub: int | None = None) -> bytes | None:
    """The form of an instruction's immediates, None if it is not in the tables. `sub`: the code after a prefix."""
    rows, code = (PLAIN, opcode) if sub is None else (PREFIXED[opcode], sub)
    return next((form for codes, form in rows if code in codes), None)
