"""legal_advice beside its scenarios: many who want one hour, and bookings that are cut off anywhere."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.contract import Bound, Session
from host_api.errors import ApiError, ErrorCode
from host_api.ledger import AccountKind, AccountName
from host_api.services import Outside
from runtime import Bundle, GuestFailed, Host, HostSettings, Money, ScriptedCashier
from runtime.bundle import pack
from runtime.testing import VirtualClock
from tests.console import ROOT

APP = "org.example.legal"
BEGIN_US = 1_795_420_800_000_000
"""2026-11-23T08:00:00Z."""
RIVALS = tuple(f"rival{number}" for number in range(7))
WANTED = {"lawyer": "chen", "hour": "2026-11-25T10:00", "topic": "work", "accepts": "2026-10"}


class Cut:
    """An interference: the nth request of a method is refused, or done and its answer lost."""

    def __init__(self) -> None:
        self.method, self.at, self.is_done = "", 0, False

    def around(self, bound: Bound) -> Bound:
        name = bound.method.name

        async def answer(session: Session, params: Any) -> Any:
            self.at -= name == self.method
            is_cut = name == self.method and self.at == 0
            if is_cut and not self.is_done:
                raise ApiError(ErrorCode.BUSY, "cut off", retry_after_ms=1)
            result = bound.run(session, params)
            result = await result if inspect.isawaitable(result) else result
            if is_cut:
                raise ApiError(ErrorCode.UNKNOWN_OUTCOME, "cut off")
            return result

        return Bound(dataclasses.replace(bound.method, waits=True), answer)

    def deliveries(self) -> int:
        return 1


@pytest.fixture
def cut() -> Cut:
    return Cut()


@pytest.fixture
async def host(cache: Path, cut: Cut) -> AsyncIterator[Host]:
    async with Host.open(
        settings=HostSettings(slots=16, allow_unsigned=True, cache_dir=cache), clock=VirtualClock(BEGIN_US),
        cashier=ScriptedCashier(lambda _: True), outside=Outside(faults=cut),
    ) as opened:  # fmt: skip
        bundle = Bundle.from_bytes(pack(ROOT / "sample_programs/legal_advice/bundle"))
        await opened.install(bundle, grant=["payment", "storage", "user.login"], config={"codes": {"chen": "c"}})
        for user in ("alice", *RIVALS):
            await opened.deposit(user, Money(amount=100_000, currency="CNY"))
        yield opened


async def ask(host: Host, method: str, user: str = "alice", **params: Any) -> Any:
    """The answer, or the code of the error."""
    try:
        return (await host.call(APP, method, params, user=user)).value
    except GuestFailed as error:
        return error.details["error"]["code"]


async def test_of_many_who_want_one_hour_one_gets_it(host: Host) -> None:
    told: list[Any] = []

    async def want(user: str) -> None:
        told.append(await ask(host, "book", user, **WANTED))

    async with trio.open_nursery() as nursery:
        for user in RIVALS:
            nursery.start_soon(want, user)
    assert told.count("hour_taken") == len(RIVALS) - 1
    assert [one["state"] for one in told if one != "hour_taken"] == ["booked"]


async def test_who_has_not_enough_money_is_told_and_keeps_nothing(host: Host) -> None:
    assert await ask(host, "book", "pauper", **WANTED) == "declined"
    assert [one["state"] for one in (await ask(host, "consultations.list", "pauper"))["consultations"]] == ["released"]
    assert (await ask(host, "book", **WANTED))["state"] == "booked"


@pytest.mark.parametrize("is_done", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize(
    ("method", "at"), [*(("storage.put", n) for n in range(1, 6)), ("payment.create", 1), ("payment.request", 1),
                       ("payment.query", 1), ("payment.query", 2)],
)  # fmt: skip
async def test_a_booking_that_is_cut_off_anywhere_is_gone_on_with(
    host: Host, cut: Cut, method: str, at: int, is_done: bool
) -> None:
    """Sent again by the user it is one consultation, one hour and one hold. It may be the event's session that is cut
    off, and not the call."""
    cut.method, cut.at, cut.is_done = method, at, is_done
    first = await ask(host, "book", **WANTED)
    booked = await ask(host, "book", **WANTED)
    assert booked["state"] == "booked" and cut.at <= 0
    assert first in (booked, "unknown_outcome" if is_done else "busy")
    assert (await ask(host, "consultations.list"))["consultations"] == [booked]
    wallet = AccountName(kind=AccountKind.WALLET, owner="alice", currency="CNY")
    assert host.balance(wallet).available == 70_000
    days = (await ask(host, "hours.list", lawyer="chen"))["days"]
    assert [len(day["hours"]) for day in days if day["date"] == "2026-11-25"] == [4]
