"""What releases are made of, by hash: modules and assets, each once however many releases have it.

What lives here: their rows, and what goes when the last release that has them does. Jobs of `Store.write`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import Asset
from host_api.store.protocol import Transaction

_DOMAIN: Final = b"hostel asset list 1\0"


def put_module(tx: Transaction, module_sha256: str, wasm: bytes) -> None:
    """Stores it unless it is there."""
    tx.execute(
        "INSERT INTO modules (sha256, bytes, wasm) VALUES (:sha256, :bytes, :wasm) ON CONFLICT (sha256) DO NOTHING",
        {"sha256": bytes.fromhex(module_sha256), "bytes": len(wasm), "wasm": wasm},
    )


def module(tx: Transaction, module_sha256: str) -> bytes:
    """The module's bytes. Raises RegistryRefused `not_installed`: no release has it any more."""
    rows = tx.execute("SELECT wasm FROM modules WHERE sha256 = :sha256", {"sha256": bytes.fromhex(module_sha256)})
    if not rows:
        raise RegistryRefused("not_installed", "the program was uninstalled, and its module is gone")
    return bytes(rows[0][0])


def list_sha256(assets: Sequence[Asset]) -> bytes:
    """SHA-256 over "hostel asset list 1\\0" and, by the paths' UTF-8 bytes: length of the path (4 bytes, big-endian),
    path, the 32 bytes of the content's hash."""
    whole = sha256(_DOMAIN)
    for path, digest in sorted((asset.path.encode(), bytes.fromhex(asset.sha256)) for asset in assets):
        whole.update(len(path).to_bytes(4, "big") + path + digest)
    return whole.digest()


def put_assets(tx: Transaction, assets: Sequence[Asset]) -> bytes:
    """Stores those that are not there; the hash of their list."""
    of_list = list_sha256(assets)
    known = tx.execute("SELECT 1 FROM asset_lists WHERE list_sha256 = :list LIMIT 1", {"list": of_list})
    for asset in () if known else assets:
        digest = bytes.fromhex(asset.sha256)
        tx.execute(
            "INSERT INTO assets (sha256, bytes, content) VALUES (:sha256, :bytes, :content)"
            " ON CONFLICT (sha256) DO NOTHING",
            {"sha256": digest, "bytes": len(asset.content), "content": asset.content},
        )
        tx.execute(
            "INSERT INTO asset_lists (list_sha256, path, sha256) VALUES (:list, :path, :sha256)",
            {"list": of_list, "path": asset.path, "sha256": digest},
        )
    return of_list


def drop_unused(tx: Transaction, module_sha256: bytes, of_list: bytes) -> int:
    """After a release that had them went: what no other has. How many bytes of contents."""
    dropped = sum(
        int(length)
        for (length,) in tx.execute(
            "DELETE FROM modules WHERE sha256 = :sha256"
            " AND NOT EXISTS (SELECT 1 FROM releases WHERE module_sha256 = :sha256) RETURNING bytes",
            {"sha256": module_sha256},
        )
    )
    members = tx.execute(
        "DELETE FROM asset_lists WHERE list_sha256 = :list"
        " AND NOT EXISTS (SELECT 1 FROM releases WHERE assets_sha256 = :list) RETURNING sha256",
        {"list": of_list},
    )
    for digest in sorted({bytes(digest) for (digest,) in members}):
        gone = tx.execute(
            "DELETE FROM assets WHERE sha256 = :sha256"
            " AND NOT EXISTS (SELECT 1 FROM asset_lists WHERE sha256 = :sha256) RETURNING bytes",
            {"sha256": digest},
        )
        dropped += sum(length for (length,) in gone)
    return dropped
