"""Prompts that a cashier of this process shows: broken ones, wrong answers, hosts that close and come back."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.cashier import Decision, Later, ScriptedCashier
from host_api.prompts.prompt import Answer, Prompt, PromptError
from host_api.store import open_store
from runtime.testing import VirtualClock

blocked = trio.testing.wait_all_tasks_blocked


class OddCashier:
    """Does something else than it should, by the name it was made with."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def confirm(self, prompt: Prompt) -> Any:
        match self.how:
            case "raises":
                raise OSError("the front end is gone")
            case "none":
                return None
            case "no digest":
                return replace(Decision.approve(prompt), digest=None)  # type: ignore[arg-type]
            case "token":
                return replace(Decision.approve(prompt), token="é")
            case _:
                return replace(Decision.approve(prompt), digest=bytes(32))


async def test_a_cashiers_answer_costs_two_commits(front_of: Any, clock: VirtualClock) -> None:
    """Opening and answering: the token it needs is made with the prompt."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        front = front_of(store, clock, nursery, ScriptedCashier([True]))
        write, writes = store.write, []

        async def counted(job: Any) -> Any:
            writes.append(job)
            return await write(job)

        store.write = counted  # type: ignore[method-assign]
        assert await front.desk.wait(await front.ask(), 60)
        assert (list(front.ends().values()), len(writes)) == (["approved"], 2)


@pytest.mark.parametrize("how", ["raises", "none", "no digest"])
async def test_a_broken_cashier_withdraws_the_prompt(
    front_of: Any, clock: VirtualClock, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        front = front_of(store, clock, nursery, OddCashier(how))
        with caplog.at_level(logging.ERROR):
            assert await front.desk.wait(await front.ask(), 60)
        assert list(front.ends().values()) == ["withdrawn"]
        assert "the cashier failed" in caplog.text


@pytest.mark.parametrize("how", ["token", "digest"])
async def test_a_wrong_answer_leaves_the_prompt_to_a_front_end(
    front_of: Any, clock: VirtualClock, autojump_clock: Any, how: str
) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        front = front_of(store, clock, nursery, OddCashier(how))
        place = await front.ask()
        assert not await front.desk.wait(place, 1)
        assert await front.say(await front.issued(place)) is Answer.APPROVED
        unanswered = await front.ask("bob")
        assert await front.desk.wait(unanswered, 600)
        assert front.ends()[unanswered.prompt.id] == "timed_out"


async def test_a_front_end_may_answer_what_a_cashier_shows(front_of: Any, clock: VirtualClock) -> None:
    """The cashier's screen is cleared, and its token is good no more."""
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        cashier = ScriptedCashier([True])
        cashier.hold()
        front = front_of(store, clock, nursery, cashier)
        place = await front.ask()
        await blocked()
        (shown,) = cashier.shown
        prompt = await front.issued(place)
        with pytest.raises(PromptError, match="issued last"):
            await front.say(shown)
        assert await front.say(prompt, approved=False) is Answer.DECLINED
        cashier.release()
        await blocked()
        assert list(front.ends().values()) == ["declined"]


async def test_a_refused_yes_is_no_fault_of_the_cashier(front_of: Any, clock: VirtualClock) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        front = front_of(store, clock, nursery, ScriptedCashier([True, True]))
        assert await front.desk.wait(await front.ask("refused"), 60)
        assert (front.rows(), front.ends()) == ([], {})
        with pytest.raises(LookupError):
            await front.desk.wait(await front.ask("broken"), 60)
        assert len(front.rows()) == 1


async def test_the_disk_refuses_the_opening(front_of: Any, clock: VirtualClock, monkeypatch: Any) -> None:
    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        front = front_of(store, clock, nursery, ScriptedCashier([True]))

        async def refused(_: Any) -> Any:
            raise ApiError(ErrorCode.BUSY, "the disk refused")

        with monkeypatch.context() as patch:
            patch.setattr(store, "write", refused)
            with pytest.raises(ApiError, match="the disk refused"):
                await front.ask()
        assert await front.desk.wait(await front.ask(), 60)


async def test_prompts_survive_the_process_and_are_shown_to_who_asks_again(
    front_of: Any, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        cashier = ScriptedCashier()
        cashier.hold()
        front = front_of(store, clock, nursery, cashier)
        first, second = await front.ask("alice"), await front.ask("bob")
        await blocked()
        nursery.cancel_scope.cancel()
    async with open_store(tmp_path / "state", clock) as store, trio.open_nursery() as nursery:
        front = front_of(store, clock, nursery, ScriptedCashier([True]), seed=1)
        assert front.desk.pending() == [first.prompt, second.prompt]
        again = await front.ask("alice")
        assert again.joined
        assert await front.desk.wait(again, 60)
        assert await front.say(await front.issued(second), approved=False) is Answer.DECLINED
        assert front.ends() == {first.prompt.id: "approved", second.prompt.id: "declined"}


async def test_a_prompt_that_is_put_aside_waits_for_a_front_end_and_nobody_waits_for_it(
    front_of: Any, clock: VirtualClock
) -> None:
    """Who waited goes on at once, told that it is open still; asked for again, it is shown again."""
    said: list[Later | Decision] = [Later(), Later()]

    class Aside:
        async def confirm(self, prompt: Prompt) -> Decision | Later:
            return said.pop() if said else Decision.approve(prompt)

    async with open_store(None, clock) as store, trio.open_nursery() as nursery:
        front = front_of(store, clock, nursery, Aside())
        with trio.fail_after(5):
            for left in (1, 0):
                place = await front.ask()
                assert place.joined is (left == 0) and not await front.desk.wait(place, 60)
                assert len(said) == left and front.desk.count() == 1 and not front.desk.is_awaited(place.prompt.id)
            assert await front.desk.wait(await front.ask(), 60)
        assert list(front.ends().values()) == ["approved"]
