"""State directories that earlier versions wrote: a daemon of today takes them over, and all goes on from there."""

from __future__ import annotations

import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.ledger import AccountKind, AccountName
from host_api.prompts import prompt
from host_api.store.migrations import known_migrations
from runtime import Bundle, pack
from runtime.backup import restore
from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.testing import VirtualClock
from tests.runtime.daemon.http.conftest import SHOP
from tests.runtime.daemon.test_serve import served, tell

STATES = Path(__file__).parents[1] / "states"
APP = "org.example.grocery"
PAID = 91_500
"""What alice has left of 100,000 after two orders of 4,250."""
ORDERS = {
    "0002_money_and_people": ("1203a5014cc618dd5a49546d43590fbc", "ce8b92e3c1383918080becb8a6c84739"),
    "0004_front_end": ("2113f24814be4fe1569e4af42ef2046e", "f9d5ff357136875f3f1925754b6c12ae"),
}


def unpack(name: str, to: Path) -> Path:
    to.mkdir(mode=0o700)
    with tarfile.open(STATES / f"{name}.tar.gz") as archive:
        archive.extractall(to, filter="data")
    (to / "keys").chmod(0o700)
    return to


async def wallet(client: Client, user: str) -> int:
    return (await client.balance(AccountName(kind=AccountKind.WALLET, owner=user, currency="CNY"))).posted


async def pay(client: Client) -> Any:
    """One more order, with the user's yes."""
    await client.call(APP, "cart.add", {"items": {"apple": 3, "milk": 1}}, user="alice")
    slot = (await client.call(APP, "slots.list", {}, user="alice")).value["slots"][2]["slot"]
    answers: list[Any] = []

    async def checkout() -> None:
        answers.append((await client.call(APP, "checkout", {"slot": slot}, user="alice")).value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkout)
        while not (waiting := await client.prompts.pending("alice")):
            await trio.lowlevel.checkpoint()
        shown = await client.prompts.issue(waiting[0].id)
        await client.prompts.answer(shown.id, shown.token, shown.digest, True)
    return answers[0]


@pytest.mark.parametrize("name", sorted(ORDERS))
async def test_money_orders_and_storage_are_there_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(prompt, "ANSWERABLE_AFTER_US", 0)  # nobody reads what is shown
    unpack(name, tmp_path / "state")
    applied = int(name[:4])
    async with served(tmp_path, control_door):
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            assert await client.verify() == []
            assert (await wallet(client, "alice"), await wallet(client, "bob")) == (PAID, 5_000)
            await client.install(Bundle.from_bytes(pack(SHOP)), grant=["storage", "payment"])
            for order in ORDERS[name]:
                told = (await client.call(APP, "order.show", {"order_id": order}, user="alice")).value
                assert (told["payment"], told["order"]["total"]["amount"]) == ("succeeded", 4_250)
            assert (await pay(client))["payment"] == "succeeded"
            assert await wallet(client, "alice") == PAID - 4_250
            assert await client.verify() == []
            await client.backup(tmp_path / "copy")
        tell(signal.SIGTERM)
    kept = sorted(path.name for path in (tmp_path / "state").glob("before-*.sqlite3"))
    assert kept and kept[0] == f"before-{known_migrations()[applied].label}.sqlite3"
    await restore(tmp_path / "copy", tmp_path / "new", VirtualClock())


def test_each_state_is_of_the_version_that_it_is_named_after() -> None:
    assert sorted(path.name.removesuffix(".tar.gz") for path in STATES.glob("*.tar.gz")) == sorted(ORDERS)
    assert set(ORDERS) <= {migration.label for migration in known_migrations()}
