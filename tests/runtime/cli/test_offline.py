"""A state directory that no host runs on: who only looks leaves nothing there."""

from __future__ import annotations

from pathlib import Path

from host_api.store import open_store
from runtime.cli.offline import opened
from runtime.sources import SystemClock


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


async def test_who_looks_makes_no_key(tmp_path: Path) -> None:
    """A key that was made would be one more secret to keep, of a host that may never issue a token."""
    state = tmp_path / "state"
    async with open_store(state, SystemClock()):
        pass
    before = files(state)
    async with opened(state) as client:
        assert await client.balances() == []
        await client.front_end.end_sessions("alice")
    assert {name for name in files(state) - before if name.startswith("keys")} == set()
