"""What is read often, or of large tables, is read by an index: however many rows there are, no others are looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from host_api.erasure import export, program, user
from host_api.events import delivery
from host_api.notify import notices
from host_api.prompts import records
from host_api.releases import contents, developers, upload_counts, uploads
from host_api.releases import records as releases
from host_api.releases.transitions import RegistryRefused
from host_api.store import Store, Transaction, open_store
from runtime.testing import VirtualClock
from tests.host_api.store.plans import Explained, all_by_index

READS: dict[str, Callable[[Transaction], object]] = {
    "notices of all": lambda tx: notices._waiting(tx, None),
    "notices of one": lambda tx: notices._waiting(tx, "alice"),
    "prompts of all": lambda tx: records.waiting(tx, None, 10),
    "wallets": lambda tx: export._wallets(tx, "alice"),
    "an order's transfers": lambda tx: export._of_order(tx, {"id": "o"}, set()),
    "unnamed events": lambda tx: user._unname_events(tx, "alice", 10),
    "rewritten": lambda tx: user._rewrite(tx, "alice", "erased:0"),
    "deleted of a user": lambda tx: user._delete(tx, "alice", 10),
    "orders of a user": lambda tx: user._blank_orders(tx, "erased:0", 10, str, user.START),
    "deleted of a program": lambda tx: program._delete(tx, "app", 10),
    "orders of a program": lambda tx: program._blank_orders(tx, "app", 10, str, ""),
    "a program with all that its calls need": lambda tx: releases.running(tx, "app"),
    "what a program may do": lambda tx: releases._authority(tx, "app", 1),
    "a program's standing": lambda tx: releases.statuses(tx, "", 10),
    "releases of a program": lambda tx: releases.releases_of(tx, "app", 0, 10),
    "uploads that wait": lambda tx: releases.submitted(tx, 10),
    "releases by a key": lambda tx: releases.releases_by_key(tx, "k" * 32, ("", 0), 10),
    "uploads of a developer": lambda tx: upload_counts.check(tx, "ann", per_day=10, pending=10),
    "a file of a developer": lambda tx: uploads.sent_before(tx, "ann", bytes(32)),
    "a developer by name or id": lambda tx: find_developer(tx),
    "developers": lambda tx: developers.listed(tx, "", 10),
    "what releases are made of": lambda tx: contents.drop_unused(tx, (bytes(32), bytes(32), bytes(32))),
    "programs with events that are due": lambda tx: delivery.programs_due(tx, "", 10),
    "events of a program": lambda tx: program._erase_events(tx, "app", 10, program.START),
}


def find_developer(tx: Transaction) -> None:
    with contextlib.suppress(RegistryRefused):
        developers.get(tx, "Ann")


@pytest.mark.parametrize("name", READS)
async def test_it_is_found_by_an_index(name: str) -> None:
    async with open_store(None, VirtualClock()) as store:
        all_by_index(await _explained(store, READS[name]))


@pytest.mark.parametrize("name", [*export._SECTIONS, "deposits", "forfeited"])
async def test_each_page_of_an_export_is(name: str) -> None:
    section = {**export._SECTIONS, **dict(zip(("deposits", "forfeited"), export._WITHOUT_ORDER, strict=True))}[name]

    def first(tx: Transaction) -> None:
        tx.execute(f"SELECT {', '.join(section.columns.split())} FROM {section.table} WHERE {section.whose}", ("x",))

    async with open_store(None, VirtualClock()) as store:
        all_by_index(await _explained(store, first))


async def test_transfers_without_an_order_are_found_by_their_wallet() -> None:
    """Not by having none: so have all deposits of all users."""
    async with open_store(None, VirtualClock()) as store:
        for side, index in zip(export._WITHOUT_ORDER, ("in", "out"), strict=True):
            sql = f"SELECT {side.columns.replace(' ', ', ')} FROM transfers WHERE {side.whose} ORDER BY seq LIMIT 9"
            plans = await _explained(store, lambda tx, sql=sql: tx.execute(sql, (1,)))  # type: ignore[misc]
            (plan,) = plans.values()
            assert f"USING INDEX transfers_{index}_without_order" in plan[0]


async def test_a_list_of_keys_does_not_read_the_values() -> None:
    """What stands behind a value is on the last of its pages."""
    async with open_store(None, VirtualClock()) as store:
        columns: Any = store.read(lambda tx: tx.execute("SELECT name FROM pragma_table_info('storage_values')"))
    assert columns[-1] == ("value",)


async def _explained(store: Store, read: Callable[[Transaction], object]) -> dict[str, list[str]]:
    plans: dict[str, list[str]] = {}

    def job(tx: Transaction) -> None:
        explained = Explained(tx)
        read(explained)
        plans.update(explained.plans)

    await store.write(job)
    assert plans
    return plans
