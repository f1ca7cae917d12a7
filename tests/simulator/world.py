"""One host's payments, driven as guests and front ends drive them: wire bytes in, wire bytes out, prompts by token.

The real broker and services over any store; clock, ids and tokens are set. The one set-up of the simulator, the crash
tests, the races and the mutants.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from host_api import audit, ledger, reconciliation
from host_api.capability import CAPABILITIES, Authority, Grants, parse_grants
from host_api.erasure.service import Erasure
from host_api.events.service import EventService
from host_api.ledger import AccountKind, AccountName, Leg
from host_api.money import Money
from host_api.payment import sweep, verification
from host_api.payment.fees import FeeTerms
from host_api.payment.orders import CloseReason
from host_api.payment.service import PaymentService
from host_api.prompts.desk import Desk
from host_api.prompts.prompt import Answer, Prompt, PromptError
from host_api.store import Store, Transaction, open_store
from host_api.user.asking import ConsentPrompts
from host_api.user.consent import ConsentStore
from runtime.broker import Broker
from runtime.limits import Limits
from runtime.session import CallSession
from runtime.testing import SeededIds, VirtualClock, make_session
from runtime.wire import CanonicalCodec, decode, request

REQUESTED = parse_grants(list(CAPABILITIES))
ROUNDS_MOST = 5_000
PAYMENT = ("payment", "payment.refund")
Reply = tuple[str | None, dict[str, Any]]
"""The error's code or None, and the result or the error's details."""


@dataclass
class Installed:
    """A program as its operator has it."""

    app_id: str
    limits: Limits
    authority: Authority


class World:
    """`ids` makes every id and token there is, and salts from them."""

    def __init__(
        self, store: Store, clock: VirtualClock, nursery: trio.Nursery, *, ids: Callable[[], str] | None = None
    ) -> None:
        self.shown: dict[str, Prompt] = {}
        self.store = self.plain = store
        """What the host uses, and what is there, where something stands before it."""
        self.clock = clock
        self.ids = SeededIds(1) if ids is None else ids
        self.programs: dict[str, Installed] = {}
        self.deposits = 0
        self.start(nursery)

    def start(self, nursery: trio.Nursery) -> None:
        """Everything that lives in the process, anew. Done again it is as if the host had been started again."""
        store, codec = self.store, CanonicalCodec(1 << 16)
        self.nursery = nursery
        self.desk = Desk(store=store, clock=store, nursery=nursery, cashier=None, new_id=self.ids, new_token=self.ids)
        self.payments = PaymentService(store=store, codec=codec, desk=self.desk, ids=self.ids)
        self.consents = ConsentStore(store=store, new_salt=self.salt)
        self.asking = ConsentPrompts(store=store, desk=self.desk, consents=self.consents)
        self.events = EventService(store=store, acknowledged=lambda _: None)
        self.erasure = Erasure(store=store, codec=codec, cache=None, journal=None, new_id=self.ids, new_salt=self.salt)
        bound = {bound.method.name: bound for service in (self.payments, self.events) for bound in service.bound()}
        self.broker = Broker(bound, clock=store, new_incident=self.ids)
        self.sessions: dict[tuple[str, str, bool], CallSession] = {}
        for program in list(self.programs.values()):
            self.install(program.app_id, program.limits, program.authority.grants().as_dict())

    def salt(self) -> bytes:
        return bytes.fromhex(self.ids())

    # ---- the operator's ------------------------------------------------------------------------------------------
    def install(self, app_id: str, limits: Limits, granted: Any = PAYMENT) -> Installed:
        """Anew if it was there: sessions from now on have another authority."""
        authority = Authority(requested=REQUESTED, granted=parse_grants(granted))
        self.programs[app_id] = Installed(app_id, limits, authority)
        self.sessions = {key: session for key, session in self.sessions.items() if key[0] != app_id}
        return self.programs[app_id]

    def narrow(self, app_id: str, granted: Any) -> Grants:
        """For calls in flight too."""
        authority = self.programs[app_id].authority
        authority.narrow(parse_grants(granted))
        return authority.grants()

    async def stop(self, app_id: str, reason: CloseReason, at_most: int = 100) -> None:
        """What is not paid for ends: the grant is revoked, or the program goes."""
        await until_none(lambda: self.store.write(lambda tx: sweep.close_program(tx, app_id, reason, at_most)))
        await self.desk.withdraw_program(app_id)

    async def set_fees(self, app_id: str, bps: int, fixed: int) -> None:
        await self.payments.set_fee_terms(app_id, FeeTerms(bps=bps, fixed=fixed))

    async def deposit(self, user: str, amount: int, currency: str = "CNY", reference: str = "") -> None:
        self.deposits += not reference
        money, reference = Money(amount=amount, currency=currency), reference or f"deposit {self.deposits}"
        await self.store.write(
            lambda tx: ledger.deposit(tx, user=user, money=money, reference=reference, new_salt=self.salt)
        )

    async def pay_out(self, app_id: str, amount: int, currency: str, number: int) -> None:
        merchant = AccountName(kind=AccountKind.MERCHANT, owner=app_id, currency=currency)
        funding = AccountName(kind=AccountKind.FUNDING, currency=currency)
        leg = Leg(kind="payout", cause=f"payout {number}", debit=merchant, credit=funding, amount=amount)
        await self.store.write(lambda tx: ledger.move(tx, [leg]))

    async def sweep(self, at_most: int) -> int:
        """As the host does from time to time."""
        ended = await self.store.write(lambda tx: self.desk.sweep(tx, at_most))
        return ended + await self.store.write(lambda tx: sweep.sweep(tx, at_most))

    async def sweep_all(self, at_most: int) -> None:
        await until_none(lambda: self.sweep(at_most))

    # ---- programs ------------------------------------------------------------------------------------------------
    def session(self, app_id: str, user: str, *, interactive: bool = True) -> CallSession:
        key = (app_id, user, interactive)
        if key not in self.sessions:
            program = self.programs[app_id]
            self.sessions[key] = make_session(
                app_id=app_id,
                user=user,
                interactive=interactive,
                limits=program.limits,
                authority=program.authority,
                payee=f"The {app_id}",
            )
        return self.sessions[key]

    async def send(self, app_id: str, user: str, data: bytes, *, interactive: bool = True) -> Reply:
        """One message of a program's and its answer."""
        answer = self.broker.open(self.session(app_id, user, interactive=interactive)).answer(data)
        if answer is not None and not isinstance(answer, bytes):
            answer = await answer
        assert answer is not None
        _, _, error, result = decode(answer, 1 << 18)
        return (None, result) if error is None else (error["code"], error["details"])

    async def ask(self, app_id: str, user: str, method: str, **params: Any) -> Reply:
        return await self.send(app_id, user, request(1, method, params))

    # ---- users ---------------------------------------------------------------------------------------------------
    def prompt(self, app_id: str, user: str) -> Prompt | None:
        return next((prompt for prompt in self.desk.pending(user) if prompt.app_id == app_id), None)

    async def decide(
        self, app_id: str, user: str, yes: bool, *, after_us: int = 500_000, shown: dict[str, Prompt] | None = None
    ) -> Answer | str:
        """The user's answer to what this program asks, so long after it is shown by the front end; or why there is
        none. `shown`: what is on the screen, which stays there when the answer was lost."""
        prompt = self.prompt(app_id, user)
        if prompt is None:
            return "prompt_not_found"
        issued = None if shown is None else shown.get(prompt.id)
        if issued is None:
            issued = await self.desk.issue(prompt.id)
            self.clock.advance(us=after_us)
        else:
            self.ids()  # the token that is not made again: what follows has the same ids
        if shown is not None:
            shown[prompt.id] = issued
        return await self.answered(issued.id, issued.token, issued.digest, yes)

    async def answered(self, prompt_id: str, token: str, digest: bytes, yes: bool = True) -> Answer | str:
        """An answer in these words: how the prompt ended, or why the answer does not count."""
        try:
            return await self.desk.answer(prompt_id, token, digest, yes)
        except PromptError as error:
            return error.code

    # ---- what is true --------------------------------------------------------------------------------------------
    def available(self, kind: str, owner: str, currency: str = "CNY") -> int:
        return self.store.read(lambda tx: available(tx, kind, owner, currency))

    def findings(self) -> list[str]:
        return self.plain.read(findings)


