"""Where a scenario is played: a host with its programs, reached as its callers reach it.

What lives here: the stage, the same for a host in this process and for a client of a daemon; and the two places that
have one of these. Answers and refusals become plain values here. What is played on it is player.py's.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from host_api.errors import ApiError
from host_api.ledger import AccountKind, AccountName, Balance
from host_api.notify.notices import Notice
from host_api.prompts.prompt import PromptError
from runtime.client import Client
from runtime.daemon.config import Config, of_sections
from runtime.daemon.doors import control_door
from runtime.daemon.serve import run
from runtime.errors import CallEnded, HostelError, NotInstalled
from runtime.host import Host
from runtime.receipt import Receipt
from runtime.scenarios.project import Installed
from runtime.scenarios.scenario import User
from runtime.scenarios.world import World
from runtime.settings import HostSettings
from runtime.worker_settings import WorkerSettings

SOCKET: Final = "hostel.sock"
"""In a daemon's state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of a call, as plain values: the same wherever it was made."""

    ending: str
    """As the receipt says it; `refused` where nothing ran."""
    result: Any = None
    error: Mapping[str, Any] | None = None
    """The program's own, or why the call ended or was refused: at least `code` and `message`."""
    receipt: Mapping[str, Any] | None = None


class Unanswered(Exception):
    """What a front end wanted to do cannot be done; the message says why."""


class Stage:
    """A host in its world. `side` is the host, or a client of it; `settle` does what falls due."""

    def __init__(self, side: Any, world: World, settle: Callable[[], Awaitable[None]]) -> None:
        self._side, self._world, self._settle = side, world, settle

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[Any]:
        """The host, or a client of it."""
        yield self._side

    async def install(self, program: Installed) -> None:
        """Raises HostelError and ApiError."""
        install = program.install
        async with self._reached() as side:
            await side.install(
                program.bundle, grant=program.grants, limits=install.limits, config=install.config,
                payee=install.payee, allow_unsigned=True,
            )  # fmt: skip

    async def know(self, users: Mapping[str, User]) -> None:
        """The platform knows these users, and their wallets are filled."""
        async with self._reached() as side:
            for name, user in users.items():
                if user.fields:
                    await side.users.put(name, user.fields)
                for money in user.wallet:
                    await side.deposit(name, money, reference=f"scenario {name} {money.currency}")

    # ---- what programs are asked -------------------------------------------------------------------------------------
    async def call(self, app_id: str, method: str, params: Mapping[str, Any], name: str, user: User) -> Answered:
        """Whatever comes of it."""
        try:
            reply = await self._side.call(app_id, method, params, user=name, **session_of(name, user))
        except HostelError as error:
            return refused(error)
        return Answered(ending=reply.receipt.ending.value, result=reply.value, receipt=reply.receipt.as_dict())

    async def notify(self, app_id: str, method: str, params: Mapping[str, Any], name: str) -> Answered:
        """Whatever comes of it."""
        try:
            receipt: Receipt = await self._side.notify(app_id, method, params, user=name)
        except HostelError as error:
            return refused(error)
        return Answered(ending=receipt.ending.value, receipt=receipt.as_dict())

    async def settle(self) -> None:
        """What falls due by the world's clock is done when this returns."""
        await self._settle()

    # ---- what users and operators do ---------------------------------------------------------------------------------
    async def answer(self, name: str, kind: str, is_yes: bool) -> None:
        """The user answers the one prompt of that kind that waits, half a second after it was shown. Raises
        Unanswered."""
        async with self._reached() as side:
            waiting = [prompt for prompt in await _given(side.prompts.pending(name)) if prompt.kind == kind]
            if len(waiting) != 1:
                raise Unanswered(f"{len(waiting)} prompts for {kind} wait for {name}")
            try:
                shown = await side.prompts.issue(waiting[0].id)
                self._world.clock.advance(us=max(0, shown.answerable_us - self._world.clock.now_us()))
                await side.prompts.answer(shown.id, shown.token, shown.digest, is_yes)
            except (ApiError, PromptError, HostelError) as error:
                raise Unanswered(f"the answer was not taken: {error} ({_code(error)})") from error

    async def revoke_consent(self, app_id: str, name: str, scopes: tuple[str, ...]) -> None:
        """The user takes back what they allowed the program; no scopes: all of it."""
        async with self._reached() as side:
            for scope in scopes or (None,):
                await side.consents.revoke(app_id, name, scope)

    async def grant(self, app_id: str, grants: Mapping[str, Mapping[str, Any]]) -> None:
        """In the place of what the program was granted."""
        async with self._reached() as side:
            await side.set_grants(app_id, grants)

    async def revoke(self, app_id: str, capabilities: tuple[str, ...]) -> None:
        """At once and for good."""
        async with self._reached() as side:
            await side.revoke(app_id, *capabilities)

    async def spendable(self, name: str, currency: str) -> int:
        """What is in a user's wallet and not held for a payment; minor units."""
        return int((await self._balance(AccountKind.WALLET, name, currency)).available)

    async def paid_to(self, app_id: str, currency: str) -> int:
        """What the program's payee was paid; minor units."""
        return int((await self._balance(AccountKind.MERCHANT, app_id, currency)).posted)

    async def _balance(self, kind: AccountKind, owner: str, currency: str) -> Balance:
        async with self._reached() as side:
            found: Balance = await _given(side.balance(AccountName(kind=kind, owner=owner, currency=currency)))
        return found

    async def take_notices(self, name: str) -> list[Notice]:
        """Messages that wait for the user, the oldest first; they are shown with this."""
        async with self._reached() as side:
            found: list[Notice] = await _given(side.notices.pending(name))
            for notice in found:
                await side.notices.take(notice.id)
        return found


