"""The worker's side of a call in flight: what a sandbox asks of its host goes out as frames and comes back as replies.

What lives here: `RemoteHost`, a runtime.sandbox.sandbox.HostSide. It keeps what only this side can know (requests on
their way, responses held for guests); what a request means, and whether it may be made, is the broker's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final

import outcome
import trio

from host_api.errors import ApiError
from runtime.error_response import error_response
from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.strand import Strand
from runtime.limits import Limits
from runtime.receipt import Usage
from runtime.sandbox.fiber import Over
from runtime.sandbox.host_side import Elsewhere
from runtime.sandbox.over_limits import over_deadline
from runtime.session import Holdings
from runtime.wire import MalformedMessage, msgid_of

LINE_US: Final = 2
"""Charged to the guest for each line of its log, and for each KiB: the broker's work, which no clock here can see."""

Send = Callable[[int, int, bytes], None]


class RemoteDeadline:
    """Passed when the broker says so: it owns the clock, and knows when the call stands still."""

    __slots__ = ("_scopes", "passed")

    def __init__(self) -> None:
        self.passed = False
        self._scopes: set[_Cut] | None = None

    def expired(self) -> bool:
        return self.passed

    def scope(self) -> AbstractContextManager[object, bool]:
        if self._scopes is None:
            self._scopes = set()
        return _Cut(self._scopes, self.passed)

    def cut(self) -> None:
        self.passed = True
        for scope in tuple(self._scopes or ()):
            scope.cancel()


class _Cut:
    """A cancel scope that the broker's CUT cancels."""

    __slots__ = ("_scope", "_scopes")

    def __init__(self, scopes: set[_Cut], passed: bool) -> None:
        self._scopes, self._scope = scopes, trio.CancelScope()
        if passed:
            self._scope.cancel()

    def cancel(self) -> None:
        self._scope.cancel()

    def __enter__(self) -> trio.CancelScope:
        self._scopes.add(self)
        return self._scope.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self._scopes.discard(self)
        return self._scope.__exit__(kind, error, at)


class Asked(Elsewhere):
    """A request, sent when it is first awaited: by the call's strand, or by tasks of a call that may post."""

    __slots__ = ("_host", "_request", "_result", "_task", "is_accepting", "is_bare", "is_given_up", "msgid", "serial")

    def __init__(self, host: RemoteHost, request: bytes) -> None:
        self._host, self._request = host, request
        self.is_accepting = self.is_given_up = False
        self._task: trio.lowlevel.Task | None = None
        self._result: outcome.Outcome[Any] | None = None
        self.is_bare = True
        """Until it is answered or accepted its guest waits in no scope, and is woken by `cut`. With `is_accepting`: it
        was posted."""
        self.serial = 0
        self.msgid: int | None = None

    def __await__(self) -> Generator[Any, Any, bytes | None]:
        host = self._host
        response: bytes | None
        if host.strand is None:
            response = yield from self._response().__await__()
        else:
            host.ask(self, self._request)
            response = yield host.strand
        return response

    async def accepted(self) -> bytes | Elsewhere | None:
        self.is_accepting = True
        answered: bytes | Elsewhere | None = await self._response()
        return answered

    async def _response(self) -> Any:
        if not self.serial:
            self._host.ask(self, self._request)
        elif self._result is not None:
            self._host.heard(self)
            return self._result.unwrap()
        self._task = trio.lowlevel.current_task()
        try:
            return await trio.lowlevel.wait_task_rescheduled(self._abort)
        finally:
            if not self.is_bare:
                self._host.heard(self)

    def pending(self) -> None:
        """The broker has it, and works on it: a guest that posted it goes on."""
        if self.is_accepting:
            self.is_accepting = self.is_bare = False
            self.msgid = msgid_of(self._request)
            self.wake(outcome.Value(self))

    def wake(self, with_what: outcome.Outcome[Any]) -> None:
        task, self._task = self._task, None
        if self._host.strand is not None:
            self._host.strand.wake(with_what)
        elif task is not None:
            trio.lowlevel.reschedule(task, with_what)
        else:
            self._result = with_what

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        """Nobody waits any more; a reply that still comes is dropped."""
        self._task, self.is_given_up = None, True
        self._host.over(self)
        return trio.lowlevel.Abort.SUCCEEDED


