"""A watched store says so after each write, whatever came of it, and is otherwise the store it watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_api.errors import ApiError
from host_api.store import open_store
from host_api.store.watched import WatchedStore
from runtime.testing import VirtualClock


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_who_is_told_of_a_commit_sees_what_was_committed(kind: str, tmp_path: Path) -> None:
    clock = VirtualClock()
    seen: list[int] = []
    async with open_store(tmp_path / "state" if kind == "file" else None, clock) as opened:
        store = WatchedStore(opened)
        put = "INSERT INTO merchants (app_id, fee_bps, fee_fixed) VALUES (:app, 1, 0)"
        await store.write(lambda tx: tx.execute(put, {"app": "a"}))
        store.committed = lambda: seen.append(store.read(lambda tx: tx.execute("SELECT count(*) FROM merchants"))[0][0])
        assert await store.write(lambda tx: tx.execute(put, {"app": "b"}) or "done") == "done"
        with pytest.raises(ZeroDivisionError):
            await store.write(lambda tx: 1 // 0)
        assert seen == [2, 2]
        assert store.now_us() == clock.now_us()
        await store.scrub()
        store.committed = lambda: None
        await store.aclose()
        with pytest.raises(ApiError, match="closing"):
            await store.write(lambda tx: None)
