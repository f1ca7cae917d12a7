"""The broker's end of one worker: frames in and out, and the calls in flight on it.

What lives here: what each frame of a worker means and whether it may come now. A worker is assumed taken over one day:
a frame is accepted only for a call that was given to this very worker and has not ended, within that call's own limits;
anything else is a Violation, after which the worker is killed. Nothing here starts or ends a process (worker_child.py),
and nothing decides which worker a call goes to (worker_pool.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Final

import trio

from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.flight import Flight
from runtime.executor.frames import Violation
from runtime.executor.held_modules import HeldModules
from runtime.executor.job import Outcome
from runtime.executor.kept_book import KeptBook
from runtime.executor.meter import Meter
from runtime.executor.outbox import Outbox
from runtime.limits import MIB, Limits
from runtime.log import logger
from runtime.wire import MalformedMessage

BACKLOG_MOST: Final = 8 * MIB
"""Bytes a worker has not taken yet, beyond which it is given no call and nothing is read from it."""
FRAMES_AT_ONCE: Final = 128
"""Frames of one worker that are answered before others of this process have their turn."""
EASY_NS: Final = 60_000
"""A request that took this process longer to answer is on its guest's bill; a worker charges a part of that for each
(sandbox.SUSPENDED_NS)."""
_PACKED_MOST: Final = 1_024
"""Limits of programs kept in the form of a frame; about 200 bytes each."""
_NUMBER_MOST: Final = (1 << 32) - 1

_log = logger("executor")


class WorkerLink:
    """One worker. Used from the trio thread; `nursery` runs what waits."""

    def __init__(
        self,
        *,
        group: str,
        slots: int,
        loaded_bytes: int,
        nursery: trio.Nursery,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
        ended: Callable[[Flight], None],
    ) -> None:
        """`ended` is called for each flight that left this worker, its slot being free."""
        self.group, self.slots = group, slots
        self.flights: dict[int, Flight] = {}
        self.programs: dict[str, int] = {}
        """Programs with calls in flight here, and how many."""
        self.kept = KeptBook(slots, self._tell_forget)
        self.beat_answered = 0
        """Number of the last `beat` that came back."""
        self.gone = False
        self._nursery, self._now_us, self._new_id, self._ended = nursery, now_us, new_id, ended
        self._modules = HeldModules(bytes_most=loaded_bytes, nursery=nursery, start=self._send_start)
        self._number = self._beat = 0
        self._posting: set[Flight] = set()
        """Those whose guest goes on while a service works for it: what that lends is told each turn."""
        self._cut: dict[int, float] = {}
        self._packed: dict[int, tuple[Limits, bytes]] = {}
        self._meter = Meter()
        self._splitter = frames.Splitter(self._most)
        self._untaken: list[frames.Frame] = []

    def connect(self, outbox: Outbox) -> None:
        """Before anything else: where frames go out."""
        self.outbox = self._modules.outbox = outbox

    # ---- calls -------------------------------------------------------------------------------------------------------
    def has_room(self) -> bool:
        return len(self.flights) < self.slots and not self.gone and self.outbox.backlog <= BACKLOG_MOST

    def put(self, flight: Flight) -> None:
        """Gives it a call; there is room."""
        self._number = number = self._free_number()
        job = flight.job
        flight.link, flight.number = self, number
        self.kept.begins(job, len(self.flights))
        self.flights[number] = flight
        self.programs[job.program] = self.programs.get(job.program, 0) + 1
        flight.loaded = loaded = self._modules.take(job.module)
        if loaded.held is not None:
            loaded.held.append(flight)
        else:
            self._send_start(flight, loaded.ref)

    def _free_number(self) -> int:
        number = self._number + 1
        while number > _NUMBER_MOST or number in self.flights:
            number = 1 if number > _NUMBER_MOST else number + 1
        return number

    def _send_start(self, flight: Flight, ref: int) -> None:
        job = flight.job
        flight.began_ns = perf_counter_ns()
        head = frames.start_head(
            ref, self._now_us(), self._limits(job.limits), job.program, job.resident,
            frames.NOTIFICATION * job.notification | frames.TRIAL * job.trial | frames.SEEDED * bool(job.seed),
        )  # fmt: skip
        self.outbox.send(frames.START, flight.number, head + job.seed + job.message)

    def _limits(self, limits: Limits) -> bytes:
        known = self._packed.get(id(limits))
        if known is not None and known[0] is limits:
            return known[1]
        if len(self._packed) >= _PACKED_MOST:
            self._packed.clear()
        packed = frames.packed_limits(limits)
        self._packed[id(limits)] = limits, packed
        return packed

    def forget(self, program: str, user: str) -> None:
        """Its resident sandbox for that user is dropped, if it has one."""
        self.kept.forgotten(program, user)
        self._tell_forget(program, user)

    def _tell_forget(self, program: str, user: str) -> None:
        self.outbox.send(frames.FORGET, 0, frames.resident_name(program, user))

    def cut(self, flight: Flight) -> None:
        """The call is to end: its deadline passed, or the host ends it. Its DONE is still waited for."""
        if flight.cut_at is not None:
            return
        flight.cut_at = trio.current_time()
        self._cut[flight.number] = flight.cut_at
        if (held := flight.loaded.held) is not None:
            held.remove(flight)
            self._end(flight, Outcome(ending=Ending.DEADLINE_EXCEEDED))
        else:
            self.outbox.send(frames.CUT, flight.number)

    def _end(self, flight: Flight, outcome: Outcome) -> None:
        del self.flights[flight.number]
        self._cut.pop(flight.number, None)
        self._posting.discard(flight)
        job = flight.job
        if (left := self.programs[job.program] - 1) > 0:
            self.programs[job.program] = left
        else:
            del self.programs[job.program]
        flight.loaded.flights -= 1
        flight.end(outcome)
        self._ended(flight)

    def abandon(self) -> None:
        """Its calls end without it, and whatever it still says of them is not heard: it is to be ended."""
        self.gone = True
        for flight in tuple(self.flights.values()):  # each was cut before: who cut it says how it ends
            self._end(flight, Outcome(ending=Ending.DEADLINE_EXCEEDED))

    def lose(self, why: str) -> None:
        """The worker is gone, and its calls with it."""
        self.gone = True
        self._modules.lose()
        self.kept.clear()
        outcome = Outcome(ending=Ending.WORKER_LOST, detail=f"the worker that ran the call is gone: {why}")
        for flight in tuple(self.flights.values()):
            self._end(flight, outcome)

    # ---- what the worker sends ---------------------------------------------------------------------------------------
    def receive(self, data: bytes) -> bool:
        """Bytes of the worker. True: `receive(b"")` goes on with them, when others had their turn and the worker has
        taken what it was sent. Raises Violation: it is to be killed, and nothing of it is taken any more."""
        flights, outbox = self.flights, self.outbox
        self._meter.start()
        found = self._untaken + self._splitter.feed(data)
        for at, (kind, number, body) in enumerate(found):
            if at == FRAMES_AT_ONCE or outbox.backlog > BACKLOG_MOST:
                self._untaken = found[at:]
                return True
            flight = flights.get(number)
            if flight is not None and flight.loaded.held is not None:
                flight = None  # it has not begun
            if kind == frames.REQUEST and flight is not None:
                self._request(flight, body)
            elif kind == frames.DONE and flight is not None:
                self._done(flight, body)
            elif kind == frames.LOG and flight is not None:
                self._log_lines(flight, body)
            elif kind == frames.PONG:
                self._pong(number, body)
            elif kind == frames.UNLOADABLE:
                self._unloadable(number)
            else:
                raise Violation(f"a frame of kind {kind} for no call of this worker")
        self._untaken = []
        return False

    def _most(self, kind: int, number: int) -> int:
        """How long a frame may be that is longer than most."""
        flight = self.flights.get(number)
        if flight is None:
            return 0
        limits = flight.job.limits
        if kind == frames.REQUEST:
            return frames.REQUEST_HEAD.size + limits.request_bytes
        return frames.DONE_HEAD.size + limits.message_out_bytes if kind == frames.DONE else 0

    def _request(self, flight: Flight, body: bytes) -> None:
        serial, request, refusal = flight.request(body)
        began = perf_counter_ns()
        try:
            answered = flight.host.answer(request) if refusal is None else flight.host.refuse(request, refusal)
        except MalformedMessage as error:
            self._send_reply(flight, serial, frames.MALFORMED, error.reason.encode())
            return
        if (spent := perf_counter_ns() - began) > EASY_NS:
            flight.charge(self._meter.spent_us(spent))
        if isinstance(answered, bytes) or answered is None:
            self._reply(flight, serial, answered)
        else:
            flight.serve_begins()
            if flight.job.module.posts:
                self._send_reply(flight, serial, frames.PENDING, b"")
                self._posting.add(flight)
                self.outbox.before_send = self._tell_all_lent
            self._nursery.start_soon(self._serve, flight, serial, answered)

    def _done(self, flight: Flight, body: bytes) -> None:
        outcome = flight.done(body)
        if outcome.ending is Ending.INTERNAL:
            incident = self._new_id()
            _log.error("sandbox failed", incident=incident, app_id=flight.job.program, told=outcome.detail)
            outcome = internal(incident)
        if outcome.ending is Ending.COMPLETED:
            self.kept.stays(flight.job)
        self._end(flight, outcome)

    async def _serve(self, flight: Flight, serial: int, answered: Awaitable[bytes | None]) -> None:
        """A service that waits, in a task of its own, at most to the call's deadline and end."""
        try:
            with flight.host.deadline.scope() as scope:
                flight.scopes.add(scope)
                if flight.verdict is not None:  # it is over, or given up
                    scope.cancel()
                try:
                    response = await answered
                finally:
                    flight.scopes.discard(scope)
                if flight.over:
                    flight.answered_late(response)
                else:
                    self._reply(flight, serial, response)
            if scope.cancelled_caught:
                flight.gave_up()
        except Exception as error:  # the broker catches what services raise: a bug of ours
            self._fault(flight, error)
        finally:
            flight.serve_ends()
            if not flight.serving:
                self._posting.discard(flight)

    def _reply(self, flight: Flight, serial: int, response: bytes | None) -> None:
        self._tell_lent(flight)
        if response is None:
            self._send_reply(flight, serial, frames.NO_ANSWER, b"")
        else:
            flight.replied_bytes += len(response)
            self._send_reply(flight, serial, frames.ANSWER, response)

    def _send_reply(self, flight: Flight, serial: int, which: int, told: bytes) -> None:
        self.outbox.send(frames.REPLY, flight.number, frames.REPLY_HEAD.pack(serial, which) + told)

    def _tell_all_lent(self) -> None:
        for flight in self._posting:
            self._tell_lent(flight)
        if not self._posting:
            self.outbox.before_send = None

    def _tell_lent(self, flight: Flight) -> None:
        """What the guest may use has changed: it lent some, or got some back."""
        lent = flight.lent()
        if lent != flight.told:
            flight.told = lent
            self.outbox.send(frames.BUDGET, flight.number, frames.BUDGET_BODY.pack(*lent))

    def _log_lines(self, flight: Flight, body: bytes) -> None:
        try:
            flight.log(body)
        except Violation:
            raise
        except Exception as error:  # the platform's sink
            self._fault(flight, error)

    def _fault(self, flight: Flight, error: Exception) -> None:
        """A bug of ours, or of the platform: the call ends, nobody else's."""
        incident = self._new_id()
        _log.error("call failed in the host", incident=incident, app_id=flight.job.program, exc_info=error)
        flight.verdict = internal(incident)
        if not flight.over:
            self.cut(flight)

    def _unloadable(self, ref: int) -> None:
        """The worker could not load a module: made for a processor with other features."""
        found = self._modules.numbered(ref)
        if found is None or found.held is not None:
            raise Violation("UNLOADABLE for a module that it has not")
        incident = self._new_id()
        _log.error("a module does not load", incident=incident, sha256=found.facts.sha256)
        self._modules.forget(found)  # first: whoever has the place of a call that ends gets the module anew
        for flight in [flight for flight in self.flights.values() if flight.loaded is found]:
            self._end(flight, internal(incident))

    # ---- signs of life -----------------------------------------------------------------------------------------------
    def beat(self) -> None:
        """Asks for a sign of life."""
        self._beat += 1
        self.outbox.send(frames.PING, self._beat)

    @property
    def beat_asked(self) -> int:
        return self._beat

    def _pong(self, number: int, body: bytes) -> None:
        if not self.beat_answered < number <= self._beat or len(body) != frames.PONG_BODY.size:
            raise Violation("an answer to no beat")
        self.beat_answered = number

    def oldest_cut(self) -> float | None:
        """Since when a call is to end that has not."""
        return next(iter(self._cut.values()), None)

    def suspects(self, marked: int) -> tuple[str | None, list[str]]:
        """The program whose call was on the CPU, if the board's mark is of a call in flight; and all that had one."""
        flight = self.flights.get(marked)
        return (None if flight is None else flight.job.program), list(self.programs)


def internal(incident: str) -> Outcome:
    return Outcome(
        ending=Ending.INTERNAL, detail=f"a fault of the host; incident {incident}", details={"incident": incident}
    )
