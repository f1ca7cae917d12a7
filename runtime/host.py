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

from host_api.contract import Clock
from host_api.erasure.program import Uninstalled
from host_api.payment.orders import CloseReason
from host_api.prompts.cashier import Cashier
from host_api.releases import removal, uploads
from host_api.services import Outside
from runtime import sources, wire
from runtime.assembly import Parts, open_parts
from runtime.bundle import Bundle, Keyring
from runtime.calls import Words
from runtime.developers import Developers, signer
from runtime.errors import Ending, HostelError, NotInstalled
from runtime.executor.job import Outcome
from runtime.offers import (
    check_required,
    display_name,
    given_of,
    granted,
    limits_of,
    offer_of,
    requested,
    sector_of,
)
from runtime.operations import HostOperations
from runtime.outcomes import encoded, named, reply_of
from runtime.receipt import Receipt
from runtime.receipt import Reply as Reply
from runtime.recording.tape import Recorder
from runtime.registry import App
from runtime.rehearsal import Rehearsal
from runtime.releases import Releases
from runtime.session import LogSink
from runtime.settings import HostSettings
from runtime.unavailable import not_installed

Params = Mapping[str, Any]


class Host(HostOperations):
    """A host of mini-programs in this process. Made by `Host.open`; used from the trio thread that opened it."""

    def __init__(self, parts: Parts, keyring: Keyring) -> None:
        """Not to be called: `Host.open` makes the parts and closes them."""
        super().__init__(parts)
        self._keyring = keyring
        self.developers = Developers(changes=self._changes, new_id=parts.new_id)
        """Who may upload, with which keys."""
        self.releases = Releases(
            store=parts.store, changes=self._changes, code=parts.code, settings=parts.settings,
            developers=self.developers,
        )  # fmt: skip
        """From an upload to the release that everybody gets, and back."""

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
        rehearsal: Rehearsal | None = None,
        recorder: Recorder | None = None,
    ) -> AsyncIterator[Host]:
        """A running host; closed when the block is left.

        `state`: the directory that holds everything to be kept (made if missing, one host at a time); None: in memory.
        `cashier`: asks users in this process; without one their prompts wait for a front end (`prompts`). `keyring`:
        whose signatures are trusted. `allow_unsigned` is a shorthand for the setting. `outside`: a directory of users,
        a channel for notices, and access to the network, where they are the platform's own. `log_sink` takes (session,
        level, line) of programs' logs. `clock` and `new_id` (128 random bits, hex) are injected by tests;
        with a `rehearsal` ids and the guests' randomness are its, and programs are woken in `settle` alone.
        `recorder` has one call recorded (runtime.recording).

        Leaving the block refuses new calls, waits `settings.drain_s` for those in flight, then ends them as
        `cancelled`.
        Raises StartupError (state in use, no working ticker, other wasmtime) and UsageError.
        """
        settings = settings or HostSettings()
        if allow_unsigned is not None:
            settings = replace(settings, allow_unsigned=allow_unsigned)
        async with open_parts(
            None if state is None else Path(state),
            settings=settings, cashier=cashier, outside=outside or Outside(), log_sink=log_sink,
            clock=clock or sources.SystemClock(), rehearsal=rehearsal, recorder=recorder,
            new_id=new_id or (sources.new_id if rehearsal is None else rehearsal.new_id),
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
        isolation: str | None = None,
    ) -> App:
        """Checks, compiles and registers a program; replaces an older release of it at once, for calls from now on.

        `grant`: capabilities given, by name or with constraints; deny by default. `limits`: what differs from the
        host's. `payee`: who receives its payments (default: the manifest's name). `sector`: programs that you say are
        of one developer see one id of a user; by default each sees its own. `config`: at most 16 KiB, read by
        `session.info`. `new_owner`: the program has changed hands, so a key of another developer than before counts,
        and what users allowed it is gone; what it keeps and was paid is the new developer's to see. `isolation`:
        `shared`, or `dedicated` for workers of its own; None: as it was.

        The operator's short way: upload, approval and full release in one transaction. It is there after a restart.
        What the release before was granted and this one is not is revoked (see `revoke`). Raises BundleError's family,
        UsageError, and ApiError of the store; nothing is registered then.
        """
        allow = self.settings.allow_unsigned if allow_unsigned is None else allow_unsigned
        by = signer(self._store, bundle, self._keyring, allow_unsigned=allow)
        manifest = bundle.manifest
        given = given_of(grant=grant, limits=limits, config=config, payee=payee, name=display_name(manifest.name))
        requested(bundle)
        check_required(tuple(one.name for one in manifest.req_permissions if one.required), given.grants)
        effective = limits_of(bundle, self.settings.limits, given.limits)
        whose, kind = sector_of(manifest.app_id, sector), isolation
        code = await self._code.take(bundle, effective)
        offer = offer_of(bundle, code, developer=by.developer, signed_by=by.key_id, report={})
        await self._changes.change(
            offer.app_id,
            lambda tx: uploads.install(
                tx, offer, given, sector=whose, isolation=kind, new_owner=new_owner, also_known_as=by.also_known_as
            ),
        )
        self._changes.woken(offer.app_id)
        return App(
            app_id=offer.app_id, release_name=offer.name, release_code=offer.code, identity=offer.identity,
            signed_by=offer.signed_by or None,
        )  # fmt: skip

    async def uninstall(self, app: App | str, *, end_calls: bool = False, erase: bool = False) -> Uninstalled:
        """The program is gone for new calls and those that wait; its open prompts are withdrawn, its unpaid orders
        closed and its holds given back, its releases deleted. What it keeps, and what was paid, stays.

        `end_calls`: those in flight end now, as `revoked`; else they go on, without any grant. `erase`: they end, and
        what the program kept and wrote is erased, on the disk too (docs/protocol.md, Erasure); also of a program that
        was uninstalled before, and whose data stayed.

        Raises NotInstalled (with `erase`: nothing of it is kept either), and ApiError of the store: nobody can call the
        program any more, and uninstalling it again does what is left to do.
        """
        try:
            program = self._registry.leave(app)
        except NotInstalled:
            if not erase:
                raise
            return await self._erase_left(app if isinstance(app, str) else app.app_id)
        app_id = program.app_id
        self._calls.residents.drop(app_id)
        await self._store.write(lambda tx: removal.leave(tx, app_id))
        self._changes.forget_stop(app_id)
        if end_calls or erase:
            await self._calls.cut(Ending.REVOKED, "the program was uninstalled", app_id=app_id)
        closed = await self._changes.end_payments(app_id, CloseReason.UNINSTALLED)
        while await self._store.write(lambda tx: removal.remove_some(tx, app_id, scrub=erase)):
            pass
        rows = await self._services.erasure.erase_program(app_id) if erase else 0
        if await self._store.write(lambda tx: removal.forget(tx, app_id)):
            self._registry.came(-1)
        self._registry.remove(program)
        return Uninstalled(orders_closed=closed, rows_erased=rows)

    async def _erase_left(self, app_id: str) -> Uninstalled:
        """What a program left that is not installed any more. Raises NotInstalled: it left nothing."""
        await self._calls.cut(Ending.REVOKED, "the program was uninstalled", app_id=app_id)
        closed = await self._changes.end_payments(app_id, CloseReason.UNINSTALLED)
        rows = await self._services.erasure.erase_program(app_id)
        if not closed + rows:
            raise not_installed(app_id)
        return Uninstalled(orders_closed=closed, rows_erased=rows)

    async def revoke(self, app: App | str, *capabilities: str) -> None:
        """Take capabilities away at once and for good, also from calls in flight and from releases that may run later:
        what was handed to the store before is done, what comes later is refused as not granted. With `payment` go the
        open prompts, unpaid orders and holds.

        Raises UsageError for a capability that does not exist, NotInstalled, and ApiError of the store.
        """
        self._registry.program(app).take_away(granted(capabilities))
        await super().revoke(app, *capabilities)

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
        return await self.call_with(
            app, method, params or {}, Words(user, interactive, locale, time_zone, currency, trace_id)
        )

    async def call_with(self, app: App | str, method: str, params: Params, words: Words) -> Reply:
        """As `call`, with what it says of the session in one."""
        message = encoded(wire.request, 1, named(method), params)
        return reply_of(*await self._calls.run(app, method, message, words, notification=False))

    def begin_call(
        self, app: App | str, method: str, params: Params, words: Words, done: Callable[[Reply | HostelError], None]
    ) -> Callable[[], None] | None:
        """As `call`, without a task for it: `done` is called once with what `call` gives or raises, from a later turn
        of the loop. Gives how the call is given up. None, with nothing done: it has to wait, and `call` does.

        Raises CallRefused: nothing ran, and `done` is not called.
        """

        def over(outcome: Outcome, receipt: Receipt) -> None:
            try:
                reply: Reply | HostelError = reply_of(outcome, receipt)
            except HostelError as error:
                reply = error
            done(reply)

        return self._calls.start(app, method, encoded(wire.request, 1, named(method), params), words, over)

    async def notify(
        self, app: App | str, method: str, params: Params | None = None, *, user: str = "", trace_id: str = ""
    ) -> Receipt:
        """A notification: handled like a call, but never interactive, and the guest answers nothing."""
        return await self.notify_with(app, method, params or {}, Words(user, trace_id=trace_id))

    async def notify_with(self, app: App | str, method: str, params: Params, words: Words) -> Receipt:
        """As `notify`, with what it says of the session in one."""
        return await self._calls.notify(app, named(method), params, words)
