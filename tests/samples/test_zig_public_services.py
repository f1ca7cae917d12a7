"""The city office, on a real host: desks under contention, fees, what a citizen gets back, and the queue."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.prompts.cashier import ScriptedCashier
from runtime import AccountKind, AccountName, Bundle, Host, Money
from runtime.bundle import pack
from runtime.errors import GuestFailed
from runtime.testing import SeededIds, VirtualClock

ROOT = Path(__file__).resolve().parents[2]
APP = "org.example.city_office"
MONDAY_8 = 1_795_392_000_000_000
"""2026-11-23 00:00 UTC, 8:00 in the city."""
TUESDAY_9 = "2026-11-24T09:00"
BUNDLE = Bundle.from_bytes(pack(ROOT / "sample_programs/public_services/bundle"))
GRANT = ("storage", "payment", "payment.refund", "notify")
Opened = Callable[..., AbstractAsyncContextManager["City"]]


class City:
    """A host with the program, citizens with money, and a clock that is set."""

    def __init__(self, host: Host, clock: VirtualClock, cashier: ScriptedCashier) -> None:
        self.host, self.clock, self.cashier = host, clock, cashier

    async def ask(self, method: str, user: str = "alice", /, locale: str = "en", **params: Any) -> Any:
        """The answer, or the code of the error with its details."""
        try:
            return (await self.host.call(APP, method, params, user=user, locale=locale)).value
        except GuestFailed as failed:
            error = failed.details["error"]
            return error["code"], error["details"]

    async def book(self, user: str = "alice", /, slot: str = TUESDAY_9, **params: Any) -> Any:
        wanted = {"office": "harbour", "service": "residence_permit", "slot": slot}
        return await self.ask("book", user, **{**wanted, **params})

    def wallet(self, user: str = "alice") -> int:
        return self.host.balance(AccountName(kind=AccountKind.WALLET, owner=user, currency="CNY")).available

    async def states(self, user: str = "alice") -> list[str]:
        listed = await self.ask("appointments.list", user)
        return [one["state"] for one in listed["appointments"]]


@asynccontextmanager
async def open_host(state: Path, clock: VirtualClock, answers: Any = ()) -> AsyncIterator[City]:
    cashier, ids = ScriptedCashier(answers), SeededIds(clock.now_us())
    async with Host.open(state, clock=clock, new_id=ids, cashier=cashier, allow_unsigned=True) as host:
        yield City(host, clock, cashier)
        assert host.verify() == []


async def install(city: City, config: Any = None, grant: Any = GRANT) -> None:
    await city.host.install(BUNDLE, grant=grant, config=config)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with the program in it, compiled, and three citizens with money; not to be opened itself."""
    state = tmp_path_factory.mktemp("city") / "state"

    async def prepare() -> None:
        async with open_host(state, VirtualClock(MONDAY_8)) as city:
            await install(city)
            for user in ("alice", "bob", "carol"):
                await city.host.deposit(user, Money(amount=20_000, currency="CNY"))

    trio.run(prepare)
    return state


@pytest.fixture
def opened(installed: Path, tmp_path: Path) -> Opened:
    """Opens a copy of that state; again and again the same copy."""
    state, clock = tmp_path / "state", VirtualClock(MONDAY_8 + 1)
    shutil.copytree(installed, state)
    return lambda answers=(): open_host(state, clock, answers)


async def test_an_appointment_is_paid_for_and_survives_a_restart(opened: Opened) -> None:
    async with opened([True]) as city:
        offices = await city.ask("offices.list", locale="zh-CN")
        assert [one["name"] for one in offices["offices"]] == ["城北政务服务中心", "海港办事处"]
        free = await city.ask("slots.list", office="harbour")
        assert free["date"] == "2026-11-24" and len(free["slots"]) == 16 and free["slots"][0]["slot"] == TUESDAY_9
        booked = await city.book()
        assert (booked["state"], booked["office"], booked["fee"]["amount"]) == ("booked", "Harbour office", 2_000)
        assert city.wallet() == 18_000
        assert await city.book() == booked  # sent again: no second order
        assert len(city.cashier.shown) == 1
    async with opened() as city:
        assert (await city.ask("appointments.list"))["appointments"] == [booked]
        assert (await city.ask("slots.list", office="harbour"))["slots"][0]["slot"] == "2026-11-24T09:30"


async def test_of_those_who_want_the_last_desk_at_once_one_gets_it(opened: Opened) -> None:
    answers: dict[str, Any] = {}
    async with opened() as city:

        async def want(user: str) -> None:
            answers[user] = await city.book(user, service="marriage_certificate")

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(want, f"citizen-{number}")
        won = [user for user, answer in answers.items() if isinstance(answer, dict)]
        assert len(won) == 1 and answers[won[0]]["state"] == "booked"
        lost = [answer for user, answer in answers.items() if user not in won]
        assert {code for code, _ in lost} == {"slot_taken"}
        assert {details["next"] for _, details in lost} == {"2026-11-24T09:30"}
        (loser, *_) = (user for user in answers if user not in won)
        assert (await city.book(loser, service="marriage_certificate", slot="2026-11-24T09:30"))["state"] == "booked"
        assert await city.states(loser) == ["booked", "released"]


async def test_a_desk_that_is_not_paid_for_in_time_is_anybodys(opened: Opened) -> None:
    async with opened(lambda _: True) as city:
        city.cashier.hold()
        held = await city.book(wait_ms=0)
        assert held["state"] == "held" and city.wallet() == 20_000
        code, details = await city.book("bob")
        assert (code, details["next"]) == ("slot_taken", "2026-11-24T09:30")
        city.clock.advance(s=961)
        city.cashier.release()
        assert (await city.book("bob"))["state"] == "booked"
        assert (await city.book())[0] == "slot_taken"
        assert await city.states() == ["released", "released"]
        assert city.wallet() == 20_000


