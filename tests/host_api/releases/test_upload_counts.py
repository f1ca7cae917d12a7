"""What did not become a release is an upload of the day all the same, from before it is looked at until a day later."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_api.releases import developers, upload_counts, uploads
from host_api.releases.transitions import RegistryRefused
from host_api.releases.upload_counts import DAY_US
from host_api.store import open_store
from host_api.store.migrations import known_migrations
from host_api.store.protocol import Transaction
from runtime.testing import VirtualClock
from tests.host_api.releases.conftest import Registry, by_index, key_of, offer

KEY = key_of(1, "").key_id
FILE = bytes(32)


async def begun(registry: Registry, developer: str, *, per_day: int = 2, pending: int = 10) -> int:
    number: int = await registry.do(upload_counts.begin, developer, per_day=per_day, pending=pending)
    return number


async def test_what_was_begun_counts_beside_what_became_a_release(registry: Registry) -> None:
    ann, bob = await registry.developer("Ann", 1), await registry.developer("Bob", 2)
    await registry.submit(offer(1, developer=ann.id, key=KEY), per_day=2)
    await begun(registry, ann.id)
    with pytest.raises(RegistryRefused) as refused:
        await begun(registry, ann.id)
    assert refused.value.details == {"limit": "uploads_per_day", "value": 2, "used": 2, "scope": "developer"}
    await begun(registry, bob.id)


async def test_what_became_a_release_or_was_one_counts_once(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    for _ in range(2):
        number = await begun(registry, ann.id)
        await registry.do(uploads.submit, offer(1, developer=ann.id, key=KEY), per_day=2, pending=1, begun=number)
        assert registry.rows("refused_uploads") == 0


async def test_a_refusal_of_the_registrys_leaves_it_counted(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    await registry.submit(offer(5, developer=ann.id, key=KEY))
    number = await begun(registry, ann.id)
    with pytest.raises(RegistryRefused, match="used once"):
        await registry.do(
            uploads.submit, offer(4, developer=ann.id, key=KEY), per_day=2, pending=9, begun=number
        )  # fmt: skip
    assert registry.rows("refused_uploads") == 1


async def test_it_is_forgotten_after_a_day_and_its_row_goes(registry: Registry) -> None:
    ann, bob = await registry.developer("Ann", 1), await registry.developer("Bob", 2)
    for _ in range(2):
        await begun(registry, ann.id)
    registry.clock.advance(us=DAY_US - 3)
    with pytest.raises(RegistryRefused):
        await begun(registry, ann.id)
    assert registry.rows("refused_uploads") == 2
    registry.clock.advance(us=2)
    await begun(registry, bob.id)
    assert registry.rows("refused_uploads") == 1


async def test_too_many_waiting_are_too_many_before_a_look(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    await registry.submit(offer(1, developer=ann.id, key=KEY))
    with pytest.raises(RegistryRefused, match="uploads_pending is 1"):
        await begun(registry, ann.id, pending=1)
    assert registry.rows("refused_uploads") == 0


async def test_a_file_is_known_again_as_its_senders(registry: Registry) -> None:
    ann, bob = await registry.developer("Ann", 1), await registry.developer("Bob", 2)
    made = await registry.submit(offer(1, developer=ann.id, key=KEY, file_sha256=FILE))
    await registry.submit(offer(2, developer=ann.id, key=KEY))
    assert registry.read(uploads.sent_before, ann.id, FILE) == made
    assert registry.read(uploads.sent_before, bob.id, FILE) is None
    assert registry.read(uploads.sent_before, ann.id, bytes([1]) * 32) is None


async def test_what_was_begun_is_counted_by_the_next_host(tmp_path: Path) -> None:
    """Also where the one before was killed in the middle of it, and where a state is older than the count."""
    state, clock = tmp_path / "state", VirtualClock()
    async with open_store(state, clock, known=known_migrations()[:5]) as store:
        ann = await store.write(lambda tx: developers.sign_up(tx, "1" * 32, "Ann"))
        await store.write(lambda tx: developers.add_key(tx, key_of(1, ann.id)))

    def begin(tx: Transaction) -> int:
        return by_index(tx, upload_counts.begin, ann.id, per_day=1, pending=1)

    async with open_store(state, clock) as store:
        assert (state / "before-0006_uploads.sqlite3").exists()
        await store.write(begin)
    async with open_store(state, clock) as store:
        with pytest.raises(RegistryRefused, match="uploads_per_day is 1"):
            await store.write(begin)
        assert store.read(lambda tx: uploads.sent_before(tx, ann.id, FILE)) is None
