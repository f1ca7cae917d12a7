"""The host's own JavaScript engine: the one WebAssembly module that every program runs on that is a script.

What lives here: reaching its bytes, as they are shipped. How it is built lies in engine/, what it is given in
runtime/bundle/script.py, how an instance is given it in runtime/sandbox/script.py.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Interpreter(NamedTuple):
    """A module that scripts run on."""

    wasm: bytes
    sha256: str
    """Of these bytes, hex."""

    @classmethod
    def of(cls, wasm: bytes) -> Interpreter:
        return cls(wasm, hashlib.sha256(wasm).hexdigest())


@cache
def shipped_engine() -> Interpreter:
    """The one that this release of the host brings: read once, about 1 MB."""
    return Interpreter.of(files("runtime.javascript").joinpath("engine.wasm").read_bytes())
