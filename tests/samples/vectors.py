"""The codec vectors (host_api/guest/vectors.json), read, and what a guest's codec does wrong by them.

Each language has a small program that does nothing else: method `codec.echo`, params `{"bytes": <one encoded value>}`.
It decodes with the codec of its SDK, encodes anew and answers `{"bytes": …}`, or the error `invalid`. They lie in
codec/<language>, built and kept as the sample programs are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from runtime import wire

ROOT: Final = Path(__file__).resolve().parents[2]
_FILE: Final = json.loads((ROOT / "host_api/guest/vectors.json").read_text())
VALID: Final[list[dict[str, Any]]] = _FILE["valid"]
INVALID: Final[list[dict[str, Any]]] = _FILE["invalid"]
_SIZE_MAX: Final = 262_144


def written(text: str) -> bytes:
    """The bytes that a vector's text stands for: hexadecimal, and `b7*300` for a byte 300 times."""
    parts = (part.partition("*") for part in text.split())
    return b"".join(bytes.fromhex(code) * int(times or 1) for code, _, times in parts)


def faults(echo: Callable[[bytes], bytes | None], *, one_kind_of_number: bool = False) -> list[str]:
    """What is wrong with a codec; `echo` gives None where the guest said `invalid`. A vector that the host is left to
    refuse may come back; then, or where it does not, only a trap would be wrong, and that is an exception of `echo`."""
    found = []
    for vector in VALID:
        said = echo(written(vector["bytes"]))
        if said is None:
            found.append(f"{vector['name']}: refused")
        elif one_kind_of_number and vector.get("whole_float"):
            if wire.decode(said, _SIZE_MAX) != wire.decode(written(vector["shortest"]), _SIZE_MAX):
                found.append(f"{vector['name']}: came back as {said[:40].hex()}")
        elif said != written(vector["shortest"]):
            found.append(f"{vector['name']}: came back as {said[:40].hex()}")
    for vector in INVALID:
        said = echo(written(vector["bytes"]))
        if said is not None and not vector["by_host"]:
            found.append(f"{vector['name']}: taken, came back as {said[:40].hex()}")
    return found
