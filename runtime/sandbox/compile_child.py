"""The child that checks and compiles one module and ends: what it does, and how its words are framed.

What lives here: limits on itself, the jail, then hostile bytes. It holds no secret and no descriptor but its three,
opens nothing, and imports no more than that takes (no trio, no msgspec). Who forks it is compile_zygote.py; the host's
side, which trusts nothing that comes back, is compiler.py.

Standard input: length and JSON of the order, then the module to its end. Standard output: `HEAD`, then JSON, then the
artifact.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import struct
from typing import Any, Final, NamedTuple

import wasmtime

from runtime import jail
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
ORDER_HEAD: Final = struct.Struct(">I")
"""Length of the order."""
_ORDER_MOST: Final = 64 << 10
_ORPHAN_S: Final = 1.0
"""How long after the wall limit the child ends by itself, should nobody be there to end it."""
_PIECE: Final = 1 << 20


class Order(NamedTuple):
    """What the parent asks for."""

    caps: ModuleCaps
    memory_bytes: int
    limits: CompileLimits
    metered: bool = False
    """For the engine that counts fuel."""

    def pack(self) -> bytes:
        """What the child reads before the module."""
        caps, limits = dataclasses.asdict(self.caps), dataclasses.asdict(self.limits)
        text = json.dumps([caps, self.memory_bytes, limits, self.metered]).encode()
        return ORDER_HEAD.pack(len(text)) + text

    @classmethod
    def from_json(cls, text: bytes) -> Order:
        caps, memory_bytes, limits, metered = json.loads(text)
        return cls(ModuleCaps(**caps), memory_bytes, CompileLimits(**limits), metered)


def run(engine: wasmtime.Engine) -> None:
    """The whole child; `engine` counts no fuel. What ends it early is a signal, or an exception (`MemoryError` where
    memory is over)."""
    order = Order.from_json(_read(min(ORDER_HEAD.unpack(_read(ORDER_HEAD.size))[0], _ORDER_MOST)))
    if order.metered:
        engine = compile_engine(metered=True)
    _limit_itself(order.limits)
    if jail.enter(work="compile", stepped_down=True).grade is jail.Grade.NONE:
        _close_itself()
    _write(answer(_read(order.caps.module_bytes + 1), order, engine))


def _read(most: int) -> bytes:
    """That many bytes, or to the end."""
    data = bytearray()
    while len(data) < most and (piece := os.read(0, min(most - len(data), _PIECE))):
        data += piece
    return bytes(data)


def _write(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(1, left) :]


def answer(wasm: bytes, order: Order, engine: wasmtime.Engine) -> bytes:
    """Checks, compiles, frames. Any bytes give a framed answer; only death by a limit gives none."""
    try:
        facts = dataclasses.replace(check_module(wasm, order.caps, order.memory_bytes), metered=order.metered)
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
    """Before anything costs: time and memory, and an end by itself. The jail sets the limits that are zero."""
    _lower(resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1)
    _lower(resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_ms / 1_000 + _ORPHAN_S)  # its default action ends the process


def _close_itself() -> None:
    """Where there is no jail: nothing can be opened, written to a file or started."""
    for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        _lower(which, 0, 0)


def _lower(which: int, soft: int, hard: int) -> None:
    """Sets a limit, but never over a lower one that is already there."""
    known = [value for value in resource.getrlimit(which) if value != resource.RLIM_INFINITY]
    resource.setrlimit(which, (min(soft, *known), min(hard, *known)) if known else (soft, hard))
