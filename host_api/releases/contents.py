"""What releases are made of, by hash: modules, scripts and assets, each once however many releases have it.

What lives here: their rows, and what goes when the last release that has them does. Jobs of `Store.write`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import Asset
from host_api.store.protocol import Transaction

_DOMAIN: Final = b"hostel asset list 1\0"


def put_module(tx: Transaction, module_sha256: str, wasm: bytes) -> None:
    """Stores it unless it is there."""
    digest = bytes.fromhex(module_sha256)
    if not tx.execute("SELECT 1 FROM modules WHERE sha256 = :sha256", {"sha256": digest}):
        tx.execute(
            "INSERT INTO modules (sha256, bytes, wasm) VALUES (:sha256, :bytes, :wasm)",
            {"sha256": digest, "bytes": len(wasm), "wasm": wasm},
        )


def put_script(tx: Transaction, script_sha256: str, image: bytes) -> bytes | None:
    """Stores a script image unless it is there; its hash as a release has it: None for '', a program that is none."""
    if not script_sha256:
        return None
    digest = bytes.fromhex(script_sha256)
    tx.execute(
        "INSERT INTO scripts (sha256, bytes, image) VALUES (:sha256, :bytes, :image) ON CONFLICT (sha256) DO NOTHING",
        {"sha256": digest, "bytes": len(image), "image": image},
    )
    return digest


def any_script(tx: Transaction) -> bool:
    """Some release is a script."""
    return bool(tx.execute("SELECT 1 FROM scripts LIMIT 1"))


def script(tx: Transaction, script_sha256: str) -> bytes:
    """The script image. Raises RegistryRefused `not_installed`: no release has it any more."""
    rows = tx.execute("SELECT image FROM scripts WHERE sha256 = :sha256", {"sha256": bytes.fromhex(script_sha256)})
    if not rows:
        raise RegistryRefused("not_installed", "the program was uninstalled, and its script is gone")
    return bytes(rows[0][0])


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


def read_asset(tx: Transaction, list_hex: str, path: str, offset: int, length: int) -> tuple[int, bytes] | None:
    """Size and a part of the member at `path` of that list (`list_sha256`, hex; '' for none); None: there is none."""
    rows = tx.execute(
        "SELECT a.bytes, substr(a.content, :first, :length) FROM asset_lists l JOIN assets a ON a.sha256 = l.sha256"
        " WHERE l.list_sha256 = :list AND l.path = :path",
        {"list": bytes.fromhex(list_hex), "path": path, "first": offset + 1, "length": length},
    )
    return (int(rows[0][0]), bytes(rows[0][1] or b"")) if rows else None  # of nothing, a part is NULL


def find_asset(tx: Transaction, list_hex: str, path: str) -> Asset | None:
    """The member at `path` of that list, whole."""
    rows = tx.execute(
        "SELECT a.sha256, a.content FROM asset_lists l JOIN assets a ON a.sha256 = l.sha256"
        " WHERE l.list_sha256 = :list AND l.path = :path",
        {"list": bytes.fromhex(list_hex), "path": path},
    )
    return Asset(path=path, sha256=rows[0][0].hex(), content=bytes(rows[0][1])) if rows else None


HAD: Final = "module_sha256, script_sha256, assets_sha256"
"""The columns of a deleted release that `drop_unused` is given."""


def drop_unused(tx: Transaction, had: Sequence[Any]) -> int:
    """After a release went that had these (the columns HAD): what no other has. How many bytes of contents."""
    module_sha256, script_sha256, of_list = had
    dropped = 0
    for table, column, digest in (
        ("modules", "module_sha256", module_sha256),
        ("scripts", "script_sha256", script_sha256),
    ):
        gone = tx.execute(
            f"DELETE FROM {table} WHERE sha256 = :sha256"
            f" AND NOT EXISTS (SELECT 1 FROM releases WHERE {column} = :sha256) RETURNING bytes",
            {"sha256": digest},
        )
        dropped += sum(int(length) for (length,) in gone)
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
