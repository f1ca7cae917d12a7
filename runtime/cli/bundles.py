"""`hostel pack`, `sign`, `verify` and `inspect`: bundles as files. Nothing here looks into a module or runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import runtime.bundle as bundles
from runtime.bundle import Bundle, Keyring, SigningKey
from runtime.bundle.files import read_archive_file
from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.files import write_file
from runtime.cli.permissions import unknown_permissions
from runtime.cli.stale import check_built, warn_of_stale

Output = Annotated[Path, Parameter(name=["--output", "-o"], help="The file to write.")]


def pack(folder: Path = Path(), /, *, output: Output | None = None, as_json: report.AsJson = False) -> None:
    """Make a bundle of all files in FOLDER, or of those in its folder bundle where it is a project. Without -o it is
    FOLDER's name with .ma, in the current folder. Files whose names begin with a full stop, and empty folders, are left
    out and named on standard error.

    Parameters
    ----------
    folder
        A project, or a folder that holds manifest.json and what it names; the current one where it is left out.
    """
    check_built(folder)
    data = bundles.pack(
        bundles.bundle_folder(folder),
        on_left_out=lambda path, why: report.say(f"left out {shown(path)}: {why}"),
    )
    output = output or Path(f"{folder.resolve().name or 'program'}.ma")
    write_file(output, data)
    warnings = unknown_permissions(Bundle.from_bytes(data).manifest) + warn_of_stale(folder)
    _tell(output, data, as_json, warnings=warnings)


def sign(
    file: Path,
    /,
    *,
    key: Annotated[Path, Parameter(help="The private key, from hostel keygen.")],
    output: Output | None = None,
    as_json: report.AsJson = False,
) -> None:
    """Sign a bundle, in the place of any signature it has. Without -o the file itself is replaced.

    Parameters
    ----------
    file
        The bundle.
    """
    signing_key = SigningKey.load(key)
    data = bundles.sign(read_archive_file(file), signing_key)
    write_file(output or file, data)
    _tell(output or file, data, as_json)


def verify(
    file: Path,
    /,
    *,
    keyring: Annotated[Path | None, Parameter(help="The keys you trust: a file, or a folder of them.")] = None,
    as_json: report.AsJson = False,
) -> None:
    """Say whose signature a bundle has. Ends with 0 only if it fits and a key of the keyring vouches for it.

    Parameters
    ----------
    file
        The bundle.
    """
    bundle = Bundle.read(file)
    trusted = Keyring.load(keyring) if keyring else Keyring()
    key = bundles.check_policy(bundle, trusted, allow_unsigned=False, now_us=time.time_ns() // 1_000)
    if key is None:
        raise RuntimeError("a policy that allows no unsigned bundles gave no key")
    told = {
        "app_id": bundle.manifest.app_id,
        "version_code": bundle.manifest.version.code,
        "identity": bundle.identity,
        "key_id": key.public_key.key_id,
        "owner": key.owner,
    }
    if as_json:
        report.show_json(told)
    else:
        report.show_table(("trusted", ""), told.items())


def inspect(file: Path, /, *, as_json: report.AsJson = False) -> None:
    """Show what a bundle is, what it asks for and what it holds. A signature that is there fits, or the bundle is
    refused; whether its key is to be trusted is for hostel verify.

    Parameters
    ----------
    file
        The bundle.
    """
    bundle = Bundle.read(file)
    told = _described(bundle)
    if as_json:
        report.show_json(told)
        return
    permissions, members = told.pop("permissions"), told.pop("members")
    report.show_table(("bundle", ""), [(name, _words(value)) for name, value in told.items()])
    asked = [
        (p["name"], "yes" if p["required"] else "no", _words(p["constraints"]), _words(p["reason"]))
        for p in permissions
    ]
    report.show_table(("asks for", "required", "within", "reason"), asked)
    report.show_table(("member", ">bytes", "sha256"), [(m["path"], m["size"], m["sha256"]) for m in members])


def _described(bundle: Bundle) -> dict[str, Any]:
    manifest, program, signature = bundle.manifest, bundle.manifest.program, bundle.signature
    return {
        "app_id": manifest.app_id,
        "name": manifest.name,
        "version": {"name": manifest.version.name, "code": manifest.version.code},
        "identity": bundle.identity,
        "signed_by": {"key_id": signature.key_id, "public_key": str(signature.public_key)} if signature else None,
        "program": {
            **({"script": program.script} if program.script else {"module": program.module}),
            "abi": program.abi,
            "lifetime": program.lifetime,
            "events": program.events,
        },
        "limits_wanted": dict(program.limits),
        "permissions": [
            {"name": p.name, "required": p.required, "constraints": dict(p.constraints), "reason": p.reason}
            for p in manifest.req_permissions
        ],
        "members": [{"path": m.path, "size": m.size, "sha256": m.sha256} for m in bundle.members.values()],
    }


def _words(value: object) -> str:
    """A value of the manifest for people: `en: Fresh at home, zh: …`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_words(inner)}" for name, inner in value.items())
    if isinstance(value, tuple):
        return " ".join(_words(inner) for inner in value)
    return "none" if value is None else str(value)


def _tell(path: Path, data: bytes, as_json: bool, **more: Any) -> None:
    bundle = Bundle.from_bytes(data)
    signed_by = bundle.signature.key_id if bundle.signature else None
    told = {"file": str(path), "bytes": len(data), "app_id": bundle.manifest.app_id, "identity": bundle.identity}
    if as_json:
        report.show_json({**told, "signed_by": signed_by, **more})
    else:
        signed = f"signed by key {signed_by}" if signed_by else "not signed"
        report.show_line(f"{path}: {told['app_id']}, {told['bytes']} bytes, identity {told['identity']}, {signed}")
