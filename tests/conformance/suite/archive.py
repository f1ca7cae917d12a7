"""Bundles for cases: good ones, and each trick with the container that a host must refuse.

What lives here: the ZIP records of docs/protocol.md §2.1 written by hand, so that any field of them can be wrong, and
the signature of §2.5. Written from the protocol alone.

A case's `archive` may have: `local` and `directory` (path → field → value, over what is right), `end` (field → value),
`deflate` (list of paths), `packed` (path → content in the place of what is right), `lie` (paths in the order of the
file), `order` (paths in the order of the directory),
`prepend`, `append`, `before_directory` (hex), `after_member` (path → hex), `patch` (list of {"at", "hex"}, at < 0 from
the end), `raw` (the whole file's content), `manifest_text` (the manifest's content), `signature` (field → hex over what
is right: sizes, magic, key_id, public_key, signature, again, end), `signed_as` (app_id, code: what the signature speaks
of).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .case import CaseError, Program

_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_LOCAL_FIELDS: Final = (
    "signature",
    "needed",
    "flags",
    "method",
    "time",
    "date",
    "crc",
    "packed",
    "content",
    "name",
    "extra",
)
_DIRECTORY: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_DIRECTORY_FIELDS: Final = (
    "signature", "made_by", "needed", "flags", "method", "time", "date", "crc", "packed", "content", "name", "extra",
    "comment", "disk", "internal", "external", "offset",
)  # fmt: skip
_END: Final = struct.Struct("<IHHHHIIH")
_END_FIELDS: Final = ("signature", "disk", "first_disk", "here", "all", "size", "offset", "comment")
_DATE: Final = 0x21  # 1980-01-01
MANIFEST: Final = "manifest.json"


def manifest(program: Program, name: str) -> dict[str, Any]:
    """The ordinary manifest with what the case says over it."""
    return _over(
        {
            "app_id": f"org.conformance.{name.replace('_', '-')}",
            "name": f"Conformance {name}",
            "version": {"name": "1.0.0", "code": 1},
            "program": {"module": "program.wasm"},
        },
        program.manifest,
    )


def _over(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Maps are joined, null takes a key away, all else replaces."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _over(result[key], value)
        else:
            result[key] = value
    return result


def bundle(program: Program, name: str, guests: Path) -> bytes:
    """The bundle's bytes. Raises CaseError where its guest is not there."""
    how = program.archive
    if "raw" in how:
        return content_of(how["raw"])
    told = manifest(program, name)
    members = {MANIFEST: how_manifest(how, told)}
    if program.guest:
        file = guests / f"{program.guest}.wasm"
        if not file.is_file():
            raise CaseError(f"there is no guest {program.guest}.wasm")
        members["program.wasm"] = file.read_bytes()
    members |= {path: content_of(content) for path, content in program.members.items()}
    sealed = _file(members, how, b"")
    if program.key:
        sealed = _file(members, how, _block(program.key, told, members, sealed, how))
    for patch in how.get("patch", ()):
        at = patch["at"] % len(sealed)
        new = bytes.fromhex(patch["hex"])
        sealed = sealed[:at] + new + sealed[at + len(new) :]
    return sealed


def how_manifest(how: Mapping[str, Any], told: dict[str, Any]) -> bytes:
    """The manifest's bytes; `manifest_text` in `archive` gives them as they are."""
    text = how.get("manifest_text")
    return content_of(text) if text is not None else json.dumps(told, ensure_ascii=False, sort_keys=True).encode()


def content_of(content: Any) -> bytes:
    """Of text, {"$bytes": …}, {"$hex": …, "times": n}, {"$repeat": text, "times": n}, {"$numbered": text, "times": n}
    (the text so often, each # in it the number of four digits), or a list of these, one behind the other."""
    match content:
        case list():
            return b"".join(content_of(piece) for piece in content)
        case str():
            return content.encode()
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$hex": text}:
            return bytes.fromhex(text) * content.get("times", 1)
        case {"$numbered": text, "times": int(times)}:
            return "".join(text.replace("#", f"{number:04}") for number in range(times)).encode()
        case {"$repeat": text, "times": int(times)}:
            return text.encode() * times
    raise CaseError(f"no content of a member: {content!r}")


