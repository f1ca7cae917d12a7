"""Whose a program's id is: the first developer's, and what goes when it changes hands."""

from __future__ import annotations

import json

import pytest

from host_api.ownership import NotOwner, claim
from host_api.store import Store, Transaction, open_store
from runtime.testing import VirtualClock

APP = "org.example.shop"


async def claimed(store: Store, developer: str, *, new_owner: bool = False) -> None:
    await store.write(lambda tx: claim(tx, APP, developer, new_owner=new_owner))


def consents(tx: Transaction) -> int:
    return int(tx.execute("SELECT count(*) FROM consents WHERE app_id = :app_id", {"app_id": APP})[0][0])


def allow(tx: Transaction) -> None:
    tx.execute("INSERT INTO consents VALUES (:app_id, 'alice', 'phone', 1, 'v', 'why', 'en', 1, 2)", {"app_id": APP})


async def test_the_first_who_is_somebody_owns_it_and_nobody_else_releases_under_it() -> None:
    async with open_store(None, VirtualClock()) as store:
        for developer in ("", "", "ann", "ann"):
            await claimed(store, developer)
        await store.write(allow)
        for other in ("bob", ""):
            with pytest.raises(NotOwner) as refused:
                await claimed(store, other)
            assert refused.value.owner == "ann"
        assert store.read(consents) == 1


async def test_what_users_allowed_goes_when_it_changes_hands() -> None:
    async with open_store(None, VirtualClock()) as store:
        await claimed(store, "ann")
        await store.write(allow)
        await claimed(store, "bob", new_owner=True)
        assert store.read(consents) == 0
        with pytest.raises(NotOwner):
            await claimed(store, "ann")
        told = store.read(lambda tx: tx.execute("SELECT record FROM audit ORDER BY n"))
    changes = [(record["before"], record["developer"]) for record in (json.loads(text) for (text,) in told)]
    assert changes == [("", "ann"), ("ann", "bob")]
