"""`hostel token`: a token for clients of a daemon over TCP."""

from __future__ import annotations

import json
import secrets
import sys
from hashlib import sha256
from typing import Annotated, Literal

from cyclopts import Parameter

from runtime.cli import report

_BYTES = 32


def token(
    *,
    name: Annotated[str, Parameter(help="Whose it is, for the daemon's log.")],
    role: Annotated[Literal["caller", "auditor", "operator"], Parameter(help="What its owner may do.")] = "caller",
    as_json: report.AsJson = False,
) -> None:
    """Make a token, which is shown once, and the entry for hostel.toml, which holds its hash alone."""
    made = f"hostel_{secrets.token_urlsafe(_BYTES)}"
    hashed = sha256(made.encode()).hexdigest()
    if as_json:
        report.show_json({"token": made, "name": name, "role": role, "sha256": hashed})
        return
    report.say("the token, for its owner alone; it is shown this once")
    report.show_line(made)
    report.say("its entry in hostel.toml, after all of [control]:")
    sys.stderr.write(f'[[control.tokens]]\nname = {_toml(name)}\nrole = "{role}"\nsha256 = "{hashed}"\n')


def _toml(text: str) -> str:
    return json.dumps(text)  # a JSON text is one of TOML's
