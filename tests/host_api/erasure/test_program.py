"""A program that is erased: nothing it kept or said is left, money still adds up, and nobody else loses anything."""

from __future__ import annotations

import json

from host_api.erasure import service
from host_api.erasure.program import DELETED, KEPT, UNINSTALLED
from host_api.payment.orders import REFUND_WINDOW_US
from tests.host_api.erasure.conftest import OTHER, SHOP, Site
from tests.host_api.erasure.test_user import columns, everything


async def planted(site: Site) -> None:
    for user, mark in (("alice", "planted-shop-a-"), ("bob", "planted-shop-b-")):
        await site.plant(user, mark)
    await site.ask(site.session("", SHOP), "storage.put", key="planted-shop-all", value=1, scope="program")
    await site.plant("alice", "planted-other-", OTHER)
    await site.services.users.put("alice", {"nickname": "Lin", "avatar": None, "phone": None, "address": None})


async def test_every_table_with_a_program_in_it_is_known(site: Site) -> None:
    """A table that is added later, and names programs, has to be told of here."""
    of_programs = {table for table, names in columns(site.store).items() if names & {"app_id", "program", "app"}}
    assert of_programs == set(DELETED) | KEPT | UNINSTALLED


async def test_nothing_the_program_kept_or_said_is_left_in_any_row(site: Site) -> None:
    await planted(site)
    before = everything(site.store)
    assert before.count("planted-shop-") > 40
    assert await site.erasure.erase_program(SHOP) > 40
    after = everything(site.store)
    assert after.count("planted-shop-b-nick") == before.count("planted-shop-b-nick") == 1  # what the platform knows
    for said in ("note", "long", "key", "81", "no-", "a basket", "back", "reason", "x", "all"):
        for mark in ("planted-shop-a-", "planted-shop-b-", "planted-shop-"):
            assert f"{mark}{said}" not in after, said
    assert after.count("planted-other-") == before.count("planted-other-")
    assert site.findings() == []


async def test_other_programs_lose_nothing(site: Site) -> None:
    await planted(site)
    before = await site.erasure.export_user("alice")
    await site.erasure.erase_program(SHOP)
    after = await site.erasure.export_user("alice")
    for section in ("storage", "keys", "orders", "consents", "notices", "events", "prompts"):
        kept = [one for one in before[section] if one["app_id"] == OTHER]
        assert [one for one in after[section] if one["app_id"] == OTHER] == kept
        assert kept, section


async def test_orders_stay_with_their_amounts_and_still_finish(site: Site) -> None:
    await planted(site)
    await site.erasure.erase_program(SHOP)
    rows = site.store.read(
        lambda tx: tx.execute(
            "SELECT user_id, status, close_reason, captured, refunded, subject FROM orders WHERE app_id = ?"
            " ORDER BY user_id, status, captured",
            (SHOP,),
        )
    )
    assert rows == [
        (user, *state, "")
        for user in ("alice", "bob")
        for state in (("closed", "uninstalled", 0, 0), ("closed", "uninstalled", 0, 0), ("succeeded", "", 1_250, 250))
    ]
    site.clock.advance(us=REFUND_WINDOW_US)
    of_the_other = 3
    assert await site.store.write(lambda tx: site.services.sweeps[0](tx, 10)) == 2 + of_the_other


async def test_it_goes_some_rows_at_a_time_and_can_be_done_again(site: Site) -> None:
    session = site.session("alice")
    for number in range(service.ROWS_AT_ONCE // 100):
        for one in range(100):
            await site.store.write(
                lambda tx, key=f"{number}-{one}": tx.execute(  # type: ignore[misc]
                    "INSERT INTO storage_values VALUES (?, 'alice', ?, 1, 1, x'00')", (SHOP, key)
                )
            )
    await site.order(session)
    rows = await site.erasure.erase_program(SHOP)
    records = [json.loads(row[0]) for row in site.store.read(lambda tx: tx.execute("SELECT record FROM audit"))]
    told = [record["rows"] for record in records if record["effect"] == "program.erased"]
    assert len(told) == 2
    assert told[0] == service.ROWS_AT_ONCE
    assert sum(told) == rows
    assert await site.erasure.erase_program(SHOP) == 0
    assert await site.erasure.erase_program("org.example.never") == 0


async def test_the_cache_of_storage_forgets(site: Site) -> None:
    for app_id in (SHOP, OTHER):
        await site.ask(site.session("alice", app_id), "storage.put", key="cart", value=1)
        await site.ask(site.session("alice", app_id), "storage.get", key="cart")
    await site.erasure.erase_program(SHOP)
    assert not (await site.ask(site.session("alice"), "storage.get", key="cart"))["found"]
    assert (await site.ask(site.session("alice", OTHER), "storage.get", key="cart"))["found"]


async def test_installed_again_it_begins_anew(site: Site) -> None:
    await planted(site)
    await site.erasure.erase_program(SHOP)
    await site.plant("alice", "planted-shop-a-")  # the same keys and numbers once more
    assert await site.erasure.erase_program(SHOP) > 20
