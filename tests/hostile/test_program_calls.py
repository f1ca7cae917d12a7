"""Programs that call programs: whose grants, whose budget, how deep, and what a hostile one of them can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from host_api.capability import parse_grants
from host_api.errors import ApiError, ErrorCode
from runtime import App, CallEnded, Ending, HostBusy, Money, wire
from runtime.testing import VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script, bundle, module, scripted

PAUSE_MS = 200
"""A call in flight waits so long, while a grant is taken away."""
SPIN = module("(loop $on (br $on)) (i64.const 0)")


def calling(app: App | str, script: Script, **params: Any) -> bytes:
    """The request that has the scripted guest `app` run a script."""
    app_id = app if isinstance(app, str) else app.app_id
    return wire.request(1, "program.call", {"program": app_id, "method": "run", "params": script.params(), **params})


def get(key: str) -> bytes:
    return wire.request(2, "storage.get", {"key": key})


def put(key: str, value: Any) -> bytes:
    return wire.request(2, "storage.put", {"key": key, "value": value})


def as_caller(method: str, params: dict[str, Any]) -> bytes:
    return wire.request(3, "program.as_caller", {"method": method, "params": params})


async def pair(site: Site, grant: Any = ("storage",), **limits: int) -> tuple[App, App]:
    """A caller and the program it may call."""
    callee = await site.install(grant=grant)
    programs = {"program.call": {"programs": [callee.app_id]}, "storage": {}, "payment": {}}
    return await site.install(grant=programs, **limits), callee


async def inner(site: Site, caller: App, callee: App, script: Script, **params: Any) -> list[Any]:
    """What the callee's host calls were answered."""
    response = await site.ask(calling(callee, script, **params), caller)
    assert response[2] is None, response
    return script.responses(response[3]["value"])


async def refusal(site: Site, caller: App, request: bytes) -> dict[str, Any]:
    error = (await site.ask(request, caller))[2]
    assert error is not None
    return dict(error)


async def meanwhile(site: Site, app: App, script: Script, act: Callable[[], Awaitable[object]], calls: int = 1) -> Any:
    """What a call of alice's gives, or how it ended, if `act` is done as soon as so many calls are in flight."""
    came: list[Any] = []

    async def call() -> None:
        try:
            came.append((await site.host.call(app, "run", script.params(), user="alice")).value)
        except CallEnded as error:
            came.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        while site.host.statistics().calls_in_flight < calls:
            await trio.lowlevel.checkpoint()
        await act()
    return came[0]


def asleep(ms: int = 60_000) -> Script:
    return Script().ask(wire.request(1, "session.sleep", {"ms": ms}))


# ---- whose grants ----------------------------------------------------------------------------------------------------
async def test_a_called_program_acts_in_its_own_name(stored: Site) -> None:
    caller, callee = await pair(stored)
    await stored.ask(put("k", "caller's"), caller)
    (answer,) = await inner(stored, caller, callee, Script().ask(put("k", "callee's")))
    assert answer[2] is None
    assert (await stored.ask(get("k"), caller))[3]["value"] == "caller's"
    assert (await stored.ask(get("k"), callee))[3]["value"] == "callee's"


async def test_it_sees_who_called_and_for_whom(site: Site) -> None:
    caller, callee = await pair(site)
    (answer,) = await inner(site, caller, callee, Script().ask(wire.request(1, "session.info", {})))
    assert (answer[3]["app_id"], answer[3]["caller"]) == (callee.app_id, caller.app_id)
    assert (await site.ask(wire.request(1, "session.info", {}), caller))[3]["caller"] == ""


async def test_it_never_gains_its_callers_grants(site: Site) -> None:
    caller, callee = await pair(site, grant=())
    (answer,) = await inner(site, caller, callee, Script().ask(get("k")))
    assert answer[2]["code"] == "capability_not_granted"
    (answer,) = await inner(site, caller, callee, Script().ask(as_caller("storage.get", {"key": "k"})))
    assert answer[2]["code"] == "capability_not_granted"


