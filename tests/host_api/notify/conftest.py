"""A program that has something to say: the small world of users, with the notify service in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api import audit
from host_api.notify.methods import RequestParams, SendParams
from host_api.notify.notices import Notice, Notices
from host_api.notify.service import NotifyService
from host_api.store import Store, open_store
from runtime.testing import SeededIds, VirtualClock
from tests.host_api.user.conftest import World as UserWorld

NOTICES = {
    "shipped": {"en": "Order {no} is on its way: {carrier}", "zh-Hans": "{carrier} 正在配送订单 {no}"},
    "plain": {"": "Something happened"},
}
REASONS = {"notify": {"en": "To tell you of your orders", "zh-Hans": "告知订单进度"}}


class World(UserWorld):
    def __init__(self, store: Store, clock: VirtualClock, nursery: trio.Nursery) -> None:
        super().__init__(store, clock, nursery)
        self.announced: list[Notice] = []
        salts = SeededIds(4)
        self.notify = NotifyService(
            store=store,
            consents=self.consents,
            prompts=self.prompts,
            announce=self.announced.append,
            new_id=SeededIds(5),
            new_salt=lambda: bytes.fromhex(salts()),
        )
        self.notices = Notices(store=store)

    def session(self, user: str = "alice", **changes: Any) -> Any:
        return super().session(user, **{"notices": NOTICES, "reasons": REASONS, **changes})

    async def subscribe(self, session: Any = None, *, yes: bool = True, wait_ms: int = 60_000) -> str:
        self.answer_with(yes)
        return (await self.notify.request(session or self.session(), RequestParams(wait_ms=wait_ms))).status

    async def send(self, session: Any = None, **params: Any) -> str:
        """Params pass validation as in the broker."""
        asked = {"template": "shipped", "params": {"no": "81", "carrier": "SF"}, **params}
        return (await self.notify.send(session or self.session(), msgspec.convert(asked, SendParams))).id

    def texts(self, user: str = "alice") -> list[str]:
        return [notice.text for notice in self.notices.pending(user)]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "file"])
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[World]:
    """On both stores. Whatever a test did, the audit holds after it."""
    state = tmp_path / "state" if request.param == "file" else None
    async with open_store(state, clock) as store, trio.open_nursery() as nursery:
        made = World(store, clock, nursery)
        yield made
        nursery.cancel_scope.cancel()
        assert store.read(audit.verify) is None
