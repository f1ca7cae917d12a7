"""The host as a library: install a bundle, call its program, get a value and a receipt.

Here the parts meet: registry (which release, what it may), admission (may it begin), executor (bytes in, bytes out),
broker (what the guest asks meanwhile). A call goes down once and comes back once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import trio

from host_api import ledger
from host_api.capability import Authority
from host_api.contract import Clock
from host_api.money import Money
from host_api.payment.cashier import Cashier, ScriptedCashier
from host_api.payment.prompts import Prompts
from host_api.services import build
from host_api.store import Store, StoreError, open_store
from runtime import sources, wire
from runtime.broker import Broker, BrokerCall
from runtime.bundle import Bundle, Keyring, check_policy
from runtime.deadline import Deadline
from runtime.errors import Ending, StartupError, UsageError
from runtime.executor.in_process import InProcessExecutor, Outcome
from runtime.limits import MIB
from runtime.log import logger
from runtime.modules import Modules, artifact_cache, memory_bytes
from runtime.outcomes import closed, encoded, ended, failed, named, too_large
from runtime.receipt import Receipt, Usage
from runtime.registry import CONFIG_BYTES_MAX, App, Program, Registry, Release, effective_limits, granted, requested
from runtime.sandbox.fiber import Over
from runtime.sandbox.pool import Module
from runtime.sandbox.sandbox import over_deadline
from runtime.session import CallSession, LogSink
from runtime.settings import HostSettings

_log = logger("host")
_log_of_programs = logger("program")

Params = Mapping[str, Any]

TURN_NS = 500_000
"""Calls that never wait let other tasks run this often; a checkpoint for each would cost a tenth of a call."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What `Host.call` gives: the guest's result, and what the call cost."""

    value: Any
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatistics:
    """A snapshot."""

    programs: int
    calls_in_flight: int
    calls_queued: int
    sandboxes: int
    slots: int
    prompts_open: int
    ticker: str
    sandbox_level: str