async def test_its_own_grants_are_narrowed_as_the_caller_states(site: Site) -> None:
    caller, callee = await pair(site)
    script = Script().ask(get("public/k")).ask(get("private/k"))
    narrow = {"storage": {"keys": ["public/"]}}
    answers = await inner(site, caller, callee, script, narrow=narrow)
    assert [answer[2] and answer[2]["code"] for answer in answers] == [None, "grant_constraint"]
    (answer,) = await inner(site, caller, callee, Script().ask(get("k")), narrow={})
    assert answer[2]["code"] == "capability_undeclared"
    (answer,) = await inner(site, caller, callee, Script().ask(get("private/k")))
    assert answer[2] is None  # that call only


# ---- delegation ------------------------------------------------------------------------------------------------------
async def test_a_delegation_acts_as_the_caller_and_no_further_than_it_says(stored: Site) -> None:
    caller, callee = await pair(stored, grant=())
    await stored.ask(put("shared/k", 7), caller)
    script = (
        Script()
        .ask(as_caller("storage.get", {"key": "shared/k"}))
        .ask(as_caller("storage.get", {"key": "secret"}))
        .ask(as_caller("payment.query", {"out_trade_no": "1"}))
        .ask(as_caller("session.info", {}))
        .ask(as_caller("program.call", {}))
        .ask(as_caller("no.such", {}))
        .ask(as_caller("storage.get", {"key": 5}))
        .ask(as_caller("storage.put", {"key": "shared/new", "value": 1}))
    )
    answers = await inner(stored, caller, callee, script, delegate={"storage": {"keys": ["shared/"]}})
    assert answers[0][3]["value"]["value"] == 7
    assert [answer[2] and answer[2]["code"] for answer in answers] == [
        None, "grant_constraint", "capability_undeclared", "invalid_params", "invalid_params", "unknown_method",
        "invalid_params", None,
    ]  # fmt: skip
    assert (await stored.ask(get("shared/new"), caller))[3]["value"] == 1


@pytest.mark.parametrize(
    ("delegate", "code"),
    [
        ({"user.phone": {}}, "invalid_params"),
        ({"program.call": {}}, "invalid_params"),
        ({"storage": {"keys": 5}}, "invalid_params"),
        ({"no such": {}}, "invalid_params"),
        ({"http": {}}, "capability_not_granted"),
    ],
)
async def test_what_cannot_be_delegated(site: Site, delegate: dict[str, Any], code: str) -> None:
    caller, callee = await pair(site)
    assert (await refusal(site, caller, calling(callee, Script(), delegate=delegate)))["code"] == code


async def test_a_delegation_is_never_wider_than_the_callers_grant(site: Site) -> None:
    callee = await site.install(grant=())
    grant = {"program.call": {"programs": [callee.app_id]}, "storage": {"keys": ["a/"]}}
    caller = await site.install(grant=grant)
    script = Script().ask(as_caller("storage.get", {"key": "a/k"})).ask(as_caller("storage.get", {"key": "b/k"}))
    answers = await inner(site, caller, callee, script, delegate={"storage": {}})
    assert [answer[2] and answer[2]["code"] for answer in answers] == [None, "grant_constraint"]


