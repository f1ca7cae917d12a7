"""An outbox to publish to, on both stores, with a clock that is set. Whatever a test did, its proof holds after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from host_api.events import delivery, outbox
from host_api.events.outbox import Event
from host_api.events.verification import verify
from host_api.store import Store, open_store
from runtime.testing import VirtualClock

APP = "org.example.shop"


class Outbox:
    """What tests do with a store's events."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store, self.clock = store, clock

    async def publish(
        self, stream: str = "order", *, app_id: str = APP, user: str = "alice", topic: str = "payment.pending",
        payload: Any = None,
    ) -> int:  # fmt: skip
        """Its seq, as the program knows it."""
        told = {"order_id": stream} if payload is None else payload

        def job(tx: Any) -> int:
            outbox.publish(tx, app_id=app_id, user=user, stream=stream, topic=topic, payload=told)
            return int(tx.execute("SELECT max(app_seq) FROM events WHERE app_id = :app_id", {"app_id": app_id})[0][0])

        return await self.store.write(job)

    async def take(self, app_id: str = APP) -> Event | None:
        return await self.store.write(lambda tx: delivery.take(tx, app_id))

    async def taken(self, app_id: str = APP) -> tuple[str, int] | None:
        """(stream, stream_seq) of the event that was taken."""
        event = await self.take(app_id)
        return event and (event.stream, event.stream_seq)

    async def ack(self, seq: int, *, app_id: str = APP, user: str = "") -> bool:
        return await self.store.write(lambda tx: delivery.acknowledge(tx, app_id, user, seq))

    async def prune(self, at_most: int = 100) -> int:
        return await self.store.write(lambda tx: delivery.prune(tx, at_most))

    def due_us(self, app_id: str = APP) -> int:
        return self.store.read(lambda tx: delivery.due_us(tx, app_id))

    def listed(self, app_id: str = APP, user: str = "", after: int = 0) -> list[Event]:
        return self.store.read(lambda tx: outbox.events_after(tx, app_id, user, after, 1_000))

    def findings(self) -> list[str]:
        return self.store.read(verify)

    async def sql(self, statement: str) -> None:
        """Damage."""
        await self.store.write(lambda tx: tx.execute(statement))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "file"])
async def events(request: pytest.FixtureRequest, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Outbox]:
    async with open_store(tmp_path / "state" if request.param == "file" else None, clock) as store:
        made = Outbox(store, clock)
        yield made
        assert made.findings() == []


@pytest.fixture
async def damaged(clock: VirtualClock) -> AsyncIterator[Outbox]:
    """One whose proof is to find something."""
    async with open_store(None, clock) as store:
        yield Outbox(store, clock)
