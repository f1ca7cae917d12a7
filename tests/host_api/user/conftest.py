"""A small world of users: a store in memory, a clock that is set, a scripted user, a directory that can wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api import audit
from host_api.prompts.cashier import ScriptedCashier
from host_api.prompts.desk import Desk
from host_api.store import Store, open_store
from host_api.user.asking import ConsentPrompts
from host_api.user.consent import ConsentStore
from host_api.user.directory import EmbeddedDirectory
from host_api.user.methods import (
    AddressParams,
    AuthorizeParams,
    ConsentsParams,
    LoginParams,
    PhoneParams,
    ProfileParams,
)
from host_api.user.pairwise import PairwiseIds
from host_api.user.service import UserService
from runtime.testing import SeededIds, VirtualClock, make_session

USER = ("user.login", "user.profile", "user.phone", "user.address", "notify")
KNOWN = {
    "nickname": "Lin",
    "avatar": "https://img.example/lin.png",
    "locale": "zh-Hans-CN",
    "age_band": "18+",
    "phone": "+8613800000123",
    "address": '{"recipient":"Lin Mei","country":"CN","city":"Hangzhou"}',
}


class WaitingDirectory:
    """The embedded directory, and a platform's that takes its time: `hold` lets it wait, `release` answer."""

    def __init__(self, embedded: EmbeddedDirectory) -> None:
        self._embedded = embedded
        self.asked: list[tuple[str, ...]] = []
        self.answer: Mapping[str, Any] | Exception | None = None
        """Said instead of what the embedded one knows."""
        self._released = trio.Event()
        self._released.set()

    def hold(self) -> None:
        self._released = trio.Event()

    def release(self) -> None:
        self._released.set()

    async def fields(self, user: str, names: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(tuple(names))
        await self._released.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return await self._embedded.fields(user, names) if self.answer is None else self.answer


class World:
    """One host's users, and what tests do with them."""

    def __init__(self, store: Store, clock: VirtualClock, nursery: trio.Nursery) -> None:
        self.store, self.clock = store, clock
        self._answers: list[bool] | None = None
        self.cashier = ScriptedCashier(
            lambda _: self._answers is None or (bool(self._answers) and self._answers.pop(0))
        )
        ids = SeededIds(1)
        self.desk = Desk(
            store=store, clock=store, nursery=nursery, cashier=self.cashier, new_id=ids, new_token=SeededIds(2)
        )
        salts = SeededIds(3)
        self.embedded = EmbeddedDirectory(store=store, new_salt=lambda: bytes.fromhex(salts()))
        self.directory = WaitingDirectory(self.embedded)
        self.consents = ConsentStore(store=store, new_salt=lambda: bytes.fromhex(salts()))
        self.prompts = ConsentPrompts(store=store, desk=self.desk, consents=self.consents)
        self.users = UserService(
            clock=store,
            directory=self.directory,
            consents=self.consents,
            prompts=self.prompts,
            pairwise=PairwiseIds(bytes(range(32))),
        )

    def session(self, user: str = "alice", **changes: Any) -> Any:
        changes.setdefault("granted", USER)
        return make_session(user=user, **changes)

    def answer_with(self, *answers: bool) -> None:
        """What the user says to the next prompts, instead of yes to all; no after that."""
        self._answers = list(answers)

    # -- the methods, their params converted as in the broker
    def login(self, session: Any = None) -> str:
        return self.users.login(session or self.session(), LoginParams()).id

    async def authorize(self, *scopes: str, session: Any = None, wait_ms: int = 60_000) -> dict[str, str]:
        params = msgspec.convert({"scopes": list(scopes), "wait_ms": wait_ms}, AuthorizeParams)
        return dict((await self.users.authorize(session or self.session(), params)).scopes)

    async def profile(self, *scopes: str, session: Any = None) -> dict[str, str | None]:
        params = msgspec.convert({"scopes": list(scopes)}, ProfileParams)
        return (await self.users.profile(session or self.session(), params)).profile

    async def phone(self, session: Any = None, **params: bool) -> str | None:
        return (await self.users.phone(session or self.session(), msgspec.convert(params, PhoneParams))).phone

    async def address(self, session: Any = None) -> Any:
        return (await self.users.address(session or self.session(), AddressParams())).address

    def told(self, session: Any = None) -> dict[str, tuple[bool, int]]:
        """What user.consents says: scope → (given, expires_at_ms)."""
        found = self.users.consents(session or self.session(), ConsentsParams()).consents
        return {one.scope: (one.given, one.expires_at_ms) for one in found}

    # -- looking into the store
    def records(self) -> list[dict[str, Any]]:
        """The audit records of consents."""
        rows = self.store.read(lambda tx: tx.execute("SELECT record FROM audit ORDER BY n"))
        found = [msgspec.json.decode(row[0]) for row in rows]
        return [one for one in found if one["effect"].startswith("consent.")]

    def stored(self) -> list[tuple[Any, ...]]:
        return self.store.read(lambda tx: tx.execute("SELECT * FROM consents ORDER BY app_id, user_id, scope"))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Alice is known; whatever a test did, the audit holds together after it."""
    clock = VirtualClock()
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        made = World(store, clock, nursery)
        await made.embedded.put("alice", KNOWN)
        yield made
        nursery.cancel_scope.cancel()
        assert store.read(audit.verify) is None
