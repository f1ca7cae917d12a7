"""payment.request: one prompt for each program and user, who answers it, and every way it can end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from host_api.capability import parse_grants
from host_api.errors import ErrorCode
from host_api.payment import records
from host_api.payment.orders import digest
from host_api.prompts.cashier import Decision, ScriptedCashier
from host_api.prompts.prompt import Answer
from host_api.store import open_store
from runtime.deadline import Deadline
from runtime.limits import Limits
from runtime.testing import VirtualClock
from tests.host_api.refusal import refusal

blocked = trio.testing.wait_all_tasks_blocked


# ---- what is shown ---------------------------------------------------------------------------------------------------
async def test_the_prompt_is_drawn_by_the_host(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1250)
    order = await world.create()
    await world.request(order.order_id)
    (prompt,) = world.cashier.shown
    assert (prompt.kind, prompt.about) == ("payment", order.order_id)
    assert (prompt.app_id, prompt.user) == ("org.example.shop", "alice")
    assert prompt.shown == {
        "payee": "Example Shop",
        "amount_text": "12.50 CNY",
        "subject": "Fruit basket",
        "amount": {"amount": 1250, "currency": "CNY"},
    }
    assert prompt.expires_us == clock.now_us() + 120_000_000
    stored = world.store.read(lambda tx: records.order_by_id(tx, "org.example.shop", order.order_id))
    assert prompt.digest == digest(stored, "Example Shop", version=2)
    assert prompt.token not in repr(prompt)
    assert prompt.token not in repr(Decision.approve(prompt))


async def test_a_prompt_never_outlives_its_order(world: Any, clock: VirtualClock) -> None:
    order = await world.create(ttl_s=60)
    clock.advance(s=20)
    await world.request(order.order_id)
    assert world.cashier.shown[0].expires_us == clock.now_us() + 40_000_000


async def test_each_prompt_has_its_own_token(world: Any) -> None:
    for _ in range(3):
        await world.request((await world.create()).order_id)
    assert len({prompt.token for prompt in world.cashier.shown}) == 3


# ---- waiting ---------------------------------------------------------------------------------------------------------
async def test_without_waiting_the_answer_comes_at_once_and_the_prompt_lives_on(world: Any) -> None:
    await world.deposit(1250)
    order = await world.create()
    assert (await world.request(order.order_id, wait_ms=0)).status == "confirming"
    await blocked()
    assert world.query(order_id=order.order_id).status == "succeeded"
    assert world.desk.count() == 0


async def test_a_wait_that_is_over_leaves_the_prompt_open(world: Any, autojump_clock: Any) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create()
    began = trio.current_time()
    assert (await world.request(order.order_id, wait_ms=5_000)).status == "confirming"
    assert trio.current_time() - began == pytest.approx(5)
    world.cashier.release()
    await blocked()
    assert world.query(order_id=order.order_id).status == "succeeded"


async def test_no_wait_is_longer_than_its_limit_and_the_deadline_stands_still(world: Any, autojump_clock: Any) -> None:
    world.cashier.hold()
    deadline = Deadline(wall_s=10, still_s=150, now=trio.current_time)
    session = world.session(limits=Limits(prompt_wait_ms=30_000), deadline=deadline)
    order = await world.create()
    began = trio.current_time()
    await world.request(order.order_id, session, wait_ms=600_000)
    assert trio.current_time() - began == pytest.approx(30)
    assert deadline.stood_s == pytest.approx(30)


async def test_a_request_sent_again_joins_its_prompt(world: Any) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create()
    first = await world.request(order.order_id, wait_ms=0)
    again = await world.request(order.order_id, wait_ms=0)
    assert (first.status, first.replayed, again.status, again.replayed) == ("confirming", False, "confirming", True)
    results: list[str] = []

    async def wait() -> None:
        results.append((await world.request(order.order_id)).status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await blocked()
        world.cashier.release()
    assert results == ["succeeded", "succeeded"]
    assert len(world.cashier.shown) == 1


# ---- who may ask -----------------------------------------------------------------------------------------------------
async def test_only_an_interactive_session_opens_a_prompt(world: Any) -> None:
    order = await world.create()
    error = await refusal(world.request(order.order_id, world.session(interactive=False)))
    assert error.code is ErrorCode.NOT_INTERACTIVE
    assert (await refusal(world.request(order.order_id, world.session("")))).code is ErrorCode.NOT_INTERACTIVE
    assert world.cashier.shown == []
    assert world.stored_status() == ["pending"]


async def test_one_prompt_for_each_program_and_user(world: Any) -> None:
    world.cashier.hold()
    first, second = await world.create(), await world.create()
    await world.request(first.order_id, wait_ms=0)
    busy = await refusal(world.request(second.order_id))
    assert (busy.code, busy.retry_after_ms) == (ErrorCode.CASHIER_BUSY, 1_000)
    for session in (world.session("bob"), world.session(app_id="other")):
        other = await world.create(session)
        assert (await world.request(other.order_id, session, wait_ms=0)).status == "confirming"
    assert world.desk.count() == 3


async def test_the_first_error_of_the_list_is_answered(world: Any) -> None:
    """Order of ErrorCode: not_found, invalid_state, expired, cashier_busy, not_interactive."""
    world.cashier.hold()
    await world.deposit(1250)
    paid = await world.create()
    world.cashier.release()
    await world.request(paid.order_id)
    world.cashier.hold()
    await world.request((await world.create()).order_id, wait_ms=0)
    session = world.session(interactive=False)
    assert (await refusal(world.request("0" * 32, session))).code is ErrorCode.NOT_FOUND
    assert (await refusal(world.request(paid.order_id, session))).code is ErrorCode.INVALID_STATE
    assert (await refusal(world.request((await world.create()).order_id))).code is ErrorCode.CASHIER_BUSY


async def test_in_a_pause_the_first_error_of_the_list_is_answered_still(world_of: Any, clock: VirtualClock) -> None:
    """grant_constraint, rate_limited, not_found."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, ScriptedCashier([False]))
        order = await world.create()
        await world.request(order.order_id)
        narrow = world.session(granted={"payment": {"amount_max": 1}})
        assert (await refusal(world.request(order.order_id, narrow))).code is ErrorCode.GRANT_CONSTRAINT
        assert (await refusal(world.request("0" * 32))).code is ErrorCode.RATE_LIMITED


