"""Attacks on money by number, race and clock: replays, 16 guests at once, limits, rounding, and what can be filled.

What lives here: rows of the attack table (test_attack_table.py) that take many requests. Every test is on the books of
a shop that is proved when it closes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.idempotency import KEYS_PER_HOUR, RETENTION_US
from host_api.payment.checkout import ASKS_MAX
from host_api.payment.fees import FeeTerms
from runtime import AccountKind, wire
from runtime.limits import Limits
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened
from tests.hostile.guests import Script
from tests.hostile.shop import GRANT, Shop, open_shop

MANY = 16
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MIDNIGHT_US = 1_800_000_000_000_000 // DAY_US * DAY_US + DAY_US


@pytest.fixture(params=["memory", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, opened: Opened) -> AsyncIterator[Shop]:
    async with open_shop(opened, tmp_path / "state" if request.param == "file" else None) as made:
        yield made


async def at_once(*guests: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What guests are told that all run at once, each in a call of its own."""
    told: list[Any] = [None] * len(guests)

    async def run(number: int, guest: Callable[[], Awaitable[Any]]) -> None:
        told[number] = await guest()

    async with trio.open_nursery() as nursery:
        for number, guest in enumerate(guests):
            nursery.start_soon(run, number, guest)
    return told


def codes(told: list[Any]) -> Counter[str]:
    """How often each status or error code was told."""
    return Counter(one[0] if isinstance(one, tuple) else one["status"] for one in told)


# ---- sent again ------------------------------------------------------------------------------------------------------
async def test_three_times_then_after_a_restart_then_without_its_key(opened: Opened, tmp_path: Path) -> None:
    """Create, capture and refund have one effect each, whoever forgot what."""
    clock = VirtualClock()
    created: dict[str, Any] = {"key": "c", "out_trade_no": "n", "amount": {"amount": 900, "currency": "CNY"},
                               "subject": "Tea", "capture": "manual"}  # fmt: skip
    told: list[Any] = []
    order_id = ""

    async def send(shop: Shop) -> list[Any]:
        """All three, three times."""
        capture = {"key": "t", "order_id": order_id, "amount": 600}
        refund = {"key": "r", "order_id": order_id, "out_request_no": "b", "amount": 200, "reason": "Bad"}
        asked = (("create", created), ("capture", capture), ("refund", refund))
        return [await shop.ask(method, **params) for method, params in asked for _ in range(3)]

    async with open_shop(opened, tmp_path / "state", clock) as shop:
        order_id = (await shop.ask("create", **created))["order_id"]
        await shop.ask("request", order_id=order_id, wait_ms=60_000)
        told = await send(shop)
        assert [one["replayed"] for one in told] == [True] * 3 + [False, True, True] * 2
        assert shop.available() == 9_600
    first, later = [{**one, "replayed": True} for one in told[::3]], []
    async with open_shop(opened, tmp_path / "state", clock, deposit=0) as shop:
        assert await send(shop) == [one for one in first for _ in range(3)]
        clock.advance(us=RETENTION_US)
        later = await send(shop)
        assert shop.available() == 9_600
    async with open_shop(opened, tmp_path / "state", clock, deposit=0) as shop:
        assert await send(shop) == [*later[:3], later[4], *later[4:]]
        assert shop.available() == 9_600
    assert {one["order_id"] for one in later[:3]} == {order_id} and all(one["replayed"] for one in later[:3])
    state = {"status": "succeeded", "close_reason": None}
    assert later[3] == ("invalid_state", state)
    assert later[4] == later[5] == ("invalid_state", {**state, "replayed": True})
    assert later[6:] == [first[2]] * 3


@pytest.mark.parametrize("method", ["create", "capture", "refund", "close"])
async def test_sixteen_guests_send_one_message(shop: Shop, method: str) -> None:
    money = {"amount": 10, "currency": "CNY"}
    order = await (shop.pay(10) if method == "refund" else shop.hold(10))
    keyed = {"key": "k", "order_id": order["order_id"]}
    params: dict[str, Any] = {
        "create": {"key": "k", "out_trade_no": "n", "amount": money, "subject": "Tea"},
        "refund": {**keyed, "out_request_no": "n", "amount": 4, "reason": "Bad"},
    }.get(method, keyed)
    told = await at_once(*[lambda: shop.ask(method, **params)] * MANY)
    assert Counter(one["replayed"] for one in told) == {False: 1, True: MANY - 1}
    assert shop.available() == {"create": 9_990, "capture": 9_990, "close": 10_000, "refund": 9_994}[method]


