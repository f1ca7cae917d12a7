"""The desk as services and front ends use it: opening, tokens, answers, and every refusal."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.prompt import Answer, Prompt, PromptError, Shown, digest_of
from runtime.testing import VirtualClock, make_session

blocked = trio.testing.wait_all_tasks_blocked
LIFE_US, DAY_US = 120_000_000, 86_400_000_000


async def refusal(awaitable: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await awaitable
    return refused.value


async def misfit(awaitable: Any) -> PromptError:
    with pytest.raises(PromptError) as refused:
        await awaitable
    return refused.value


# ---- opening ---------------------------------------------------------------------------------------------------------
async def test_a_prompt_is_a_row_with_what_is_shown(front: Any, clock: VirtualClock) -> None:
    place = await front.ask()
    assert not place.joined
    (prompt,) = front.desk.pending()
    assert prompt == place.prompt
    who = {"kind": "consent", "app_id": "org.example.shop", "user": "alice", "about": "x"}
    assert prompt == Prompt(
        id=prompt.id,
        **who,
        shown={"program": "Example Shop", "about": "x"},
        digest=digest_of(**who, shown=prompt.shown),
        opened_us=clock.now_us(),
        expires_us=clock.now_us() + LIFE_US,
    )
    assert (prompt.token, front.desk.count()) == ("", 1)


async def test_the_digest_is_over_everything_that_is_shown() -> None:
    first = {"kind": "consent", "app_id": "a", "user": "u", "about": "x", "shown": {"p": "q"}}
    others: list[dict[str, Any]] = [
        {**first, "kind": "payment"}, {**first, "app_id": "b"}, {**first, "user": "v"}, {**first, "about": "y"},
        {**first, "shown": {"p": "r"}}, {**first, "shown": {}}, {**first, "app_id": "au", "user": ""},
    ]  # fmt: skip
    assert len({digest_of(**one) for one in [first, *others]}) == 8


async def test_the_same_question_is_joined_and_another_waits_its_turn(front: Any) -> None:
    first = await front.ask()
    again = await front.ask()
    assert (again.joined, again.prompt) == (True, first.prompt)
    for other in ({"about": "y"}, {"kind": "payment"}):
        busy = await refusal(front.ask(**other))
        assert (busy.code, busy.retry_after_ms) == (ErrorCode.CASHIER_BUSY, 1_000)
    assert not (await front.ask("bob")).joined
    assert not (await front.ask(app_id="other")).joined
    assert front.desk.count() == 3
    assert [prompt.user for prompt in front.desk.pending("bob")] == ["bob"]


async def test_only_an_interactive_session_with_a_user_opens_one(front: Any) -> None:
    for session in ({"user": ""}, {"interactive": False}):
        assert (await refusal(front.ask(**session))).code is ErrorCode.NOT_INTERACTIVE
    await front.ask()
    assert (await front.ask(interactive=False)).joined


async def test_refusals_come_in_order_and_write_nothing(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """rate_limited, what `look` says, cashier_busy, not_interactive; and no turn at the writer for any of them."""
    await front.say(await front.opened("carol"), approved=False)
    await front.ask("alice")

    def look(_: Any) -> None:
        raise ApiError(ErrorCode.NOT_FOUND, "no such order")

    async def written(_: Any) -> Any:
        raise AssertionError("a refusal was handed to the writer")

    monkeypatch.setattr(front.store, "write", written)
    found = []
    for user, looked in (("carol", look), ("alice", look), ("alice", None), ("dave", None)):
        session = make_session(user=user, interactive=False)
        asked = front.desk.ask(
            session, kind="consent", about="y", make=lambda _: Shown(shown={}), look=looked or (lambda _: None)
        )
        found.append((await refusal(asked)).code)
    assert found == [
        ErrorCode.RATE_LIMITED, ErrorCode.NOT_FOUND, ErrorCode.CASHIER_BUSY, ErrorCode.NOT_INTERACTIVE
    ]  # fmt: skip


async def test_more_prompts_than_a_host_holds(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host_api.prompts.register.OPEN_MAX", 2)
    await front.ask("alice")
    await front.ask("bob")
    assert (await refusal(front.ask("carol"))).code is ErrorCode.BUSY
    assert (await front.ask("bob")).joined


@pytest.mark.parametrize("shown", [{"text": "x" * 16_384}, {"amount": float("nan")}])
async def test_what_cannot_be_shown_is_a_bug_of_the_service(front: Any, shown: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"characters|JSON"):
        await front.desk.ask(make_session(), kind="consent", about="x", make=lambda _: Shown(shown=shown))
    assert front.rows() == []


# ---- tokens ----------------------------------------------------------------------------------------------------------
async def test_a_token_is_kept_only_as_its_hash(front: Any) -> None:
    prompt = await front.opened()
    assert prompt.token and prompt.token not in repr(prompt)
    rows = front.store.read(lambda tx: tx.execute("SELECT * FROM prompts"))
    assert prompt.token not in repr(rows) and prompt.token.encode() not in rows[0]


@pytest.mark.parametrize(
    "wrong", [{"token": ""}, {"token": "x"}, {"token": "é\udc80"}, {"digest": bytes(32)}, {"digest": b""}]
)
async def test_a_wrong_answer_is_refused_and_logged_and_the_prompt_stays(
    front: Any, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any]
) -> None:
    prompt = await front.opened()
    words = {"token": prompt.token, "digest": prompt.digest, "approved": True, **wrong}
    with caplog.at_level(logging.WARNING):
        assert (await misfit(front.desk.answer(prompt.id, **words))).code == "token_refused"
    assert prompt.id in caplog.text and prompt.token not in caplog.text
    assert front.rows() == [prompt.id]
    assert await front.say(prompt) is Answer.APPROVED


async def test_without_a_token_issued_nothing_answers(front: Any, clock: VirtualClock) -> None:
    prompt = (await front.ask()).prompt
    clock.advance(s=1)
    assert (await misfit(front.say(prompt))).code == "token_refused"


async def test_the_token_issued_last_is_the_only_one(front: Any) -> None:
    first = await front.opened()
    second = await front.desk.issue(first.id)
    front.clock.advance(ms=500)
    assert (await misfit(front.say(first))).code == "token_refused"
    assert await front.say(second) is Answer.APPROVED
    for late in (first, second):
        assert (await misfit(front.say(late))).code == "prompt_not_found"
    assert (await misfit(front.desk.issue(first.id))).code == "prompt_not_found"


async def test_a_token_answers_its_own_prompt_alone(front: Any) -> None:
    alice, bob = await front.opened("alice"), await front.opened("bob")
    assert (await misfit(front.desk.answer(bob.id, alice.token, bob.digest, True))).code == "token_refused"
    assert front.ends() == {}


async def test_nobody_answers_what_nobody_can_have_read(front: Any, clock: VirtualClock) -> None:
    """However long it has been open: half a second from when it is shown, and from when it is shown anew."""
    opened = (await front.ask()).prompt
    assert opened.answerable_us == clock.now_us() + 500_000
    for since_s in (0, 20, 1):
        clock.advance(s=since_s)
        prompt = await front.desk.issue(opened.id)
        assert prompt.answerable_us == clock.now_us() + 500_000
        assert front.desk.find(opened.id).answerable_us == prompt.answerable_us
        clock.advance(us=499_999)
        for approved in (True, False):
            early = await misfit(front.say(prompt, approved))
            assert (early.code, early.retry_after_ms) == ("answer_early", 1)
    clock.advance(us=1)
    assert await front.say(prompt) is Answer.APPROVED


# ---- answers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("approved", "answer"), [(True, Answer.APPROVED), (False, Answer.DECLINED)])
async def test_an_answer_is_carried_out_and_wakes_who_waits(either: Any, approved: bool, answer: Answer) -> None:
    place = await either.ask()
    ended = []

    async def wait() -> None:
        ended.append(await either.desk.wait(place, 60))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await blocked()
        assert await either.say(await either.issued(place), approved) is answer
    assert ended == [True, True]
    assert (either.rows(), either.ends()) == ([], {place.prompt.id: answer.value})
    assert await either.desk.wait(place, 60)


async def test_an_answer_counts_to_the_last_microsecond(front: Any, clock: VirtualClock) -> None:
    for user, late_us, answer in (("alice", -1, Answer.APPROVED), ("bob", 0, Answer.TIMED_OUT)):
        prompt = await front.opened(user)
        clock.advance(us=prompt.expires_us + late_us - clock.now_us())
        assert await front.say(prompt) is answer
        assert front.ends()[prompt.id] == answer.value
    assert (await misfit(front.say(prompt))).code == "prompt_not_found"


async def test_a_yes_that_the_service_refuses_undoes_its_part_and_ends_the_prompt(front: Any) -> None:
    prompt = await front.opened("refused")
    error = await refusal(front.say(prompt))
    assert (error.code, error.message) == (ErrorCode.INVALID_STATE, "not any more")
    assert (front.rows(), front.ends()) == ([], {})


async def test_a_bug_of_the_service_leaves_everything_as_it_was(front: Any) -> None:
    prompt = await front.opened("broken")
    with pytest.raises(LookupError):
        await front.say(prompt)
    assert (front.rows(), front.ends()) == ([prompt.id], {})
    assert await front.say(prompt, approved=False) is Answer.DECLINED


# ---- time ------------------------------------------------------------------------------------------------------------
async def test_a_prompt_whose_time_is_over_is_gone_before_it_is_swept(front: Any, clock: VirtualClock) -> None:
    old = await front.opened()
    clock.advance(us=old.expires_us - clock.now_us())
    assert (front.desk.pending(), front.desk.count(), front.rows()) == ([], 0, [old.id])
    assert (await misfit(front.desk.issue(old.id))).code == "prompt_not_found"
    place = await front.ask()
    assert (place.joined, front.rows()) == (False, [place.prompt.id])
    assert front.ends() == {old.id: "timed_out"}


async def test_the_sweep_writes_down_what_is_over_some_at_a_time(front: Any, clock: VirtualClock) -> None:
    for number in range(5):
        await front.ask(f"user{number}")
    clock.advance(us=LIFE_US - 1)
    await front.ask("later")
    assert await front.store.write(lambda tx: front.desk.sweep(tx, 3)) == 0
    clock.advance(us=1)
    worked = [await front.store.write(lambda tx: front.desk.sweep(tx, 3)) for _ in range(3)]
    assert worked == [3, 2, 0]
    assert (list(front.ends().values()), len(front.rows())) == (["timed_out"] * 5, 1)


async def test_declines_are_forgotten_after_a_day_of_quiet(front: Any, clock: VirtualClock) -> None:
    for number in range(4):
        await front.say(await front.opened(f"user{number}"), approved=False)
    clock.advance(us=DAY_US - 1_500_001)
    assert await front.store.write(lambda tx: front.desk.sweep(tx, 3)) == 0
    clock.advance(us=1)
    assert await front.store.write(lambda tx: front.desk.sweep(tx, 3)) == 1
    clock.advance(s=2)
    assert [await front.store.write(lambda tx: front.desk.sweep(tx, 3)) for _ in range(2)] == [3, 0]


async def test_who_waits_without_a_cashier_leaves_when_its_time_is_over(
    front: Any, clock: VirtualClock, autojump_clock: Any
) -> None:
    place = await front.ask()
    began = trio.current_time()
    assert not await front.desk.wait(place, 600)
    assert trio.current_time() - began == pytest.approx(120)


# ---- taken back ------------------------------------------------------------------------------------------------------
async def test_a_prompt_that_is_taken_back_answers_nothing(front: Any) -> None:
    prompt = await front.opened()
    assert await front.desk.withdraw(prompt.id)
    assert not await front.desk.withdraw(prompt.id)
    assert (await misfit(front.say(prompt))).code == "prompt_not_found"
    assert front.ends() == {prompt.id: "withdrawn"}


async def test_a_program_loses_its_prompts_and_nobody_elses(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host_api.prompts.desk._BATCH", 2)
    for number in range(5):
        await front.ask(f"user{number}")
    other = (await front.ask(app_id="other")).prompt
    assert await front.desk.withdraw_program("org.example.shop", "user0") == 1
    assert await front.desk.withdraw_program("org.example.shop") == 4
    assert front.rows() == [other.id]
    assert set(front.ends().values()) == {"withdrawn"}
    assert len(front.desk._places) == 1


async def test_a_row_deleted_by_another_job_wakes_who_waits(front: Any) -> None:
    place = await front.ask()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(front.desk.wait, place, 600)
        await blocked()
        front.desk.refresh("org.example.shop", "alice")
        front.desk.refresh("org.example.shop", "bob")
        await blocked()
        assert nursery.child_tasks
        await front.store.write(lambda tx: tx.execute("DELETE FROM prompts"))
        front.desk.refresh("org.example.shop", "alice")


async def test_what_others_ended_does_not_stay_in_memory(front: Any, clock: VirtualClock) -> None:
    for number in range(50):
        await front.ask(f"user{number}")
    clock.advance(us=LIFE_US)
    await front.store.write(lambda tx: front.desk.sweep(tx, 100))
    for number in range(30):
        await front.ask(f"later{number}")
    assert len(front.desk._places) == 30