async def test_a_paid_order_is_not_paid_again(world: Any) -> None:
    await world.deposit(5_000)
    paid = await world.pay()
    error = await refusal(world.request(paid.order_id))
    assert error.code is ErrorCode.INVALID_STATE
    assert error.details == {"status": "succeeded", "close_reason": None}
    assert world.available() == 3_750


# ---- answers ---------------------------------------------------------------------------------------------------------
async def test_the_third_no_closes_the_order(world_of: Any, clock: VirtualClock) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, ScriptedCashier([False, False, False, True]))
        order = await world.create()
        answers = []
        for _ in range(3):
            clock.advance(s=60)
            answers.append(await world.request(order.order_id))
        assert [(a.status, a.close_reason) for a in answers] == [("pending", None)] * 2 + [("closed", "declined")]
        clock.advance(s=120)
        assert (await refusal(world.request(order.order_id))).code is ErrorCode.DECLINED


async def test_a_prompt_nobody_answers_times_out_and_the_program_may_ask_again(world: Any, autojump_clock: Any) -> None:
    world.cashier.hold()
    order = await world.create()
    for status in ("pending", "pending", "closed"):
        began = trio.current_time()
        assert (await world.request(order.order_id)).status == status
        assert trio.current_time() - began == pytest.approx(120)
    assert world.desk.count() == 0
    assert world.store.read(lambda tx: tx.execute("SELECT declines FROM prompt_declines")) == [(0,)]


async def test_a_prompts_end_is_seen_before_anybody_has_written_it(world: Any, clock: VirtualClock) -> None:
    world.cashier.hold()
    order = await world.create()
    await world.request(order.order_id, wait_ms=0)
    clock.advance(us=119_999_999)
    assert world.query(order_id=order.order_id).status == "confirming"
    clock.advance(us=1)
    assert world.query(order_id=order.order_id).status == "pending"
    assert (world.stored_status(), world.desk.pending(), world.desk.count()) == (["confirming"], [], 0)
    assert await world.store.write(lambda tx: world.desk.sweep(tx, 10)) == 1
    assert (world.stored_status(), world.count("prompts")) == (["pending"], 0)


