"""Consents under random steps, against a model of plain dicts: what holds, what is refused, what the audit says.

Every step runs in a desk of its own, as a process that was started for it: nothing is remembered but in the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from host_api import audit
from host_api.errors import ApiError, ErrorCode
from host_api.prompts.desk import Desk
from host_api.store.migrations import known_migrations
from host_api.store.protocol import Store
from host_api.store.sqlite import MemoryStore
from host_api.user.asking import ConsentPrompts
from host_api.user.consent import ConsentStore, Standing
from runtime.testing import SeededIds, VirtualClock, make_session

T = TypeVar("T")

APPS, USERS = ("shop", "taxi"), ("alice", "bob")
SCOPES = ("nickname", "avatar", "phone", "address")
CAPABILITY = {
    "nickname": "user.profile", "avatar": "user.profile", "phone": "user.phone", "address": "user.address",
}  # fmt: skip
VALID_US, REFUSED_US, PROMPT_US = 1_000_000_000, 400_000_000, 120_000_000

apps, users = st.sampled_from(APPS), st.sampled_from(USERS)
some_scopes = st.lists(st.sampled_from(SCOPES), min_size=1, unique=True)


class ConsentMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.clock = VirtualClock()
        self.store: Store = MemoryStore(self.clock, known_migrations())
        self.ids, self.salts = SeededIds(1), SeededIds(2)
        self.consents = ConsentStore(
            store=self.store,
            new_salt=lambda: bytes.fromhex(self.salts()),
            valid_us=VALID_US,
            refused_us=REFUSED_US,
        )
        self.wording = {(app, name): 1 for app in APPS for name in CAPABILITY.values()}
        self.decided: dict[tuple[str, str, str], tuple[bool, int, int]] = {}
        """(app, user, scope) → given, wording, expiry"""
        self.open_prompts: dict[tuple[str, str], tuple[dict[str, int], int]] = {}
        """(app, user) → scope → wording shown; expiry"""
        self.records = 0

    def with_desk(self, step: Callable[[Desk, ConsentPrompts], Awaitable[T]]) -> T:
        async def main() -> T | ApiError:
            async with trio.open_nursery() as nursery:
                desk = Desk(
                    store=self.store,
                    clock=self.store,
                    nursery=nursery,
                    cashier=None,
                    new_id=self.ids,
                    new_token=self.ids,
                )
                try:
                    return await step(desk, ConsentPrompts(store=self.store, desk=desk, consents=self.consents))
                except ApiError as error:  # not through the nursery, which would make a group of it
                    return error

        outcome = trio.run(main)
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    def session(self, app: str, user: str) -> Any:
        reasons = {name: {"en": f"wording {self.wording[app, name]}"} for name in CAPABILITY.values()}
        granted = ["user.profile", "user.phone", "user.address"]
        return make_session(app_id=app, user=user, reasons=reasons, granted=granted)

    def standing(self, app: str, user: str, scope: str) -> Standing:
        """What the specification says."""
        given, wording, expires_us = self.decided.get((app, user, scope), (False, 0, 0))
        if self.clock.now_us() >= expires_us or wording != self.wording[app, CAPABILITY[scope]]:
            return Standing.UNDECIDED
        return Standing.GRANTED if given else Standing.REFUSED

    @rule(app=apps, user=users, scopes=some_scopes)
    def ask(self, app: str, user: str, scopes: list[str]) -> None:
        wanted = {scope for scope in scopes if self.standing(app, user, scope) is Standing.UNDECIDED}
        asked, expires_us = self.open_prompts.get((app, user), ({}, 0))
        waits = self.clock.now_us() < expires_us
        try:
            found = self.with_desk(lambda desk, prompts: prompts.ask(self.session(app, user), scopes, 0))
        except ApiError as error:
            assert wanted
            busy = waits and set(asked) != wanted
            assert error.code is ErrorCode.RATE_LIMITED or (busy and error.code is ErrorCode.CASHIER_BUSY)
            return
        assert found == {scope: self.standing(app, user, scope) for scope in scopes}
        if wanted and not waits:
            shown = {scope: self.wording[app, CAPABILITY[scope]] for scope in wanted}
            self.open_prompts[app, user] = shown, self.clock.now_us() + PROMPT_US

    @rule(app=apps, user=users, approved=st.booleans())
    def answer(self, app: str, user: str, approved: bool) -> None:
        shown, expires_us = self.open_prompts.pop((app, user), ({}, 0))
        asked_us = self.clock.now_us()

        async def step(desk: Desk, prompts: ConsentPrompts) -> int:
            waiting = [prompt for prompt in desk.pending(user) if prompt.app_id == app]
            for prompt in waiting:
                issued = await desk.issue(prompt.id)
                self.clock.advance(ms=500)
                await desk.answer(prompt.id, issued.token, issued.digest, approved)
            return len(waiting)

        assert self.with_desk(step) == (asked_us < expires_us)
        now_us = self.clock.now_us()
        if now_us < expires_us:
            until_us = now_us + (VALID_US if approved else REFUSED_US)
            self.decided |= {(app, user, scope): (approved, wording, until_us) for scope, wording in shown.items()}
            self.records += len(shown)

    @rule(app=apps, user=users, scope=st.none() | st.sampled_from(SCOPES))
    def revoke(self, app: str, user: str, scope: str | None) -> None:
        now_us = self.clock.now_us()
        hit = [
            key
            for key, (given, _, expires_us) in self.decided.items()
            if key[:2] == (app, user) and scope in (None, key[2]) and given and now_us < expires_us
        ]
        assert self.with_desk(lambda desk, prompts: self.consents.revoke(app, user, scope)) == len(hit)
        for key in hit:
            self.decided[key] = False, self.decided[key][1], now_us + REFUSED_US
        self.records += len(hit)

    @rule(app=apps, user=users)
    def withdraw(self, app: str, user: str) -> None:
        self.open_prompts.pop((app, user), None)
        self.with_desk(lambda desk, prompts: desk.withdraw_program(app, user))

    @rule(app=apps, capability=st.sampled_from(sorted(set(CAPABILITY.values()))), wording=st.integers(1, 2))
    def release(self, app: str, capability: str, wording: int) -> None:
        self.wording[app, capability] = wording

    @rule(us=st.sampled_from([1, PROMPT_US - 1, PROMPT_US, REFUSED_US - 1, REFUSED_US, VALID_US // 2, VALID_US]))
    def wait(self, us: int) -> None:
        self.clock.advance(us=us)

    @invariant()
    def every_standing_is_the_models(self) -> None:
        now_us = self.clock.now_us()
        for app in APPS:
            for user in USERS:
                session = self.session(app, user)
                expected = {scope: self.standing(app, user, scope) for scope in SCOPES}
                assert self.consents.standings(session, SCOPES, now_us) == expected
                for scope, standing in expected.items():
                    assert (
                        self.refusal(session, scope)
                        == {
                            Standing.GRANTED: None,
                            Standing.REFUSED: ErrorCode.CONSENT_DENIED,
                            Standing.UNDECIDED: ErrorCode.CONSENT_REQUIRED,
                        }[standing]
                    )
                listed = {one.scope: one.given for one in self.consents.of_session(session, now_us)}
                decided = {s: standing for s, standing in expected.items() if standing is not Standing.UNDECIDED}
                assert listed == {scope: standing is Standing.GRANTED for scope, standing in decided.items()}

    def refusal(self, session: Any, scope: str) -> ErrorCode | None:
        try:
            self.consents.require(session, scope, self.clock.now_us())
        except ApiError as error:
            return error.code
        return None

    @invariant()
    def every_decision_has_its_record(self) -> None:
        rows = self.store.read(lambda tx: tx.execute("SELECT record FROM audit"))
        assert (
            len([row for row in rows if msgspec.json.decode(row[0])["effect"].startswith("consent.")]) == self.records
        )
        assert self.store.read(audit.verify) is None


TestConsentMachine = ConsentMachine.TestCase
TestConsentMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