async def until_none(work: Callable[[], Awaitable[int]]) -> None:
    """Again and again, until nothing is left to be done."""
    for _ in range(ROUNDS_MOST):
        if not await work():
            return
    raise AssertionError(f"there is still something to do after {ROUNDS_MOST} rounds")


def available(tx: Transaction, kind: str, owner: str, currency: str) -> int:
    """What an account has to spend."""
    return sweep.balance(tx, AccountName(kind=AccountKind(kind), owner=owner, currency=currency)).available


def findings(tx: Transaction) -> list[str]:
    """All that is wrong with money, orders, events and the audit of a store, in words."""
    chain = audit.verify(tx)
    found = reconciliation.verify(tx) + verification.verify(tx) + ([] if chain is None else [chain])
    told = "SELECT count(*) FROM events WHERE topic LIKE 'payment.%'"
    audited = 'SELECT count(*) FROM audit WHERE record LIKE \'%"effect":"order.%\''
    if tx.execute(told) != tx.execute(audited):
        found.append(f"{tx.execute(told)} events of orders, {tx.execute(audited)} audit records")
    of_order = "FROM events WHERE app_id = orders.app_id AND stream = orders.id"
    changes = tx.execute(
        f"SELECT id, version, (SELECT count(*) {of_order}), (SELECT max(stream_seq) {of_order}) FROM orders"
    )
    found += [f"order {row[0]}: version {row[1]}, {row[2]} events" for row in changes if len(set(row[1:])) > 1]
    return found


@asynccontextmanager
async def open_world(
    path: Path | None,
    clock: VirtualClock | None = None,
    *,
    wrap: Callable[[Store], Store] = lambda store: store,
    **options: Any,
) -> AsyncIterator[World]:
    """In memory where there is no path. Nothing is checked on leaving. `wrap` puts something before the store."""
    clock = clock or VirtualClock()
    async with open_store(path, clock) as store, trio.open_nursery() as nursery:
        world = World(wrap(store), clock, nursery, **options)
        world.plain = store
        yield world
        nursery.cancel_scope.cancel()
