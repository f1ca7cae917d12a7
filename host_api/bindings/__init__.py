"""Typed bindings of the host API for the languages that programs are written in, all from one model (model.py).

What lives here: which languages there are, and where the file of each is kept. docs/generate.py writes them and
`hostel api bindings` prints them; a test says so when one is stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from host_api.bindings import assemblyscript, c, javascript, rust, typescript, zig
from host_api.bindings.model import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Bindings:
    """One language's."""

    write: Callable[[Api], str]
    """The whole file; the same model gives the same text."""
    path: str
    """Where it is kept, from the repository's root."""


LANGUAGES: Final[Mapping[str, Bindings]] = {
    "c": Bindings(write=c.write, path="host_api/guest/c/hostel_api.h"),
    "rust": Bindings(write=rust.write, path="host_api/guest/rust/api.rs"),
    "zig": Bindings(write=zig.write, path="host_api/guest/zig/api.zig"),
    "assemblyscript": Bindings(write=assemblyscript.write, path="host_api/guest/assemblyscript/api.ts"),
    "javascript": Bindings(write=javascript.write, path="host_api/guest/javascript/api.js"),
    "typescript": Bindings(write=typescript.write, path="host_api/guest/javascript/api.d.ts"),
}
"""By the name that `--lang` takes."""
