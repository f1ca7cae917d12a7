"""A cursor over WebAssembly's binary format that cannot leave its bounds.

What lives here: bytes, LEB128 numbers, names, counted vectors. Not what they mean. Every read checks the end first and
raises `ModuleError` (malformed) past it; nothing is allocated by a number that the module states.
"""

from __future__ import annotations

from runtime.sandbox.refusals import malformed


class Reader:
    """Reads `data[at:end]`. The data is borrowed, never copied but for what a read gives back."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def byte(self) -> int:
        at = self.at
        if at >= self.end:
            raise malformed(at, "unexpected end")
        self.at = at + 1
        return self.data[at]

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        self.skip(length)
        return self.data[self.at - length : self.at]

    def skip(self, length: int) -> None:
        if length > self.end - self.at:
            raise malformed(self.at, f"{length} bytes wanted, {self.end - self.at} left")
        self.at += length

    def part(self, length: int) -> Reader:
        """A reader of the next `length` bytes, which this one skips."""
        self.skip(length)
        return Reader(self.data, self.at - length, self.at)

    def u32(self) -> int:
        """Unsigned LEB128 of at most 32 bits in at most 5 bytes."""
        byte = self.byte()
        if byte < 0x80:
            return byte
        value, shift = byte & 0x7F, 7
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise malformed(self.at, "number longer than 32 bits")
        if value > 0xFFFF_FFFF:
            raise malformed(self.at, "number over 32 bits")
        return value

    def signed(self, bits: int) -> int:
        """Signed LEB128 of `bits` bits in at most as many bytes as those need."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise malformed(self.at, f"number longer than {bits} bits")
        if byte & 0x40:
            value -= 1 << shift
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise malformed(self.at, f"number over {bits} bits")
        return value

    def count(self) -> int:
        """The length of a vector: each of its elements takes at least one byte of what is left."""
        count = self.u32()
        if count > self.end - self.at:
            raise malformed(self.at, f"vector of {count} elements in {self.end - self.at} bytes")
        return count

    def text(self, length: int) -> str:
        """`length` bytes of UTF-8."""
        start = self.at
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise malformed(start, "a name that is not UTF-8") from None

    def done(self, what: str) -> None:
        """Refuses bytes left over."""
        if self.at != self.end:
            raise malformed(self.at, f"{self.end - self.at} bytes left over in {what}")
