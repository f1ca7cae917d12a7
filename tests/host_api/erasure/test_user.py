"""A user who is erased: nothing names them any more, every sum still holds, and nobody else loses anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from host_api import ledger
from host_api.erasure import user as erasure_user
from host_api.erasure.tombstone import PREFIX, is_tombstone
from host_api.erasure.user import DELETED, REWRITTEN, BalanceLeft, erase_user
from host_api.errors import ApiError, ErrorCode
from host_api.ledger import AccountKind, AccountName
from host_api.money import AMOUNT_MAX, Money
from host_api.payment.orders import REFUND_WINDOW_US
from host_api.store import Store, Transaction
from tests.host_api.erasure.conftest import OTHER, SHOP, Site

ALICE, BOB = "alice-at-home", "bob-at-work"


def everything(store: Store) -> str:
    """Every value of every row, as one text."""

    def read(tx: Transaction) -> str:
        tables = [name for (name,) in tx.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return repr([tx.execute(f"SELECT * FROM {table}") for table in tables])

    return store.read(read)


def columns(store: Store) -> dict[str, set[str]]:
    """Table → its columns."""
    rows = store.read(
        lambda tx: tx.execute(
            "SELECT t.name, c.name FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table'"
        )
    )
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    return found


async def planted(site: Site) -> None:
    for user, mark in ((ALICE, "planted-a-"), (BOB, "planted-b-")):
        await site.plant(user, mark)
        await site.plant(user, f"{mark}too-", OTHER)


# ---- what is erased --------------------------------------------------------------------------------------------------
async def test_every_table_with_a_user_in_it_is_known(site: Site) -> None:
    """A table that is added later, and names users, has to be told of here."""
    of_users = {
        (table, column)
        for table, names in columns(site.store).items()
        for column in names & {"user_id", "scope_user", "owner", "user", "user_name", "subject_user"}
    }
    assert of_users == {*DELETED.items(), *REWRITTEN.items()}


async def test_nothing_of_the_user_is_left_in_any_row(site: Site) -> None:
    await planted(site)
    before = everything(site.store)
    assert ALICE in before and before.count("planted-a-") > 20
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    after = everything(site.store)
    assert ALICE not in after
    assert "planted-a-" not in after
    assert after.count("planted-b-") == before.count("planted-b-")
    assert site.findings() == []


async def test_nobody_else_loses_anything(site: Site) -> None:
    await planted(site)
    before = await site.erasure.export_user(BOB)
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    after = await site.erasure.export_user(BOB)
    assert {**after, "exported_us": 0} == {**before, "exported_us": 0}
    assert len(before["orders"]) == 6


async def test_what_stays_is_one_tombstones(site: Site) -> None:
    await planted(site)
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    owners = {
        owner
        for table, column in (("orders", "user_id"), ("payment_usage", "user_id"), ("accounts", "owner"))
        for (owner,) in site.store.read(lambda tx, t=table, c=column: tx.execute(f"SELECT {c} FROM {t}"))  # type: ignore[misc]
    }
    assert len([owner for owner in owners if is_tombstone(owner)]) == 1
    assert (
        len({number for (number,) in site.store.read(lambda tx: tx.execute("SELECT out_trade_no FROM orders"))}) == 12
    )


async def test_amounts_stay(site: Site) -> None:
    await site.deposit(ALICE, 10_000)
    await site.pay(site.session(ALICE), amount=1_250)
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    assert site.store.read(lambda tx: tx.execute("SELECT amount, captured, status FROM orders")) == [
        (1_250, 1_250, "succeeded")
    ]
    merchant = AccountName(kind=AccountKind.MERCHANT, owner=SHOP, currency="CNY")
    assert site.store.read(lambda tx: ledger.balance(tx, merchant)).posted == 1_250


async def test_the_cache_of_storage_forgets(site: Site) -> None:
    for user in (ALICE, BOB):
        await site.ask(site.session(user), "storage.put", key="cart", value=1)
        assert (await site.ask(site.session(user), "storage.get", key="cart"))["found"]
    await site.erasure.erase_user(ALICE)
    assert not (await site.ask(site.session(ALICE), "storage.get", key="cart"))["found"]
    assert (await site.ask(site.session(BOB), "storage.get", key="cart"))["found"]
    assert (await site.ask(site.session(ALICE), "storage.usage"))["keys"] == 0


async def test_a_user_who_comes_back_is_a_new_one(site: Site) -> None:
    await site.plant(ALICE, "planted-a-")
    subject = (await site.erasure.export_user(ALICE))["user"]
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    session = site.session(ALICE)
    assert (await site.ask(session, "user.consents"))["consents"] == []
    with pytest.raises(ApiError) as refused:
        await site.ask(session, "payment.query", out_trade_no="planted-a-no-1")
    assert refused.value.code is ErrorCode.NOT_FOUND
    await site.plant(ALICE, "planted-a-")  # the same keys and numbers once more
    assert subject == ALICE
    assert len((await site.erasure.export_user(ALICE))["orders"]) == 3


async def test_one_audit_record_that_names_nobody(site: Site) -> None:
    await site.plant(ALICE, "planted-a-")
    erased = await site.erasure.erase_user(ALICE, forfeit_balance=True)
    records = [json.loads(row[0]) for row in site.store.read(lambda tx: tx.execute("SELECT record FROM audit"))]
    (told,) = [record for record in records if record["effect"] == "user.erased"]
    assert told == {"effect": "user.erased", "at_us": told["at_us"], "rows": erased.rows, "orders_closed": 2}
    assert site.store.read(lambda tx: tx.execute("SELECT count(*) FROM subjects")) == [(0,)]


async def test_erased_again_there_is_nothing_to_do(site: Site) -> None:
    await site.plant(ALICE, "planted-a-")
    assert (await site.erasure.erase_user(ALICE, forfeit_balance=True)).rows > 20
    before = everything(site.store)
    again = await site.erasure.erase_user(ALICE)
    assert (again.rows, again.orders_closed, again.forfeited) == (0, 0, ())
    assert everything(site.store) == before


@pytest.mark.parametrize("name", ["", f"{PREFIX}0123"])
async def test_a_name_that_is_no_users_is_refused(site: Site, name: str) -> None:
    with pytest.raises(ValueError, match="a name"):
        await site.erasure.erase_user(name)


# ---- money -----------------------------------------------------------------------------------------------------------
async def test_money_in_the_wallet_is_named_and_nothing_happens(site: Site) -> None:
    await site.plant(ALICE, "planted-a-")
    await site.deposit(ALICE, 500, "JPY")
    before = everything(site.store)
    with pytest.raises(BalanceLeft, match=r"90\.00 CNY, 500 JPY: pay it out first, or forfeit it") as refused:
        await site.erasure.erase_user(ALICE)
    assert refused.value.balances == (Money(amount=9_000, currency="CNY"), Money(amount=500, currency="JPY"))
    assert everything(site.store) == before


async def test_a_forfeited_balance_is_in_suspense(site: Site) -> None:
    await site.deposit(ALICE, 500, "JPY")
    await site.deposit(ALICE, AMOUNT_MAX)
    await site.deposit(ALICE, 7)
    erased = await site.erasure.erase_user(ALICE, forfeit_balance=True)
    assert [(money.amount, money.currency) for money in erased.forfeited] == [
        (AMOUNT_MAX, "CNY"), (7, "CNY"), (500, "JPY"),
    ]  # fmt: skip
    for currency, amount in (("CNY", AMOUNT_MAX + 7), ("JPY", 500)):
        suspense = AccountName(kind=AccountKind.SUSPENSE, currency=currency)
        assert site.store.read(lambda tx, s=suspense: ledger.balance(tx, s)).posted == amount  # type: ignore[misc]
    assert await site.erasure.erase_user(ALICE) == erasure_user.Erased(rows=0, orders_closed=0, forfeited=())


async def test_what_was_held_is_void_before_the_balance_counts(site: Site) -> None:
    await site.deposit(ALICE, 1_250)
    held = await site.pay(site.session(ALICE), capture="manual")
    with pytest.raises(BalanceLeft, match=r"12\.50 CNY"):
        await site.erasure.erase_user(ALICE)
    assert (await site.ask(site.session(ALICE), "payment.query", order_id=held))["status"] == "authorized"
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    assert site.store.read(lambda tx: tx.execute("SELECT status, close_reason FROM orders")) == [("closed", "revoked")]


# ---- afterwards ------------------------------------------------------------------------------------------------------
async def test_the_program_is_still_told_of_its_orders_as_nobodys(site: Site) -> None:
    await site.deposit(ALICE)
    order_id = await site.order(site.session(ALICE), "planted-a-")
    await site.erasure.erase_user(ALICE, forfeit_balance=True)
    (created, closed) = (await site.ask(site.session(""), "events.list"))["events"]
    assert [event.topic for event in (created, closed)] == ["payment.pending", "payment.closed"]
    for event in (created, closed):
        assert event.payload["order_id"] == order_id
        assert event.payload["out_trade_no"].startswith(PREFIX)
    assert (await site.ask(site.session(ALICE), "events.list"))["events"] == []


async def test_an_order_of_nobodys_still_finishes(site: Site) -> None:
    await site.deposit(ALICE, 1_250)
    await site.pay(site.session(ALICE))
    await site.erasure.erase_user(ALICE)
    site.clock.advance(us=REFUND_WINDOW_US)
    assert await site.store.write(lambda tx: site.services.sweeps[0](tx, 10)) == 1
    assert site.store.read(lambda tx: tx.execute("SELECT status FROM orders")) == [("finished",)]
    rows: Any = site.store.read(lambda tx: tx.execute("SELECT DISTINCT user_id FROM events"))
    assert rows == [("",)], "the program is not woken for a user who is none"


# ---- what can go wrong -----------------------------------------------------------------------------------------------
async def test_an_unknown_outcome_leaves_nothing_cached(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    session = site.session(ALICE)
    await site.ask(session, "storage.put", key="cart", value=1)
    await site.ask(session, "storage.get", key="cart")
    real = site.store.write

    async def lost(job: Any) -> Any:
        raise ApiError(ErrorCode.UNKNOWN_OUTCOME, "the disk did not say")

    monkeypatch.setattr(site.store, "write", lost)
    with pytest.raises(ApiError):
        await site.erasure.erase_user(ALICE)
    monkeypatch.setattr(site.store, "write", real)
    await real(lambda tx: erase_user(tx, ALICE, 1_000, new_id=lambda: "0" * 32))  # it had reached the disk after all
    assert not (await site.ask(session, "storage.get", key="cart"))["found"]


async def test_cancelled_after_the_hand_over_the_rows_are_gone_and_the_scrub_is_owed(site: Site) -> None:
    await site.plant(ALICE, "planted-a-")
    with trio.CancelScope() as scope:
        real = site.store.write

        async def then_cancel(job: Any) -> Any:
            found = await real(job)
            scope.cancel()
            return found

        site.store.write = then_cancel  # type: ignore[method-assign]
        await site.erasure.erase_user(ALICE, forfeit_balance=True)
    site.store.write = real  # type: ignore[method-assign]
    assert scope.cancelled_caught
    assert ALICE not in everything(site.store)
    assert site.store.read(lambda tx: tx.execute("SELECT asked - done FROM scrubs")) == [(1,)]
