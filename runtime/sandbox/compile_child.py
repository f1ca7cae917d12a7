"""The child that checks and compiles one module and ends: what runs on its side of the pipes, and their framing.

What lives here: limits on itself, then hostile bytes. It holds no secret, opens no file once it reads the module, and
imports no more than that takes (no trio, no msgspec: its start is part of every first install). The parent's side,
which trusts nothing that comes back, is compiler.py.

Order: one JSON argument. Module: standard input. Answer, on standard output: `HEAD`, then JSON, then the artifact.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import resource
import signal
import struct
import sys
from typing import Any, Final, NamedTuple

import wasmtime

from runtime.errors import CompileLimitExceeded, ModuleError
from runtime.limits import CompileLimits, ModuleCaps
from runtime.sandbox.checks import check_module
from runtime.sandbox.engine import compile_engine

HEAD: Final = struct.Struct(">4sBII")
"""Magic, verdict, length of the JSON, length of the artifact."""
MAGIC: Final = b"hcc1"
COMPILED, REFUSED, OVER_LIMIT = 0, 1, 2
TEXT_MOST: Final = 200
"""Characters shown of what the compiler says: it quotes names that the module chose."""
_OUT_OF_MEMORY: Final = "os error 12"
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_ORPHAN_S: Final = 1.0
"""How long after the wall limit the child ends by itself, should its parent be gone."""


class Order(NamedTuple):
    """What the parent asks for."""

    caps: ModuleCaps
    memory_bytes: int
    limits: CompileLimits

    def to_json(self) -> str:
        return json.dumps([dataclasses.asdict(self.caps), self.memory_bytes, dataclasses.asdict(self.limits)])

    @classmethod
    def from_json(cls, text: str) -> Order:
        caps, memory_bytes, limits = json.loads(text)
        return cls(ModuleCaps(**caps), memory_bytes, CompileLimits(**limits))


def main() -> None:
    """The whole child."""
    order = Order.from_json(sys.argv[-1])
    _limit_itself(order.limits)
    engine = compile_engine()
    _close_itself()
    wasm = sys.stdin.buffer.read(order.caps.module_bytes + 1)
    sys.stdout.buffer.write(answer(wasm, order, engine))
    sys.stdout.buffer.flush()


def answer(wasm: bytes, order: Order, engine: wasmtime.Engine) -> bytes:
    """Checks, compiles, frames. Any bytes give a framed answer; only death by a limit gives none."""
    try:
        facts = check_module(wasm, order.caps, order.memory_bytes)
        artifact = compile_bytes(wasm, engine)
        if len(artifact) > order.limits.artifact_bytes:
            raise limit_exceeded("artifact_bytes", order.limits, found=len(artifact))
    except MemoryError:
        return _frame(OVER_LIMIT, _told(limit_exceeded("memory_bytes", order.limits)))
    except CompileLimitExceeded as error:
        return _frame(OVER_LIMIT, _told(error))
    except ModuleError as error:
        return _frame(REFUSED, _told(error))
    return _frame(COMPILED, dataclasses.asdict(facts), artifact)


def compile_bytes(wasm: bytes, engine: wasmtime.Engine) -> bytes:
    """Validates and compiles; raises `ModuleError`, or `MemoryError` where the address space is used up."""
    try:
        return bytes(wasmtime.Module(engine, wasm).serialize())
    except wasmtime.WasmtimeError as error:
        text = str(error)
        if _OUT_OF_MEMORY in text:
            raise MemoryError from None
        text = ascii(" ".join(text.split()))[1:-1][:TEXT_MOST]
        raise ModuleError(
            f"the compiler refused the module: {text}", details={"check": "compiler", "text": text}
        ) from None


def limit_exceeded(limit: str, limits: CompileLimits, **details: Any) -> CompileLimitExceeded:
    """The verdict on a module that costs too much to compile."""
    value = getattr(limits, limit)
    found = f" ({details['found']} were needed)" if "found" in details else ""
    return CompileLimitExceeded(
        f"compiling the module is over {limit} = {value}{found}; split large functions, or ask the operator for more",
        details={"limit": limit, "value": value, **details},
    )


def _told(error: ModuleError) -> dict[str, Any]:
    return {"message": error.message, "details": error.details}


def _frame(verdict: int, told: dict[str, Any], artifact: bytes = b"") -> bytes:
    text = json.dumps(told).encode()
    return HEAD.pack(MAGIC, verdict, len(text), len(artifact)) + text + artifact


# ---- what it may not do ----------------------------------------------------------------------------------------------
def _limit_itself(limits: CompileLimits) -> None:
    """Before anything costs: time, memory, no core file, no privileges, an end without a parent."""
    _lower(resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1)
    _lower(resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes)
    _lower(resource.RLIMIT_CORE, 0, 0)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_ms / 1_000 + _ORPHAN_S)  # its default action ends the process
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0)):
            if prctl(option, value, 0, 0, 0):
                raise OSError(ctypes.get_errno(), f"prctl({option})")


def _close_itself() -> None:
    """After the imports, before the first hostile byte: nothing can be opened, written to a file or started."""
    for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        _lower(which, 0, 0)


def _lower(which: int, soft: int, hard: int) -> None:
    """Sets a limit, but never over a lower one that is already there."""
    known = [value for value in resource.getrlimit(which) if value != resource.RLIM_INFINITY]
    resource.setrlimit(which, (min(soft, *known), min(hard, *known)) if known else (soft, hard))