def _file(members: Mapping[str, bytes], how: Mapping[str, Any], block: bytes) -> bytes:
    """The container, with a signing block in its place."""
    out = bytearray.fromhex(how.get("prepend", ""))
    entries: dict[str, bytes] = {}
    for path in how.get("lie", sorted(members, key=str.encode)):
        content = members[path]
        packed, method = content, 0
        if path in how.get("deflate", ()):
            press = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed, method = press.compress(content) + press.flush(), 8
        if path in how.get("packed", {}):
            packed = content_of(how["packed"][path])
        name, offset = path.encode(), len(out)
        common = {"needed": 20, "flags": 0x0800, "method": method, "time": 0, "date": _DATE, "crc": zlib.crc32(content),
                  "packed": len(packed), "content": len(content), "name": len(name), "extra": 0}  # fmt: skip
        local = {"signature": 0x04034B50, **common}
        entry = {"signature": 0x02014B50, "made_by": 0x0314, **common, "comment": 0, "disk": 0, "internal": 0,
                 "external": 0o100644 << 16, "offset": offset}  # fmt: skip
        out += _record(_LOCAL, _LOCAL_FIELDS, local, how.get("local", {}).get(path, {}), name) + packed
        out += bytes.fromhex(how.get("after_member", {}).get(path, ""))
        entries[path] = _record(_DIRECTORY, _DIRECTORY_FIELDS, entry, how.get("directory", {}).get(path, {}), name)
    out += bytes.fromhex(how.get("before_directory", "")) + block
    start = len(out)
    order = how.get("order", list(entries))
    for path in order:
        out += entries[path]
    end = {"signature": 0x06054B50, "disk": 0, "first_disk": 0, "here": len(order), "all": len(order),
           "size": len(out) - start, "offset": start, "comment": 0}  # fmt: skip
    out += _record(_END, _END_FIELDS, end, how.get("end", {}), b"")
    return bytes(out + bytes.fromhex(how.get("append", "")))


def _record(
    layout: struct.Struct, fields: Sequence[str], right: dict[str, int], wrong: Mapping[str, Any], name: bytes
) -> bytes:
    """A record with what is wrong over what is right; `name_hex`, `extra_hex` and `comment_hex` are bytes behind it."""
    values = {**right, **{key: value for key, value in wrong.items() if not key.endswith("_hex")}}
    tail = bytes.fromhex(wrong["name_hex"]) if "name_hex" in wrong else name
    if "name_hex" in wrong and "name" not in wrong:
        values["name"] = len(tail)
    tail += bytes.fromhex(wrong.get("extra_hex", "")) + bytes.fromhex(wrong.get("comment_hex", ""))
    return layout.pack(*(values[field] for field in fields)) + tail


# ---- signatures ------------------------------------------------------------------------------------------------------
def private_key(name: str) -> Ed25519PrivateKey:
    """A key of the suite: everybody has it, so no host but one under test may trust it."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"hostel conformance key " + name.encode()).digest())


def public_key(name: str) -> bytes:
    return private_key(name).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_text(name: str) -> str:
    """As docs/protocol.md §2.5 writes a public key."""
    return "ed25519:" + base64.urlsafe_b64encode(public_key(name)).decode().rstrip("=")


def key_id(name: str) -> bytes:
    return hashlib.sha256(b"hostel key id v1\0" + public_key(name)).digest()[:16]


def identity(members: Mapping[str, bytes]) -> bytes:
    """Of docs/protocol.md §2.4."""
    digest = hashlib.sha256(b"hostel bundle identity v1\0" + struct.pack("<I", len(members)))
    for path, content in sorted(members.items(), key=lambda item: item[0].encode()):
        name = path.encode()
        digest.update(struct.pack("<I", len(name)) + name + hashlib.sha256(content).digest())
    return digest.digest()


def _block(
    name: str, told: Mapping[str, Any], members: Mapping[str, bytes], unsigned: bytes, how: Mapping[str, Any]
) -> bytes:
    speaks_of = {"app_id": told["app_id"], "code": told["version"]["code"], **how.get("signed_as", {})}
    app_id = speaks_of["app_id"].encode()
    message = (
        b"hostel bundle signature v1\0" + identity(members) + hashlib.sha256(unsigned).digest() + key_id(name)
        + struct.pack("<QH", speaks_of["code"], len(app_id)) + app_id
    )  # fmt: skip
    parts = {
        "sizes": struct.pack("<QQ", 148, 116), "magic": b"HTL1", "key_id": key_id(name), "public_key": public_key(name),
        "signature": private_key(name).sign(message), "again": struct.pack("<Q", 148), "end": b"hostel sig block",
    }  # fmt: skip
    return b"".join(
        {**parts, **{field: bytes.fromhex(text) for field, text in how.get("signature", {}).items()}}.values()
    )