async def test_a_program_that_is_refused_waits_longer_each_time(world_of: Any, clock: VirtualClock) -> None:
    """Five in a row, over several orders: 30 s, 60 s, 120 s, 240 s, and then a day; for this user and program alone."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, ScriptedCashier())
        for declines, seconds in enumerate((30, 60, 120, 240, 86_400), 1):
            order = (await world.create()).order_id
            assert (await world.request(order)).status == "pending"
            early = await refusal(world.request(order))
            assert (early.code, early.retry_after_ms) == (ErrorCode.RATE_LIMITED, seconds * 1_000)
            assert early.details["used"] == declines
            clock.advance(us=seconds * 1_000_000 - 1)
            assert (await refusal(world.request("0" * 32))).retry_after_ms == 1
            for other in (world.session(f"bob{declines}"), world.session(app_id=f"other{declines}")):
                assert (await world.request((await world.create(other)).order_id, other)).status == "pending"
            clock.advance(us=1)
        order = (await world.create()).order_id
        assert (await world.request(order)).status == "pending"
        assert (await refusal(world.request(order))).retry_after_ms == 30_000


async def test_a_yes_ends_the_row_of_declines(world_of: Any, clock: VirtualClock) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, ScriptedCashier([False, False, True, False]))
        await world.deposit(1250)
        for wait_ms in (30_000, 60_000, None, 30_000):
            order = (await world.create()).order_id
            await world.request(order)
            if wait_ms is not None:
                assert (await refusal(world.request(order))).retry_after_ms == wait_ms
                clock.advance(ms=wait_ms)


async def test_a_yes_after_the_prompts_time_counts_for_nothing(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1250)
    for late_us, status in ((0, "pending"), (-1, "succeeded")):
        world.cashier.hold()
        order = await world.create()
        await world.request(order.order_id, wait_ms=0)
        await blocked()
        clock.advance(us=120_000_000 + late_us)
        world.cashier.release()
        await blocked()
        assert world.query(order_id=order.order_id).status == status


async def test_a_yes_after_the_orders_time_finds_it_expired(world: Any, clock: VirtualClock) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order = await world.create(ttl_s=60)
    await world.request(order.order_id, wait_ms=0)
    await blocked()
    clock.advance(s=60)
    world.cashier.release()
    await blocked()
    closed = world.query(order_id=order.order_id)
    assert (closed.status, closed.close_reason) == ("closed", "expired")
    assert world.stored_status() == ["closed"]
    assert world.available() == 1250


async def test_a_limit_lowered_meanwhile_closes_at_the_confirmation(world: Any, clock: VirtualClock) -> None:
    await world.deposit(5_000)
    order = await world.create()
    strict = world.session(limits=Limits(payment_amount=1249))
    assert (await world.request(order.order_id, strict)).close_reason == "limit"
    order = await world.create()
    expiring = world.session(granted={"payment": {"expires_at_us": clock.now_us() + 1}})
    world.cashier.hold()
    await world.request(order.order_id, expiring, wait_ms=0)
    clock.advance(us=1)
    world.cashier.release()
    await blocked()
    assert world.query(order_id=order.order_id).close_reason == "limit"


async def test_what_was_allowed_when_it_opened_is_kept_with_the_prompt(
    world_of: Any, clock: VirtualClock, tmp_path: Path
) -> None:
    """For a front end of another process: limits, constraints and the grant's end, each at its value and one over."""
    soon = clock.now_us() + 30_000_000
    grants: list[tuple[dict[str, Any], Limits, str | None]] = [
        ({"amount_max": 1250, "day_max": 1250, "currencies": ["CNY"]}, Limits(payment_amount=1250), None),
        ({"expires_at_us": soon + 1}, Limits(payment_day_amount=1250), None),
        ({"day_max": 1249}, Limits(), "limit"),
        ({"expires_at_us": soon}, Limits(), "limit"),
        ({}, Limits(payment_amount=1249), "limit"),
        ({}, Limits(payment_day_amount=1249), "limit"),
    ]
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        world, orders = world_of(store, clock, nursery), []
        world.cashier.hold()
        for number, (grant, limits, _) in enumerate(grants):
            user = f"user{number}"
            await world.deposit(1250, user)
            orders.append((await world.create(world.session(user))).order_id)
            session = world.session(user, granted={"payment": grant}, limits=limits)
            await world.request(orders[-1], session, wait_ms=0)
        nursery.cancel_scope.cancel()
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        world = world_of(store, clock, nursery, seed=1)
        prompts = [await world.desk.issue(waiting.id) for waiting in world.desk.pending()]
        clock.advance(s=30)
        for number, (_, _, reason) in enumerate(grants):
            (prompt,) = (prompt for prompt in prompts if prompt.user == f"user{number}")
            assert await world.desk.answer(prompt.id, prompt.token, prompt.digest, True) is Answer.APPROVED
            paid = world.query(world.session(f"user{number}"), order_id=orders[number])
            assert (number, paid.status) == (number, "succeeded" if reason is None else "closed")
            assert paid.close_reason == reason
        assert world.findings() == []