async def test_a_delegated_payment_is_the_callers(stored: Site) -> None:
    caller, callee = await pair(stored, grant=())
    create = {"key": "k", "out_trade_no": "1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    script = Script().ask(as_caller("payment.create", create))
    (answer,) = await inner(stored, caller, callee, script, delegate={"payment": {"amount_max": 5}})
    assert answer[2] is None
    found = await stored.ask(wire.request(1, "payment.query", {"out_trade_no": "1"}), caller)
    assert found[3]["order_id"] == answer[3]["value"]["order_id"]
    create = {**create, "key": "l", "out_trade_no": "2", "amount": {"amount": 6, "currency": "CNY"}}
    script = Script().ask(as_caller("payment.create", create))
    (answer,) = await inner(stored, caller, callee, script, delegate={"payment": {"amount_max": 5}})
    assert answer[2]["code"] == "grant_constraint"


@pytest.mark.parametrize("bounds", [{"amount_max": 4}, {"currencies": ["EUR"]}, {"amount_max": 0, "currencies": []}])
async def test_a_delegation_asks_for_and_takes_no_more_than_it_says(stored: Site, bounds: dict[str, Any]) -> None:
    caller, callee = await pair(stored, grant=())
    await stored.host.deposit("alice", Money(amount=10, currency="CNY"))
    orders = []
    for number in ("1", "2"):
        order = {"key": number, "out_trade_no": number, "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
        made = await stored.ask(wire.request(1, "payment.create", {**order, "capture": "manual"}), caller)
        orders.append(made[3]["order_id"])
    await stored.ask(wire.request(1, "payment.request", {"order_id": orders[0], "wait_ms": 5_000}), caller)
    script = Script().ask(as_caller("payment.capture", {"key": "c", "order_id": orders[0]}))
    script.ask(as_caller("payment.request", {"order_id": orders[1], "wait_ms": 0}))
    answers = await inner(stored, caller, callee, script, delegate={"payment": bounds})
    assert [answer[2]["code"] for answer in answers] == ["grant_constraint"] * 2
    script = Script().ask(as_caller("payment.capture", {"key": "c", "order_id": orders[0]}))
    (answer,) = await inner(stored, caller, callee, script, delegate={"payment": {"amount_max": 5}})
    assert answer[3]["value"]["status"] == "succeeded"


@pytest.mark.parametrize(("left", "ended"), [({}, "succeeded"), ({"amount_max": 4}, "closed")])
async def test_a_yes_to_a_delegated_request_counts_after_its_call(
    stored: Site, left: dict[str, Any], ended: str
) -> None:
    """Held to the delegation's bounds, and to what the caller may by then."""
    caller, callee = await pair(stored, grant=())
    stored.cashier.hold()
    await stored.host.deposit("alice", Money(amount=5, currency="CNY"))
    create = {"key": "k", "out_trade_no": "1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    order = (await stored.ask(wire.request(1, "payment.create", create), caller))[3]["order_id"]
    script = Script().ask(as_caller("payment.request", {"order_id": order, "wait_ms": 0}))
    (answer,) = await inner(stored, caller, callee, script, delegate={"payment": {"amount_max": 5}})
    assert answer[3]["value"]["status"] == "confirming"
    stored.host._registry.find(caller)[1].authority.narrow(parse_grants({"payment": left}))
    stored.cashier.release()
    query = wire.request(1, "payment.query", {"order_id": order})
    with trio.fail_after(5):
        while (seen := (await stored.ask(query, caller))[3])["status"] == "confirming":
            await trio.lowlevel.checkpoint()
    assert (seen["status"], seen["close_reason"]) == (ended, None if ended == "succeeded" else "limit")


# ---- who may be called -----------------------------------------------------------------------------------------------
async def test_a_program_speaks_to_another_in_its_own_name_only(site: Site) -> None:
    """An event of the host's is the host's: no program tells another that an order is paid."""
    caller, callee = await pair(site)
    forged = wire.request(1, "program.call", {"program": callee.app_id, "method": "hostel.event", "params": {}})
    error = await refusal(site, caller, forged)
    assert (error["code"], error["details"]["path"]) == ("invalid_params", "$.method")


async def test_only_the_programs_that_the_grant_names(site: Site) -> None:
    other = await site.install()
    caller, callee = await pair(site)
    for app_id in (other.app_id, "org.example.nowhere", caller.app_id):
        error = await refusal(site, caller, calling(app_id, Script()))
        assert (error["code"], error["details"]["constraint"]) == ("grant_constraint", "programs")
    await site.host.uninstall(callee)
    assert (await refusal(site, caller, calling(callee, Script())))["code"] == "not_found"


async def test_a_grant_that_names_no_program_allows_none(site: Site) -> None:
    other = await site.install()
    caller = await site.install(grant=["program.call"])
    assert (await refusal(site, caller, calling(other, Script())))["code"] == "grant_constraint"


# ---- whose budget ----------------------------------------------------------------------------------------------------
async def test_its_cpu_time_is_the_callers(site: Site) -> None:
    callee = await site.install(SPIN, grant=(), cpu_us=50_000)
    caller = await site.install(grant={"program.call": {"programs": [callee.app_id]}}, cpu_us=30_000)
    script = Script().ask(calling(callee, Script(), cpu_us=5_000)).ask(wire.request(9, "session.info", {}))
    told, reply = await site.reply(script, caller)
    first, second = script.responses(reply.value)
    assert (first[2]["code"], first[2]["details"]["ending"]) == ("program_failed", "cpu_exceeded")
    assert second[2] is None  # the caller lives
    assert 5_000 <= reply.receipt.usage.called_cpu_us < 15_000
    assert told
    ending, error, receipt = await site.end(Script().ask(calling(callee, Script())).step("spin", 2**31), caller)
    assert (ending, error.details["limit"]) == (Ending.CPU_EXCEEDED, "cpu_us")
    assert 10_000 < receipt.usage.called_cpu_us < receipt.usage.cpu_us + receipt.usage.called_cpu_us < 60_000


async def test_what_was_lent_and_not_used_comes_back(site: Site) -> None:
    caller, callee = await pair(site, host_calls=10)
    quick = Script().ask(wire.request(1, "session.info", {}))
    script = Script()
    for _ in range(5):
        script.ask(calling(callee, quick))
    script.ask(calling(callee, quick))
    _, reply = await site.reply(script, caller)
    answers = script.responses(reply.value)
    assert [answer[2] for answer in answers[:5]] == [None] * 5
    assert reply.receipt.usage.host_calls == 11  # five and theirs are ten; the sixth was refused
    assert answers[5][2]["details"]["limit"] == "host_calls"


async def test_more_cannot_be_lent_than_there_is(site: Site) -> None:
    caller, callee = await pair(site, cpu_us=10_000, host_calls=5)
    for lent, limit in (({"cpu_us": 10_001}, "cpu_us"), ({"host_calls": 5}, "host_calls")):
        error = await refusal(site, caller, calling(callee, Script(), **lent))
        assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", limit)
    assert (await site.ask(calling(callee, Script(), host_calls=4), caller))[2] is None


async def test_two_at_once_share_what_there_is(site: Site) -> None:
    caller, callee = await pair(site, host_calls=20)
    sleeping = asleep(20)
    first, second = calling(callee, sleeping, cpu_us=5_000, host_calls=5), calling(callee, sleeping)
    again = second.replace(b"\x94\x00\x01", b"\x94\x00\x02", 1)
    script = Script().post(first).post(again).awaited().awaited()
    _, reply = await site.reply(script, caller)
    assert [answer[2] for answer in script.responses(reply.value)] == [None, None]
    assert reply.receipt.usage.host_calls == 4


async def test_the_deadline_is_the_callers(opened: Opened) -> None:
    async with opened() as site:
        caller, callee = await pair(site, wall_ms=60, cpu_us=60_000_000)
        script = Script().ask(calling(callee, asleep())).step("spin", 2**31)
        ending, _, receipt = await site.end(script, caller)
        assert ending is Ending.DEADLINE_EXCEEDED
        assert receipt.usage.wall_us < 10_000_000


# ---- how deep --------------------------------------------------------------------------------------------------------
async def chain(site: Site, depth: int, **limits: int) -> tuple[App, bytes]:
    """Programs that each call the next, `depth` calls in all: the first one, and its request."""
    app = await site.install(grant=())
    script = Script()
    request = b""
    for _ in range(depth):
        request = calling(app, script)
        app = await site.install(grant={"program.call": {"programs": [app.app_id]}}, **limits)
        script = Script().ask(request)
    return app, request


async def test_depth_at_the_limit_and_one_over(site: Site) -> None:
    outermost, request = await chain(site, 4)
    response = await site.ask(request, outermost)
    assert response[2] is None
    outermost, request = await chain(site, 5)
    value = (await site.ask(request, outermost))[3]["value"]
    for _ in range(3):
        value = Script().ask(b"").responses(value)[0][3]["value"]
    error = Script().ask(b"").responses(value)[0][2]
    assert (error["code"], error["details"]["limit"], error["details"]["used"]) == ("limit_exceeded", "call_depth", 5)


async def test_a_callee_with_a_deeper_limit_does_not_deepen_its_callers(site: Site) -> None:
    innermost = await site.install(grant=())
    middle = await site.install(grant={"program.call": {"programs": [innermost.app_id]}}, call_depth=16)
    outer = await site.install(grant={"program.call": {"programs": [middle.app_id]}}, call_depth=1)
    (answer,) = await inner(site, outer, middle, Script().ask(calling(innermost, Script())))
    assert answer[2]["details"]["limit"] == "call_depth"


async def test_a_program_that_calls_itself_waits_for_nobody(opened: Opened) -> None:
    """Callers hold sandboxes: one inside another must not wait for a place."""
    async with opened(slots=1) as site:
        caller, callee = await pair(site)
        assert (await refusal(site, caller, calling(callee, Script())))["code"] == "busy"
    async with opened(slots=2) as site:
        caller, callee = await pair(site)
        assert (await site.ask(calling(callee, Script()), caller))[2] is None


# ---- how it ends -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wasm", "ending"),
    [
        (module("(unreachable)"), "trapped"),
        (module("(i64.const 0)"), "protocol_violation"),
        (module("(call $proc_exit (i32.const 3)) (i64.const 0)", imports=("proc_exit",)), "exited"),
        (module(alloc="(i32.const 0)"), "failed"),
    ],
)
async def test_a_callee_that_is_over_is_an_answer_to_its_caller(site: Site, wasm: bytes, ending: str) -> None:
    callee = await site.install(wasm, grant=())
    caller = await site.install(grant={"program.call": {"programs": [callee.app_id]}})
    error = await refusal(site, caller, calling(callee, Script()))
    assert (error["code"], error["details"]["ending"]) == (ErrorCode.PROGRAM_FAILED.code, ending)


async def test_a_message_too_large_for_the_callee_never_reaches_it(site: Site) -> None:
    callee = await site.install(grant=(), message_in_bytes=100)
    caller = await site.install(grant={"program.call": {"programs": [callee.app_id]}})
    script = Script().print(bytes(100))
    error = await refusal(site, caller, calling(callee, script))
    assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "message_in_bytes")


async def test_cancelled_with_its_caller(site: Site) -> None:
    caller, callee = await pair(site)
    params = Script().ask(calling(callee, asleep())).params()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.host.call, caller, "run", params)
        while site.host.statistics().calls_in_flight < 2:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert site.host.statistics().calls_in_flight == 0


