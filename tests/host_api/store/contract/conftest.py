"""What the contract suite runs against. Another implementation of `Store` joins by one more entry in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from host_api.contract import Clock
from host_api.store import Store, open_store
from runtime.testing import VirtualClock

OpenStore = Callable[[Clock], AbstractAsyncContextManager[Store]]


def _memory(_: Path) -> OpenStore:
    return lambda clock: open_store(None, clock)


def _file(path: Path) -> OpenStore:
    return lambda clock: open_store(path / "state", clock)


STORES = {"memory": _memory, "file": _file}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path)(clock) as opened:
        yield opened