@pytest.mark.parametrize("left", [{}, {"payment": {"amount_max": 1249}}, {"payment": {"amount_max": 1250}}])
async def test_a_grant_narrowed_while_the_prompt_is_open_holds_for_the_yes(world: Any, left: dict[str, Any]) -> None:
    await world.deposit(1250)
    world.cashier.hold()
    order, session = await world.create(), world.session()
    await world.request(order.order_id, session, wait_ms=0)
    await blocked()
    session.authority.narrow(parse_grants(left))
    world.cashier.release()
    await blocked()
    fits = left == {"payment": {"amount_max": 1250}}
    assert world.query(order_id=order.order_id).close_reason == (None if fits else "limit")
    assert world.available() == (0 if fits else 1250)


@pytest.mark.parametrize(
    ("grant", "constraint"), [({"amount_max": 1249}, "amount_max"), ({"currencies": ["EUR"]}, "currencies")]
)
async def test_an_order_outside_the_grant_is_not_asked_for(world: Any, grant: dict[str, Any], constraint: str) -> None:
    """One that was created under a wider grant, or by the program that lends this one."""
    order = await world.create()
    refused = await refusal(world.request(order.order_id, world.session(granted={"payment": grant})))
    assert (refused.code, refused.details["constraint"]) == (ErrorCode.GRANT_CONSTRAINT, constraint)
    assert (world.desk.count(), world.query(order_id=order.order_id).status) == (0, "pending")
    fits = world.session(granted={"payment": {"amount_max": 1250, "currencies": ["CNY"]}})
    assert (await world.request(order.order_id, fits, wait_ms=0)).status == "confirming"


async def test_a_prompt_holds_longer_than_the_authority_of_a_delegated_call(world: Any) -> None:
    """That one is emptied with its call; what it was held to, and the grant it came from, hold for the yes."""
    await world.deposit(3_750)
    world.cashier.hold()
    for user, (left, reason) in zip(
        ("alice", "bob"), [(["payment"], None), ({"payment": {"amount_max": 1249}}, "limit")], strict=True
    ):
        await world.deposit(1_250, user)
        session = world.session(user)
        whole = session.authority
        session.authority = whole.narrowed(parse_grants({"payment": {"amount_max": 1250}}))
        order = await world.create(session)
        await world.request(order.order_id, session, wait_ms=0)
        session.authority.narrow(parse_grants([]))
        whole.narrow(parse_grants(left))
        world.cashier.release()
        await blocked()
        assert world.query(world.session(user), order_id=order.order_id).close_reason == reason
        world.cashier.hold()


async def test_a_grant_revoked_before_the_hand_over_opens_nothing(world: Any) -> None:
    order, session = await world.create(), world.session()
    session.authority.narrow(parse_grants([]))
    assert (await refusal(world.request(order.order_id, session))).code is ErrorCode.CAPABILITY_NOT_GRANTED
    assert world.desk.count() == 0


async def test_a_payment_costs_three_commits(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create, open, answer; what is refused before that, and looking, cost none."""
    await world.deposit(1250)
    write, writes = world.store.write, []

    async def counted(job: Any) -> Any:
        writes.append(job)
        return await write(job)

    monkeypatch.setattr(world.store, "write", counted)
    paid = await world.pay()
    assert (paid.status, len(writes)) == ("succeeded", 3)
    await refusal(world.request(paid.order_id))
    await refusal(world.request("0" * 32))
    world.query(order_id=paid.order_id)
    assert len(writes) == 3
