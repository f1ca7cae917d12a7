"""Recording: what a guest asks of its imports and what it is answered, noted where its memory is touched.

What lives here: the place that notes (a Fiber), the tape of one call, and the executor that has one call recorded. A
guest is a function of its message and of the answers to its imports; nothing else is noted, and nothing is judged.
"""

from __future__ import annotations

import platform
from hashlib import sha256
from importlib.metadata import version
from struct import Struct
from typing import Any, Final

import trio

from runtime.bundle import Bundle
from runtime.errors import Ending
from runtime.executor.in_process import InProcessExecutor
from runtime.executor.job import Job, Outcome
from runtime.javascript import Interpreter, shipped_engine
from runtime.limits import Limits, specs
from runtime.receipt import Receipt, Usage
from runtime.recording.record import EVENTS_BYTES_MAX, End, Event, Head, Piece, Record
from runtime.sandbox import abi
from runtime.sandbox.fiber import Fiber
from runtime.sandbox.host_side import HostSide
from runtime.sandbox.pool import IMPORT_NUMBERS
from runtime.sandbox.wasi import layout
from runtime.session import CallSession
from runtime.settings import HostSettings

NAMES: Final[dict[int, str]] = {number: ".".join(key) for key, number in IMPORT_NUMBERS.items()}
LAYOUTS: Final[dict[int, Struct]] = {number: layout(abi.IMPORTS[key]) for key, number in IMPORT_NUMBERS.items()}


class Tape:
    """The record of one call, as far as it has come."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.events: list[Event] = []
        self.outcome: Outcome | None = None
        self.receipt: Receipt | None = None
        self.is_cut = False
        self._room = EVENTS_BYTES_MAX

    def place(self) -> TapedFiber:
        """Where the call's guest is run."""
        return TapedFiber(self)

    def add(self, event: Event) -> None:
        self._room -= event.size
        if self._room < 0:
            self.is_cut = True
        elif not self.is_cut:
            self.events.append(event)


class TapedFiber(Fiber):
    """A place that notes what passes between guest and host while an import is answered."""

    __slots__ = ("_read", "_tape", "_written")

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape
        self._read: list[Piece] = []
        self._written: list[Piece] = []

    def read(self, pointer: int, length: int) -> bytes:
        data = super().read(pointer, length)
        if self.asked:
            self._read.append(Piece(pointer, data))
        return data

    def write(self, pointer: int, data: bytes) -> None:
        super().write(pointer, data)
        if self.asked:
            self._written.append(Piece(pointer, data))

    def copy_to(self, address: int, data: bytes) -> None:
        super().copy_to(address, data)
        self._written.append(Piece(address - self.base, data))

    def answer(self, value: int) -> None:
        self._note(value & 0xFFFF_FFFF)
        super().answer(value)

    def drop(self) -> None:
        if self.asked:
            self._note(None)
            self.asked = 0
        super().drop()

    def _note(self, answer: int | None) -> None:
        number = self.asked
        event = Event(
            name=NAMES[number], arguments=self.arguments(LAYOUTS[number]), read=tuple(self._read),
            written=tuple(self._written), answer=answer, fuel_left=self.fuel_left(),
        )  # fmt: skip
        self._read, self._written = [], []
        self._tape.add(event)


class Recorder:
    """Has the next call of one program recorded. One for a host; used from its trio thread.

    `arm` it right before the call, `record` gives what came of it.
    """

    def __init__(self) -> None:
        self._app_id = ""
        self._tape: Tape | None = None
        self.engine: Interpreter | None = None
        """What scripts run on, where it is not the shipped one."""

    def arm(self, app_id: str) -> None:
        """The next call or notification of this program that comes from outside is recorded."""
        self._app_id, self._tape = app_id, None

    def take(self, job: Job) -> Tape | None:
        """The tape for this job, if it is the one."""
        if job.program != self._app_id or self._tape is not None or job.trial:
            return None
        self._tape = Tape(job)
        return self._tape

    def ended(self, receipt: Receipt, session: CallSession) -> None:
        """See `Calls.observers`."""
        tape = self._tape
        if tape is not None and tape.receipt is None and receipt.app_id == self._app_id and not session.depth:
            tape.receipt = receipt

    def record(self, bundle: Bundle) -> Record | None:
        """What was recorded of the program of this bundle; None: no call began."""
        tape = self._tape
        if tape is None or tape.receipt is None:
            return None
        job, receipt = tape.job, tape.receipt
        outcome = tape.outcome or Outcome(ending=Ending.CANCELLED)
        module = bundle.module if bundle.script_image is None else b""
        module_sha256 = sha256(module).hexdigest() if module else (self.engine or shipped_engine()).sha256
        head = Head(
            app_id=job.program, release=receipt.release, identity=bundle.identity, module_sha256=module_sha256,
            module=module, script=bundle.script_image, limits=_plain(job.limits),
            message=job.message, notification=job.notification, wasmtime=version("wasmtime"),
            machine=platform.machine(),
        )  # fmt: skip
        end = End(response=outcome.response, detail=outcome.detail, is_cut=tape.is_cut, receipt=receipt)
        return Record(head=head, events=tuple(tape.events), end=end)


def _plain(limits: Limits) -> dict[str, int]:
    return {name: getattr(limits, name) for name in specs(Limits)}


class RecordingExecutor(InProcessExecutor):
    """The executor in this process, with one call recorded."""

    def __init__(self, recorder: Recorder, *, settings: HostSettings, **sources: Any) -> None:
        """`sources`: as InProcessExecutor."""
        super().__init__(settings=settings, **sources)
        self._recorder = recorder
        recorder.engine = settings.engine

    @trio.lowlevel.enable_ki_protection
    async def run(self, job: Job, host: HostSide, usage: Usage) -> Outcome:
        tape = self._recorder.take(job)
        if tape is None:
            return await super().run(job, host, usage)
        tape.outcome = await super().run(job._replace(place=tape.place, resident=None), host, usage)
        return tape.outcome
