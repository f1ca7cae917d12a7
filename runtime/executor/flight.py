"""A call as the broker sees it while a worker has it: what it may still send, what it was sent, how it ends.

What lives here: `Flight`, and the checks of what a worker claims about one call. A worker is believed in nothing that
this side can count itself, and beyond that only within the call's own limits.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import trio

from host_api.errors import ApiError, limit_exceeded
from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.frames import Violation
from runtime.executor.job import CallHost, Job, Outcome
from runtime.receipt import Usage
from runtime.sandbox.over_limits import over_deadline
from runtime.session import printable

if TYPE_CHECKING:
    from runtime.executor.held_modules import Loaded
    from runtime.executor.worker_link import WorkerLink

REFUSED_MOST: Final = 1 << 24
"""Host calls over a limit in one call: each costs its guest CPU time."""
ERROR_BYTES: Final = 1_024
"""No error response that a worker makes is longer."""
WRITE_MOST: Final = 4_096
"""Bytes of standard output in one frame."""
_OWN_ENDINGS: Final = frozenset(
    (Ending.COMPLETED, Ending.FAILED, Ending.EXITED, Ending.TRAPPED, Ending.CPU_EXCEEDED, Ending.FUEL_EXHAUSTED,
     Ending.DEADLINE_EXCEEDED, Ending.PROTOCOL_VIOLATION, Ending.INTERNAL)
)  # fmt: skip
"""What a worker may say; the others are this side's to say."""
_Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""One that every encoding of an error can hold."""
_decode_told = msgspec.json.Decoder(tuple[str, dict[str, str | _Number]]).decode


class Flight:
    """One job in the worker placement: waiting for a slot, in a worker, or over there with services still to finish."""

    __slots__ = ("_done", "_given_up", "_refused", "_serial", "_serving", "began_ns", "cut_at", "host", "job", "link",
                 "loaded", "log_left", "number", "over", "own_calls", "replied_bytes", "scopes", "served_us", "told",
                 "usage", "verdict")  # fmt: skip

    def __init__(self, job: Job, host: CallHost, usage: Usage, done: Callable[[Outcome], None]) -> None:
        """`done` is called once, when it is over and no service works for it any more."""
        self.job, self.host, self.usage = job, host, usage
        self.link: WorkerLink | None = None
        """The worker that has it; None before and after."""
        self.loaded: Loaded
        """Its module there."""
        self.number = 0
        self.over = False
        self.began_ns = 0
        """When its START was sent."""
        self.cut_at: float | None = None
        """When the worker was told to end it."""
        self.verdict: Outcome | None = None
        """How it ends whatever the worker says: decided here, and carried out with its DONE."""
        self.log_left = job.limits.log_bytes
        self.own_calls = 0
        """Host calls made by the guest itself, refused ones included; the rest of `usage.host_calls` is lent."""
        self.replied_bytes = 0
        self.told = (0, 0)
        """CPU time and host calls that the worker knows to be lent or used elsewhere."""
        self.served_us = 0
        """CPU time of this process, see `charge`."""
        self.scopes: set[trio.CancelScope] = set()
        """Of the services that work for it."""
        self._done = done
        self._serial = self._refused = self._serving = self._given_up = 0

    # ---- what the worker says ----------------------------------------------------------------------------------------
    def request(self, body: bytes) -> tuple[int, bytes, ApiError | None]:
        """Serial number, the request, and why it is refused: it lent host calls, and is over the limit. Raises
        Violation for what no worker of ours would send."""
        if len(body) < frames.REQUEST_HEAD.size:
            raise Violation("a short REQUEST")
        serial, cpu_us, refused = frames.REQUEST_HEAD.unpack_from(body)
        request = body[frames.REQUEST_HEAD.size :]
        limits, usage = self.job.limits, self.usage
        if serial != self._serial + 1 or serial > limits.host_calls:
            raise Violation("more requests than the call may make, or out of order")
        if len(request) > limits.request_bytes:
            raise Violation("a request over its limit")
        if self._serving > limits.posted:
            raise Violation("more requests at once than the call may make")
        self._serial = serial
        self._count_denials(self._count_refused(refused))
        self._count_cpu(cpu_us)
        self.own_calls += 1
        usage.host_calls += 1
        if usage.host_calls > limits.host_calls:
            error = limit_exceeded(
                "host_calls", limits.host_calls, usage.host_calls, "calls", "host calls of this call"
            )
            usage.denials += 1
            return serial, request[: frames.SMALL_BYTES], error
        usage.request_bytes += len(request)
        return serial, request, None

    def log(self, body: bytes) -> None:
        """Standard output or error of the guest, to the host. Raises Violation: it is more than `log_bytes` and the one
        frame in which that is found out."""
        if not 2 <= len(body) <= WRITE_MOST + 1 or body[0] not in (1, 2):
            raise Violation("a LOG that is none")
        if self.log_left < 0:
            raise Violation("more log than the call may write")
        self.log_left -= len(body) - 1
        if self.verdict is None:
            self.host.log(body[0], body[1:])

    def done(self, body: bytes) -> Outcome:
        """What the worker says of the end. Raises Violation."""
        told = frames.done(body)
        if told.ending not in _OWN_ENDINGS:
            raise Violation("a DONE with an ending that is not a worker's")
        if told.ending is Ending.FUEL_EXHAUSTED and not self.job.limits.fuel:
            raise Violation("an end of fuel that is not counted")
        if told.ending is Ending.DEADLINE_EXCEEDED and self.cut_at is None:
            raise Violation("a deadline that has not passed")
        outcome = self._outcome(told)
        limits, usage = self.job.limits, self.usage
        known = self._refused
        fresh = self._count_refused(told.refused)  # a pointer that ends the call was a host call, and no denial
        self._count_denials(min(max(0, told.denials - known), fresh + self._serial))
        self._count_cpu(told.cpu_us)
        usage.fuel = min(told.fuel, limits.fuel + 1) if limits.fuel else 0
        usage.memory_bytes_peak = min(told.memory_bytes_peak, limits.memory_bytes)
        usage.memory_at_limit = told.at_limit
        usage.response_bytes = min(told.response_bytes, self.replied_bytes + self._refused * ERROR_BYTES)
        usage.dropped = min(told.dropped, self._serving + self._given_up)
        unheard = min(told.dropped, self._serial) - usage.dropped  # answered, and the guest was over before it came
        usage.unclaimed = min(told.unclaimed + unheard, self._serial + self._refused)
        return outcome

    def _outcome(self, told: frames.Told) -> Outcome:
        limits = self.job.limits
        if told.ending is Ending.COMPLETED:
            if len(told.rest) > (0 if self.job.notification else limits.message_out_bytes):
                raise Violation("a response over its limit")
            return Outcome(ending=Ending.COMPLETED, response=told.rest)
        if told.ending is Ending.DEADLINE_EXCEEDED:
            over = over_deadline(limits)
            return Outcome(ending=over.ending, detail=over.detail, details=over.details)
        if len(told.rest) > frames.TEXT_BYTES:
            raise Violation("a long text")
        try:
            detail, details = _decode_told(told.rest)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Violation("a DONE whose text is none") from None
        if "error" in details:  # where others look for what a guest answered
            raise Violation("a DONE that answers for its guest")
        return Outcome(ending=told.ending, detail=printable(detail), details=_printable(details))

    def _count_refused(self, refused: int) -> int:
        """How many more there are than it told of before."""
        fresh = refused - self._refused
        if fresh < 0 or refused > REFUSED_MOST:
            raise Violation("a count of refused requests that cannot be")
        self._refused = refused
        self.own_calls += fresh
        self.usage.host_calls += fresh
        return fresh

    def _count_denials(self, count: int) -> None:
        if count:
            self.usage.denials += count
            self.host.refused_elsewhere(count)

    def _count_cpu(self, cpu_us: int) -> None:
        """No more than the time that has passed, beside what is charged by the piece and is at most the limit."""
        passed_us = (perf_counter_ns() - self.began_ns) // 1_000
        self.usage.cpu_us = min(cpu_us, passed_us + self.job.limits.cpu_us) + self.served_us

    def charge(self, us: int) -> None:
        """CPU time that this process spent on a request of it beyond what a worker charges for each."""
        self.served_us += us
        self.usage.cpu_us += us

    def lent(self) -> tuple[int, int]:
        """What the worker is to know of now."""
        return self.usage.called_cpu_us + self.served_us, self.usage.host_calls - self.own_calls

    # ---- the end -----------------------------------------------------------------------------------------------------
    @property
    def serving(self) -> bool:
        """A service works for it."""
        return self._serving > 0

    def serve_begins(self) -> None:
        self._serving += 1

    def gave_up(self) -> None:
        """A service was cancelled by the call's deadline, or its end."""
        self._given_up += 1

    def answered_late(self, response: bytes | None) -> None:
        """A service brought its work to an end though the call is over; its worker took it for dropped."""
        usage = self.usage
        if usage.dropped:
            usage.dropped -= 1
            usage.unclaimed += response is not None

    def serve_ends(self) -> None:
        """The last service that works for a call which is over ends it."""
        self._serving -= 1
        if self.verdict is not None and self.over and not self._serving:
            self._finish()

    def end(self, outcome: Outcome) -> None:
        """It is over in its worker, or never came there. What services do for it is cancelled and waited for: what was
        handed to the store is done and recorded."""
        if self.over:
            return
        self.over, self.link = True, None
        if self.verdict is None:
            self.verdict = outcome
        for scope in self.scopes:
            scope.cancel()
        if not self._serving:
            self._finish()

    def _finish(self) -> None:
        done, verdict = self._done, self.verdict
        self.host.deadline.on_nearer = None
        if verdict is not None:
            done(verdict)


def _printable(details: dict[str, str | int]) -> dict[str, Any]:
    return {printable(name): printable(value) if isinstance(value, str) else value for name, value in details.items()}
