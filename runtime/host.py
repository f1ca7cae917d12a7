"""The host as a library: install a bundle, call its program, get a value and a receipt.

Here the parts meet: registry (which release, what it may), admission (may it begin), executor (bytes in, bytes out),
broker (what the guest asks meanwhile). A call goes down once and comes back once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from host_api import audit
from host_api.capability import Authority, Grants
from host_api.contract import Clock
from host_api.one_line import one_line
from host_api.ownership import NotOwner, claim
from host_api.payment.orders import CloseReason
from host_api.payment.sweep import close_program
from host_api.prompts.cashier import Cashier
from host_api.services import Outside
from host_api.store import Transaction
from host_api.user.pairwise import declared_sector
from runtime import sources, wire
from runtime.assembly import Parts, open_parts
from runtime.bundle import Bundle, Keyring, check_policy
from runtime.calls import Words
from runtime.errors import Ending, UsageError
from runtime.executor.job import Outcome
from runtime.log import logger
from runtime.modules import memory_bytes
from runtime.operations import HostOperations
from runtime.outcomes import closed, encoded, ended, failed, named
from runtime.receipt import Receipt
from runtime.registry import (
    CONFIG_BYTES_MAX,
    App,
    Release,
    authority_of,
    effective_limits,
    granted,
    notices,
    reasons,
)
from runtime.session import CallSession, LogSink
from runtime.settings import HostSettings

_log_of_programs = logger("program")

Params = Mapping[str, Any]

PAYEE_CHARS_MAX = 64
_ORDERS_AT_ONCE = 100
"""Closed in one transaction; other writers have their turn between two."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What `Host.call` gives: the guest's result, and what the call cost."""

    value: Any
    receipt: Receipt