async def test_who_says_no_keeps_the_desk_for_a_while_and_may_pay_then(opened: Opened) -> None:
    async with opened([False, True]) as city:
        code, details = await city.book()
        assert code == "payment_declined" and details["held_until_ms"] == 1_795_392_960_000
        assert (await city.book("bob"))[0] == "slot_taken"
        city.clock.advance(s=30)
        assert (await city.book())["state"] == "booked"
        assert await city.states() == ["booked"]
        assert city.wallet() == 18_000


async def test_a_cancellation_gives_back_what_the_rules_say(opened: Opened) -> None:
    async with opened(lambda _: True) as city:
        slots = {"alice": TUESDAY_9, "bob": "2026-11-24T09:30", "carol": "2026-11-24T10:30"}
        numbers = {user: (await city.book(user, slot=slot))["number"] for user, slot in slots.items()}
        for user, wait_h, back in (("alice", 0, 2_000), ("bob", 2, 1_000), ("carol", 23, 0)):
            city.clock.advance(s=wait_h * 3_600)
            cancelled = await city.ask("cancel", user, number=numbers[user])
            assert (cancelled["state"], cancelled["refund"]["amount"]) == ("cancelled", back)
            assert await city.ask("cancel", user, number=numbers[user]) == cancelled
            assert city.wallet(user) == 18_000 + back


async def test_a_refund_that_cannot_be_made_now_is_made_later(opened: Opened) -> None:
    async with opened([True]) as city:
        number = (await city.book())["number"]
        await install(city, grant=("storage", "payment", "notify"))
        assert (await city.ask("cancel", number=number))["refund"]["amount"] == 2_000
        assert city.wallet() == 18_000
        await install(city)
        assert await city.states() == ["cancelled"]
        assert city.wallet() == 20_000


async def test_what_was_not_paid_is_cancelled_and_cannot_be_paid_any_more(opened: Opened) -> None:
    async with opened(lambda _: True) as city:
        city.cashier.hold()
        number = (await city.book(wait_ms=0))["number"]
        assert (await city.ask("cancel", number=number))["state"] == "cancelled"
        city.cashier.release()
        assert (await city.book("bob", service="marriage_certificate"))["state"] == "booked"
        assert await city.states() == ["cancelled"]
        assert city.wallet() == 20_000


async def test_an_appointment_is_moved_and_the_desk_is_free_again(opened: Opened) -> None:
    async with opened([True]) as city:
        number = (await city.book())["number"]
        assert (await city.book(slot="2026-11-25T09:00"))[0] == "already_booked"
        moved = await city.ask("reschedule", number=number, slot="2026-11-25T16:30")
        assert (moved["slot"], moved["state"]) == ("2026-11-25T16:30", "booked")
        assert (await city.book("bob", service="marriage_certificate"))["state"] == "booked"
        code, _ = await city.ask("reschedule", number=number, slot=TUESDAY_9)
        assert code == "slot_taken"
        assert city.wallet() == 18_000


async def test_the_queue_counts_who_checks_in_on_time(opened: Opened) -> None:
    async with opened() as city:
        await install(city, {"fees_waived": ["residence_permit"]})
        numbers = {user: (await city.book(user, office="north"))["number"] for user in ("alice", "bob")}
        assert city.cashier.shown == [] and city.wallet() == 20_000
        assert (await city.ask("check_in", number=numbers["alice"]))[0] == "too_early"
        city.clock.advance(s=24 * 3_600 + 1_800)
        first = await city.ask("check_in", number=numbers["alice"])
        assert (first["state"], first["queue"]) == ("checked_in", "A001")
        assert await city.ask("check_in", number=numbers["alice"]) == first
        assert (await city.ask("check_in", "bob", number=numbers["bob"]))["queue"] == "A002"
        assert (await city.ask("cancel", number=numbers["alice"]))[0] == "wrong_state"


async def test_who_wishes_is_reminded_once_in_their_language(opened: Opened) -> None:
    async with opened(lambda _: True) as city:
        for user, locale in (("alice", "en"), ("bob", "zh-CN")):
            assert await city.ask("reminders.allow", user, locale=locale) == {"status": "granted"}
            await city.ask("book", user, locale=locale, office="north", service="parking_permit", slot=TUESDAY_9)
        city.clock.advance(s=3_600)
        for user in ("alice", "bob", "alice", "bob", "carol"):
            await city.host.notify(APP, "reminders.send", user=user)
        assert sorted((notice.user, notice.text) for notice in city.host.notices.pending()) == [
            ("alice", "Your appointment: North service centre, 09:00 tomorrow"),
            ("bob", "明天09:00，您在城北政务服务中心有预约"),
        ]


async def test_what_is_no_slot_is_refused_in_the_citizens_language(opened: Opened) -> None:
    past, odd, saturday, too_far = "2026-11-23T08:30", "2026-11-23T09:10", "2026-11-28T09:00", "2026-12-24T09:00"
    async with opened() as city:
        for slot in (past, odd, saturday, too_far, "2026-02-30T09:00", "soon", "2026-11-24 09:00", "2026-11-24T17:00"):
            assert (await city.book(slot=slot))[0] == "unknown_slot"
        assert (await city.ask("cancel", number="none"))[0] == "unknown_appointment"
        with pytest.raises(GuestFailed) as caught:
            await city.host.call(APP, "slots.list", {"office": "moon"}, user="alice", locale="zh")
        assert caught.value.details["error"]["message"] == "没有这个办事处"