class RemoteHost:
    """One call's host side in a worker. Used from its one thread."""

    __slots__ = ("_asked", "_holdings", "_lent_calls", "_log_left", "_outstanding", "_send", "_serial", "_unheard",
                 "charged_us", "deadline", "limits", "number", "strand", "usage")  # fmt: skip

    def __init__(self, number: int, limits: Limits, holdings: Holdings, send: Send, message_bytes: int) -> None:
        self.number, self.limits = number, limits
        self.usage = Usage(message_in_bytes=message_bytes)
        self.deadline = RemoteDeadline()
        self.charged_us = 0
        self.strand: Strand | None = None
        """What to take on when its request is answered; None for a call that may post: it runs in tasks."""
        self._asked: dict[int, Asked] = {}
        self._outstanding: set[int] | None = None
        """Of posted requests."""
        self._unheard: deque[tuple[Asked, outcome.Outcome[bytes | None]]] | None = None
        self._holdings, self._send = holdings, send
        self._serial = self._lent_calls = 0
        self._log_left = limits.log_bytes

    # ---- what the sandbox asks ---------------------------------------------------------------------------------------
    def answer(self, request: bytes) -> Asked:
        """The broker decodes it, and refuses what is no request. Who calls this awaits it next."""
        return Asked(self, request)

    def refuse(self, request: bytes, error: ApiError) -> bytes | None:
        msgid = msgid_of(request)
        if self._outstanding is not None and msgid in self._outstanding:
            raise MalformedMessage("the msgid of an outstanding request was used again")
        return None if msgid is None else error_response(msgid, error, self.limits.response_bytes)

    def log(self, stream: int, data: bytes) -> None:
        """As far as the log can reach: made printable, no byte becomes less than one, so the rest would be cut."""
        if self._log_left < 0:
            return
        self._log_left -= len(data)
        self._charge(LINE_US * (data.count(b"\n") + 1 + (len(data) >> 10)))
        if data:
            self._send(frames.LOG, self.number, bytes((stream,)) + data)

    def hold(self, size: int) -> bool:
        return self._holdings.hold(size, self.limits.held_bytes)

    def release(self, size: int) -> None:
        self._holdings.release(size)

    def _charge(self, us: int) -> None:
        self.charged_us += us
        self.usage.called_cpu_us += us

    @property
    def refused(self) -> int:
        """Host calls that were over a limit and never left this process."""
        return self.usage.host_calls - self._lent_calls - self._serial

    def ask(self, asked: Asked, request: bytes) -> None:
        """Sends it, also where the deadline has passed: what becomes of that is for the broker to say, which counts it
        as it counts all others. The guest is over then."""
        asked.serial = self._serial = serial = self._serial + 1
        self._asked[serial] = asked
        head = frames.REQUEST_HEAD.pack(serial, self.usage.cpu_us + self.charged_us, self.refused)
        self._send(frames.REQUEST, self.number, head + request)
        if self.deadline.passed:
            raise self._cut_off(asked)

    def over(self, asked: Asked) -> None:
        self._asked.pop(asked.serial, None)
        if asked.msgid is not None and self._outstanding is not None:
            self._outstanding.discard(asked.msgid)

    # ---- what the broker says ----------------------------------------------------------------------------------------
    def replied(self, body: bytes) -> None:
        serial, which = frames.REPLY_HEAD.unpack_from(body)
        if (asked := self._asked.get(serial)) is None:
            return
        if which == frames.PENDING:
            asked.pending()
            if asked.msgid is not None:
                self._outstanding = self._outstanding or set()
                self._outstanding.add(asked.msgid)
            return
        self.over(asked)
        if which == frames.ANSWER and self.strand is not None:
            self.strand.go(body[frames.REPLY_HEAD.size :])
        elif which in (frames.ANSWER, frames.NO_ANSWER):
            response = outcome.Value(body[frames.REPLY_HEAD.size :] if which == frames.ANSWER else None)
            if asked.is_bare:
                asked.wake(response)
            else:
                self._in_order(asked, response)
        else:
            reason = body[frames.REPLY_HEAD.size :].decode(errors="replace")
            asked.wake(outcome.Error(Over(Ending.PROTOCOL_VIOLATION, f"the guest sent no valid request: {reason}")))

    def _in_order(self, asked: Asked, response: outcome.Outcome[bytes | None]) -> None:
        """Posted ones are heard in the order in which they were answered; tasks that are woken together run in any."""
        if self._unheard is None:
            self._unheard = deque()
        self._unheard.append((asked, response))
        if len(self._unheard) == 1:
            asked.wake(response)

    def heard(self, asked: Asked) -> None:
        """Its task goes on, or was cancelled: the next one's turn."""
        unheard = self._unheard
        if not unheard or unheard[0][0] is not asked:
            return
        unheard.popleft()
        while unheard and unheard[0][0].is_given_up:
            unheard.popleft()
        if unheard:
            following, response = unheard[0]
            following.wake(response)

    def budget(self, body: bytes) -> None:
        """What it has lent to programs it called, and what they used, is not its own to use."""
        cpu_us, calls = frames.BUDGET_BODY.unpack(body)
        usage = self.usage
        usage.called_cpu_us = cpu_us + self.charged_us
        usage.host_calls += calls - self._lent_calls
        self._lent_calls = calls

    def cut(self) -> None:
        """The call's deadline has passed, or the host ends it."""
        self.deadline.cut()
        for asked in tuple(self._asked.values()):
            if asked.is_bare:
                asked.wake(outcome.Error(self._cut_off(asked)))

    def _cut_off(self, asked: Asked) -> Over:
        """What ends a guest that waits for it. One that was posted is left without an outcome, as those are that were
        accepted before."""
        self.over(asked)
        self.usage.dropped += asked.is_accepting
        return over_deadline(self.limits)
