"""Every limit of one program and user, on both stores: at the value, one over, and another user is not touched."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from host_api.money import Money
from runtime import App, HostBusy, wire
from tests.hostile.conftest import Site
from tests.hostile.test_residents import SLEEP, count
from tests.hostile.test_residents import install as resident


async def put(site: Site, app: App, key: str, value: Any, user: str = "alice") -> list[Any]:
    return await site.ask(wire.request(1, "storage.put", {"key": key, "value": value}), app, user=user)


async def order(site: Site, app: App, number: int, amount: int, user: str = "alice") -> list[Any]:
    params = {
        "key": f"{user}{number}", "out_trade_no": f"{user}{number}", "subject": "Tea",
        "amount": {"amount": amount, "currency": "CNY"},
    }  # fmt: skip
    return await site.ask(wire.request(1, "payment.create", params), app, user=user)


async def pay(site: Site, app: App, number: int, amount: int, user: str = "alice") -> tuple[str, str | None]:
    created = await order(site, app, number, amount, user)
    ask = wire.request(2, "payment.request", {"order_id": created[3]["order_id"], "wait_ms": 60_000})
    result = (await site.ask(ask, app, user=user))[3]
    return result["status"], result["close_reason"]


def refused(response: list[Any], code: str, limit: str, value: int, used: int) -> None:
    details = response[2]["details"]
    assert (response[2]["code"], details["limit"], details["value"], details["used"]) == (code, limit, value, used)


async def test_limit_storage_bytes(stored: Site) -> None:
    app = await stored.install(storage_bytes=100)
    assert (await put(stored, app, "k", bytes(97)))[2] is None  # 1 of key, 2 of head
    refused(await put(stored, app, "l", 1), "quota_exceeded", "storage_bytes", 100, 102)
    refused(await put(stored, app, "k", bytes(98)), "quota_exceeded", "storage_bytes", 100, 101)
    assert (await put(stored, app, "k", bytes(96)))[2] is None
    assert (await put(stored, app, "k", bytes(97), "bob"))[2] is None


async def test_limit_storage_value_bytes(stored: Site) -> None:
    app = await stored.install(storage_value_bytes=50)
    assert (await put(stored, app, "k", bytes(48)))[2] is None
    refused(await put(stored, app, "k", bytes(49)), "quota_exceeded", "storage_value_bytes", 50, 51)


async def test_limit_storage_keys(stored: Site) -> None:
    app = await stored.install(storage_keys=2)
    for key in ("a", "b", "a"):
        assert (await put(stored, app, key, 1))[2] is None
    refused(await put(stored, app, "c", 1), "quota_exceeded", "storage_keys", 2, 3)
    await stored.ask(wire.request(1, "storage.delete", {"key": "a"}), app)
    assert (await put(stored, app, "c", 1))[2] is None
    assert (await put(stored, app, "a", 1, "bob"))[2] is None


async def test_limit_payment_amount(stored: Site) -> None:
    app = await stored.install(payment_amount=70)
    assert (await order(stored, app, 1, 70))[2] is None
    refused(await order(stored, app, 2, 71), "limit_exceeded", "payment_amount", 70, 71)


async def test_limit_payment_hour_count(stored: Site) -> None:
    app = await stored.install(payment_hour_count=2)
    for number in (1, 2, 2):  # the same order again is not another one
        assert (await order(stored, app, number, 5))[2] is None
    refused(await order(stored, app, 3, 5), "limit_exceeded", "payment_hour_count", 2, 3)
    assert (await order(stored, app, 3, 5, "bob"))[2] is None


async def test_limit_payment_day_amount(stored: Site) -> None:
    app = await stored.install(payment_day_amount=100)
    for user in ("alice", "bob"):
        await stored.host.deposit(user, Money(amount=1_000, currency="CNY"))
    assert await pay(stored, app, 1, 60) == ("succeeded", None)
    assert await pay(stored, app, 2, 40) == ("succeeded", None)
    assert await pay(stored, app, 3, 1) == ("closed", "limit")
    assert await pay(stored, app, 1, 100, "bob") == ("succeeded", None)


async def test_limit_notices_per_day(stored: Site) -> None:
    app = await stored.install(grant=["notify"], notices_per_day=2)

    async def send(user: str = "alice") -> list[Any]:
        params = {"template": "shipped", "params": {"no": "81"}}
        return await stored.ask(wire.request(1, "notify.send", params), app, user=user)

    for user in ("alice", "bob"):
        await stored.ask(wire.request(1, "notify.request", {"wait_ms": 5_000}), app, user=user)
    for _ in range(2):
        assert (await send())[2] is None
    refused(await send(), "limit_exceeded", "notices_per_day", 2, 3)
    assert (await send("bob"))[2] is None


async def test_limit_mailbox_calls(site: Site) -> None:
    app = await resident(site, SLEEP, mailbox_calls=2)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(count, site, app, "alice", "call")
        await wait_all_tasks_blocked()
        with pytest.raises(HostBusy) as caught:
            await count(site, app)
        assert (caught.value.code, caught.value.details["limit"]) == ("queue_full", "mailbox_calls")
        assert (caught.value.details["value"], caught.value.details["used"]) == (2, 2)
        assert await count(site, app, "bob") == 1  # another user's
        nursery.cancel_scope.cancel()