# ---- at once ---------------------------------------------------------------------------------------------------------
async def test_sixteen_guests_refund_one_order(shop: Shop) -> None:
    paid = await shop.pay(1_000)
    told = await at_once(
        *[lambda n=n: shop.refund(paid, 100, key=f"r{n}", out_request_no=f"b{n}") for n in range(MANY)]
    )
    assert codes(told) == {"succeeded": 10, "refund_exceeds_captured": MANY - 10}
    assert (await shop.ask("query", order_id=paid["order_id"]))["refunded"] == 1_000
    assert (shop.available(), shop.available(AccountKind.MERCHANT, shop.app.app_id)) == (10_000, 0)


async def test_captures_against_closes(shop: Shop) -> None:
    """One of them comes first, and the others find what it left."""
    for first in ("capture", "close"):
        had, held = shop.available(), await shop.hold(1_000)
        methods = [first, "close" if first == "capture" else "capture"] * (MANY // 2)
        told = await at_once(
            *[partial(shop.ask, m, key=f"{first}{n}", order_id=held["order_id"]) for n, m in enumerate(methods)]
        )
        status, reason = await shop.status(held)
        assert (status, reason) in (("succeeded", None), ("closed", "voided"))
        assert codes(told) == {status: 1, "invalid_state": MANY - 1}
        assert had - shop.available() == (1_000 if status == "succeeded" else 0)


@pytest.mark.parametrize("capture", ["auto", "manual"])
async def test_sixteen_programs_spend_one_wallet(shop: Shop, capture: str) -> None:
    """All ask the one user, who says yes to all of them in the same moment."""
    shop.site.cashier.hold()
    apps = [await shop.site.install(grant=GRANT) for _ in range(MANY)]

    async def yes() -> None:
        while shop.site.host.prompts.count() < MANY:
            await trio.lowlevel.checkpoint()
        shop.site.cashier.release()

    *told, _ = await at_once(
        *[lambda n=n: shop.pay(3_000, app=apps[n], key="k", out_trade_no="n", capture=capture) for n in range(MANY)],
        yes,
    )
    assert codes(told) == {"succeeded" if capture == "auto" else "authorized": 3, "closed": MANY - 3}
    assert {one["close_reason"] for one in told} == {None, "no_funds"}
    assert shop.available() == 1_000


# ---- limits ----------------------------------------------------------------------------------------------------------
async def test_a_day_is_24_hours_whatever_the_date(opened: Opened, tmp_path: Path) -> None:
    """Split, refunded, and over midnight: 1,000 are 1,000 in any 24 hours, to the microsecond."""
    clock = VirtualClock(MIDNIGHT_US - 2_000_000)
    async with open_shop(opened, tmp_path / "state", clock, payment_day_amount=1_000) as shop:
        for amount in (1, 99, 300, 200):
            paid = await shop.pay(amount)
            assert (await shop.refund(paid, amount))["status"] == "succeeded"
        clock.advance(s=1)
        assert (await shop.pay(400))["status"] == "succeeded"
        assert (await shop.pay(1))["close_reason"] == "limit"
        clock.advance(s=2)  # the next day, and for users of any time zone some time of theirs
        assert (await shop.pay(1))["close_reason"] == "limit"
        clock.advance(us=DAY_US - 3_000_000 - 1)
        assert (await shop.pay(1))["close_reason"] == "limit"
        clock.advance(us=1)  # the first 600 are a day old, the 400 not yet
        assert (await shop.pay(601))["close_reason"] == "limit"
        assert (await shop.pay(600))["status"] == "succeeded"
        assert (await shop.pay(1))["close_reason"] == "limit"


async def test_an_hour_rolls_too(opened: Opened, tmp_path: Path) -> None:
    clock = VirtualClock(MIDNIGHT_US - 1_000_000)
    async with open_shop(opened, tmp_path / "state", clock, payment_hour_count=3) as shop:
        for closed in (True, False, False):  # one that is given up is one all the same
            order = await shop.create(5)
            if closed:
                await shop.keyed("close", order_id=order["order_id"])
        for step_us in (2_000_000, HOUR_US - 2_000_000 - 1):
            clock.advance(us=step_us)
            code, details = await shop.create(5)
            assert (code, details["limit"], details["used"]) == ("limit_exceeded", "payment_hour_count", 4)
        clock.advance(us=1)
        assert (await shop.create(5))["status"] == "pending"


async def test_holds_that_are_let_go_count_no_more_and_those_that_stand_do(opened: Opened, tmp_path: Path) -> None:
    async with open_shop(opened, tmp_path / "state", payment_day_amount=1_000) as shop:
        held, part, given_up = await shop.hold(300), await shop.hold(300), await shop.hold(400)
        assert (await shop.pay(1))["close_reason"] == "limit"
        await shop.keyed("close", order_id=given_up["order_id"])
        await shop.keyed("capture", order_id=part["order_id"], amount=100)
        assert (await shop.pay(601))["close_reason"] == "limit"
        assert (await shop.pay(600))["status"] == "succeeded"
        shop.clock.advance(us=DAY_US)  # the hold was counted when the user said yes, and is not counted again
        await shop.keyed("capture", order_id=held["order_id"])
        assert (await shop.pay(1_000))["status"] == "succeeded"


# ---- rounding --------------------------------------------------------------------------------------------------------
SPLITS = ((61,), (1,) * 61, (60, 1), (20, 20, 21), (7,) * 8 + (5,))


@pytest.mark.parametrize(
    "terms",
    [FeeTerms(bps=333), FeeTerms(bps=4_999, fixed=7), FeeTerms(fixed=98), FeeTerms(bps=10_000)],
    ids=lambda terms: f"{terms.bps}+{terms.fixed}",
)
async def test_however_a_refund_is_split_it_is_one_refund(opened: Opened, terms: FeeTerms) -> None:
    """61 of 99 in one to 61 parts: user, payee and platform end with the same, to the minor unit."""
    async with open_shop(opened, None) as shop:
        await shop.site.host.set_fees(shop.app, terms)

        def accounts() -> tuple[int, int, int]:
            return (shop.available(), shop.available(AccountKind.MERCHANT, shop.app.app_id),
                    shop.available(AccountKind.FEE, ""))  # fmt: skip

        ends = set()
        for split, whole in ((split, whole) for split in SPLITS for whole in (False, True)):
            before = accounts()
            paid = await shop.pay(99)
            script = Script()
            for n, amount in enumerate((*split, 38) if whole else split):
                asked = {"key": f"{shop.made}-{n}", "out_request_no": f"{n}", "order_id": paid["order_id"]}
                script.ask(wire.request(n, "payment.refund", {**asked, "amount": amount, "reason": "Bad"}))
            told, _ = await shop.site.reply(script, shop.app)
            assert [wire.decode(one, 4_096)[2] for one in told if isinstance(one, bytes)] == [None] * (len(told) // 2)
            ends.add((whole, *(now - then for now, then in zip(accounts(), before, strict=True))))
        assert (True, 0, 0, 0) in ends
        assert len(ends) == 2


# ---- floods ----------------------------------------------------------------------------------------------------------
PER_HOUR = Limits().payment_hour_count
CHANGES = PER_HOUR * (2 + 2 * ASKS_MAX) + KEYS_PER_HOUR
"""Of orders, in an hour: each is created, asked for so often and taken back as often, and ends; and refunds."""
ROWS_MOST = {
    "orders": PER_HOUR, "idempotency": KEYS_PER_HOUR, "events": CHANGES, "event_streams": PER_HOUR, "event_programs": 1,
    "audit": CHANGES, "prompts": 1, "prompt_declines": 1, "refunds": KEYS_PER_HOUR, "transfers": 2 * CHANGES,
    "accounts": 2, "confirmations": PER_HOUR, "payment_usage": PER_HOUR, "merchants": 1,
}  # fmt: skip
"""How much each table may grow by one program's payments with one user in an hour, under default limits; one that is
not named does not grow. What was refused is counted in the audit once a minute, for all programs together
(housekeeping); storage has quotas of its own."""
BYTES_MOST = 8 << 20
CHURNED = 4
"""Orders whose prompts are opened and taken back as often as they may be: the others could be too."""


def sizes(shop: Shop) -> tuple[dict[str, int], int]:
    """Rows of each table, and bytes in all."""

    def look(tx: Any) -> tuple[dict[str, int], int]:
        names = [row[0] for row in tx.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: tx.execute(f"SELECT count(*) FROM {name}")[0][0] for name in names if "sqlite" not in name}
        ((pages,),), ((page,),) = tx.execute("PRAGMA page_count"), tx.execute("PRAGMA page_size")
        return rows, pages * page

    return shop.site.host._store.read(look)


async def flood(shop: Shop, requests: list[bytes]) -> Counter[str]:
    """What a guest is told that sends all that, in as many calls as it takes."""
    told: Counter[str] = Counter()
    for first in range(0, len(requests), 200):
        script = Script()
        for request in requests[first : first + 200]:
            script.ask(request)
        answers, _ = await shop.site.reply(script, shop.app)
        errors = [wire.decode(one, 1 << 20)[2] for one in answers if isinstance(one, bytes)]
        told.update("ok" if error is None else error["code"] for error in errors)
    return told


async def churn(shop: Shop, order_id: str, times: int) -> None:
    """A prompt that goes with the call that opened it, again and again."""
    ask = wire.request(1, "payment.request", {"order_id": order_id, "wait_ms": 60_000})
    for _ in range(times):
        script = Script().post(ask).wait(0).call(wire.request(2, "session.sleep", {"ms": 0})).step("unreachable")
        await shop.site.end(script, shop.app)
        while shop.site.host.prompts.count():
            await trio.lowlevel.checkpoint()


async def test_what_one_program_can_fill_in_an_hour(opened: Opened) -> None:
    """It does everything that leaves rows as often as it is let, with the longest texts there are."""
    limits = {"payment_hour_count": PER_HOUR, "payment_day_amount": Limits().payment_day_amount, "cpu_us": 10_000_000}
    async with open_shop(opened, None, deposit=2_000_000, **limits) as shop:
        await shop.site.host.set_fees(shop.app, FeeTerms(bps=100))
        before, bytes_before = sizes(shop)
        text, numbers = "\U0001f34e" * 64, [f"{n:064}" for n in range(KEYS_PER_HOUR)]
        money = {"amount": limits["payment_day_amount"] // 10, "currency": "CNY"}
        rest = {"amount": money, "subject": text, "ttl_s": 86_400}
        creates = [{"key": number, "out_trade_no": number, **rest} for number in numbers[:100]]
        told = await flood(shop, [wire.request(1, "payment.create", params) for params in creates])
        assert told == {"ok": PER_HOUR, "limit_exceeded": 100 - PER_HOUR}
        orders = [(await shop.ask("query", out_trade_no=number))["order_id"] for number in numbers[:PER_HOUR]]
        for n, order_id in enumerate(orders):
            if n < CHURNED:
                shop.site.cashier.hold()
                await churn(shop, order_id, ASKS_MAX - 1)
                shop.site.cashier.release()
            paid = await shop.ask("request", order_id=order_id, wait_ms=60_000)
            assert paid["close_reason"] == (None if n < 10 else "limit")
        refunds = [
            {"key": number, "order_id": orders[n % 10], "out_request_no": number, "amount": 1, "reason": text}
            for n, number in enumerate(numbers)
        ]
        told = await flood(shop, [wire.request(1, "payment.refund", params) for params in refunds])
        assert told == {"ok": KEYS_PER_HOUR - PER_HOUR, "rate_limited": PER_HOUR}
        after, bytes_after = sizes(shop)
        grown = {name: after[name] - before[name] for name in after}
        assert {name: count for name, count in grown.items() if count > ROWS_MOST.get(name, 0)} == {}
        assert (grown["idempotency"], grown["orders"]) == (KEYS_PER_HOUR, PER_HOUR)
        assert grown["events"] == grown["audit"] > CHURNED * 2 * (ASKS_MAX - 1) + KEYS_PER_HOUR - PER_HOUR
        assert bytes_after - bytes_before <= BYTES_MOST
