"""How the parts of a host are made and fit together, and in which order they are closed.

What lives here: construction, nothing that happens later. What the parts do together is host.py's and operations.py's.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from host_api.contract import Clock
from host_api.front_end.sessions import FrontEnds
from host_api.front_end.sessions import prune as prune_sessions
from host_api.front_end.token import KEY_PURPOSE
from host_api.prompts.cashier import Cashier
from host_api.prompts.desk import Desk
from host_api.releases import contents, records
from host_api.services import Outside, Services, Sources, build
from host_api.store import Store, StoreError, open_store
from host_api.store.key_file import KEY_BYTES, open_key
from host_api.store.watched import WatchedStore
from host_api.user.pairwise import PairwiseIds
from runtime import sources, wire
from runtime.broker import Broker
from runtime.calls import Calls, Words
from runtime.errors import StartupError, UsageError
from runtime.executor.in_process import InProcessExecutor
from runtime.executor.job import Executor
from runtime.executor.trial import try_script
from runtime.executor.worker_pool import open_workers
from runtime.housekeeping import Housekeeping, fetches, refusals
from runtime.journal.journal import Journal
from runtime.journal.opening import open_journal
from runtime.limits import MIB
from runtime.log import logger
from runtime.metrics import Metrics
from runtime.modules import Modules, artifact_cache
from runtime.program_calls import ProgramCalls
from runtime.program_changes import ProgramChanges, Quarantine
from runtime.program_code import ProgramCode
from runtime.pushes import Pushes
from runtime.recording.tape import Recorder, RecordingExecutor
from runtime.registry import Registry
from runtime.rehearsal import Rehearsal
from runtime.residents import Residents
from runtime.session import CallSession, LogSink
from runtime.settings import HostSettings
from runtime.tracing import of_this_process

_log_of_programs = logger("program")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a host is made of."""

    settings: HostSettings
    directory: Path | None
    """The state directory; None for a store in memory."""
    store: WatchedStore
    desk: Desk
    services: Services
    front_ends: FrontEnds
    executor: Executor
    modules: Modules
    code: ProgramCode
    registry: Registry
    calls: Calls
    pushes: Pushes
    changes: ProgramChanges
    new_id: Callable[[], str]
    journal: Journal | None
    metrics: Metrics | None
    rehearsed: bool


@asynccontextmanager
async def open_parts(
    state: Path | None,
    *,
    settings: HostSettings,
    cashier: Cashier | None,
    outside: Outside,
    log_sink: LogSink | None,
    clock: Clock,
    new_id: Callable[[], str],
    rehearsal: Rehearsal | None,
    recorder: Recorder | None,
) -> AsyncIterator[Parts]:
    """Everything open, the host's own tasks running; closed in the other order when the block is left.

    Raises StartupError: the state directory cannot be used, or a spinning guest cannot be stopped.
    """
    async with AsyncExitStack() as stack:
        store, pairwise, front_ends = await _open_store(stack, state, clock, rehearsal)
        journal = await _open_journal(stack, store, state, settings)
        nursery = await stack.enter_async_context(_tasks())
        desk = Desk(
            store=store, clock=store, nursery=nursery, cashier=cashier, new_id=new_id,
            new_token=lambda: secrets.token_hex(32), installed=records.authority,
        )  # fmt: skip
        quarantine = Quarantine(nursery, new_id)
        executor = await _open_executor(stack, settings, store.now_us, new_id, quarantine, recorder)
        sink = _log_sink(log_sink, journal)
        modules, code = _make_code(stack, state, settings, store, executor)
        registry, calls = _make_calls(settings, store, executor, code, sink, rehearsal)
        nursery.start_soon(calls.residents.run, name="resident sandboxes")
        if settings.workers is not None and store.read(contents.any_script):
            nursery.start_soon(code.warm_up, name="script engine")
        if journal is not None and journal.writes:
            nursery.start_soon(journal.run, name="journal")
        metrics = _observe(calls, journal, settings, recorder)
        pushes = Pushes(
            store=store, push=_push(calls, outside), takes=records.takes_events, new_incident=new_id,
            rehearsed=rehearsal is not None,
        )  # fmt: skip
        store.committed = pushes.wake
        quarantine.changes = changes = ProgramChanges(
            store=store, registry=registry, calls=calls, desk=desk, pushes=pushes, nursery=nursery
        )
        services = build(
            _sources(store, new_id, journal), outside, desk=desk, pairwise=pairwise,
            programs=ProgramCalls(registry=registry, calls=calls), acknowledged=pushes.acknowledged,
        )  # fmt: skip
        await services.erasure.finish()  # what a crash cut short, before anybody calls
        calls.broker = Broker(services.bound, clock=store, new_incident=new_id)
        nursery.start_soon(_housekeeping(store, services, pushes, calls.broker, new_id).run, name="housekeeping")
        nursery.start_soon(services.announcer.run, name="notices")
        try:
            yield Parts(
                settings=settings, directory=state, store=store, desk=desk, services=services, front_ends=front_ends,
                executor=executor, modules=modules, code=code, registry=registry, calls=calls, pushes=pushes,
                changes=changes, new_id=new_id, journal=journal, metrics=metrics, rehearsed=rehearsal is not None,
            )  # fmt: skip
        finally:
            pushes.close()
            await calls.drain(settings.drain_s)


def _sources(store: Store, new_id: Callable[[], str], journal: Journal | None) -> Sources:
    return Sources(
        store=store, clock=store, codec=wire.CanonicalCodec(16 * MIB), new_id=new_id, new_salt=sources.new_salt,
        journal=journal,
    )  # fmt: skip


