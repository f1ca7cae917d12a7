"""Developers and their keys: who is who, when a key counts, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from host_api.releases import developers, records
from host_api.releases.developers import KEYS_MAX
from host_api.releases.transitions import RegistryRefused
from tests.host_api.releases.conftest import APP, Registry, key_of, offer


async def refused(registry: Registry, job: Any, *arguments: Any) -> str:
    with pytest.raises(RegistryRefused) as caught:
        await registry.do(job, *arguments)
    return caught.value.code


async def test_a_developer_signs_up_once_under_a_clean_name(registry: Registry) -> None:
    ann = await registry.developer("Ann  Ltd")
    assert (ann.name, ann.trust, ann.limits) == ("Ann Ltd", "unreviewed", {})
    assert registry.read(developers.get, ann.id) == registry.read(developers.get, "Ann Ltd") == ann
    assert await refused(registry, developers.sign_up, "2", "Ann Ltd") == "developer_exists"
    for name in ("", "two\nlines", "x" * 65, "Ann\u202eLtd"):
        assert await refused(registry, developers.sign_up, "2", name) == "text_refused"
    assert await refused(registry, developers.get, "Bob") == "developer_unknown"
    assert [one["effect"] for one in registry.told()] == ["developer.signed_up"]
    assert "Ann" not in str(registry.told())


async def test_lists_go_on_after_a_key(registry: Registry) -> None:
    made = sorted([(await registry.developer(f"Developer {n}")).id for n in range(7)])
    first = registry.read(developers.listed, "", 3)
    then = registry.read(developers.listed, first[-1].id, 1_000)
    assert [one.id for one in (*first, *then)] == made
    for limit in (0, 1_001, True):
        with pytest.raises(RegistryRefused) as caught:
            registry.read(developers.listed, "", limit)
        assert caught.value.code == "page_refused"


async def test_trust_and_limits_are_set_and_told(registry: Registry) -> None:
    ann = await registry.developer()
    assert (await registry.do(developers.set_trust, ann.id, "platform")).trust == "platform"
    assert await refused(registry, developers.set_trust, ann.id, "much") == "trust_unknown"
    assert (await registry.do(developers.set_limits, ann.id, {"calls_per_s": 7})).limits == {"calls_per_s": 7}
    assert [one["effect"] for one in registry.told()[1:]] == ["developer.trusted", "developer.limits"]


async def test_a_key_is_one_developers_for_ever(registry: Registry) -> None:
    ann, bob = await registry.developer("Ann", 1), await registry.developer("Bob")
    assert await refused(registry, developers.add_key, key_of(1, bob.id)) == "key_exists"
    await registry.do(developers.revoke_key, key_of(1, "").key_id, "stolen")
    assert await refused(registry, developers.add_key, key_of(1, bob.id)) == "key_exists"
    assert await refused(registry, developers.add_key, key_of(2, "nobody")) == "developer_unknown"
    assert [key.key_id for key in registry.read(developers.keys_of, ann.id)] == [key_of(1, "").key_id]


async def test_a_developer_has_so_many_keys(registry: Registry) -> None:
    ann = await registry.developer("Ann", *range(1, KEYS_MAX + 1))
    assert await refused(registry, developers.add_key, key_of(KEYS_MAX + 1, ann.id)) == "keys_max"


async def test_a_window_is_half_open_and_not_empty(registry: Registry) -> None:
    ann = await registry.developer()
    key = await registry.do(developers.add_key, key_of(1, ann.id, valid_from_us=10, valid_until_us=20))
    for now_us, code in ((9, "key_expired"), (10, ""), (19, ""), (20, "key_expired")):
        if not code:
            developers.check_key(key, now_us)
            continue
        with pytest.raises(RegistryRefused) as caught:
            developers.check_key(key, now_us)
        assert caught.value.code == code
    empty = key_of(2, ann.id, valid_from_us=10, valid_until_us=10)
    assert await refused(registry, developers.add_key, empty) == "key_window"


async def test_a_revoked_key_says_why_and_vouches_for_no_other(registry: Registry) -> None:
    ann = await registry.developer("Ann", 1)
    old = key_of(1, "").key_id
    new = key_of(2, ann.id, rotated_from=old)
    assert (await registry.do(developers.rotate_key, old, new)).rotated_from == old
    revoked = await registry.do(developers.revoke_key, old, "stolen")
    assert revoked.revoked_us and revoked.revoke_reason == "stolen"
    assert await refused(registry, developers.revoke_key, old, "again") == "key_revoked"
    assert await refused(registry, developers.rotate_key, old, key_of(3, ann.id)) == "key_revoked"
    bob = await registry.developer("Bob", 4)
    for theirs, whose in (("0" * 32, ann.id), (new.key_id, bob.id)):
        assert await refused(registry, developers.rotate_key, theirs, key_of(3, whose)) == "key_unknown"
    assert [one["effect"] for one in registry.told()].count("developer.key_revoked") == 1


async def test_what_a_key_signed_is_found_by_it(registry: Registry) -> None:
    key = key_of(1, "").key_id
    await registry.install(offer(1, developer="ann", key=key))
    await registry.install(offer(2, developer="ann", key=key))
    await registry.install(offer(1, "org.example.taxi", developer="ann", key=key))
    await registry.install(offer(1, "org.example.other"))
    first = registry.read(records.releases_by_key, key, ("", 0), 2)
    then = registry.read(records.releases_by_key, key, first[-1][:2], 10)
    assert [*first, *then] == [(APP, 1, "superseded"), (APP, 2, "full"), ("org.example.taxi", 1, "full")]
