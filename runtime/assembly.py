"""How the parts of a host are made and fit together, and in which order they are closed.

What lives here: construction, nothing that happens later. What the parts do together is host.py's and operations.py's.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from host_api.contract import Clock
from host_api.prompts.cashier import Cashier
from host_api.prompts.desk import Desk
from host_api.services import Outside, Services, Sources, build
from host_api.store import Store, StoreError, open_store
from host_api.store.key_file import KEY_BYTES, open_key
from host_api.store.watched import WatchedStore
from host_api.user.pairwise import PairwiseIds
from runtime import sources, wire
from runtime.broker import Broker
from runtime.calls import Calls, Words
from runtime.errors import StartupError
from runtime.executor.in_process import InProcessExecutor
from runtime.executor.job import Executor
from runtime.housekeeping import Housekeeping, fetches, refusals
from runtime.limits import MIB
from runtime.modules import Modules, artifact_cache
from runtime.program_calls import ProgramCalls
from runtime.pushes import Pushes
from runtime.registry import Registry
from runtime.session import LogSink
from runtime.settings import HostSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a host is made of."""

    settings: HostSettings
    store: Store
    desk: Desk
    services: Services
    executor: Executor
    modules: Modules
    registry: Registry
    calls: Calls
    pushes: Pushes


@asynccontextmanager
async def open_parts(
    state: Path | None,
    *,
    settings: HostSettings,
    cashier: Cashier | None,
    outside: Outside,
    log_sink: LogSink,
    clock: Clock,
    new_id: Callable[[], str],
) -> AsyncIterator[Parts]:
    """Everything open, the host's own tasks running; closed in the other order when the block is left.

    Raises StartupError: the state directory cannot be used, or a spinning guest cannot be stopped.
    """
    async with AsyncExitStack() as stack:
        store, pairwise = await _open_store(stack, state, clock)
        nursery = await stack.enter_async_context(_tasks())
        registry = Registry()
        desk = Desk(
            store=store, clock=store, nursery=nursery, cashier=cashier, new_id=new_id,
            new_token=lambda: secrets.token_hex(32), installed=registry.authority,
        )  # fmt: skip
        executor = InProcessExecutor(settings=settings, now_us=store.now_us, new_id=new_id)
        stack.callback(executor.close)
        modules = Modules(
            executor.load, artifact_cache(state, settings), caps=settings.caps,
            compile_limits=settings.compile_limits, loaded_bytes_max=settings.loaded_bytes_max,
        )  # fmt: skip
        calls = Calls(registry=registry, executor=executor, modules=modules, now_us=store.now_us, log_sink=log_sink)
        pushes = Pushes(store=store, push=_push(calls), takes=registry.takes_events, new_incident=new_id)
        store.committed = pushes.wake
        services = build(
            Sources(
                store=store, clock=store, codec=wire.CanonicalCodec(16 * MIB), new_id=new_id,
                new_salt=sources.new_salt,
            ),
            outside, desk=desk, pairwise=pairwise, programs=ProgramCalls(registry=registry, calls=calls),
            acknowledged=pushes.acknowledged,
        )  # fmt: skip
        await services.erasure.finish()  # what a crash cut short, before anybody calls
        calls.broker = Broker(services.bound, clock=store, new_incident=new_id)
        housekeeping = Housekeeping(
            store=store, sweeps=services.sweeps, pushes=pushes,
            tallies=(refusals(calls.broker.drain_refusals), fetches(services.http.departures.drain)),
            new_incident=new_id,
        )  # fmt: skip
        nursery.start_soon(housekeeping.run, name="housekeeping")
        nursery.start_soon(services.announcer.run, name="notices")
        try:
            yield Parts(
                settings=settings, store=store, desk=desk, services=services, executor=executor, modules=modules,
                registry=registry, calls=calls, pushes=pushes,
            )  # fmt: skip
        finally:
            pushes.close()
            await calls.drain(settings.drain_s)


async def _open_store(stack: AsyncExitStack, state: Path | None, clock: Clock) -> tuple[WatchedStore, PairwiseIds]:
    """The store, and what is made with the key that lies beside it."""
    try:
        store = WatchedStore(await stack.enter_async_context(open_store(state, clock)))
        return store, PairwiseIds(await open_key(store, state, "pairwise", lambda: secrets.token_bytes(KEY_BYTES)))
    except StoreError as error:
        raise StartupError(str(error), code=error.code) from error
    except OSError as error:
        raise StartupError(f"the state directory {state} cannot be used: {error.strerror}") from error


def _push(calls: Calls) -> Callable[[str, str, str, Mapping[str, Any]], Any]:
    """How an event wakes a program: a notification that acts for the event's user, and is never interactive."""

    async def push(app_id: str, user: str, method: str, params: Mapping[str, Any]) -> None:
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
