"""Idempotency keys that come again elsewhere: from other programs, users, versions, after restarts and a restore; and
amounts at both ends, in currencies of every exponent.

Every shop's books are proved when it closes. Keys within one program: test_payments.py, test_attack_money.py.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from benchmarks.guests import archive
from host_api.money import AMOUNT_MAX
from host_api.payment.fees import FeeTerms
from runtime import AccountKind, AccountName, Bundle, Money, SigningKey, sign
from runtime.backup import restore
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened
from tests.hostile.guests import bundle, scripted
from tests.hostile.shop import GRANT, ROOMY, open_shop

LIMITS = {**ROOMY, "payment_amount": AMOUNT_MAX, "payment_day_amount": 10 * AMOUNT_MAX}
PROGRAMS = 64


def order_for(number: str, amount: int = 100, currency: str = "CNY") -> dict[str, Any]:
    return {"key": "k", "out_trade_no": number, "amount": {"amount": amount, "currency": currency}, "subject": "Tea"}


async def test_a_key_is_of_its_program_user_and_method_through_versions_and_restarts(
    opened: Opened, tmp_path: Path
) -> None:
    clock, state = VirtualClock(), tmp_path / "state"
    async with open_shop(opened, state, clock) as shop:
        other = await shop.site.install(grant=GRANT, **ROOMY)
        first = await shop.ask("create", **order_for("1"))
        others = [
            await shop.ask("create", user="bob", **order_for("2")),
            await shop.ask("create", app=other, **order_for("1")),
            await shop.ask("close", key="k", order_id=(await shop.create())["order_id"]),
        ]
        assert [one["replayed"] for one in (first, *others)] == [False] * 4
        assert len({one["order_id"] for one in (first, *others)}) == 4
        for changed in ({"amount": {"amount": 101, "currency": "CNY"}}, {"out_trade_no": "3"}, {"capture": "manual"},
                        {"ttl_s": 60}, {"amount": {"amount": 100, "currency": "JPY"}}):  # fmt: skip
            assert (await shop.ask("create", **{**order_for("1"), **changed}))[0] == "key_reused"
    async with open_shop(opened, state, clock, deposit=0) as shop:
        assert await shop.ask("create", **order_for("1")) == {**first, "replayed": True}
        made = bundle(scripted(), shop.app.app_id, code=2)
        shop.app = await shop.site.host.install(made, grant=GRANT, limits=ROOMY)
        assert await shop.ask("create", **order_for("1")) == {**first, "replayed": True}
        assert (await shop.ask("create", **order_for("3")))[0] == "key_reused"
        assert (await shop.ask("create", user="bob", **order_for("2")))["order_id"] == others[0]["order_id"]
        assert (await shop.ask("query", out_trade_no="3"))[0] == "not_found"


async def test_keys_of_a_backup_made_in_the_middle_count_once_in_the_state_it_becomes(
    opened: Opened, tmp_path: Path
) -> None:
    """What was done before it is told again; what was done after it never was, and is done with the same keys."""
    clock, state = VirtualClock(), tmp_path / "state"
    async with open_shop(opened, state, clock) as shop:
        paid, held = await shop.pay(1_000), await shop.hold(500)
        back = {"key": "r1", "order_id": paid["order_id"], "out_request_no": "1", "amount": 300, "reason": "Bad"}
        rest = {**back, "key": "r2", "out_request_no": "2", "amount": 700}
        take = {"key": "t", "order_id": held["order_id"], "amount": 400}
        known = await shop.ask("refund", **back)
        shop.site.cashier.hold()
        asked = await shop.create(200)

        async def waits() -> None:
            assert (await shop.ask("request", order_id=asked["order_id"], wait_ms=60_000))["status"] == "succeeded"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            while not shop.site.host.prompts.count():
                await trio.lowlevel.checkpoint()
            await shop.site.host.backup(tmp_path / "copy")
            shop.site.cashier.release()
        later = [await shop.ask("refund", **rest), await shop.ask("capture", **take)]
        assert shop.available() == 10_000 - 400 - 200
    await restore(tmp_path / "copy", tmp_path / "new", clock)
    async with open_shop(opened, tmp_path / "new", clock, deposit=0) as shop:
        assert shop.available() == 10_000 - 700 - 500
        assert await shop.ask("refund", **back) == {**known, "replayed": True}
        told = [await shop.ask("refund", **rest), await shop.ask("capture", **take)]
        assert [one["replayed"] for one in told] == [False, False]
        assert [one["status"] for one in told] == [one["status"] for one in later]
        again = [await shop.ask("refund", **rest), await shop.ask("capture", **take)]
        assert again == [{**one, "replayed": True} for one in told]
        assert (await shop.status(asked)) in (("pending", None), ("confirming", None))
        assert shop.available() == 10_000 - 400


@pytest.mark.parametrize("currency", ["JPY", "CNY", "KWD"])
async def test_amounts_at_both_ends(opened: Opened, tmp_path: Path, currency: str) -> None:
    """1 and the most there is, with a fee of all of it, paid, held and given back to the minor unit."""
    async with open_shop(opened, tmp_path / "state", **LIMITS) as shop:
        name = AccountName(kind=AccountKind.WALLET, owner="alice", currency=currency)
        merchant = AccountName(kind=AccountKind.MERCHANT, owner=shop.app.app_id, currency=currency)
        host = shop.site.host
        for terms in (FeeTerms(), FeeTerms(bps=10_000), FeeTerms(bps=9_999, fixed=1), FeeTerms(bps=1)):
            await host.set_fees(shop.app, terms)
            for amount in (1, AMOUNT_MAX):
                shop.clock.advance(s=24 * 3_600)
                await host.deposit("alice", Money(amount=amount, currency=currency))
                had, had_merchant = host.balance(name), host.balance(merchant)
                money = {"amount": amount, "currency": currency}
                paid = await shop.pay(amount=money)
                assert (paid["status"], host.balance(name).available) == ("succeeded", had.available - amount)
                for part in {1, amount - 1} - {0} if amount > 1 else {1}:
                    assert (await shop.refund(paid, part, out_request_no=f"{part}"))["status"] == "succeeded"
                assert (await shop.refund(paid, 1))[0] == "refund_exceeds_captured"
                held = await shop.hold(amount=money)
                assert (await shop.keyed("capture", order_id=held["order_id"], amount=1))["captured"] == 1
                assert (await shop.refund(held, 1))["status"] == "succeeded"
                assert (host.balance(name), host.balance(merchant)) == (had, had_merchant)


async def test_64_programs_ask_one_user_at_once(opened: Opened, tmp_path: Path) -> None:
    """Each has its prompt, and the wallet pays as many as it can."""
    async with open_shop(partial(opened, slots=2 * PROGRAMS), tmp_path / "state") as shop:
        shop.site.cashier.hold()
        apps = [await shop.site.install(grant=GRANT) for _ in range(PROGRAMS)]
        told: list[Any] = []

        async def pay(app: Any) -> None:
            order = await shop.ask("create", app=app, **order_for("n", 300))
            told.append(await shop.ask("request", app=app, order_id=order["order_id"], wait_ms=60_000))

        async with trio.open_nursery() as nursery:
            for app in apps:
                nursery.start_soon(pay, app)
            while shop.site.host.prompts.count() < PROGRAMS:
                await trio.lowlevel.checkpoint()
            shop.site.cashier.release()
        found = Counter((one["status"], one["close_reason"]) for one in told)
        assert found == {("succeeded", None): 33, ("closed", "no_funds"): PROGRAMS - 33}
        assert shop.available() == 100


async def test_a_developer_whose_key_is_revoked_can_still_take_and_give_back(opened: Opened, tmp_path: Path) -> None:
    """What is installed stays, and so does what it was paid."""
    async with open_shop(opened, tmp_path / "state") as shop:
        host, key = shop.site.host, SigningKey.from_seed(bytes(32))
        developer = await host.developers.sign_up("Alice Ltd")
        added = await host.developers.add_key(developer.id, str(key.public_key))
        made = Bundle.from_bytes(sign(archive("theirs", scripted(), asks=GRANT), key))
        shop.app = await host.install(made, grant=GRANT, limits=ROOMY)
        held = await shop.hold(500)
        await host.developers.revoke_key(added.key_id, "it leaked")
        assert (await shop.keyed("capture", order_id=held["order_id"], amount=400))["captured"] == 400
        assert (await shop.refund(held, 400))["status"] == "succeeded"
        assert shop.available() == 10_000
