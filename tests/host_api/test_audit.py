"""The audit: what a record is, and that no change of the chain goes unnoticed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api import audit
from host_api.audit import EFFECT_CHARS_MAX, FIELD_CHARS_MAX, FIELDS_MAX, SALT_BYTES, Head
from host_api.store import Store, open_store
from runtime.testing import VirtualClock

RECORDS = 6
VECTOR = "d6f050890b45a69784eecfef625cbfa85bbdfaa97b8a88f61dbca9aa9f5407eb"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store(None, VirtualClock()) as opened:
        yield opened


async def filled(store: Store) -> Head:
    for number in range(1, RECORDS + 1):
        await store.write(lambda tx, number=number: audit.record(tx, "order.captured", app_id="a", amount=number))
    return store.read(audit.head)


async def sql(store: Store, *statements: str) -> None:
    for statement in statements:
        await store.write(lambda tx, statement=statement: tx.execute(statement))


async def forged(store: Store, first: int) -> None:
    """Rewrite every hash from that record on, as somebody would who knows how they are made."""

    def job(tx: Any) -> None:
        rows = tx.execute("SELECT n, record, hash FROM audit ORDER BY n")
        last = Head(n=0, hash=bytes(32))
        for n, text, stored in rows:
            kept = stored if n < first else audit.link(Head(n=n - 1, hash=last.hash), text)
            tx.execute("UPDATE audit SET hash = :hash WHERE n = :n", {"hash": kept, "n": n})
            last = Head(n=n, hash=kept)

    await store.write(job)


# ---- the chain -------------------------------------------------------------------------------------------------------
async def test_an_empty_chain_holds_and_contains_its_own_head(store: Store) -> None:
    head = store.read(audit.head)
    assert head == Head(n=0, hash=bytes(32))
    assert store.read(audit.verify) is None
    assert store.read(lambda tx: audit.verify(tx, head)) is None


async def test_every_head_there_ever_was_is_contained(store: Store) -> None:
    heads = [store.read(audit.head)]
    for _ in range(3):
        await store.write(lambda tx: audit.record(tx, "x"))
        heads.append(store.read(audit.head))
    assert [store.read(lambda tx, head=head: audit.verify(tx, head)) for head in heads] == [None] * 4
    assert len({head.hash for head in heads}) == 4


def test_the_hash_is_over_these_bytes() -> None:
    """Computed with sha256sum: "hostel audit 1\\0", n = 1 in eight bytes, 32 zero bytes, the record."""
    assert audit.link(Head(n=0, hash=bytes(32)), '{"at_us":1,"effect":"x"}').hex() == VECTOR


@pytest.mark.parametrize("n", range(1, RECORDS + 1))
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET record = replace(record, 'captured', 'refunded') WHERE n = {n}",
        "UPDATE audit SET record = record || ' ' WHERE n = {n}",
        "UPDATE audit SET hash = zeroblob(32) WHERE n = {n}",
        "UPDATE audit SET n = 99 WHERE n = {n}",
        "DELETE FROM audit WHERE n = {n}",
    ],
)
async def test_any_change_of_any_record_is_found(store: Store, n: int, change: str) -> None:
    head = await filled(store)
    await sql(store, change.format(n=n))
    found = store.read(lambda tx: audit.verify(tx, head))
    assert found is not None
    assert str(n) in found
    last = n == RECORDS and change.startswith("DELETE")
    assert (store.read(audit.verify) is None) is last  # cut off at its end, a chain alone does not show it


@pytest.mark.parametrize("n", range(1, RECORDS + 1))
async def test_a_forged_rest_of_the_chain_is_found_by_a_head_kept_outside(store: Store, n: int) -> None:
    head = await filled(store)
    await sql(store, f"UPDATE audit SET record = replace(record, 'captured', 'refunded') WHERE n = {n}")
    await forged(store, n)
    assert store.read(audit.verify) is None
    found = store.read(lambda tx: audit.verify(tx, head))
    assert found == f"the chain has another record {RECORDS} than the head that was kept"


@pytest.mark.parametrize("left", range(RECORDS))
async def test_a_chain_cut_off_is_found_by_a_head_kept_outside(store: Store, left: int) -> None:
    head = await filled(store)
    await sql(store, f"DELETE FROM audit WHERE n > {left}")
    assert store.read(audit.verify) is None
    found = store.read(lambda tx: audit.verify(tx, head))
    assert found == f"the chain ends at record {left}, and the head that was kept is record {RECORDS}"


async def test_two_records_that_changed_places_are_found(store: Store) -> None:
    await filled(store)
    await sql(store, "UPDATE audit SET n = -n WHERE n IN (2, 3)", "UPDATE audit SET n = 5 + n WHERE n < 0")
    assert store.read(audit.verify) is not None


async def test_a_record_put_in_between_is_found(store: Store) -> None:
    await filled(store)
    await sql(
        store, "UPDATE audit SET n = -n WHERE n > 3", "UPDATE audit SET n = 1 - n WHERE n < 0",
        "INSERT INTO audit VALUES (4, '{}', zeroblob(32))",
    )  # fmt: skip
    assert "record 4" in str(store.read(audit.verify))


# ---- records ---------------------------------------------------------------------------------------------------------
async def test_records_are_read_in_their_order_some_at_a_time(store: Store) -> None:
    await filled(store)
    rows = store.read(lambda tx: audit.records_after(tx, 2, 3))
    assert [n for n, _ in rows] == [3, 4, 5]
    assert json.loads(rows[0][1]) == {
        "effect": "order.captured", "at_us": VirtualClock().now_us(), "app_id": "a", "amount": 3
    }  # fmt: skip


@pytest.mark.parametrize(
    ("effect", "fields"),
    [
        ("", {}),
        ("x" * (EFFECT_CHARS_MAX + 1), {}),
        ("x", {f"f{n}": n for n in range(FIELDS_MAX + 1)}),
        ("x", {"f": "y" * (FIELD_CHARS_MAX + 1)}),
        ("x", {"f": 1.5}),
        ("x", {"f": b"y"}),
        ("x", {"f": ["y"]}),
    ],
)
async def test_what_is_no_record_undoes_its_job(store: Store, effect: str, fields: Any) -> None:
    with pytest.raises(ValueError, match="audit"):
        await store.write(lambda tx: audit.record(tx, effect, **fields))
    assert store.read(audit.head).n == 0


async def test_a_record_at_every_limit(store: Store) -> None:
    fields = {f"f{n:02}": "y" * FIELD_CHARS_MAX for n in range(FIELDS_MAX)}
    assert await store.write(lambda tx: audit.record(tx, "x" * EFFECT_CHARS_MAX, **fields)) == 1
    assert store.read(audit.verify) is None


# ---- subjects --------------------------------------------------------------------------------------------------------
async def test_a_user_is_the_same_subject_until_the_salt_is_gone(store: Store) -> None:
    def subject(user: str, salt: bytes) -> Any:
        return store.write(lambda tx: audit.subject(tx, user, lambda: salt))

    first = await subject("alice", b"1" * SALT_BYTES)
    assert first == await subject("alice", b"2" * SALT_BYTES) != await subject("bob", b"1" * SALT_BYTES)
    assert len(first) == 32 and "alice" not in first
    await sql(store, "DELETE FROM subjects")
    assert await subject("alice", b"2" * SALT_BYTES) != first
    assert await subject("", b"") == ""
    with pytest.raises(ValueError, match="16 bytes"):
        await subject("carol", b"short")


@given(st.text(max_size=50), st.text(max_size=50))
def test_different_records_have_different_links(one: str, other: str) -> None:
    before = Head(n=3, hash=bytes(32))
    assert (audit.link(before, one) == audit.link(before, other)) is (one == other)
