"""`hostel keygen`: a developer's key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runtime.bundle import SigningKey
from runtime.bundle.refusal import shown
from runtime.cli import report


def keygen(
    file: Path,
    /,
    *,
    owner: Annotated[str, Parameter(help="Whose key it is, for people who read the keyring.")] = "",
    as_json: report.AsJson = False,
) -> None:
    """Make an Ed25519 key. The private half goes to FILE (mode 0600, never over another file); on standard output
    stands the entry that an operator puts into a keyring: hostel keygen dev.key > keyring.toml

    Parameters
    ----------
    file
        Where the private key goes.
    """
    key = SigningKey.generate()
    key.save(file)
    public = key.public_key
    if as_json:
        report.show_json({"file": str(file), "key_id": public.key_id, "public_key": str(public), "owner": owner})
        return
    report.show_line(f"[[key]]  # {public.key_id}")
    report.show_line(f'public_key = "{public}"')
    if owner:
        report.show_line(f"owner = {json.dumps(owner, ensure_ascii=False)}")  # a JSON text is a TOML text
    report.say(f"the private key is in {shown(str(file))}: keep it, and keep it to yourself")
