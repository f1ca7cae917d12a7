"""Attacks on grants, money and quotas, with a neighbour who is answered meanwhile.

Rows 33, 35 and 39 to 42 of checklist.json. The attacks on payments one by one are test_attack_table.py's and
test_attack_money.py's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import Bundle, Ending, HostBusy, sign, wire
from runtime.limits import DeveloperLimits
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script, bundle, scripted
from tests.hostile.neighbour import ROOMY, Neighbour
from tests.hostile.shop import GRANT, Shop, open_shop
from tests.hostile.shop import ROOMY as STANDING
from tests.hostile.test_attack_money import at_once, codes
from tests.hostile.test_attack_table import MARK, NO_VALUES, NUMBERS, asking, put_in
from tests.hostile.test_program_calls import calling
from tests.runtime.ladder import ANN

PUT = wire.request(2, "storage.put", {"key": "k", "value": 1})


@pytest.fixture(params=["memory", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, opened: Opened) -> AsyncIterator[Shop]:
    async with open_shop(opened, tmp_path / "state" if request.param == "file" else None) as made:
        yield made


# ---- 33, 35: grants --------------------------------------------------------------------------------------------------
async def test_a_grant_that_is_taken_away_in_the_middle(site: Site, neighbour: Neighbour) -> None:
    """Before, during and after a call: what was done stays done, what comes later is refused, and the books say so."""
    site.cashier.hold()
    create = {"key": "k", "out_trade_no": "1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}

    async def attack() -> None:
        app, told = await site.install(wall_ms=600_000, **ROOMY), list[Any]()
        order = (await site.ask(wire.request(1, "payment.create", create), app))[3]["order_id"]
        ask = wire.request(3, "payment.request", {"order_id": order, "wait_ms": 60_000})
        script = Script().ask(PUT).ask(ask).ask(PUT)

        async def call() -> None:
            told.extend(script.responses((await site.reply(script, app))[1].value))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            while not site.host.statistics().prompts_open:
                await trio.lowlevel.checkpoint()
            await site.host.revoke(app, "storage")
            site.cashier.release()
        assert [answer[2] and answer[2]["code"] for answer in told] == [None, None, "capability_not_granted"]
        assert (await site.ask(PUT, app))[2]["code"] == "capability_not_granted"
        site.cashier.hold()

    await neighbour.beside(attack)
    site.cashier.release()
    assert site.host.verify() == []


async def test_a_child_that_is_given_more_than_there_is(site: Site, neighbour: Neighbour) -> None:
    """Neither grants nor budget: a caller lends what it has."""
    callee = await site.install(grant=(), **ROOMY)
    grant = {"program.call": {"programs": [callee.app_id]}, "storage": {"keys": ["a/"]}}
    caller = await site.install(grant=grant, **{**ROOMY, "cpu_us": 40_000, "host_calls": 20})

    async def attack() -> None:
        for more in ({"delegate": {"http": {}}}, {"cpu_us": 50_000}, {"host_calls": 21}):
            error = (await site.ask(calling(callee, Script(), **more), caller))[2]
            assert error["code"] in ("capability_not_granted", "limit_exceeded")
        spin = Script().ask(calling(callee, Script().step("spin", 0).step("again", 0)))
        _, reply = await site.reply(spin, caller)
        assert spin.responses(reply.value)[0][2] is not None
        assert reply.receipt.usage.cpu_us + reply.receipt.usage.called_cpu_us < 140_000

    await neighbour.beside(attack)


# ---- 39-40: money ----------------------------------------------------------------------------------------------------
async def test_payments_of_amounts_that_are_none(shop: Shop) -> None:
    """Refused whatever they are, sent again and again; nothing is ordered, held or paid."""
    neighbour, had = await Neighbour.on(shop.site), shop.available()

    async def attack() -> None:
        for raw in NUMBERS.values():
            answer = await shop.site.ask(put_in(asking("create", "", MARK), raw), shop.app)
            assert answer[2]["code"] == "invalid_params"
        for raw in NO_VALUES.values():
            ending, _, _ = await shop.site.end(Script().call(put_in(asking("create", "", MARK), raw)), shop.app)
            assert ending is Ending.PROTOCOL_VIOLATION
        assert shop.available() == had

    await neighbour.beside(attack)


async def test_an_order_that_is_paid_sixteen_times_at_once(shop: Shop) -> None:
    """Created, paid for and refunded once, whoever sends it how often."""
    neighbour, numbers, had = await Neighbour.on(shop.site), count(1), shop.available()

    async def attack() -> None:
        number = f"n{next(numbers)}"
        order = await shop.create(100, key=f"c{number}", out_trade_no=number)
        again = await at_once(*[lambda: shop.create(100, key=f"c{number}", out_trade_no=number)] * 8)
        assert {one["order_id"] for one in again} == {order["order_id"]}
        asks = [lambda: shop.ask("request", order_id=order["order_id"], wait_ms=60_000)] * 8
        await at_once(*asks)
        assert (await shop.status(order))[0] == "succeeded"
        assert shop.available() == had - 100
        back = [lambda n=n: shop.refund(order, 60, key=f"r{number}{n}", out_request_no=f"b{n}") for n in range(8)]
        told = codes(await at_once(*back))
        assert told["succeeded"] == 1
        assert (await shop.refund(order, 40, key=f"r{number}", out_request_no="rest"))["status"] == "succeeded"
        assert shop.available() == had

    await neighbour.beside(attack)


async def test_two_programs_that_spend_one_wallet(shop: Shop) -> None:
    """Both ask for more than half of what there is, in the same moment: one of them gets it."""
    neighbour, others = await Neighbour.on(shop.site), [shop.app]
    others.append(await shop.site.install(grant=GRANT, **{**STANDING, "payment_day_amount": 10**9}))
    numbers = count(1)

    async def attack() -> None:
        number = f"n{next(numbers)}"
        had = shop.available()
        pays = [lambda app=app: shop.pay(6_000, app=app, key=number, out_trade_no=number) for app in others]
        told = await at_once(*pays)
        assert codes(told) == {"succeeded": 1, "closed": 1}
        assert shop.available() == had - 6_000
        await shop.deposit(6_000)

    await neighbour.beside(attack)


# ---- 41-42: rates and storage ----------------------------------------------------------------------------------------
async def test_bursts_at_the_edge_of_a_window(opened: Opened) -> None:
    """No edge to wait for: what was used comes back as time passes, and not before."""
    clock = VirtualClock()
    async with opened(clock=clock) as site:
        neighbour, app = await Neighbour.on(site), await site.install(calls_burst=5, calls_per_s=1)
        budget = 5

        async def attack() -> None:
            nonlocal budget
            served = 0
            for _ in range(12):
                try:
                    await site.run(Script(), app)
                    served += 1
                except HostBusy as busy:
                    assert busy.details["limit"] == "calls_per_s"
            assert served == budget
            clock.advance(s=2)
            budget = 2

        await neighbour.beside(attack)


async def test_many_programs_of_one_owner(opened: Opened) -> None:
    """They share their owner's rate, however many there are; the neighbour is nobody's and shares nothing."""
    clock = VirtualClock()
    async with opened(clock=clock, developer_limits=DeveloperLimits(calls_burst=6, calls_per_s=1)) as site:
        neighbour = await Neighbour.on(site)
        owner = await site.host.developers.sign_up("Many Ltd")
        await site.host.developers.add_key(owner.id, str(ANN.public_key))
        apps = []
        for number in range(4):
            made = sign(bundle(scripted(), f"org.example.many{number}").data, ANN)
            apps.append(await site.host.install(Bundle.from_bytes(made)))

        async def attack() -> None:
            served = 0
            for app in apps * 4:
                try:
                    await site.run(Script(), app)
                    served += 1
                except HostBusy as busy:
                    assert busy.details["scope"] == "developer"
            assert served == 6
            clock.advance(s=10)

        await neighbour.beside(attack)


async def test_storage_that_is_filled_and_churned(site: Site, neighbour: Neighbour) -> None:
    """Bytes, keys and lengths are bounded for a program's user; what is deleted, and erased with it, is free again."""
    limits = {**ROOMY, "storage_bytes": 2_000, "storage_keys": 20, "host_calls": 1_000, "cpu_us": 5_000_000}

    def put(key: str, value: Any) -> bytes:
        return wire.request(1, "storage.put", {"key": key, "value": value})

    async def attack() -> None:
        app = await site.install(scripted(), **limits)
        tiny, large, churn = Script(), Script(), Script()
        for number in range(30):
            tiny.ask(put(f"{number}", 1))
            large.ask(put("large", bytes(100 * number)))
            churn.ask(put("churn", bytes(100))).ask(wire.request(2, "storage.delete", {"key": "churn"}))
        _, reply = await site.reply(tiny, app)
        told = [each[2] and each[2]["details"]["limit"] for each in tiny.responses(reply.value)]
        assert told == [None] * 20 + ["storage_keys"] * 10
        _, reply = await site.reply(large, app, user="bob")
        assert {each[2]["details"]["limit"] for each in large.responses(reply.value) if each[2]} == {"storage_bytes"}
        assert reply.receipt.usage.storage_delta_bytes <= 2_000
        _, reply = await site.reply(churn, app, user="carol")
        assert {each[2] is None for each in churn.responses(reply.value)} == {True}
        assert reply.receipt.usage.storage_delta_bytes == 0
        assert (await site.ask(put("k" * 5_000, 1), app))[2]["code"] == "invalid_params"
        await site.host.uninstall(app, erase=True)
        again = await site.host.install(bundle(scripted(), app.app_id), grant=("storage",), limits=limits)
        get = wire.request(1, "storage.get", {"key": "large"})
        assert not (await site.ask(get, again, user="bob"))[3]["found"]

    await neighbour.beside(attack)
