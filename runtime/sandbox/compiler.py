"""Compiling a module in a child process under limits: nothing of a guest's is ever compiled where calls are served.

What lives here: the line in front of the compiler, and what a child's answer or death means. Native compilation cannot
be interrupted and 10 KB of module can cost minutes and gigabytes, so time, memory and size are limits of a process.
The process is reached through compile_link.py, and what it does is compile_child.py; what to keep is artifacts.py's.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import trio

from runtime.errors import CompileLimitExceeded, HostBusy, HostClosed, HostelError, ModuleError
from runtime.limits import KIB, CompileLimits, ModuleCaps
from runtime.log import logger
from runtime.sandbox.artifacts import Compiled
from runtime.sandbox.checks import ModuleFacts, check_size
from runtime.sandbox.compile_child import COMPILED, HEAD, MAGIC, OVER_LIMIT, REFUSED, Order, limit_exceeded
from runtime.sandbox.compile_link import Ended, ZygoteGone, ZygoteLink

TOLD_MOST: Final = 64 * KIB
"""Bytes of JSON in an answer."""
_REFUSAL_MOST: Final = 8 * KIB
"""Of them, in a refusal: it is kept."""
QUEUED_MOST: Final = 16
"""Modules waiting to be compiled, each held in memory meanwhile."""
RETRY_AFTER_MS: Final = 1_000
_log = logger("compiler")
_MEMORY_WORDS: Final = (b"memory allocation of", b"Cannot allocate memory", b"MemoryError")


class _Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    message: str
    details: dict[str, str | int]


class Compiler:
    """The compiler of one host: a warm zygote, started with the first module, and a line before it.

    Used from the trio thread. `at_once`: compilations beside each other, one core each. Closed by its owner.
    """

    def __init__(self, limits: CompileLimits, *, at_once: int = 1, queued_most: int = QUEUED_MOST) -> None:
        self._limits = limits
        self._limiter, self._queued_most = trio.CapacityLimiter(at_once), queued_most
        self._zygote: ZygoteLink | None = None
        self._closed = False

    async def compile(self, wasm: bytes, *, caps: ModuleCaps, memory_bytes: int, metered: bool = False) -> Compiled:
        """Checks and compiles one module in a child. `memory_bytes`: the limit it is to run under. `metered`: for the
        engine that counts fuel.

        Raises `ModuleError` for a module that is refused; `CompileLimitExceeded` if it costs too much, `retryable`
        where the machine may be to blame (wall time, killed from outside) and the verdict must not be kept; `HostBusy`
        if too many wait already; `HostClosed`. Cancelling takes it out of the line, or kills the child, which is reaped
        before this returns, however it returns.
        """
        check_size(wasm, caps)
        order, limits = Order(caps, memory_bytes, self._limits, metered), self._limits
        async with self._turn():
            with trio.move_on_after(limits.wall_ms / 1_000) as scope:
                ended = await self._run(order.pack() + wasm, HEAD.size + TOLD_MOST + limits.artifact_bytes)
        if scope.cancelled_caught:
            raise _retryable(limit_exceeded("wall_ms", limits))
        _log.info(
            "compiled", bytes=len(wasm), code=ended.code, cpu_us=ended.cpu_us, resident_bytes=ended.resident_bytes
        )
        compiled = judge(ended.code, ended.out, ended.err, limits)
        if (compiled.facts.sha256, compiled.facts.metered) != (hashlib.sha256(wasm).hexdigest(), metered):
            raise _internal("the compile child answered for another module", ended.err)
        return compiled

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._limiter.statistics().tasks_waiting >= self._queued_most:
            raise HostBusy(
                f"{self._queued_most} modules wait to be compiled already; try again later",
                details={"limit": "compilations_queued", "value": self._queued_most}, retry_after_ms=RETRY_AFTER_MS,
            )  # fmt: skip
        async with self._limiter:
            yield

    async def _run(self, told: bytes, most: int) -> Ended:
        """By the zygote there is; one that turns out to be gone is replaced, once."""
        for last in (False, True):
            if self._closed:
                raise HostClosed("the host is closed: nothing is compiled any more")
            try:
                zygote = self._zygote = self._zygote or ZygoteLink()
                return await zygote.run(told, most)
            except ZygoteGone as error:
                tail = self._drop(zygote)
                if last:
                    raise _internal(f"the compile child cannot be started: {error}", tail) from error
            except OSError as error:
                raise _internal(f"the compile child cannot be started: {error}", b"") from error
        raise RuntimeError("the loop above returns or raises")

    def _drop(self, zygote: ZygoteLink) -> bytes:
        """Another compilation may have dropped it already."""
        if self._zygote is zygote:
            self._zygote = None
            return zygote.close()
        return b""

    def start(self) -> None:
        """Starts the zygote ahead of its first use. A failure is told by whoever uses it."""
        if self._zygote is None and not self._closed:
            with contextlib.suppress(OSError):
                self._zygote = ZygoteLink()

    def close(self) -> None:
        """Ends the zygote, and with it every compilation; who waited for one gets `HostClosed`."""
        self._closed = True
        if self._zygote is not None:
            self._drop(self._zygote)


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
    if verdict != COMPILED and told_bytes > _REFUSAL_MOST:
        raise _internal("the compile child gave no valid answer", err)
    try:
        if verdict == COMPILED and 0 < artifact_bytes <= limits.artifact_bytes:
            return Compiled(artifact=out[end:], facts=msgspec.json.decode(told, type=ModuleFacts))
        refusal = msgspec.json.decode(told, type=_Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
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
