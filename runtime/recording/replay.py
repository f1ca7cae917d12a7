"""A recorded call, run again: the same module on the same messages, with no host and no store behind it.

What lives here: the place that answers imports from the record, and what came of it. The sandbox around it is the one
that serves users; a guest that does anything else than the record says is stopped there, and that is the difference.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Final, cast

import msgspec

from host_api.errors import ApiError
from runtime import wire
from runtime.bundle import Bundle
from runtime.error_response import quoted
from runtime.errors import Ending, UsageError
from runtime.executor.in_process import InProcessExecutor
from runtime.executor.job import Job, Outcome
from runtime.javascript import Interpreter, shipped_engine
from runtime.limits import MIB, Limits, specs
from runtime.modules import Modules, artifact_cache
from runtime.outcomes import judged
from runtime.receipt import Receipt, Usage
from runtime.recording.record import CUT_SHORT, Piece, Record
from runtime.recording.tape import LAYOUTS, NAMES
from runtime.sandbox.fiber import Fiber, Over
from runtime.settings import HostSettings
from runtime.sources import new_id

_REQUESTS: Final = ("hostel_v1.call", "hostel_v1.post")
REQUEST_MOST: Final = 16 * MIB
TEXT_MOST: Final = 400
"""Characters of what a difference shows of each side."""
COMPARED: Final = ("fuel", "memory_bytes_peak", "memory_at_limit", "message_in_bytes", "message_out_bytes")
"""Of the usage, what the guest alone determines. All else that a receipt has (but CPU and wall time) follows from the
events, which are compared one by one, or was the host's to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first thing that is not as it was recorded."""

    at: str
    """Where: an import by its number and name, or a part of the end."""
    recorded: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of it."""

    difference: Difference | None
    stopped: str
    """Why it was not run to the end, although nothing differs; "" if it was."""
    imports: int
    """So many were answered from the record."""
    receipt: Receipt
    """As recorded, with what this run measured of the guest, and its CPU and wall time."""


class PlayedFiber(Fiber):
    """A place whose imports are answered from a record."""

    __slots__ = ("_counts_fuel", "_events", "_stops_at_end", "difference", "is_over", "played", "stopped")

    def __init__(self, record: Record, *, counts_fuel: bool) -> None:
        super().__init__()
        self._events, self._counts_fuel = record.events, counts_fuel
        self._stops_at_end = record.end.is_cut or record.end.receipt.ending in CUT_SHORT
        self.played = 0
        self.difference: Difference | None = None
        self.stopped = ""
        self.is_over = False
        """It is stopped where the call ended: in an import."""

    def poll(self) -> bool:
        return self._on(super().poll)

    def poll_free(self) -> bool:
        return self._on(super().poll_free)

    def _on(self, poll: Callable[[], bool]) -> bool:
        """A slice: imports are answered inside of it, so that the sandbox meets ticks and the end alone."""
        while True:
            if self._stops_at_end and self.played == len(self._events):
                raise self._stop("the record goes no further")
            done = poll()
            if done or not self.asked:
                return done
            self._answer()

    def _answer(self) -> None:
        number, at = self.asked, self.played
        name, arguments = NAMES[number], self.arguments(LAYOUTS[number])
        if at == len(self._events):
            raise self._differs(name, "no more", self._asks(name, arguments))
        event = self._events[at]
        if (name, arguments) != (event.name, event.arguments):
            raise self._differs(name, told(event.name, event.arguments, event.read), self._asks(name, arguments))
        for piece in event.read:
            data = self._memory(piece.at, len(piece.data))
            if data != piece.data:
                now = (Piece(piece.at, data),)
                raise self._differs(name, told(name, arguments, (piece,)), told(name, arguments, now))
        if self._counts_fuel and (left := self.fuel_left()) != event.fuel_left:
            raise self._differs(event.name, f"{event.fuel_left} of fuel left", f"{left} of fuel left")
        if event.answer is None:
            self.is_over = True
            raise self._stop(f"the call ended in {event.name}")
        for piece in event.written:
            self.write(piece.at, piece.data)
        self.answer(event.answer)
        self.played += 1

    def _asks(self, name: str, arguments: tuple[int, ...]) -> str:
        read: tuple[Piece, ...] = ()
        if name in _REQUESTS:
            read = (Piece(arguments[0], self._memory(arguments[0], min(arguments[1], REQUEST_MOST))),)
        return told(name, arguments, read)

    def _memory(self, pointer: int, length: int) -> bytes:
        with contextlib.suppress(Over):
            return self.read(pointer, length)
        return b""

    def _stop(self, why: str) -> Over:
        self.stopped = why
        return Over(Ending.CANCELLED, why)

    def _differs(self, at: str, recorded: str, found: str) -> Over:
        self.difference = Difference(
            at=f"{at}, number {self.played + 1}", recorded=recorded[:TEXT_MOST], found=found[:TEXT_MOST]
        )
        return Over(Ending.CANCELLED, "the replay differs")


def told(name: str, arguments: tuple[int, ...], read: tuple[Piece, ...]) -> str:
    """What an import asks, in words: a request by its method, else its arguments and what was read of the memory."""
    data = b"".join(piece.data for piece in read)
    if name in _REQUESTS:
        with contextlib.suppress(wire.MalformedMessage):
            _, method, params = wire.parse_request(data, REQUEST_MOST)
            return f"{name}: {quoted(method)} {quoted(str(params))}"
    return f"{name}{arguments} {ascii(data)[1:] if data else ''}".rstrip()


_ENDLESS: Final = cast("AbstractContextManager[object, bool]", contextlib.nullcontext())


class _NoHost:
    """The host side of a guest that is answered before it gets here."""

    def __init__(self) -> None:
        self.deadline = _NoDeadline()

    def answer(self, request: bytes) -> bytes | Awaitable[bytes | None] | None:
        raise RuntimeError("a played guest reaches no host")

    def refuse(self, request: bytes, error: ApiError) -> bytes | None:
        raise RuntimeError("a played guest reaches no host")

    def log(self, stream: int, data: bytes) -> None:
        raise RuntimeError("a played guest reaches no log")

    def hold(self, size: int) -> bool:
        return True

    def release(self, size: int) -> None:
        """Nothing is held."""


class _NoDeadline:
    """Wall time is nobody's in a replay: fuel and the record bound it."""

    def expired(self) -> bool:
        return False

    def scope(self) -> AbstractContextManager[object, bool]:
        return _ENDLESS


