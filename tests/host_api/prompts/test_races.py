"""Answers, withdrawals, ends of time and cancellations that cross: exactly one of them ends a prompt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.cashier import ScriptedCashier
from host_api.prompts.prompt import PromptError
from host_api.store import open_store
from runtime.testing import VirtualClock

blocked = trio.testing.wait_all_tasks_blocked


async def all_at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Their results, or PromptError's codes, in the order they came."""
    found: list[Any] = []

    async def one(job: Callable[[], Any]) -> None:
        try:
            found.append(await job())
        except PromptError as error:
            found.append(error.code)

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(one, job)
    return found


async def test_16_answers_with_one_token(either: Any) -> None:
    for round_ in range(4):
        prompt = await either.opened(f"user{round_}")
        words = [lambda yes=number % 2 == 0, prompt=prompt: either.say(prompt, yes) for number in range(16)]
        found = await all_at_once(*words)
        assert found.count("prompt_not_found") == 15
        (counted,) = {*found} - {"prompt_not_found"}
        assert either.ends()[prompt.id] == counted.value


async def test_an_answer_against_a_withdrawal(either: Any) -> None:
    for round_ in range(8):
        prompt = await either.opened(f"user{round_}")
        answered, withdrawn = (lambda p=prompt: either.say(p)), (lambda p=prompt: either.desk.withdraw(p.id))
        found = await all_at_once(*((answered, withdrawn) if round_ % 2 else (withdrawn, answered)))
        ended = either.ends()[prompt.id]
        assert sorted(map(str, found)) == sorted(
            ["Answer.APPROVED", "False"] if ended == "approved" else ["prompt_not_found", "True"]
        )