class Host(HostOperations):
    """A host of mini-programs in this process. Made by `Host.open`; used from the trio thread that opened it."""

    def __init__(self, parts: Parts, keyring: Keyring) -> None:
        """Not to be called: `Host.open` makes the parts and closes them."""
        super().__init__(parts)
        self._keyring = keyring

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
        outside: Outside | None = None,
        log_sink: LogSink | None = None,
        clock: Clock | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> AsyncIterator[Host]:
        """A running host; closed when the block is left.

        `state`: the directory that holds everything to be kept (made if missing, one host at a time); None: in memory.
        `cashier`: asks users in this process; without one their prompts wait for a front end (`prompts`). `keyring`:
        whose signatures are trusted. `allow_unsigned` is a shorthand for the setting. `outside`: a directory of users,
        a channel for notices, and access to the network, where they are the platform's own. `log_sink` takes (session,
        level, line) of programs' logs. `clock` and `new_id` (128 random bits, hex) are injected by tests.

        Leaving the block refuses new calls, waits `settings.drain_s` for those in flight, then ends them as
        `cancelled`.
        Raises StartupError (state in use, no working ticker, other wasmtime) and UsageError.
        """
        settings = settings or HostSettings()
        if allow_unsigned is not None:
            settings = replace(settings, allow_unsigned=allow_unsigned)
        async with open_parts(
            None if state is None else Path(state),
            settings=settings, cashier=cashier, outside=outside or Outside(), log_sink=log_sink or _log_line,
            clock=clock or sources.SystemClock(), new_id=new_id or sources.new_id,
        ) as parts:  # fmt: skip
            yield cls(parts, keyring or Keyring())

    # ---- programs ----------------------------------------------------------------------------------------------------
    async def install(
        self,
        bundle: Bundle,
        *,
        grant: Sequence[str] | Mapping[str, Params] = (),
        limits: Mapping[str, int] | None = None,
        payee: str | None = None,
        sector: str | None = None,
        config: Params | None = None,
        allow_unsigned: bool | None = None,
        new_owner: bool = False,
    ) -> App:
        """Checks, compiles and registers a program; replaces an older release of it at once, for calls from now on.

        `grant`: capabilities given, by name or with constraints; deny by default. `limits`: what differs from the
        host's. `payee`: who receives its payments (default: the manifest's name). `sector`: programs that you say are
        of one developer see one id of a user; by default each sees its own. `config`: at most 16 KiB, read by
        `session.info`. `new_owner`: the program has changed hands, so a key of another developer than before counts,
        and what users allowed it is gone; what it keeps and was paid is the new developer's to see.

        What the release before was granted and this one is not is revoked (see `revoke`). Raises BundleError's family,
        UsageError, and ApiError of the store; nothing is registered then.
        """
        allow = self.settings.allow_unsigned if allow_unsigned is None else allow_unsigned
        key = check_policy(bundle, self._keyring, allow_unsigned=allow, now_us=self._store.now_us())
        manifest = bundle.manifest
        authority = authority_of(bundle, grant)
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
            authority=authority, limits=effective, program_name=_name(manifest.name),
            payee=_payee(payee, _name(manifest.name)), sector=_sector(manifest.app_id, sector),
            reasons=reasons(bundle), notices=notices(bundle), config=config,
            takes_events=manifest.program.events,
        )  # fmt: skip
        self._registry.check(app)
        developer = "" if key is None else key.owner or key.public_key.key_id
        await self._write_installed(app, authority, developer, new_owner)
        if self._calls.closing:
            raise closed()
        gone = self._registry.put(release)
        self._pushes.installed(app.app_id)
        if tuple(gone):
            await self._end_what_needs(app.app_id, gone)
        return app

    async def _write_installed(self, app: App, authority: Authority, developer: str, new_owner: bool) -> None:
        names = ",".join(grant.capability for grant in authority.grants())

        def job(tx: Transaction) -> None:
            claim(tx, app.app_id, developer, new_owner=new_owner)
            audit.record(
                tx, "program.installed", app_id=app.app_id, release=app.release_code, identity=app.identity,
                signed_by=app.signed_by, capabilities=names,
            )  # fmt: skip

        try:
            await self._store.write(job)
        except NotOwner as error:
            raise UsageError(
                f"{app.app_id} is the program of {error.owner}: a release of another developer is taken only with"
                " new_owner (--new-owner), which hands over what the program keeps and was paid",
                code="other_developer",
                details={"owner": error.owner, "developer": developer},
            ) from None

    async def uninstall(self, app: App | str, *, end_calls: bool = False, erase: bool = False) -> None:
        """The program is gone for new calls and those that wait; its open prompts are withdrawn, its unpaid orders
        closed and its holds given back. What it keeps, and what was paid, stays.

        `end_calls`: those in flight end now, as `revoked`; else they go on, without any grant. `erase`: they end, and
        what the program kept and wrote is erased, on the disk too (docs/protocol.md, Erasure).

        Raises NotInstalled, and ApiError of the store: nobody can call the program any more, and uninstalling it again
        does what is left to do.
        """
        program = self._registry.leave(app)
        app_id = program.release.app.app_id
        if end_calls or erase:
            await self._calls.cut(Ending.REVOKED, "the program was uninstalled", app_id=app_id)
        await self._end_payments(app_id, CloseReason.UNINSTALLED)
        if erase:
            await self._services.erasure.erase_program(app_id)
        await self._store.write(lambda tx: audit.record(tx, "program.uninstalled", app_id=app_id))
        self._registry.remove(program)

    async def _end_payments(self, app_id: str, reason: CloseReason) -> None:
        await self.prompts.withdraw_program(app_id)
        while await self._store.write(lambda tx: close_program(tx, app_id, reason, _ORDERS_AT_ONCE)):
            pass
        self._pushes.wake()

    async def revoke(self, app: App | str, *capabilities: str) -> None:
        """Take capabilities away at once, also from calls in flight: what was handed to the store before is done, what
        comes later is refused as not granted. With `payment` go the open prompts, unpaid orders and holds.

        Raises UsageError for a capability that does not exist.
        """
        program = self._registry.find(app)
        gone = granted(capabilities)
        program.take_away(gone)
        await self._end_what_needs(program.release.app.app_id, gone)

    async def _end_what_needs(self, app_id: str, gone: Grants) -> None:
        """What cannot go on without these grants, which nobody has any more."""
        if gone.constraints("payment") is not None:
            await self._end_payments(app_id, CloseReason.REVOKED)
        else:
            await self.prompts.withdraw_program(app_id)
        names = ",".join(grant.capability for grant in gone)
        await self._store.write(lambda tx: audit.record(tx, "grant.revoked", app_id=app_id, capabilities=names))

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
        words = Words(user, interactive, locale, time_zone, currency, trace_id)
        release, outcome, receipt = await self._calls.run(app, method, message, words, notification=False)
        if outcome.ending is Ending.COMPLETED:
            try:
                error, value = wire.parse_response(outcome.response, release.limits.message_out_bytes, 1)
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
        return await self._calls.notify(app, method, params or {}, Words(user, trace_id=trace_id))


def _log_line(session: CallSession, level: str, line: str) -> None:
    _log_of_programs.info(line, app_id=session.app_id, call_id=session.call_id, level_of_program=level)


def _payee(given: str | None, name: str) -> str:
    """Stands on the cashier's screen: one clean line."""
    try:
        return name if given is None else one_line("payee", given, PAYEE_CHARS_MAX)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _sector(app_id: str, declared: str | None) -> str:
    try:
        return app_id if declared is None else declared_sector(declared)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _name(name: str | Mapping[str, str]) -> str:
    """A manifest's text in English where there is one, else in its first language."""
    return name if isinstance(name, str) else name.get("en") or next(iter(name.values()))
