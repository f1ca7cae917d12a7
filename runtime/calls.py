"""One call, from admission to receipt: the calls from outside, and those that one program makes of another.

What lives here: the order of things. Registry says which release, admission whether it may begin, the executor runs it,
the broker answers what it asks meanwhile. A call goes down once and comes back once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec
import trio

from host_api.capability import NO_GRANTS, Authority
from host_api.erasure.tombstone import PREFIX as TOMBSTONE
from host_api.errors import ApiError
from host_api.front_end.token import USER_CHARS_MAX, is_text
from runtime import sources, traceparent, wire
from runtime.broker import Broker, BrokerCall
from runtime.deadline import Deadline
from runtime.errors import Ending, HostelError, UsageError
from runtime.executor.job import Executor, Job, Outcome
from runtime.limits import Limits
from runtime.outcomes import being_erased, closed, encoded, ended, judged, too_large
from runtime.program_code import ProgramCode
from runtime.receipt import Receipt, Usage
from runtime.registry import App, Program, Registry, Release
from runtime.rehearsal import Rehearsal
from runtime.residents import One, Residents
from runtime.sandbox.fiber import Over
from runtime.sandbox.over_limits import over_deadline
from runtime.session import CallSession, LogSink
from runtime.tracing import Tracing

TURN_NS = 500_000
"""Calls that never wait let other tasks run this often; a checkpoint for each would cost a tenth of a call."""
PATIENCE_S = 2.0
"""How long guests may take to be gone when the host closes; then the host goes without what their workers would tell
of them."""


class Words(NamedTuple):
    """What the caller says of the session."""

    user: str = ""
    interactive: bool = False
    locale: str = "en"
    time_zone: str = "UTC"
    currency: str = "CNY"
    trace_id: str = ""
    """A name, or a W3C traceparent: then the trace it names, and the caller's span."""
    traceparent: str = ""
    """The caller's span where `trace_id` is a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A call that a program makes of another: within whose call, and how far it may go."""

    caller: CallSession
    limits: Limits
    authority: Authority
    delegated: Authority | None


class Begun(NamedTuple):
    """A call that has begun: what ending it takes."""

    program: Program
    release: Release
    call: BrokerCall
    method: str
    began_ns: int
    notification: bool


Done: TypeAlias = Callable[[Outcome, Receipt], None]
Observer: TypeAlias = Callable[[Receipt, CallSession], None]
OnEnded: TypeAlias = Callable[[Outcome, Receipt, CallSession], None]
NO_OUTCOME = Outcome(ending=Ending.CANCELLED)
"""Of a call that whoever awaited it gave up."""


def _system_seed() -> bytes:
    """Guests draw from the system's randomness."""
    return b""


