"""Bundles made by hand: a ZIP builder of its own, which can lie in every field, and a good bundle to start from."""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from runtime.bundle import SigningKey, pack_contents, sign

LOCAL = ("signature", "needed", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra")
CENTRAL = (
    "signature", "made_by", "needed", "flags", "method", "time", "date", "crc", "packed", "size", "name", "extra",
    "comment", "disk", "internal", "external", "offset",
)  # fmt: skip
END = ("signature", "disk", "directory_disk", "disk_members", "members", "bytes", "offset", "comment")


def deflated(content: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(content) + stream.flush()


@dataclass(kw_only=True)
class RawMember:
    """A member as its header says it, both headers with the same words unless told otherwise."""

    name: bytes = b"a.txt"
    content: bytes = b"text"
    deflate: bool = False
    packed: bytes | None = None
    both: dict[str, int] = field(default_factory=dict)
    local: dict[str, int] = field(default_factory=dict)
    central: dict[str, int] = field(default_factory=dict)
    local_name: bytes | None = None
    extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""

    def fields(self) -> tuple[dict[str, int], bytes]:
        packed = self.packed
        if packed is None:
            packed = deflated(self.content) if self.deflate else self.content
        method = 8 if self.deflate else 0
        words = {
            "needed": 20, "flags": 0x800, "method": method, "time": 0, "date": 33, "crc": zlib.crc32(self.content),
            "packed": len(packed), "size": len(self.content), "made_by": 0x314, "disk": 0, "internal": 0,
            "external": 0o100644 << 16,
        }  # fmt: skip
        return {**words, **self.both}, packed


class ZipBuilder:
    """`build` writes members one after the other, then the block, the directory and the end record."""

    member = RawMember
    deflated = staticmethod(deflated)

    @staticmethod
    def build(
        *members: RawMember,
        block: bytes = b"",
        tail: bytes = b"",
        after: bytes = b"",
        end: dict[str, int] | None = None,
    ) -> bytes:
        body, directory = bytearray(), bytearray()
        for member in members:
            words, packed = member.fields()
            body += member.before
            local_name = member.name if member.local_name is None else member.local_name
            here = {
                **words,
                "signature": 0x04034B50,
                "name": len(local_name),
                "extra": len(member.extra),
                **member.local,
            }
            there = {
                **words, "signature": 0x02014B50, "name": len(member.name), "extra": len(member.central_extra),
                "comment": len(member.comment), "offset": len(body), **member.central,
            }  # fmt: skip
            body += struct.pack("<IHHHHHIIIHH", *(here[name] for name in LOCAL)) + local_name + member.extra + packed
            directory += struct.pack("<IHHHHHHIIIHHHHHII", *(there[name] for name in CENTRAL))
            directory += member.name + member.central_extra + member.comment
        body += block
        directory += tail
        last = {
            "signature": 0x06054B50, "disk": 0, "directory_disk": 0, "disk_members": len(members),
            "members": len(members), "bytes": len(directory), "offset": len(body), "comment": 0, **(end or {}),
        }  # fmt: skip
        return bytes(body + directory) + struct.pack("<IHHHHIIH", *(last[name] for name in END)) + after


@pytest.fixture(scope="session")
def zips() -> type[ZipBuilder]:
    return ZipBuilder


@pytest.fixture(scope="session")
def good() -> Callable[..., dict[str, Any]]:
    """A fresh manifest with every field, some replaced at top level."""

    def make(**changes: Any) -> dict[str, Any]:
        manifest: dict[str, Any] = {
            "app_id": "org.example.grocery",
            "name": {"en": "Grocery", "zh-Hans": "杂货"},
            "version": {"name": "1.2.0", "code": 7},
            "platform_version": {"min_code": 1},
            "pages": ["pages/cart", "pages/order"],
            "icons": [{"src": "common/icon.png", "sizes": "48x48", "label": "Basket"}],
            "req_permissions": [
                {"name": "payment", "reason": "To pay", "constraints": {"amount_max": 5000, "currencies": ["CNY"]}},
                {"name": "user.phone", "reason": {"en": "To call you"}, "required": False},
            ],
            "notices": [
                {"id": "shipped", "text": "Order {no} is on its way: {carrier}"},
                {"id": "order.paid", "text": {"en": "Paid: {no}", "zh-Hans": "{no} 已付款"}},
            ],
            "program": {
                "module": "program.wasm", "abi": "hostel_v1", "lifetime": "fresh", "events": True,
                "limits": {"cpu_us": 60_000},
            },
        }  # fmt: skip
        return {**manifest, **changes}

    return make


@pytest.fixture(scope="session")
def contents(good: Callable[..., dict[str, Any]]) -> dict[str, bytes]:
    return {
        "manifest.json": json.dumps(good()).encode(),
        "program.wasm": b"\0asm\1\0\0\0" * 20,
        "common/icon.png": b"\x89PNG",
    }


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.from_seed(bytes(range(32)))


@pytest.fixture(scope="session")
def unsigned(contents: dict[str, bytes]) -> bytes:
    return pack_contents(contents)


@pytest.fixture(scope="session")
def signed(unsigned: bytes, key: SigningKey) -> bytes:
    return sign(unsigned, key)
