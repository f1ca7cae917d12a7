"""Erasure, met by real guests: what they kept of a user is in no byte of the state directory afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from host_api.erasure.user import BalanceLeft, erase_user
from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from runtime import App, CallEnded, CallRefused, Ending, UsageError, sources, wire
from runtime.journal.entries import Query
from runtime.settings import JournalSettings
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script

GRANT = ("storage", "payment", "payment.refund", "notify", "user.login", "user.profile", "user.phone", "user.address")
USER, MARK, PHONE = "alice-at-home", "planted-a-", "+8613800000123"
OTHER, KEPT = "bob-at-work", "planted-b-"
WALLET = AccountName(kind=AccountKind.WALLET, owner=OTHER, currency="CNY")


async def ask(site: Site, app: App, user: str, method: str, /, **params: Any) -> Any:
    """What the guest is given; every request of these tests succeeds."""
    _, _, error, result = await site.ask(wire.request(1, method, params), app, user=user)
    assert error is None, error
    return result


async def plant(site: Site, app: App, user: str, mark: str, phone: str) -> None:
    """A real guest does all that leaves something of its user."""
    fields = {"nickname": f"{mark}nick", "phone": phone, "address": f'{{"city":"{mark}city"}}'}
    await site.host.users.put(user, fields)
    await site.host.deposit(user, Money(amount=10_000, currency="CNY"))
    await ask(site, app, user, "storage.put", key="cart", value={"note": f"{mark}note"})
    await ask(site, app, user, "storage.put", key=f"{mark}key", value=f"{mark}long " * 3_000)
    await ask(site, app, user, "storage.put", key=f"{mark}key", value="short again")
    await ask(site, app, user, "storage.get", key="cart")
    await ask(site, app, user, "log.write", level="info", message=f"{mark}said")
    await ask(site, app, user, "user.login")
    await ask(site, app, user, "user.authorize", scopes=["nickname", "phone", "address"], wait_ms=5_000)
    assert (await ask(site, app, user, "user.phone", masked=False))["phone"] == phone
    await ask(site, app, user, "notify.request", wait_ms=5_000)
    await ask(site, app, user, "notify.send", template="shipped", params={"no": f"{mark}81"})
    order = {"amount": {"amount": 1_250, "currency": "CNY"}, "subject": f"{mark}basket"}
    for number, capture in enumerate(("auto", "manual", "auto")):
        created = await ask(
            site, app, user, "payment.create",
            key=f"{mark}{number}", out_trade_no=f"{mark}no{number}", capture=capture, **order,
        )  # fmt: skip
        if number < 2:  # the third stays open
            await ask(site, app, user, "payment.request", order_id=created["order_id"], wait_ms=5_000)
        if number == 0:
            await ask(
                site, app, user, "payment.refund", key=f"{mark}r", order_id=created["order_id"],
                out_request_no=f"{mark}back", amount=250, reason=f"{mark}reason",
            )  # fmt: skip


def found(state: Path, *markers: str) -> set[str]:
    """Those that are in any byte of any file there, its name included."""
    files = [path for path in state.rglob("*") if path.is_file()]
    held = b"\0".join(file.read_bytes() + str(file.relative_to(state)).encode() for file in files)
    return {marker for marker in markers if marker.encode() in held}


async def test_a_user_is_in_no_byte_of_the_state_directory(opened: Opened, tmp_path: Path) -> None:
    state, killed = tmp_path / "state", tmp_path / "killed"
    mine = (USER, MARK, PHONE)
    async with opened(state, cache_dir=None, journal=JournalSettings()) as site:
        apps = [await site.install(grant=GRANT), await site.install(grant=GRANT)]
        for app in apps:
            await plant(site, app, USER, MARK, PHONE)
        await plant(site, apps[0], OTHER, KEPT, "+8613900000456")
        assert found(state, *mine) == set(mine)
        assert {line.text for line in await site.host.logs(Query())} == {f"{MARK}said", f"{KEPT}said"}
        assert found(state / "journal", *mine, KEPT) == {MARK, KEPT}
        exported = str(await site.host.export_user(USER))
        assert all(marker in exported for marker in mine)
        assert KEPT not in exported
        with pytest.raises(BalanceLeft, match=r"180\.00 CNY"):
            await site.host.erase_user(USER)
        assert found(state, *mine) == set(mine)
        await site.host.erase_user(USER, forfeit_balance=True)
        assert found(state, *mine) == set()
        assert (await ask(site, apps[0], USER, "storage.get", key="cart"))["found"] is False
        assert (await ask(site, apps[0], OTHER, "storage.get", key="cart"))["found"] is True
        assert site.host.balance(WALLET).posted == 9_000
        assert site.host.verify() == []
        shutil.copytree(state, killed)
    for looked_at in (state, killed):
        assert found(looked_at, *mine) == set()
        assert found(looked_at, OTHER, KEPT) == {OTHER, KEPT}
        assert found(looked_at / "journal", KEPT) == {KEPT}
    async with opened(killed) as site:
        assert site.host.verify() == []
        assert site.host.balance(WALLET).posted == 9_000
    assert found(killed, *mine) == set()


async def test_a_program_is_in_no_byte_of_the_state_directory(opened: Opened, tmp_path: Path) -> None:
    state, killed = tmp_path / "state", tmp_path / "killed"
    async with opened(state, journal=JournalSettings()) as site:
        gone, stays = await site.install(grant=GRANT), await site.install(grant=GRANT)
        await plant(site, gone, USER, MARK, PHONE)
        await plant(site, stays, OTHER, KEPT, "+8613900000456")
        await site.host.users.put(USER, {"nickname": None, "phone": None, "address": None})  # the platform's, not its
        await site.host.uninstall(gone, erase=True)
        assert found(state, MARK) == set()
        assert (await ask(site, stays, OTHER, "storage.get", key="cart"))["found"] is True
        assert site.host.verify() == []
        shutil.copytree(state, killed)
    for looked_at in (state, killed):
        assert found(looked_at, MARK) == set()
        assert found(looked_at, KEPT) == {KEPT}


async def test_calls_in_flight_for_the_user_end_and_others_do_not(opened: Opened, tmp_path: Path) -> None:
    """Whatever they would have written later is not written. One waits for the clock, the other for a person."""
    endings: dict[str, Any] = {}
    waits = {
        USER: wire.request(2, "session.sleep", {"ms": 60_000}),
        OTHER: wire.request(2, "user.authorize", {"scopes": ["nickname"], "wait_ms": 60_000}),
    }
    async with opened(tmp_path / "state") as site:
        app = await site.install(grant=GRANT, wall_ms=600_000)
        site.cashier.hold()

        async def call(user: str) -> None:
            script = Script().ask(wire.request(1, "storage.put", {"key": "before", "value": f"{MARK}1"}))
            script.ask(waits[user]).ask(wire.request(3, "storage.put", {"key": "after", "value": f"{MARK}2"}))
            try:
                await site.host.call(app, "run", script.params(), user=user)
                endings[user] = Ending.COMPLETED
            except CallEnded as ended:
                endings[user] = ended.ending

        async with trio.open_nursery() as nursery:
            for user in (USER, OTHER):
                nursery.start_soon(call, user)
            while not (site.host.prompts.pending(OTHER) and (await site.host.export_user(USER))["storage"]):
                await trio.testing.wait_all_tasks_blocked(0.01)
            await site.host.erase_user(USER)
            assert endings == {USER: Ending.REVOKED}
            site.cashier.release()
        assert endings == {USER: Ending.REVOKED, OTHER: Ending.COMPLETED}
        assert (await site.host.export_user(USER))["storage"] == []
        assert len((await site.host.export_user(OTHER))["storage"][0]["values"]) == 2
        assert found(tmp_path / "state", USER) == set()


async def test_what_was_cut_short_is_finished_before_the_first_call(opened: Opened, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with opened(state) as site:
        app = await site.install(grant=GRANT)
        for number in range(5):
            await ask(site, app, USER, "storage.put", key=f"{MARK}{number}", value=MARK)
        await site.host._store.write(lambda tx: erase_user(tx, USER, 2, new_id=sources.new_id))
        assert [len(one["values"]) for one in (await site.host.export_user(USER))["storage"]] == [3]
    async with opened(state) as site:
        assert found(state, USER, MARK) == set()
        assert (await ask(site, await site.install(grant=GRANT), USER, "storage.list"))["keys"] == []


async def test_two_users_can_be_erased_at_once(opened: Opened) -> None:
    """Both wait for calls to end; each that ends wakes both."""
    async with opened() as site:
        app = await site.install(grant=GRANT)
        asleep = Script().ask(wire.request(1, "session.sleep", {"ms": 60_000})).params()

        async def call(user: str) -> None:
            with pytest.raises(CallEnded):
                await site.host.call(app, "run", asleep, user=user)

        async with trio.open_nursery() as nursery:
            for user in (USER, OTHER):
                nursery.start_soon(call, user)
            while site.host.statistics().sandboxes < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
            for user in (USER, OTHER):
                nursery.start_soon(site.host.erase_user, user)
        assert not site.host._calls._barred


async def test_a_prompt_that_waits_is_gone_and_nobody_can_answer_it(opened: Opened) -> None:
    async with opened() as site:
        app = await site.install(grant=GRANT)
        site.cashier.hold()
        await ask(site, app, USER, "user.authorize", scopes=["nickname"], wait_ms=0)
        await trio.testing.wait_all_tasks_blocked()
        (waiting,) = site.host.prompts.pending(USER)
        await site.host.erase_user(USER)
        assert site.host.prompts.pending() == []
        site.cashier.release()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert waiting.user == USER
        exported = await site.host.export_user(USER)
        assert (exported["consents"], exported["declines"]) == ([], [])


async def test_no_call_of_the_user_begins_or_goes_on_while_they_are_erased(opened: Opened) -> None:
    """One waits in the queue, one comes just then: neither writes anything after the rows are gone."""
    async with opened() as site:
        app = await site.install(grant=GRANT, calls_in_flight=1)
        asleep = Script().ask(wire.request(1, "session.sleep", {"ms": 60_000})).params()
        write = Script().ask(wire.request(1, "storage.put", {"key": "late", "value": 1})).params()
        refused: list[CallRefused | CallEnded] = []

        async def call(params: dict[str, bytes]) -> None:
            try:
                await site.host.call(app, "run", params, user=USER)
            except (CallRefused, CallEnded) as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, asleep)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(call, write)
            while not site.host.statistics().calls_queued:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(site.host.erase_user, USER)
            while not site.host._calls._barred:
                await trio.lowlevel.checkpoint()
            await call(write)
        assert sorted(error.code for error in refused) == ["revoked", "user_being_erased", "user_being_erased"]
        assert (await ask(site, app, USER, "storage.get", key="late"))["found"] is False


@pytest.mark.parametrize("user", ["erased:", "erased:0f"])
async def test_nobody_takes_the_place_of_an_erased_user(opened: Opened, user: str) -> None:
    async with opened() as site:
        app = await site.install()
        for attempt in (site.host.call(app, "run", Script().params(), user=user), site.host.notify(app, "x", user=user),
                        site.host.deposit(user, Money(amount=1, currency="CNY"))):  # fmt: skip
            with pytest.raises(UsageError):
                await attempt


async def test_what_the_journal_kept_of_a_user_goes_also_where_no_journal_is_written(
    opened: Opened, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    async with opened(state, journal=JournalSettings()) as site:
        app = await site.install(grant=GRANT)
        for user, mark in ((USER, MARK), (OTHER, KEPT)):
            await ask(site, app, user, "log.write", level="info", message=f"{mark}said")
    async with opened(state) as site:
        await site.host.erase_user(USER)
        assert {line.text for line in await site.host.logs(Query())} == {f"{KEPT}said"}
    assert found(state, USER, MARK) == set()
