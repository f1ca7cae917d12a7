"""Compiling a module in a child process under limits: nothing of a guest's is ever compiled where calls are served.

What lives here: the parent's side: start the child, feed it, read its answer with bounds, judge its death, leave none
behind. Native compilation cannot be interrupted and 10 KB of module can cost minutes and gigabytes, so time, memory and
size are limits of a process. The child's side is compile_child.py; what to keep of a result is artifacts.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
import wasmtime

from runtime.errors import CompileLimitExceeded, HostelError, ModuleError
from runtime.limits import KIB, CompileLimits, ModuleCaps
from runtime.sandbox.artifacts import Compiled
from runtime.sandbox.checks import ModuleFacts, check_size
from runtime.sandbox.compile_child import COMPILED, HEAD, MAGIC, OVER_LIMIT, REFUSED, Order, limit_exceeded

TOLD_MOST: Final = 64 * KIB
"""Bytes of JSON in an answer, and of standard error that are looked at."""
_PIECE: Final = 64 * KIB
_START: Final = "import sys; sys.path += sys.argv[1:-1]; from runtime.sandbox.compile_child import main; main()"
_ROOTS: Final = tuple(str(Path(file).parents[up]) for file, up in ((__file__, 2), (wasmtime.__file__, 1)))
"""Where `runtime` and `wasmtime` are imported from, in a source tree as well as installed: all the child may see."""
_KEPT_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_MEMORY_WORDS: Final = (b"memory allocation of", b"Cannot allocate memory", b"MemoryError")


class _Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    message: str
    details: dict[str, str | int]


async def compile_module(
    wasm: bytes,
    *,
    caps: ModuleCaps,
    memory_bytes: int,
    limits: CompileLimits,
    limiter: trio.CapacityLimiter,
) -> Compiled:
    """Checks and compiles one module in a child process.

    `memory_bytes`: the memory limit the module is to run under. `limiter`: how many compilations run at once in this
    process, one token each; others wait in line, and cancelling takes them out of it. The child uses one core.

    Raises `ModuleError` for a module that is refused, `CompileLimitExceeded` if it costs too much: `retryable` where
    the machine may be to blame (wall time, killed from outside) and the verdict must not be kept. Cancelling kills the
    child; it is reaped before this returns, however it returns.
    """
    check_size(wasm, caps)
    async with limiter:
        order = Order(caps, memory_bytes, limits)
        with trio.move_on_after(limits.wall_ms / 1_000) as scope:
            code, out, err = await _run_child(wasm, order)
    if scope.cancelled_caught:
        raise _retryable(limit_exceeded("wall_ms", limits))
    compiled = judge(code, out, err, limits)
    if compiled.facts.sha256 != hashlib.sha256(wasm).hexdigest():
        raise _internal("the compile child answered for another module", err)
    return compiled


async def _run_child(wasm: bytes, order: Order) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error, both bounded."""
    command = [sys.executable, "-I", "-S", "-c", _START, *_ROOTS, order.to_json()]
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    try:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise _internal(f"the compile child cannot be started: {error}", b"") from error
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("three pipes were asked for")
    out, err = bytearray(), bytearray()
    try:
        async with process.stdin, process.stdout, process.stderr, trio.open_nursery() as nursery:
            nursery.start_soon(_feed, process.stdin, wasm)
            nursery.start_soon(_collect, process.stderr, err, TOLD_MOST)
            await _collect(process.stdout, out, HEAD.size + TOLD_MOST + order.limits.artifact_bytes)
        return await process.wait(), bytes(out), bytes(err)
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _feed(pipe: trio.abc.SendStream, data: bytes) -> None:
    """A child that died before it read everything is no error here: its death says why."""
    async with pipe:
        with contextlib.suppress(trio.BrokenResourceError):
            await pipe.send_all(data)


async def _collect(pipe: trio.abc.ReceiveStream, into: bytearray, most: int) -> None:
    """Reads to the end, so that the child is never blocked; keeps at most `most` bytes and one, which tells of more."""
    while piece := await pipe.receive_some(_PIECE):
        into += piece[: most + 1 - len(into)]


# ---- the verdict -----------------------------------------------------------------------------------------------------
def judge(code: int, out: bytes, err: bytes, limits: CompileLimits) -> Compiled:
    """What a child's end and answer mean. Pure; believes nothing but what it can decode within bounds.

    Raises `ModuleError`, `CompileLimitExceeded`, or `HostelError` (`internal`) for a child of ours that is broken.
    """
    if code < 0:
        raise _death(-code, err, limits)
    if code > 0 and _MEMORY_WORDS[-1] in err:
        raise limit_exceeded("memory_bytes", limits)
    if code > 0 or len(out) < HEAD.size:
        raise _internal(f"the compile child ended with exit code {code}", err)
    magic, verdict, told_bytes, artifact_bytes = HEAD.unpack_from(out)
    end = HEAD.size + told_bytes
    if magic != MAGIC or told_bytes > TOLD_MOST or len(out) != end + artifact_bytes:
        raise _internal("the compile child gave no valid answer", err)
    told = out[HEAD.size : end]
    try:
        if verdict == COMPILED and 0 < artifact_bytes <= limits.artifact_bytes:
            return Compiled(artifact=out[end:], facts=msgspec.json.decode(told, type=ModuleFacts))
        refusal = msgspec.json.decode(told, type=_Refusal)
    except msgspec.MsgspecError as error:
        raise _internal("the compile child gave no valid answer", str(error).encode()) from None
    if verdict == OVER_LIMIT:
        raise CompileLimitExceeded(refusal.message, details=refusal.details)
    if verdict == REFUSED:
        raise ModuleError(refusal.message, details=refusal.details)
    raise _internal(f"the compile child gave no valid answer (verdict {verdict})", err)


def _death(number: int, err: bytes, limits: CompileLimits) -> CompileLimitExceeded:
    """Death by a signal, told by which."""
    if number == signal.SIGXCPU:
        return limit_exceeded("cpu_s", limits)
    if number == signal.SIGALRM:
        return _retryable(limit_exceeded("wall_ms", limits))
    if number == signal.SIGKILL:  # nothing of the child's own limits: the machine is out of memory, or somebody did it
        return _retryable(limit_exceeded("memory_bytes", limits, signal=number))
    if any(word in err for word in _MEMORY_WORDS):
        return limit_exceeded("memory_bytes", limits)
    return CompileLimitExceeded(
        f"the compiler crashed on the module (signal {number}); build it with other options",
        details={"limit": "crash", "signal": number},
    )


def _retryable(error: CompileLimitExceeded) -> CompileLimitExceeded:
    error.retryable = True
    return error


def _internal(what: str, err: bytes) -> HostelError:
    tail: Mapping[str, Any] = {"stderr": ascii(err[-500:].decode("latin-1"))}
    return HostelError(what, code="internal", details=tail)
