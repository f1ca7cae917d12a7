"""A desk with one made-up service: its yes writes a row, so that what is written together can be seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.cashier import Cashier
from host_api.prompts.desk import Desk
from host_api.prompts.places import Place
from host_api.prompts.prompt import Answer, Prompt, Shown
from host_api.store import Store, open_store
from host_api.store.protocol import Transaction
from runtime.testing import SeededIds, VirtualClock, make_session


class Front:
    """A desk, the store under it, and what front ends do."""

    def __init__(
        self, store: Store, clock: VirtualClock, nursery: trio.Nursery, cashier: Cashier | None = None, seed: int = 0
    ) -> None:
        self.store = store
        self.clock = clock
        self.desk = Desk(
            store=store, clock=store, nursery=nursery, cashier=cashier,
            new_id=SeededIds(2 * seed), new_token=SeededIds(2 * seed + 1),
        )  # fmt: skip
        self.desk.register("payment", self.settle)
        self.desk.register("consent", self.settle)

    @staticmethod
    def settle(tx: Transaction, prompt: Prompt, answer: Answer) -> None:
        """One row for each end; the user "refused" is refused after his row was written, "broken" meets a bug."""
        tx.execute(
            "INSERT INTO user_fields (user_id, field, value) VALUES (:user, :field, :value)",
            {"user": prompt.user, "field": prompt.id, "value": answer.value},
        )
        if answer is Answer.APPROVED and prompt.user == "refused":
            raise ApiError(ErrorCode.INVALID_STATE, "not any more")
        if answer is Answer.APPROVED and prompt.user == "broken":
            raise LookupError("a bug")

    async def ask(self, user: str = "alice", *, about: str = "x", kind: str = "consent", **changes: Any) -> Place:
        session = make_session(user=user, **changes)
        shown = Shown(shown={"program": "Example Shop", "about": about})
        return await self.desk.ask(session, kind=kind, about=about, make=lambda _: shown)

    async def opened(self, user: str = "alice", **changes: Any) -> Prompt:
        """A new prompt with a token, old enough to be answered."""
        place = await self.ask(user, **changes)
        return await self.issued(place)

    async def issued(self, place: Place) -> Prompt:
        """The prompt with a token, shown for long enough to be answered."""
        prompt = await self.desk.issue(place.prompt.id)
        self.clock.advance(ms=500)
        return prompt

    async def say(self, prompt: Prompt, approved: bool = True) -> Answer:
        return await self.desk.answer(prompt.id, prompt.token, prompt.digest, approved)

    def ends(self) -> dict[str, str]:
        """Prompt → how it ended, as the service has written it."""
        return dict(self.store.read(lambda tx: tx.execute("SELECT field, value FROM user_fields")))

    def rows(self) -> list[str]:
        return [row[0] for row in self.store.read(lambda tx: tx.execute("SELECT id FROM prompts ORDER BY opened_us"))]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def front(clock: VirtualClock) -> AsyncIterator[Front]:
    """In memory, without a cashier. Afterwards every prompt is either open or has ended once."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        made = Front(store, clock, nursery)
        yield made
        await trio.testing.wait_all_tasks_blocked()
        assert not set(made.rows()) & set(made.ends())
        nursery.cancel_scope.cancel()


@pytest.fixture(params=["memory", "file"])
async def either(request: pytest.FixtureRequest, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Front]:
    """On both stores."""
    state = tmp_path / "state" if request.param == "file" else None
    async with open_store(state, clock) as store, trio.open_nursery() as nursery:
        made = Front(store, clock, nursery)
        yield made
        nursery.cancel_scope.cancel()
        assert not set(made.rows()) & set(made.ends())


@pytest.fixture
def front_of() -> Callable[..., Front]:
    """Front(store, clock, nursery, cashier), for tests that open the store themselves."""
    return Front