def session_of(name: str, user: User) -> dict[str, Any]:
    """What the platform says of a call's session."""
    return {"interactive": user.interactive and bool(name), "locale": user.locale, "time_zone": user.time_zone,
            "currency": user.currency}  # fmt: skip


async def _given(value: Any) -> Any:
    """A host answers some things at once that a client waits for."""
    return await value if inspect.isawaitable(value) else value


def refused(error: HostelError) -> Answered:
    """A call that did not complete, by the library's error."""
    if not isinstance(error, CallEnded):
        ending = "not_installed" if isinstance(error, NotInstalled) else "refused"
        return Answered(ending=ending, error=_told(error))
    own = error.details.get("error")
    receipt = None if error.receipt is None else error.receipt.as_dict()
    return Answered(
        ending=error.ending.value, error=own if isinstance(own, dict) else _told(error), receipt=receipt
    )  # fmt: skip


def _told(error: HostelError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "details": dict(error.details)}


def _code(error: Exception) -> str:
    code = getattr(error, "code", "")
    return str(getattr(code, "code", code))


# ---- places ----------------------------------------------------------------------------------------------------------
class Place(Protocol):
    """A way to reach a host."""

    @property
    def name(self) -> str:
        """As `--through` takes it."""
        ...

    def open(self, world: World, state: Path) -> AbstractAsyncContextManager[Stage]:
        """A stage on that state directory, which is made where there is none. Leaving the block closes its host."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """`Host.open` in this process."""

    settings: HostSettings
    name: str = "library"

    def host(self, world: World, state: Path) -> AbstractAsyncContextManager[Host]:
        """The host alone."""
        return Host.open(state, settings=self.settings, allow_unsigned=True, **world.host_arguments())

    @asynccontextmanager
    async def open(self, world: World, state: Path) -> AsyncIterator[Stage]:
        """See `Place`."""
        async with self.host(world, state) as host:
            world.users.desk = host.prompts
            yield Stage(host, world, host.settle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A daemon's life in this process, its programs in a jailed worker of their own, and a client at its socket."""

    settings: HostSettings
    name: str = "daemon"

    @asynccontextmanager
    async def open(self, world: World, state: Path) -> AsyncIterator[Stage]:
        """See `Place`."""
        config = self._config(state)
        opened = partial(Host.open, **world.host_arguments())
        serve = partial(run, config, (control_door,), read_again=lambda: config, open_host=opened)
        async with served(serve, world, state / SOCKET) as stage:
            yield stage

    def _config(self, state: Path) -> Config:
        config = of_sections({"host": {"state": str(state), "allow_unsigned": True}}, "a scenario's daemon")
        workers = WorkerSettings(count=1, slots=16, start_s=60.0, require="partial")
        return replace(config, host=replace(config.host, workers=workers, cache_dir=self.settings.cache_dir))


@asynccontextmanager
async def served(serve: Callable[..., Awaitable[None]], world: World, socket: Path) -> AsyncIterator[Stage]:
    """A stage at the socket of what `serve` opens: until it is stopped, `task_status` being given its host. It is
    stopped when the block is left, and what the block raises comes out as it is."""
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        host: Host = await nursery.start(serve)
        world.users.desk = host.prompts
        async with Client.connect(socket) as client:
            try:
                yield Stage(client, world, host.settle)
            except BaseException as error:
                raised = error
            else:
                await client.host.stop()
        if raised is not None:
            nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