async def test_a_yes_that_crosses_a_withdrawal_counts_for_nothing(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the moment somebody took the prompt back: what was promised to them holds, however slow the disk is."""
    alice, bob = await front.opened("alice"), await front.opened("bob")
    write, go_on = front.store.write, trio.Event()

    async def slow(job: Any) -> Any:
        await go_on.wait()
        return await write(job)

    with monkeypatch.context() as patch:
        patch.setattr(front.store, "write", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(front.desk.withdraw, alice.id)
            nursery.start_soon(front.desk.withdraw_program, "org.example.shop")
            await blocked()
            for prompt in (alice, bob):
                with pytest.raises(PromptError, match="taken back"):
                    await front.say(prompt)
            go_on.set()
    assert front.ends() == {alice.id: "withdrawn", bob.id: "withdrawn"}


@pytest.mark.parametrize("about", ["x", "y"])
async def test_a_prompt_that_was_deleted_before_its_call_went_on_is_not_shown(
    front_of: Any, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    """Nor does it take the place of the next one, that opened meanwhile."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        cashier = ScriptedCashier()
        cashier.hold()
        front = front_of(store, clock, nursery, cashier)
        write, go_on, late = store.write, trio.Event(), []

        async def slow(job: Any) -> Any:
            result = await write(job)
            await go_on.wait()
            return result

        async def call() -> None:
            place = await front.ask()
            late.append((place.joined, await front.desk.wait(place, 60)))

        async with trio.open_nursery() as calls:
            with monkeypatch.context() as patch:
                patch.setattr(store, "write", slow)
                calls.start_soon(call)
                await blocked()
            await write(lambda tx: tx.execute("DELETE FROM prompts"))
            front.desk.refresh("org.example.shop", "alice")
            second = await front.ask(about=about)
            go_on.set()
        await blocked()
        assert late == [(False, True)]
        assert [prompt.id for prompt in cashier.shown] == front.rows() == [second.prompt.id]
        assert front.desk._places.find(second.prompt.id).served
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("cashier", [None, ScriptedCashier])
@pytest.mark.parametrize("code", [ErrorCode.BUSY, ErrorCode.UNKNOWN_OUTCOME])
async def test_a_prompt_that_could_not_be_taken_back_is_open_as_before(
    front_of: Any, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, cashier: Any, code: ErrorCode
) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        scripted = None if cashier is None else cashier([True])
        if scripted is not None:
            scripted.hold()
        front = front_of(store, clock, nursery, scripted)

        async def refused(_: Any) -> Any:
            raise ApiError(code, "the disk refused")

        desk, place = front.desk, await front.ask()
        await blocked()
        for take_back in (lambda: desk.withdraw(place.prompt.id), lambda: desk.withdraw_program("org.example.shop")):
            with monkeypatch.context() as patch:
                patch.setattr(store, "write", refused)
                with pytest.raises(ApiError, match="the disk refused"):
                    await take_back()
            await blocked()
        assert front.rows() == [place.prompt.id]
        if scripted is not None and code is ErrorCode.BUSY:  # it is on the screen again, once
            assert [prompt.id for prompt in scripted.shown] == 3 * [place.prompt.id]
            scripted.release()
            await desk.wait(place, 60)
        else:
            await front.say(await front.issued(place))
        assert front.ends() == {place.prompt.id: "approved"}
        nursery.cancel_scope.cancel()


async def test_an_answer_against_the_sweep_and_a_new_question(either: Any, clock: VirtualClock) -> None:
    for round_ in range(8):
        user = f"user{round_}"
        prompt = await either.opened(user)
        clock.advance(us=prompt.expires_us - clock.now_us() - round_ % 2)
        await all_at_once(
            lambda p=prompt: either.say(p),
            lambda: either.store.write(lambda tx: either.desk.sweep(tx, 10)),
            lambda u=user: either.ask(u),
        )
        assert either.ends()[prompt.id] == ("approved" if round_ % 2 else "timed_out")


async def test_a_programs_end_against_answers(either: Any) -> None:
    prompts = [await either.opened(f"user{number}") for number in range(16)]
    await all_at_once(
        *(lambda p=prompt: either.say(p) for prompt in prompts[:8]),
        lambda: either.desk.withdraw_program("org.example.shop"),
        *(lambda p=prompt: either.say(p) for prompt in prompts[8:]),
    )
    assert either.rows() == []
    assert set(either.ends()) == {prompt.id for prompt in prompts}
    assert set(either.ends().values()) <= {"approved", "withdrawn"}


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when a task has made that many steps."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, steps: int) -> None:
        self._task, self._scope, self._left = task, scope, steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if not self._left:
                self._scope.cancel()


async def cancelled_after(steps: int, call: Callable[[], Any]) -> bool:
    with trio.CancelScope() as scope:
        instrument = CancelAt(trio.lowlevel.current_task(), scope, steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            await call()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    await blocked()
    return scope.cancelled_caught


@pytest.mark.parametrize("cashier", ["none", "answers", "holds"])
@pytest.mark.parametrize("seconds", [0, 60])
async def test_a_call_cancelled_at_each_of_its_steps(
    front_of: Any, clock: VirtualClock, autojump_clock: Any, cashier: str, seconds: int
) -> None:
    """What is left: nothing, a withdrawal, or the answer; never a prompt that nobody asked for any more."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        scripted = ScriptedCashier(lambda _: True)
        if cashier == "holds":
            scripted.hold()
        front = front_of(store, clock, nursery, None if cashier == "none" else scripted)

        async def call(user: str) -> None:
            await front.desk.wait(await front.ask(user), seconds)

        steps = 1
        while await cancelled_after(steps, partial(call, f"user{steps}")):
            assert front.rows() == []
            steps += 1
        assert steps >= 2
        assert set(front.ends().values()) <= ({"withdrawn", "approved"} if cashier == "answers" else {"withdrawn"})
        nursery.cancel_scope.cancel()


async def test_an_answer_is_carried_out_from_the_hand_over_on(either: Any) -> None:
    """Cancelled before, nothing happened; after, it counts, whoever has gone."""
    before, after = await either.opened("before"), await either.opened("after")
    with trio.CancelScope() as scope:
        scope.cancel()
        await either.say(before)
    assert scope.cancelled_caught
    await cancelled_after(1, lambda: either.say(after))
    assert (either.rows(), either.ends()) == ([before.id], {after.id: "approved"})