async def test_a_callee_taken_away_ends_as_revoked(site: Site) -> None:
    caller, callee = await pair(site)
    script = Script().ask(calling(callee, asleep()))
    value = await meanwhile(site, caller, script, lambda: site.host.uninstall(callee, end_calls=True), calls=2)
    (answer,) = script.responses(value)
    assert (answer[2]["code"], answer[2]["details"]["ending"]) == ("program_failed", "revoked")


async def test_a_delegation_is_dead_when_the_call_is_over(site: Site) -> None:
    caller, callee = await pair(site, grant=())
    outer = Script().ask(calling(callee, asleep(20), delegate={"storage": {}}))
    found: list[Any] = []

    async def look() -> None:
        found.extend(call.session.delegation for call in site.host._calls._in_flight.values())

    await meanwhile(site, caller, outer, look, calls=2)
    (delegation,) = (each for each in found if each is not None)
    with pytest.raises(ApiError):
        delegation.authority.require("storage", 0)


async def test_revoked_while_it_waits_the_delegation_is_gone(site: Site) -> None:
    """The callee sleeps; meanwhile the caller's own grant is taken: what was delegated of it is gone at once."""
    caller, callee = await pair(site, grant=())
    script = asleep(PAUSE_MS).ask(as_caller("storage.get", {"key": "k"}))
    outer = Script().ask(calling(callee, script, delegate={"storage": {}}))
    value = await meanwhile(site, caller, outer, lambda: site.host.revoke(caller, "storage"), calls=2)
    told = script.responses(outer.responses(value)[0][3]["value"])
    assert told[1][2]["code"] == "capability_not_granted"