class Host:
    """A host of mini-programs in this process. Made by `Host.open`; used from the trio thread that opened it."""

    def __init__(
        self, *, settings: HostSettings, store: Store, prompts: Prompts, executor: InProcessExecutor, broker: Broker,
        modules: Modules, keyring: Keyring, log_sink: LogSink,
    ) -> None:  # fmt: skip
        """Not to be called: `Host.open` makes the parts and closes them."""
        self.settings = settings
        self.prompts = prompts
        self._store, self._executor, self._broker, self._modules = store, executor, broker, modules
        self._keyring, self._log_sink = keyring, log_sink
        self._registry = Registry()
        self._calls: dict[str, BrokerCall] = {}
        self._ids = sources.call_ids()
        self._closing = self._cut = False
        self._idle: trio.Event | None = None
        self._turn_ends = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        state: Path | str | None = None,
        *,
        cashier: Cashier | None = None,
        keyring: Keyring | None = None,
        settings: HostSettings | None = None,
        allow_unsigned: bool | None = None,
        log_sink: LogSink | None = None,
        clock: Clock | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> AsyncIterator[Host]:
        """A running host; closed when the block is left.

        `state`: the directory that holds everything to be kept (made if missing, one host at a time); None: in memory.
        `cashier`: asks users to confirm payments; without one every payment is declined. `keyring`: whose signatures
        are trusted. `allow_unsigned` is a shorthand for the setting. `log_sink` takes (session, level, line) of
        programs' logs. `clock` and `new_id` (128 random bits, hex) are injected by tests.

        Leaving the block refuses new calls, waits `settings.drain_s` for those in flight, then ends them as
        `cancelled`.
        Raises StartupError (state in use, no working ticker, other wasmtime) and UsageError.
        """
        settings = settings or HostSettings()
        if allow_unsigned is not None:
            settings = replace(settings, allow_unsigned=allow_unsigned)
        clock, new_id = clock or sources.SystemClock(), new_id or sources.new_id
        state = None if state is None else Path(state)
        async with AsyncExitStack() as stack:
            try:
                store = await stack.enter_async_context(open_store(state, clock))
            except StoreError as error:
                raise StartupError(str(error), code=error.code) from error
            except OSError as error:
                raise StartupError(f"the state directory {state} cannot be used: {error.strerror}") from error
            nursery = await stack.enter_async_context(_tasks())
            prompts = Prompts(cashier=cashier or ScriptedCashier(), nursery=nursery, clock=store)
            services = build(
                store=store, clock=store, codec=wire.CanonicalCodec(16 * MIB), prompts=prompts,
                new_order_id=new_id, new_token=lambda: secrets.token_hex(32),
            )  # fmt: skip
            executor = InProcessExecutor(settings=settings, now_us=store.now_us, new_id=new_id)
            stack.callback(executor.close)
            modules = Modules(
                executor.load, artifact_cache(state, settings), caps=settings.caps,
                compile_limits=settings.compile_limits, loaded_bytes_max=settings.loaded_bytes_max,
            )  # fmt: skip
            host = cls(
                settings=settings, store=store, prompts=prompts, executor=executor, modules=modules,
                broker=Broker(services, clock=store, new_incident=new_id),
                keyring=keyring or Keyring(), log_sink=log_sink or _log_line,
            )  # fmt: skip
            try:
                yield host
            finally:
                await host._close()

    # ---- programs ----------------------------------------------------------------------------------------------------
    async def install(
        self,
        bundle: Bundle,
        *,
        grant: Sequence[str] | Mapping[str, Params] = (),
        limits: Mapping[str, int] | None = None,
        payee: str | None = None,
        config: Params | None = None,
        allow_unsigned: bool | None = None,
    ) -> App:
        """Checks, compiles and registers a program; replaces an older release of it at once, for calls from now on.

        `grant`: capabilities given, by name or with constraints; deny by default. `limits`: what differs from the
        host's. `payee`: who receives its payments (default: the manifest's name). `config`: at most 16 KiB, read by
        `session.info`. Raises BundleError's family and UsageError; nothing is registered then.
        """
        allow = self.settings.allow_unsigned if allow_unsigned is None else allow_unsigned
        key = check_policy(bundle, self._keyring, allow_unsigned=allow, now_us=self._store.now_us())
        manifest = bundle.manifest
        authority = Authority(requested=requested(bundle), granted=granted(grant))
        effective = effective_limits(bundle, self.settings.limits, limits or {})
        config = dict(config or {})
        if len(encoded(wire.encode, config)) > CONFIG_BYTES_MAX:
            raise UsageError(f"config is over {CONFIG_BYTES_MAX} bytes")
        _, facts = await self._modules.get(bundle.module, effective)
        app = App(
            app_id=manifest.app_id, release_name=manifest.version.name, release_code=manifest.version.code,
            identity=bundle.identity, signed_by=key.public_key.key_id if key else None,
        )  # fmt: skip
        release = Release(
            app=app, wasm=bundle.module, module_sha256=facts.sha256, memory_bytes=memory_bytes(facts, effective),
            authority=authority, limits=effective, payee=payee or _name(manifest.name), config=config,
        )  # fmt: skip
        if self._closing:
            raise closed()
        self._registry.put(release)
        return app

    def uninstall(self, app: App | str) -> None:
        """The program is gone for new calls and those that wait; its open prompts are withdrawn. Its data and orders
        stay."""
        program = self._registry.remove(app)
        self.prompts.withdraw_program(program.release.app.app_id)

    # ---- calls -------------------------------------------------------------------------------------------------------
    async def call(
        self,
        app: App | str,
        method: str,
        params: Params | None = None,
        *,
        user: str = "",
        interactive: bool = True,
        locale: str = "en",
        time_zone: str = "UTC",
        currency: str = "CNY",
        trace_id: str = "",
    ) -> Reply:
        """One request to a program, handled in a fresh sandbox.

        `user`: whom it acts for, by the host's own id ('' for nobody). `interactive`: the user is looking at the
        program, so prompts may open. The session's `locale` (BCP 47), `time_zone` (IANA) and `currency` (ISO 4217)
        are what the guest reads. Cancelled, the guest is dropped at once; what it had handed to the store is done
        and recorded.

        Raises CallRefused (nothing ran) or CallEnded with a receipt, by how it ended.
        """
        message = encoded(wire.request, 1, named(method), params or {})
        session_words = (user, interactive, locale, time_zone, currency, trace_id)
        program, outcome, receipt = await self._run(app, method, message, session_words, notification=False)
        if outcome.ending is Ending.COMPLETED:
            try:
                error, value = wire.parse_response(outcome.response, program.release.limits.message_out_bytes, 1)
            except wire.MalformedMessage as malformed:
                outcome = Outcome(
                    ending=Ending.PROTOCOL_VIOLATION, detail=f"the guest sent no valid response: {malformed}"
                )
            else:
                if error is None:
                    return Reply(value=value, receipt=receipt)
                outcome = failed(error)
        raise ended(outcome, receipt)

    async def notify(
        self, app: App | str, method: str, params: Params | None = None, *, user: str = "", trace_id: str = ""
    ) -> Receipt:
        """A notification: handled like a call, but never interactive, and the guest answers nothing."""
        message = encoded(wire.notification, named(method), params or {})
        words = (user, False, "en", "UTC", "CNY", trace_id)
        _, outcome, receipt = await self._run(app, method, message, words, notification=True)
        if outcome.ending is not Ending.COMPLETED:
            raise ended(outcome, receipt)
        return receipt

    async def _run(
        self,
        app: App | str,
        method: str,
        message: bytes,
        words: tuple[str, bool, str, str, str, str],
        *,
        notification: bool,
    ) -> tuple[Program, Outcome, Receipt]:
        """Admission, then the executor, then the receipt: for a call that is cancelled too, if it began."""
        if time.perf_counter_ns() > self._turn_ends:
            await trio.lowlevel.checkpoint()
            self._turn_ends = time.perf_counter_ns() + TURN_NS
        program = self._registry.find(app)
        release = program.release
        limits = release.limits
        if self._closing:
            raise closed()
        if len(message) > limits.message_in_bytes:
            raise too_large(len(message), limits)
        if not program.admission.enter_now(self._store.now_us(), release.memory_bytes):
            await self._wait_in_queue(program, release, len(message))
        call_id = self._ids()
        usage = Usage(message_in_bytes=len(message))
        began = time.perf_counter_ns()
        call = self._broker.open(self._session(release, program, call_id, words, usage))
        self._calls[call_id] = call
        try:
            module = self._modules.loaded(release.module_sha256) or await self._load(release, call.deadline)
            outcome = await self._executor.run(module, message, limits, call, usage, notification=notification)
        except Over as over:
            outcome = Outcome(ending=over.ending, detail=over.detail, details=over.details)
        finally:
            del self._calls[call_id]
            call.close()
            usage.wall_us = (time.perf_counter_ns() - began) // 1_000
            program.admission.leave(release.memory_bytes, usage.cpu_us)
            if self._idle is not None and not self._calls:
                self._idle.set()
        usage.message_out_bytes = len(outcome.response)
        if self._cut and outcome.ending is Ending.DEADLINE_EXCEEDED:
            outcome = Outcome(ending=Ending.CANCELLED, detail="the host closed while the call was in flight")
        return program, outcome, Receipt(
            call_id=call_id, app_id=release.app.app_id, release=release.app.release_name, method=method,
            ending=outcome.ending, usage=usage,
        )  # fmt: skip

    async def _wait_in_queue(self, program: Program, release: Release, message_bytes: int) -> None:
        await program.admission.wait(release.memory_bytes, message_bytes)
        if self._closing:  # let in just before the host began to close
            program.admission.leave(release.memory_bytes, 0)
            raise closed()

    def _session(
        self,
        release: Release,
        program: Program,
        call_id: str,
        words: tuple[str, bool, str, str, str, str],
        usage: Usage,
    ) -> CallSession:
        user, interactive, locale, time_zone, currency, trace_id = words
        app, limits = release.app, release.limits
        return CallSession(
            call_id=call_id, app_id=app.app_id, release_name=app.release_name, release_code=app.release_code,
            user=user, payee=release.payee, interactive=interactive, locale=locale, time_zone=time_zone,
            currency=currency, config=release.config, trace_id=trace_id or call_id, authority=release.authority,
            limits=limits, usage=usage, holdings=program.holdings, log_sink=self._log_sink,
            deadline=Deadline(wall_s=limits.wall_ms / 1_000, still_s=limits.prompt_wait_ms / 1_000),
        )  # fmt: skip

    async def _load(self, release: Release, deadline: Deadline) -> Module:
        """The module is not in memory any more: from the cache, or compiled anew, at most to the call's deadline."""
        with deadline.scope():
            return (await self._modules.get(release.wasm, release.limits))[0]
        raise over_deadline(release.limits)

    # ---- the operator's side -----------------------------------------------------------------------------------------
    async def deposit(self, user: str, money: Money, *, reference: str | None = None) -> bool:
        """Money from outside into a user's wallet. False if `reference` was booked before (then nothing happens)."""
        reference = reference or sources.new_id()
        return await self._store.write(lambda tx: ledger.deposit(tx, user=user, money=money, reference=reference))

    def balance(self, account: ledger.AccountName) -> ledger.Balance:
        """Posted and pending balances of one account; zeros where it was never used."""
        return self._store.read(lambda tx: ledger.balance(tx, account))

    def statistics(self) -> HostStatistics:
        programs = list(self._registry)
        return HostStatistics(
            programs=len(programs),
            calls_in_flight=len(self._calls),
            calls_queued=sum(program.admission.queued for program in programs),
            sandboxes=self._executor.pool.places,
            slots=self._executor.pool.slots,
            prompts_open=len(self.prompts),
            ticker=self._executor.ticker.kind,
            sandbox_level="none",
        )

    async def _close(self) -> None:
        """Refuses new calls, waits for those in flight, then ends what is left; at once if it is cancelled itself."""
        self._closing = True
        for program in self._registry:
            program.admission.close(closed())
        if not self._calls:
            return
        self._idle = trio.Event()
        try:
            with trio.move_on_after(self.settings.drain_s):
                await self._idle.wait()
        finally:
            self._cut = True
            for call in list(self._calls.values()):
                call.deadline.cut()
            with trio.CancelScope(shield=True):
                while self._calls:
                    await self._idle.wait()


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


def _log_line(session: CallSession, level: str, line: str) -> None:
    _log_of_programs.info(line, app_id=session.app_id, call_id=session.call_id, level_of_program=level)


def _name(name: str | Mapping[str, str]) -> str:
    """A manifest's text in English where there is one, else in its first language."""
    return name if isinstance(name, str) else name.get("en") or next(iter(name.values()))
