"""A bundle (docs/protocol.md §2) by Python's own zipfile, and its manifest (§3) by a table of types and bounds."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

from .wire import Refused

_WORD = r"[a-z0-9_-]+"
_MEMBER = (str, 1, 255)
_KNOWN: dict[str, tuple[Any, ...]] = {
    "$": (
        ("app_id", "name", "version", "platform_version", "pages", "icons", "req_permissions", "notices", "program"),
    ),
    "$.version": ({"name", "code"},), "$.platform_version": ({"min_code"},),
    "$.program": ({"module", "script", "abi", "lifetime", "events", "limits"},),
    "$.icons[]": ({"src", "sizes", "label"},), "$.notices[]": ({"id", "text"},),
    "$.req_permissions[]": ({"name", "reason", "required", "constraints"},),
}  # fmt: skip
_FIELDS: tuple[tuple[str, tuple[Any, ...], bool], ...] = (
    ("$.app_id", (str, 1, 128, rf"[a-z]([a-z0-9_-]*)(\.{_WORD})*"), True),
    ("$.name", ("text", 1, 64), True),
    ("$.version.name", (str, 1, 32), True),
    ("$.version.code", (int, 1, 2_147_483_647), True),
    ("$.platform_version.min_code", (int, 1, 1 << 53), False),
    ("$.pages", (list, 0, 64), False),
    ("$.icons", (list, 0, 16), False),
    ("$.icons[].src", _MEMBER, True),
    ("$.icons[].sizes", (str, 0, 64), False),
    ("$.req_permissions", (list, 0, 32), False),
    ("$.req_permissions[].name", (str, 1, 64, r"[a-z0-9_]+(\.[a-z0-9_]+)*"), True),
    ("$.req_permissions[].reason", ("text", 1, 256), True),
    ("$.req_permissions[].required", (bool, 0, 1), False),
    ("$.req_permissions[].constraints", (dict, 0, 16), False),
    ("$.notices", (list, 0, 32), False),
    ("$.notices[].id", (str, 1, 64, r"[a-z0-9]+([-_.][a-z0-9]+)*"), True),
    ("$.notices[].text", ("text", 1, 256), True),
    ("$.program", (dict, 0, 99), True),
    ("$.program.module", _MEMBER, False),
    ("$.program.script", _MEMBER, False),
    ("$.program.abi", (str, 9, 9, "hostel_v1"), False),
    ("$.program.lifetime", (str, 5, 8, "fresh|resident"), False),
    ("$.program.events", (bool, 0, 1), False),
    ("$.program.limits", (dict, 0, 99), False),
)


@dataclass(frozen=True, slots=True)
class Bundle:
    manifest: dict[str, Any]
    members: dict[str, bytes]
    identity: str
    permissions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Capability → constraints, as the manifest asks for them."""


def read(data: bytes) -> Bundle:
    """Raises Refused."""
    members = _members(data)
    if "manifest.json" not in members:
        raise Refused("bundle_invalid", "there is no manifest.json: put one into the bundle")
    manifest = _json(members["manifest.json"])
    _check(manifest)
    program = manifest["program"]
    for path in [program.get("module"), *(icon["src"] for icon in manifest.get("icons", ()))]:
        if path is not None and (path not in members or path == "manifest.json"):
            raise _wrong("$.program.module", f"there is no member {path!a}")
    asked = {one["name"]: one.get("constraints", {}) for one in manifest.get("req_permissions", ())}
    return Bundle(manifest, members, _identity(members), asked)


def _members(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {one.filename: archive.read(one) for one in archive.infolist()}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise Refused("bundle_invalid", f"this is no bundle: {error!a}") from None


def _identity(members: dict[str, bytes]) -> str:
    digest = hashlib.sha256(b"hostel bundle identity v1\0" + struct.pack("<I", len(members)))
    for path in sorted(members, key=str.encode):
        name = path.encode()
        digest.update(struct.pack("<I", len(name)) + name + hashlib.sha256(members[path]).digest())
    return digest.hexdigest()


def _wrong(path: str, why: str, code: str = "manifest_invalid") -> Refused:
    return Refused(code, f"manifest.json, {path}: {why}"[:400], path=path)


def _json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _wrong("$", f"no JSON in UTF-8: {error!a}") from None
    if not isinstance(value, dict):
        raise _wrong("$", "must be a map")
    return value


def _check(manifest: dict[str, Any]) -> None:
    for path, (known,) in _KNOWN.items():
        for place, one in _at(manifest, path):
            if not isinstance(one, dict):
                raise _wrong(place, "must be a map")
            if more := sorted(one.keys() - set(known)):
                raise _wrong(place, f"{more[0]!a} is not known; known are {', '.join(sorted(known))}")
    for path, rule, is_needed in _FIELDS:
        above, _, name = path.rpartition(".")
        if is_needed and above == "$.version" and "version" not in manifest:
            raise _wrong("$.version", "is missing")
        for place, one in _at(manifest, above):
            if name not in one:
                if is_needed:
                    raise _wrong(f"{place}.{name}", "is missing")
            elif not _fits(one[name], *rule):
                raise _wrong(f"{place}.{name}", f"must be {rule[0]}, between {rule[1]} and {rule[2]}")
    if ("module" in manifest["program"]) == ("script" in manifest["program"]):
        raise _wrong("$.program", "must have either a module or a script")
    for path, key in (("$.req_permissions", "name"), ("$.notices", "id")):
        names = [one[key] for _, one in _at(manifest, path + "[]")]
        if len(names) != len(set(names)):
            raise _wrong(path, "one is there twice")
    if manifest.get("platform_version", {}).get("min_code", 1) > 2:
        raise _wrong("$.platform_version.min_code", "is above the api level 2 of this host", "manifest_unsupported")
    if "script" in manifest["program"]:
        raise _wrong("$.program.script", "this host has no engine for scripts", "manifest_unsupported")


def _at(manifest: dict[str, Any], path: str) -> list[tuple[str, Any]]:
    """Each place that the path means, with what stands there."""
    found: list[tuple[str, Any]] = [("$", manifest)]
    for part in path.split(".")[1:]:
        name = part.removesuffix("[]")
        found = [(f"{place}.{name}", one[name]) for place, one in found if name in one]
        if part.endswith("[]"):
            found = [
                (f"{at}[{n}]", one) for at, items in found if isinstance(items, list) for n, one in enumerate(items)
            ]
    return found


def _fits(value: Any, kind: Any, low: int, high: int, pattern: str = "") -> bool:
    if kind == "text" and isinstance(value, dict):
        return 1 <= len(value) <= 64 and all(_fits(one, str, 1, high) for one in value.values())
    kind = str if kind == "text" else kind
    if type(value) is not kind:
        return False
    size = value if isinstance(value, int) else len(value)
    return low <= size <= high and (not pattern or re.fullmatch(pattern, value, re.ASCII) is not None)