class Calls:
    """The calls of one host. Used from the trio thread only. `broker` is set once the services are made."""

    broker: Broker

    def __init__(
        self, *, registry: Registry, executor: Executor, code: ProgramCode, residents: Residents,
        now_us: Callable[[], int], log_sink: LogSink, rehearsal: Rehearsal | None = None,
    ) -> None:  # fmt: skip
        self.residents = residents
        self._registry, self._executor, self._code = registry, executor, code
        self._now_us, self._log_sink = now_us, log_sink
        self._in_flight: dict[str, BrokerCall] = {}
        self._ids = sources.call_ids() if rehearsal is None else rehearsal.call_id
        self._guest_seed = _system_seed if rehearsal is None else rehearsal.guest_seed
        self._closing = False
        self._barred: Counter[str] = Counter()
        """User → how many erasures of theirs are under way: none of their calls begins."""
        self._ended = trio.Event()
        self._turn_ends = 0
        """Of `time.perf_counter_ns`."""
        self.tracing: Tracing | None = None
        self.observers: list[Observer] = []
        """Told of each call that ended: the journal, metrics. They are quick, and raise nothing."""
        self.on_ended: OnEnded | None = None
        """See `Host.watch`."""

    def __len__(self) -> int:
        return len(self._in_flight)

    def in_flight_by_program(self) -> Counter[str]:
        return Counter(call.session.app_id for call in self._in_flight.values())

    @property
    def closing(self) -> bool:
        return self._closing

    async def run(
        self, app: App | str, method: str, message: bytes, words: Words, *, notification: bool
    ) -> tuple[Outcome, Receipt]:
        """A call from outside: waits for its turn, runs, and gives the receipt whatever the ending.

        Raises CallRefused: nothing ran.
        """
        if time.perf_counter_ns() > self._turn_ends:
            await trio.lowlevel.checkpoint()
            self._turn_ends = time.perf_counter_ns() + TURN_NS
        program, release = self._registry.find(app, words.user)
        self._check(release, words.user, len(message))
        if release.lifetime == "resident" and words.user:
            return await self._resident(program, release, method, message, words, notification)
        await self._enter(program, release, len(message), words.user)
        return await self.admitted(program, release, method, message, words, notification=notification)

    async def _enter(self, program: Program, release: Release, message_bytes: int, user: str) -> None:
        """Takes a place in the program's admission, now or later."""
        if program.admission.some_idle:
            self.residents.make_room(program, release.memory_bytes)
        if not program.admission.enter_now(self._now_us(), release.memory_bytes):
            await self._wait_in_queue(program, release, message_bytes, user)

    async def _resident(
        self, program: Program, release: Release, method: str, message: bytes, words: Words, notification: bool
    ) -> tuple[Outcome, Receipt]:
        """As the one call in its user's sandbox."""
        one = await self.residents.take(program, release, words.user, len(message))
        try:
            self._check(release, words.user, len(message))  # again: it may have waited
            program.check_runs()
            await self._enter(program, release, len(message), words.user)
            return await self.admitted(program, release, method, message, words, notification=notification, one=one)
        finally:
            self.residents.give(one)

    def start(self, app: App | str, method: str, message: bytes, words: Words, done: Done) -> Callable[[], None] | None:
        """As `run`, without a task for it: `done` is called once, from a later turn of the loop. Gives how the call is
        given up, which leads to `done` too. None, with nothing done: it has to wait for something, and `run` does.

        Raises CallRefused: nothing ran.
        """
        program, release = self._registry.find(app, words.user)
        start = self._executor.start
        if release.lifetime == "resident" or start is None or not program.admission.has_place(release.memory_bytes):
            return None
        self._check(release, words.user, len(message))
        if (module := self._at_once(release)) is None:
            return None
        program.admission.enter_now(self._now_us(), release.memory_bytes)
        begun = self._begin(program, release, method, len(message), words)
        session = begun.call.session
        seed = self._guest_seed()
        job = Job(release.app.app_id, release.group, module, message, session.limits, False, seed=seed)
        try:
            handle = start(job, begun.call, session.usage, lambda outcome: done(*self._end(begun, outcome)))
        except BaseException:
            self._end(begun, NO_OUTCOME)
            raise
        return partial(self._executor.give_up, handle)

    def _check(self, release: Release, user: str, message_bytes: int) -> None:
        """Whether such a call may begin at all. Raises CallRefused, UsageError."""
        if self._closing:
            raise closed()
        if len(user) > USER_CHARS_MAX or not (user.isascii() or is_text(user)):
            raise UsageError(f"a user's id has up to {USER_CHARS_MAX} characters, each with a form in UTF-8")
        if user.startswith(TOMBSTONE):
            raise UsageError(f"no user is called so: {TOMBSTONE} stands for users that were erased")
        if user in self._barred:
            raise being_erased()
        if message_bytes > release.limits.message_in_bytes:
            raise too_large(message_bytes, release.limits)

    async def notify(self, app: App | str, method: str, params: Mapping[str, Any], words: Words) -> Receipt:
        """A notification: handled like a call, and the guest answers nothing. `method` is named well.

        Raises CallRefused, CallEnded.
        """
        message = encoded(wire.notification, method, params)
        outcome, receipt = await self.run(app, method, message, words, notification=True)
        if outcome.ending is not Ending.COMPLETED:
            raise ended(outcome, receipt)
        return receipt

    async def _wait_in_queue(self, program: Program, release: Release, message_bytes: int, user: str) -> None:
        await program.admission.wait(release.memory_bytes, message_bytes)
        try:  # since it began to wait
            self._check(release, user, message_bytes)
            program.check_runs()
        except HostelError:
            program.admission.leave(release.memory_bytes, 0)
            raise

    async def admitted(
        self,
        program: Program,
        release: Release,
        method: str,
        message: bytes,
        words: Words,
        *,
        notification: bool = False,
        inside: Inside | None = None,
        one: One | None = None,
    ) -> tuple[Outcome, Receipt]:
        """The call itself, for whom `program.admission` has let in; the place is given back here. `one`: the resident
        sandbox whose turn it has."""
        begun = self._begin(program, release, method, len(message), words, inside, notification)
        session = begun.call.session
        outcome = NO_OUTCOME
        try:
            module = self._at_once(release) or await self._load(release, session.deadline)
            resident = None if one is None else self.residents.enter(one)
            job = Job(
                release.app.app_id, release.group, module, message, session.limits, notification, resident,
                seed=self._guest_seed(),
            )  # fmt: skip
            outcome = await self._executor.run(job, begun.call, session.usage)
        except Over as over:
            outcome = Outcome(ending=over.ending, detail=over.detail, details=over.details)
        finally:
            outcome, receipt = self._end(begun, outcome)
        if one is not None:
            one.is_well = outcome.ending in (Ending.COMPLETED, Ending.FAILED)
        return outcome, receipt

    def _begin(
        self, program: Program, release: Release, method: str, message_bytes: int, words: Words,
        inside: Inside | None = None, notification: bool = False,
    ) -> Begun:  # fmt: skip
        """A call is in flight from here to `_end`."""
        call_id = self._ids()
        usage = Usage(message_in_bytes=message_bytes)
        began = time.perf_counter_ns()
        session = self._session(release, program, call_id, words, usage, inside)
        if self.tracing is not None:
            self.tracing.begin(session, method)
        call = self.broker.open(session)
        self._in_flight[call_id] = call
        return Begun(program, release, call, method, began, notification)

    def _end(self, begun: Begun, outcome: Outcome) -> tuple[Outcome, Receipt]:
        """The call is over, however it ended: its place is given back, and nothing of it can ask for anything."""
        program, release, call, method, began, notification = begun
        session, usage = call.session, call.session.usage
        del self._in_flight[session.call_id]
        call.close()
        usage.wall_us = (time.perf_counter_ns() - began) // 1_000
        usage.message_out_bytes = len(outcome.response)
        program.admission.leave(release.memory_bytes, usage.cpu_us)
        if session.delegation is not None:
            session.delegation.authority.narrow(NO_GRANTS)
            session.delegation = None
        if not self._ended.is_set():
            self._ended.set()
        if call.cut_as is not None and outcome.ending is Ending.DEADLINE_EXCEEDED:
            outcome = Outcome(ending=call.cut_as, detail=call.cut_why)
        if not notification:
            outcome = judged(outcome, session.limits.message_out_bytes)
        receipt = Receipt(
            call_id=session.call_id, app_id=release.app.app_id, release=release.app.release_name, method=method,
            ending=outcome.ending, usage=usage,
        )  # fmt: skip
        for observe in self.observers:
            observe(receipt, session)
        if self.on_ended is not None:
            self.on_ended(outcome, receipt, session)
        return outcome, receipt

    def _session(
        self, release: Release, program: Program, call_id: str, words: Words, usage: Usage, inside: Inside | None
    ) -> CallSession:
        user, interactive, locale, time_zone, currency, *trace = words
        trace_id, parent = traceparent.named(*trace)
        app, limits = release.app, release.limits if inside is None else inside.limits
        session = CallSession(
            call_id=call_id, app_id=app.app_id, release_name=app.release_name, release_code=app.release_code,
            user=user, sector=release.sector, reasons=release.reasons, notices=release.notices,
            program_name=release.program_name, payee=release.payee, interactive=interactive, locale=locale,
            time_zone=time_zone, currency=currency, config=release.config,
            trace_id=trace_id or call_id, traceparent=parent, authority=release.authority, limits=limits, usage=usage,
            holdings=program.holdings, log_sink=self._log_sink,
            deadline=Deadline(wall_s=limits.wall_ms / 1_000, still_s=limits.prompt_wait_ms / 1_000),
            assets_sha256=release.assets_sha256,
        )  # fmt: skip
        if inside is not None:
            session.authority, session.caller, session.depth = inside.authority, inside.caller, inside.caller.depth + 1
            if inside.delegated is not None:
                session.delegation = msgspec.structs.replace(
                    inside.caller, authority=inside.delegated, caller=session, delegation=None
                )
        return session

    def _at_once(self, release: Release) -> Any:
        """The code, if it is in memory or its artifact is kept."""
        module = self._code.loaded(release.code_sha256, release.limits)
        if module is None:
            with suppress(HostelError, ApiError):  # `_load` meets it again, and this call ends with it
                module = self._code.kept(release, release.limits)
        return module

    async def _load(self, release: Release, deadline: Deadline) -> Any:
        """The code is to be compiled anew, or compiles already: at most to the call's deadline."""
        with deadline.scope():
            return await self._code.get(release, release.limits)
        raise over_deadline(release.limits)

    def has_room(self, group: str) -> bool:
        """A sandbox would be had at once. A call inside another must not wait for one: its caller holds one too."""
        return self._executor.has_room(group)

    # ---- ending calls ------------------------------------------------------------------------------------------------
    async def cut(self, ending: Ending, why: str, *, app_id: str | None = None, user: str | None = None) -> None:
        """Ends the calls of a program, of a user, of both or of all, and waits until they are over. What they had
        handed to the store is done and recorded. Not to be called from within such a call."""
        self.residents.drop(app_id, user)
        told = set[BrokerCall]()
        with trio.CancelScope(shield=True):
            while mine := [
                call
                for call in self._in_flight.values()
                if app_id in (None, call.session.app_id) and user in (None, call.session.user)
            ]:
                for call in (call for call in mine if call not in told):
                    call.cut(ending, why)
                told.update(mine)
                while mine[-1].session.call_id in self._in_flight:  # one that waits for a worker ends inside of `cut`
                    await self._one_ends()

    @asynccontextmanager
    async def barred(self, user: str) -> AsyncIterator[None]:
        """The user's calls end as `revoked`, and inside the block no other of theirs begins."""
        self._barred[user] += 1
        try:
            await self.cut(Ending.REVOKED, "the user is being erased", user=user)
            yield
        finally:
            self._barred[user] -= 1
            if not self._barred[user]:
                del self._barred[user]

    async def drain(self, seconds: float) -> None:
        """Refuses new calls, waits for those in flight, then ends what is left; at once if it is cancelled itself."""
        self._closing = True
        for program in self._registry:
            program.admission.close(closed())
        try:
            with trio.move_on_after(seconds):
                while self._in_flight:
                    await self._one_ends()
        finally:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._lose_patience)
                    await self.cut(Ending.CANCELLED, "the host closed while the call was in flight")
                    nursery.cancel_scope.cancel()

    async def _lose_patience(self) -> None:
        """So that a host with very many calls, or with a worker that hangs, closes in time too."""
        await trio.sleep(PATIENCE_S)
        self._executor.abandon()

    async def _one_ends(self) -> None:
        if self._ended.is_set():  # else somebody waits on it already: one event for all who wait
            self._ended = trio.Event()
        await self._ended.wait()