def _housekeeping(
    store: Store, services: Services, pushes: Pushes, broker: Broker, new_id: Callable[[], str]
) -> Housekeeping:
    return Housekeeping(
        store=store, sweeps=(*services.sweeps, prune_sessions), pushes=pushes,
        tallies=(refusals(broker.drain_refusals), fetches(services.http.departures.drain)), new_incident=new_id,
    )  # fmt: skip


def _make_code(
    stack: AsyncExitStack, state: Path | None, settings: HostSettings, store: Store, executor: Executor
) -> tuple[Modules, ProgramCode]:
    """Where programs' modules and scripts are compiled and kept. Where guests run in workers, the compiler is started
    ahead of the first of them."""
    modules = Modules(
        executor.load, artifact_cache(state, settings), scripted=executor.scripted, caps=settings.caps,
        compile_limits=settings.compile_limits, loaded_bytes_max=settings.loaded_bytes_max,
    )  # fmt: skip
    stack.callback(modules.close)
    if settings.workers is not None:
        modules.warm_up()
    return modules, ProgramCode(modules, partial(try_script, executor), store, settings.engine)


def _make_calls(
    settings: HostSettings, store: Store, executor: Executor, code: ProgramCode, log_sink: LogSink,
    rehearsal: Rehearsal | None,
) -> tuple[Registry, Calls]:  # fmt: skip
    """What programs there are, and how they are called."""
    registry = Registry(
        store, limits=settings.limits, developer_limits=settings.developer_limits,
        in_memory_max=settings.programs_in_memory,
    )  # fmt: skip
    residents = Residents(forget=executor.forget, now_us=store.now_us, idle_s=settings.resident_idle_s)
    calls = Calls(
        registry=registry, executor=executor, code=code, residents=residents, now_us=store.now_us,
        log_sink=log_sink, rehearsal=rehearsal,
    )  # fmt: skip
    return registry, calls


def _observe(
    calls: Calls, journal: Journal | None, settings: HostSettings, recorder: Recorder | None
) -> Metrics | None:
    """Who is told of each call that ended."""
    if journal is not None and journal.writes:
        calls.observers.append(journal.receipt)
    calls.tracing = of_this_process()
    if calls.tracing is not None:
        calls.observers.append(calls.tracing.ended)
    metrics = None if settings.metrics is None else Metrics(label_programs=settings.metrics.programs)
    if metrics is not None:
        calls.observers.append(metrics.ended)
    if recorder is not None:
        calls.observers.append(recorder.ended)
    return metrics


async def _open_executor(
    stack: AsyncExitStack, settings: HostSettings, now_us: Callable[[], int], new_id: Callable[[], str],
    quarantine: Quarantine, recorder: Recorder | None,
) -> Executor:  # fmt: skip
    """In this process, or in workers where the settings say so."""
    if recorder is not None and settings.workers is not None:
        raise UsageError("a call is recorded where guests run in this process: leave the workers out")
    if settings.workers is not None:
        workers = open_workers(settings.workers, now_us=now_us, new_id=new_id, on_quarantine=quarantine)
        return await stack.enter_async_context(workers)
    if recorder is None:
        executor = InProcessExecutor(settings=settings, now_us=now_us, new_id=new_id)
    else:
        executor = RecordingExecutor(recorder, settings=settings, now_us=now_us, new_id=new_id)
    stack.callback(executor.close)
    return executor


async def _open_store(
    stack: AsyncExitStack, state: Path | None, clock: Clock, rehearsal: Rehearsal | None
) -> tuple[WatchedStore, PairwiseIds, FrontEnds]:
    """The store, and what is made with the keys that lie beside it."""
    with _refused_at_start(state):
        store = WatchedStore(await stack.enter_async_context(open_store(state, clock)))
        make = secrets.token_bytes if rehearsal is None else partial(rehearsal.key, "pairwise")
        pairwise = await open_key(store, state, "pairwise", lambda: make(KEY_BYTES))
        tokens = await open_key(store, state, KEY_PURPOSE, lambda: secrets.token_bytes(KEY_BYTES))
        return store, PairwiseIds(pairwise), FrontEnds(store=store, key=tokens, new_salt=sources.new_salt)


async def _open_journal(
    stack: AsyncExitStack, store: Store, state: Path | None, settings: HostSettings
) -> Journal | None:
    with _refused_at_start(state):
        journal = await open_journal(store, state, settings.journal)
    if journal is not None:
        stack.push_async_callback(journal.aclose)
    return journal


@contextmanager
def _refused_at_start(state: Path | None) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise StartupError(str(error), code=error.code) from error
    except OSError as error:
        raise StartupError(f"the state directory {state} cannot be used: {error.strerror}") from error


def _log_sink(given: LogSink | None, journal: Journal | None) -> LogSink:
    """Where programs' lines go: to whom the platform named, and into the journal; else into the host's log."""
    if journal is None or not journal.writes:
        return given or _log_line
    if given is None:
        return journal.line
    outside, write = given, journal.line

    def both(session: CallSession, level: str, line: str) -> None:
        write(session, level, line)
        outside(session, level, line)

    return both


def _log_line(session: CallSession, level: str, line: str) -> None:
    _log_of_programs.info(line, app_id=session.app_id, call_id=session.call_id, level_of_program=level)


def _push(calls: Calls, outside: Outside) -> Callable[[str, str, str, Mapping[str, Any]], Any]:
    """How an event wakes a program: a notification that acts for the event's user, and is never interactive."""
    faults = outside.faults

    async def push(app_id: str, user: str, method: str, params: Mapping[str, Any]) -> None:
        for _ in range(1 if faults is None else faults.deliveries()):
            await calls.notify(app_id, method, params, Words(user))

    return push


@asynccontextmanager
async def _tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery for the host's own tasks, cancelled when the block is left. What the block raises comes out as it is:
    through the nursery it would come out wrapped in a group."""
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