async def test_a_revoked_grant_stops_the_next_request_of_a_call_in_flight(stored: Site) -> None:
    app = await stored.install()
    script = asleep(PAUSE_MS).ask(put("k", 1)).ask(get("k"))
    answers = script.responses(await meanwhile(stored, app, script, lambda: stored.host.revoke(app, "storage")))
    assert [answer[2] and answer[2]["code"] for answer in answers] == [
        None, "capability_not_granted", "capability_not_granted",
    ]  # fmt: skip


async def test_uninstalled_calls_can_be_ended(site: Site) -> None:
    app = await site.install()
    error = await meanwhile(site, app, asleep(), lambda: site.host.uninstall(app, end_calls=True))
    assert error.ending is Ending.REVOKED


# ---- what outlives its grants ----------------------------------------------------------------------------------------
async def test_a_call_that_outlives_its_program_has_no_grants(stored: Site) -> None:
    app = await stored.install()
    script = asleep(PAUSE_MS).ask(put("k", 1))
    answers = script.responses(await meanwhile(stored, app, script, lambda: stored.host.uninstall(app)))
    assert answers[1][2]["code"] == "capability_not_granted"


@pytest.mark.parametrize("how", ["revoke", "install without it"])
async def test_a_revocation_reaches_calls_of_an_earlier_release(site: Site, how: str) -> None:
    app = await site.install()
    release = bundle(scripted(), app.app_id, code=2)

    async def replace() -> None:
        await site.host.install(release, grant=["payment"] if how == "install without it" else ["storage", "payment"])
        if how == "revoke":
            await site.host.revoke(app, "storage")

    script = asleep(5 * PAUSE_MS).ask(put("k", 1))
    answers = script.responses(await meanwhile(site, app, script, replace))
    assert answers[1][2]["code"] == "capability_not_granted"


@pytest.mark.parametrize(("burst", "inside"), [(10, 5), (5, 3), (1, 1)])
async def test_callers_inside_leave_half_to_those_outside(opened: Opened, burst: int, inside: int) -> None:
    """The call that finds just half is not let in, and the clock stands still; of one there is no half."""
    async with opened(clock=VirtualClock()) as site:
        callee = await site.install(grant=(), calls_per_s=1, calls_burst=burst)
        caller = await site.install(grant={"program.call": {"programs": [callee.app_id]}})
        script = Script()
        for _ in range(burst):
            script.ask(calling(callee, Script(), cpu_us=1_000, host_calls=0))
        _, reply = await site.reply(script, caller)
        codes = [answer[2] and answer[2]["code"] for answer in script.responses(reply.value)]
        assert codes == [None] * inside + ["busy"] * (burst - inside)
        for _ in range(burst - inside):
            await site.host.call(callee, "run", Script().params())
        with pytest.raises(HostBusy, match="calls_per_s"):
            await site.host.call(callee, "run", Script().params())
