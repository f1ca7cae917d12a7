"""State that a release before the registry wrote: opens, keeps whose programs are, and takes installs."""

from __future__ import annotations

from pathlib import Path

from host_api.ownership import NotOwner, owner_of
from host_api.releases import developers, records, uploads
from host_api.store import open_store
from host_api.store.migrations import known_migrations
from host_api.store.protocol import Transaction
from runtime.testing import VirtualClock
from tests.host_api.releases.conftest import APP, NOTHING, key_of, offer

KEY = key_of(1, "").key_id


def written_then(tx: Transaction) -> None:
    """A program by a keyring's owner, one by a key without an owner; a user's consent."""
    for app_id, owner in ((APP, "Ann Ltd"), ("org.example.taxi", KEY)):
        tx.execute("INSERT INTO program_owners (app_id, developer) VALUES (?, ?)", (app_id, owner))
        tx.execute("INSERT INTO consents VALUES (?, 'alice', 'phone', 1, 'v', 'why', 'en', 1, 2)", (app_id,))


async def test_a_state_without_a_registry_opens_and_nothing_is_lost(tmp_path: Path) -> None:
    state, clock = tmp_path / "state", VirtualClock()
    async with open_store(state, clock, known=known_migrations()[:2]) as store:
        await store.write(written_then)
    async with open_store(state, clock) as store:
        assert (state / "before-0003_registry.sqlite3").exists()
        assert store.read(records.count_programs) == 0 and store.read(lambda tx: owner_of(tx, APP)) == "Ann Ltd"
        ann = await store.write(lambda tx: developers.sign_up(tx, "1" * 32, "Ann Ltd"))
        await store.write(lambda tx: developers.add_key(tx, key_of(1, ann.id)))

        def install(tx: Transaction, app_id: str, *names: str) -> None:
            made = offer(1, app_id, developer=ann.id, key=KEY)
            uploads.install(
                tx, made, NOTHING, sector=app_id, isolation=None, new_owner=False, also_known_as=(KEY, *names)
            )

        try:
            await store.write(lambda tx: install(tx, APP))
        except NotOwner as error:
            assert error.owner == "Ann Ltd", "the same name alone says nothing"
        else:
            raise AssertionError("taken by a namesake")
        await store.write(lambda tx: install(tx, APP, "Ann Ltd"))  # what the operator's keyring calls that key's owner
        await store.write(lambda tx: install(tx, "org.example.taxi"))
        assert {store.read(lambda tx, a=a: owner_of(tx, a)) for a in (APP, "org.example.taxi")} == {ann.id}  # type: ignore[misc]
        assert store.read(lambda tx: tx.execute("SELECT count(*) FROM consents")) == [(2,)]
