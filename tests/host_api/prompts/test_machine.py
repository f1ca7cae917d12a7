"""The desk under random steps, against a model of plain dicts: who may ask, which answers count, what is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from host_api.errors import ApiError, ErrorCode
from host_api.prompts.desk import Desk
from host_api.prompts.prompt import Answer, Prompt, PromptError, Shown
from host_api.store.migrations import known_migrations
from host_api.store.protocol import Transaction
from host_api.store.sqlite import MemoryStore
from runtime.testing import SeededIds, VirtualClock, make_session

APPS, USERS = st.sampled_from(("shop", "taxi")), st.sampled_from(("alice", "bob"))
ABOUTS, KINDS = st.sampled_from(("x", "y")), st.sampled_from(("payment", "consent"))
SECOND, PACE, DAY = 1_000_000, 180_000_000, 86_400_000_000


@dataclass
class Opened:
    """One prompt, as the specification has it."""

    kind: str
    about: str
    until: int
    tokens: list[str] = field(default_factory=list)
    issued: int = 0


class DeskMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock, known_migrations())
        self.ended: dict[str, str] = {}
        self.desk = Desk(
            store=self.store, clock=self.store, nursery=cast(trio.Nursery, None), cashier=None,
            new_id=SeededIds(1), new_token=SeededIds(2),
        )  # fmt: skip
        for kind in ("payment", "consent"):
            self.desk.register(kind, self.settle)
        self.open: dict[tuple[str, str], tuple[str, Opened]] = {}
        self.over: dict[str, str] = {}
        self.declines: dict[tuple[str, str], tuple[int, int]] = {}
        self.paced: dict[tuple[str, str], int] = {}

    def settle(self, tx: Transaction, prompt: Prompt, answer: Answer) -> None:
        assert prompt.id not in self.ended
        self.ended[prompt.id] = answer.value

    def run_desk(self, job: Any, *args: Any, **named: Any) -> Any:
        async def call() -> Any:
            return await job(*args, **named)

        return trio.run(call)

    def end(self, place: tuple[str, str], how: str) -> None:
        prompt_id, opened = self.open.pop(place)
        self.over[prompt_id] = "timed_out" if self.clock.now_us() >= opened.until else how

    @rule(app=APPS, user=USERS, kind=KINDS, about=ABOUTS, interactive=st.sampled_from((True, True, True, False)),
          life_s=st.sampled_from((None, 1, 500)))  # fmt: skip
    def ask(self, app: str, user: str, kind: str, about: str, interactive: bool, life_s: int | None) -> None:
        now, place = self.clock.now_us(), (app, user)
        session = make_session(app_id=app, user=user, interactive=interactive)
        until = None if life_s is None else now + life_s * SECOND
        shown = Shown(shown={"about": about}, expires_us=until)
        live = place in self.open and now < self.open[place][1].until
        count, last = self.declines.get(place, (0, -DAY))
        waits = (DAY if count == 5 else 30 * SECOND * 2 ** (count - 1)) if count else 0
        try:
            asked = self.run_desk(self.desk.ask, session, kind=kind, about=about, make=lambda _: shown)
        except ApiError as error:
            if count and now < last + waits:
                assert error.code is ErrorCode.RATE_LIMITED
                assert error.retry_after_ms == -(-(last + waits - now) // 1_000)
            elif self.paced.get(place, 0) - now > 19 * PACE:
                assert error.code is ErrorCode.RATE_LIMITED
                assert error.retry_after_ms == -(-(self.paced[place] - 19 * PACE - now) // 1_000)
            else:
                assert error.code is (ErrorCode.CASHIER_BUSY if live else ErrorCode.NOT_INTERACTIVE)
                assert (live and (kind, about) != self.described(place)) or not interactive
            return
        assert asked.joined is (live and (kind, about) == self.described(place))
        if asked.joined:
            return
        assert interactive and not live and now >= last + waits and self.paced.get(place, 0) - now <= 19 * PACE
        self.paced[place] = max(self.paced.get(place, 0), now) + PACE
        if place in self.open:
            self.end(place, "timed_out")
        ends = now + 120 * SECOND if until is None else min(until, now + 120 * SECOND)
        self.open[place] = (asked.prompt.id, Opened(kind, about, ends))

    def described(self, place: tuple[str, str]) -> tuple[str, str]:
        return self.open[place][1].kind, self.open[place][1].about

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def issue(self, data: st.DataObject) -> None:
        prompt_id, opened = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        try:
            opened.tokens.append(self.run_desk(self.desk.issue, prompt_id).token)
            opened.issued = self.clock.now_us()
            assert opened.issued < opened.until
        except PromptError:
            assert self.clock.now_us() >= opened.until

    @precondition(lambda self: any(opened.tokens for _, opened in self.open.values()))
    @rule(data=st.data(), approved=st.booleans(), right=st.sampled_from(("last", "last", "last", "first", "digest")))
    def answer(self, data: st.DataObject, approved: bool, right: str) -> None:
        place = data.draw(st.sampled_from(sorted(place for place, (_, opened) in self.open.items() if opened.tokens)))
        (prompt_id, opened), now = self.open[place], self.clock.now_us()
        token = opened.tokens[0 if right == "first" else -1]
        digest = self.store.read(lambda tx: tx.execute("SELECT digest FROM prompts WHERE id = ?", (prompt_id,)))[0][0]
        try:
            answer = self.run_desk(
                self.desk.answer, prompt_id, token, bytes(32) if right == "digest" else digest, approved
            )
        except PromptError as error:
            wrong = token != opened.tokens[-1] or right == "digest"
            assert error.code == ("token_refused" if wrong else "answer_early")
            assert now < opened.until and (wrong or now < opened.issued + SECOND // 2)
            return
        self.end(place, answer.value)
        if answer is Answer.APPROVED:
            self.declines.pop(place, None)
            self.paced.pop(place, None)
        elif answer is Answer.DECLINED:
            count, last = self.declines.get(place, (0, -DAY))
            self.declines[place] = (count + 1 if now - last < DAY else 1, now)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(sorted(self.open)))
        assert self.run_desk(self.desk.withdraw, self.open[place][0])
        self.end(place, "withdrawn")

    @rule(app=APPS, user=st.sampled_from((None, "alice")))
    def withdraw_program(self, app: str, user: str | None) -> None:
        mine = [place for place in self.open if place[0] == app and user in (None, place[1])]
        assert self.run_desk(self.desk.withdraw_program, app, user) == len(mine)
        for place in mine:
            self.end(place, "withdrawn")

    @rule()
    def sweep(self) -> None:
        self.run_desk(self.store.write, lambda tx: self.desk.sweep(tx, 100))
        now = self.clock.now_us()
        for place in [place for place, (_, opened) in self.open.items() if now >= opened.until]:
            self.end(place, "timed_out")
        self.declines = {place: row for place, row in self.declines.items() if now - row[1] < DAY}
        rows = self.store.read(lambda tx: tx.execute("SELECT app_id, user_id FROM prompt_declines"))
        assert set(rows) == {*self.declines, *(place for place, until in self.paced.items() if until > now)}

    @rule(us=st.sampled_from([1, SECOND // 2 - 1, SECOND // 2, SECOND, 30 * SECOND, 119 * SECOND, 240 * SECOND, DAY]))
    def wait(self, us: int) -> None:
        self.clock.advance(us=us)

    @invariant()
    def everything_agrees(self) -> None:
        now = self.clock.now_us()
        live = {prompt_id for prompt_id, opened in self.open.values() if now < opened.until}
        assert {prompt.id for prompt in self.desk.pending()} == live
        assert self.desk.count() == len(live)
        assert self.ended == self.over
        rows = self.store.read(
            lambda tx: tx.execute("SELECT app_id, user_id, declines, last_us, paced_us FROM prompt_declines")
        )
        noes = {(app, user): (count, last) for app, user, count, last, _ in rows if count and now - last < DAY}
        assert noes == {place: row for place, row in self.declines.items() if now - row[1] < DAY}
        paced = {(app, user): until for app, user, _, _, until in rows if until > now}
        assert paced == {place: until for place, until in self.paced.items() if until > now}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            trio.run(self.store.aclose)


def test_the_desk_keeps_to_the_model() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        DeskMachine, settings=settings(max_examples=60, stateful_step_count=50, deadline=None)
    )
