"""A bundle in memory: read, checked, and from then on only looked at.

What lives here: putting the container, the manifest and the signature together, and the rules between them. A held
`Bundle` is a valid one; whether it is trusted is keyring.py's, whether its module is runnable the sandbox's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from runtime.bundle.archive import Archive, InflateBudget, read_archive
from runtime.bundle.files import read_archive_file
from runtime.bundle.manifest import CURES, MANIFEST_PATH, Manifest, parse_manifest
from runtime.bundle.refusal import refused, shown
from runtime.bundle.script import SUFFIX, script_image
from runtime.bundle.signature import Claim, Signature, bundle_identity, decode_block
from runtime.bundle.strict_json import bad_value
from runtime.errors import BundleError

WASM_MAGIC: Final = b"\0asm"
"""How a module begins, and no bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a bundle."""

    path: str
    size: int
    """Bytes, inflated."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a developer ships. Two are equal where identity, container and signature are."""

    manifest: Manifest = field(compare=False)
    members: Mapping[str, Member] = field(compare=False, repr=False)
    """Path → member, the manifest and the module included, in the order of the paths' UTF-8 bytes."""
    identity: str
    """SHA-256 in hex over paths and contents (signature.py): the same signed or not, however packed."""
    unsigned_sha256: str
    """SHA-256 in hex of the file without its signing block; what a signature covers besides the identity."""
    signature: Signature | None
    """None, or one that fits this bundle; nothing is said about trust in its key."""
    data: bytes = field(compare=False, repr=False)
    """The file, as it was read."""
    script_image: bytes | None = field(compare=False, repr=False)
    """What the JavaScript engine is given (script.py); None where the program is a module."""
    _contents: Mapping[str, bytes] = field(compare=False, repr=False)

    @classmethod
    def read(cls, path: Path | str) -> Bundle:
        """Read a bundle's file, at most `ARCHIVE_BYTES_MAX` of it.

        Raises:
            UsageError: the file cannot be read.
            BundleError: as `from_bytes`.
        """
        return cls.from_bytes(read_archive_file(Path(path)))

    @classmethod
    def from_bytes(cls, data: bytes, budget: InflateBudget | None = None) -> Bundle:
        """Read a bundle from memory; `budget` counts what was inflated, also where this raises.

        Raises:
            BundleError: the container is refused (`bundle_invalid`).
            ManifestError: the manifest is (`manifest_invalid`, `manifest_unsupported`).
            ScriptError: the program is a script, and its sources are (`script_invalid`).
            SignatureError: there is a signature and it does not fit (`signature_invalid`).
        """
        if data.startswith(WASM_MAGIC):
            raise refused(
                f"a WebAssembly module of {len(data)} bytes, not a bundle: put it into a folder with a {MANIFEST_PATH}"
                " that names it, and make a bundle of that with hostel pack"
            )
        archive = read_archive(data, budget)
        if MANIFEST_PATH not in archive.contents:
            raise refused(f"no member {MANIFEST_PATH} among the {len(archive.contents)}")
        manifest = parse_manifest(archive.contents[MANIFEST_PATH])
        _check_members(manifest, archive.contents)
        digests = {path: hashlib.sha256(content).digest() for path, content in archive.contents.items()}
        identity = bundle_identity(digests)
        return cls(
            manifest=manifest,
            members=MappingProxyType(_members(archive.contents, digests)),
            identity=identity.hex(),
            unsigned_sha256=archive.unsigned_sha256.hex(),
            signature=_signature(archive, manifest, identity),
            data=data,
            script_image=_script_image(manifest, archive.contents),
            _contents=archive.contents,
        )

    @property
    def module(self) -> bytes:
        """The WebAssembly module, not looked into. Only where `script_image` is None."""
        return self._contents[self.manifest.program.module]

    @property
    def assets(self) -> tuple[str, ...]:
        """The paths of all members but the manifest, the module and the scripts."""
        return tuple(path for path in self.members if self._is_asset(path))

    def _is_asset(self, path: str) -> bool:
        if path in (MANIFEST_PATH, self.manifest.program.module):
            return False
        return self.script_image is None or not path.endswith(SUFFIX)

    @property
    def claim(self) -> Claim:
        """What a signature over this bundle covers."""
        return Claim(
            identity=bytes.fromhex(self.identity),
            unsigned_sha256=bytes.fromhex(self.unsigned_sha256),
            app_id=self.manifest.app_id,
            version_code=self.manifest.version.code,
        )

    def asset(self, path: str) -> bytes:
        """The content of a member that is neither the manifest nor the module nor a script.

        Raises:
            BundleError: there is no such asset (code `asset_not_found`).
        """
        if path not in self._contents or not self._is_asset(path):
            message = f"the bundle has no asset {shown(path)}"
            raise BundleError(message, code="asset_not_found", details={"path": shown(path)})
        return self._contents[path]


def _members(contents: Mapping[str, bytes], digests: Mapping[str, bytes]) -> dict[str, Member]:
    ordered = sorted(contents, key=str.encode)
    return {path: Member(path=path, size=len(contents[path]), sha256=digests[path].hex()) for path in ordered}


def _check_members(manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """What the manifest names must be there."""
    program = manifest.program
    code = "$.program.script" if program.script else "$.program.module"
    named = {code: (program.script or program.module, CURES[code])}
    for index, icon in enumerate(manifest.icons):
        named[f"$.icons[{index}].src"] = (icon.src, CURES["$.icons[].src"])
    for place, (path, cure) in named.items():
        if path not in contents or path == MANIFEST_PATH:
            raise bad_value(place, f"{shown(path)} is no member of the bundle that can be named here", cure)


def _script_image(manifest: Manifest, contents: Mapping[str, bytes]) -> bytes | None:
    if not manifest.program.script:
        return None
    members = {path: content for path, content in contents.items() if path != MANIFEST_PATH}
    return script_image(manifest.program.script, members)


def _signature(archive: Archive, manifest: Manifest, identity: bytes) -> Signature | None:
    if not archive.block:
        return None
    signature = decode_block(archive.block)
    signature.verify(
        Claim(
            identity=identity,
            unsigned_sha256=archive.unsigned_sha256,
            app_id=manifest.app_id,
            version_code=manifest.version.code,
        )
    )
    return signature
