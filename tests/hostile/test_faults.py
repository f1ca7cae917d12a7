"""Faults on purpose, as a real guest meets them: refused before anything is done, done with the answer lost, late."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from host_api.errors import ErrorCode
from host_api.services import METHODS, Outside
from runtime import Ending, UsageError, wire
from runtime.faults import FAULTS_MOST, Fault, Faults, Kind
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script

PUT = wire.request(1, "storage.put", {"key": "k", "value": b"v"})
GET = wire.request(1, "storage.get", {"key": "k"})


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def faulty(opened: Opened, faults: Faults) -> AsyncIterator[Site]:
    async with opened(outside=Outside(faults=faults)) as made:
        yield made


async def test_busy_is_refused_before_anything_is_done(faulty: Site, faults: Faults) -> None:
    app = await faulty.install()
    faults.add(Fault(kind=Kind.BUSY, method="storage.put", times=2))
    for _ in range(2):
        error = (await faulty.ask(PUT, app))[2]
        assert (error["code"], error["retryable"], error["details"]) == ("busy", True, {"fault": "busy"})
    assert (await faulty.ask(GET, app))[3]["found"] is False
    assert (await faulty.ask(PUT, app))[2] is None
    assert faults.asked == ()


async def test_an_unknown_outcome_was_done(faulty: Site, faults: Faults) -> None:
    app = await faulty.install()
    faults.add(Fault(kind=Kind.UNKNOWN_OUTCOME, method="storage.put"))
    assert (await faulty.ask(PUT, app))[2]["code"] == "unknown_outcome"
    assert (await faulty.ask(GET, app))[3]["value"] == b"v"


async def test_an_error_of_the_method(faulty: Site, faults: Faults) -> None:
    app = await faulty.install()
    faults.add(Fault.parse("storage.put=error:quota_exceeded"))
    error = (await faulty.ask(PUT, app))[2]
    assert (error["code"], error["retryable"]) == ("quota_exceeded", False)
    assert (await faulty.ask(GET, app))[3]["found"] is False


async def test_a_refusal_of_the_broker_comes_first(faulty: Site, faults: Faults) -> None:
    app = await faulty.install(grant=())
    faults.add(Fault.parse("storage.put=busy"))
    assert (await faulty.ask(PUT, app))[2]["code"] == "capability_not_granted"
    assert len(faults.asked) == 1


async def test_slow_is_done_later_or_meets_the_deadline(opened: Opened) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if seconds > 1:
            await trio.sleep_forever()

    faults = Faults(sleep=sleep)
    async with opened(outside=Outside(faults=faults)) as site:
        app = await site.install(wall_ms=50)
        faults.add(Fault.parse("storage.get=slow:20"))
        assert (await site.ask(GET, app))[3]["found"] is False
        faults.add(Fault.parse("storage.get=slow:2000"))
        ending, _, _ = await site.end(Script().ask(GET), app)
        assert (ending, slept) == (Ending.DEADLINE_EXCEEDED, [0.02, 2.0])


async def test_what_nobody_asked_for_goes_on_as_ever(faulty: Site, faults: Faults) -> None:
    """Every method is wrapped, those too that answer in place."""
    app = await faulty.install()
    faults.add(Fault.parse("payment.query=busy"))
    assert (await faulty.ask(wire.request(1, "session.info", {}), app))[3]["interactive"] is True
    faults.clear()
    assert faults.asked == ()


def test_the_next_event_twice() -> None:
    faults = Faults()
    faults.add(Fault.parse("duplicate_event"))
    assert [faults.deliveries() for _ in range(3)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("payment.request", "no fault 'payment.request': write METHOD=KIND"),
        ("payment.request=", "no kind"),
        ("payment.request=lost", "no kind"),
        ("payment.take=busy", "no method 'payment.take': did you mean payment"),
        ("storage.putt=busy", "did you mean storage\\.put\\?"),
        ("nothing.at.all=busy", "hostel api methods lists them"),
        ("payment.request=slow", "no fault"),
        ("payment.request=slow:600001", "from 1 to 600000"),
        ("payment.request=slow:0", "from 1 to 600000"),
        ("storage.put=error", "error takes a code"),
        ("storage.put=error:no_such", "no error code 'no_such'; its errors: .*version_conflict"),
        ("storage.putt=error:no_such", "hostel api show METHOD lists them"),
        ("storage.put=error:declined", "never answers declined"),
        ("log.write=busy", "never answers busy"),
        ("storage.put=busy*0", "times = 0"),
        ("storage.put=busy*x", "no fault"),
        ("storage.put=duplicate_event", "names no method"),
        ("storage.put=busy:declined", "takes one"),
    ],
)
def test_what_cannot_be_asked_for(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Fault.parse(text)


def test_every_method_takes_the_faults_it_may_answer() -> None:
    for method in METHODS:
        Fault(kind=Kind.SLOW, method=method.name, ms=1)
        for code in method.errors:
            Fault(kind=Kind.ERROR, method=method.name, code=code)
        if ErrorCode.UNKNOWN_OUTCOME in method.errors:
            Fault(kind=Kind.UNKNOWN_OUTCOME, method=method.name)


def test_as_the_command_line_has_it() -> None:
    assert Fault.parse("payment.request=slow:2000*3") == Fault(
        kind=Kind.SLOW, method="payment.request", ms=2_000, times=3
    )


def test_there_are_not_too_many() -> None:
    faults, fault = Faults(), Fault.parse("storage.put=busy")
    for _ in range(FAULTS_MOST):
        faults.add(fault)
    with pytest.raises(UsageError, match="asked for already"):
        faults.add(fault)