async def replay(record: Record, module: Any, executor: InProcessExecutor, *, counts_fuel: bool = True) -> Replayed:
    """Runs `module`, which `executor` has loaded, against the record. `counts_fuel`: the engine is the one that was
    recorded, so that fuel compares. Takes as long as the guest computes, its CPU limit aside."""
    head, end = record.head, record.end
    limits, usage = _unhurried(record.limits), Usage(message_in_bytes=len(head.message))
    fiber = PlayedFiber(record, counts_fuel=counts_fuel)
    job = Job(head.app_id, "", module, head.message, limits, head.notification, place=lambda: fiber)
    outcome = await executor.run(job, _NoHost(), usage)
    usage.message_out_bytes = len(outcome.response)
    difference, is_whole = fiber.difference, fiber.is_over or not fiber.stopped
    if difference is None and is_whole:
        rows = [] if fiber.is_over else _endings(record, fiber.played, outcome)
        difference = _first(rows + _measured(end.receipt.usage, usage, counts_fuel))
    names = (*COMPARED, "cpu_us") if is_whole else ("cpu_us",)
    known = {name: getattr(usage, name) for name in names}
    receipt = msgspec.structs.replace(end.receipt, usage=msgspec.structs.replace(end.receipt.usage, **known))
    return Replayed(difference=difference, stopped=fiber.stopped, imports=fiber.played, receipt=receipt)


def _unhurried(limits: Limits) -> Limits:
    """CPU and wall time are this machine's: only the guest's own bounds are the record's."""
    known = specs(Limits)
    changed: Limits = limits.changed({"cpu_us": known["cpu_us"].most, "wall_ms": known["wall_ms"].most})
    return changed


Row = tuple[str, str, str]
"""Where, as recorded, as found."""


def _endings(record: Record, played: int, outcome: Outcome) -> list[Row]:
    end, rest = record.end, [told(event.name, event.arguments, event.read) for event in record.events[played:]]
    found = outcome if record.head.notification else judged(outcome, record.limits.message_out_bytes)
    return [
        (
            "after the last import",
            rest[0] if rest else "no more",
            "no more",
        ),
        ("the ending", end.receipt.ending.value, found.ending.value),
        ("the answer", ascii(end.response)[1:], ascii(outcome.response)[1:]),
        ("the words of the end", end.detail, outcome.detail),
    ]


def _measured(recorded: Usage, found: Usage, counts_fuel: bool) -> list[Row]:
    names = [name for name in COMPARED if counts_fuel or name != "fuel"]
    return [(name, str(getattr(recorded, name)), str(getattr(found, name))) for name in names]


def _first(rows: list[Row]) -> Difference | None:
    for at, recorded, found in rows:
        if recorded != found:
            return Difference(at=at, recorded=recorded[:TEXT_MOST], found=found[:TEXT_MOST])
    return None


async def run_again(record: Record, bundle: Bundle | None, settings: HostSettings) -> Replayed:
    """Loads what was recorded, or the program of another bundle, and replays it. In this process, with no state.

    Raises ModuleError, StartupError, and UsageError where the record's engine of scripts is not this release's.
    """
    executor = InProcessExecutor(settings=settings, now_us=lambda: 0, new_id=new_id, threads=0)
    modules = Modules(
        executor.load, artifact_cache(None, settings), scripted=executor.scripted, caps=settings.caps,
        compile_limits=settings.compile_limits, loaded_bytes_max=settings.loaded_bytes_max,
    )  # fmt: skip
    try:
        module = await _module(record, bundle, modules, settings.engine or shipped_engine())
        return await replay(record, module, executor, counts_fuel=record.head.wasmtime == version("wasmtime"))
    finally:
        modules.close()
        executor.close()


async def _module(record: Record, bundle: Bundle | None, modules: Modules, engine: Interpreter) -> Any:
    limits = record.limits
    script = record.head.script if bundle is None else bundle.script_image
    if script is None:
        wasm = record.head.module if bundle is None else bundle.module
        return (await modules.take(wasm, limits))[0]
    if record.head.script is not None and engine.sha256 != record.head.module_sha256:
        raise UsageError(
            "the script was recorded on another JavaScript engine than this release has: replay it with that release",
            code="record_invalid",
        )
    return (await modules.script(sha256(script).hexdigest(), limits, engine, lambda: script))[0]
