"""The simulator's operations under Hypothesis: the same model and checks, and a failure is shrunk to its few steps."""

from __future__ import annotations

import random
from typing import Any

import trio
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from host_api.store.migrations import known_migrations
from host_api.store.sqlite import MemoryStore
from runtime.testing import VirtualClock
from tests.crash.scale import LONG
from tests.simulator.operations import WEIGHTS
from tests.simulator.simulator import Simulator
from tests.simulator.world import World

MONEY = ("create", "request", "yes", "no", "capture", "refund", "close")
OTHER = tuple(name for name in WEIGHTS if name not in MONEY)
CHANCE = st.randoms(use_true_random=False)


class NurseryOfTheStep:
    """Each step is a trio run of its own; what it starts belongs to it."""

    def __init__(self) -> None:
        self.now: Any = None

    def start_soon(self, *job: Any, name: object = None) -> None:
        self.now.start_soon(*job, name=name)


class Payments(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        clock = VirtualClock()
        self.nursery: Any = NurseryOfTheStep()
        self.world = World(MemoryStore(clock, known_migrations()), clock, self.nursery)
        self.simulator = Simulator(self.world, 0)

    def do(self, name: str, chance: random.Random) -> None:
        async def step() -> None:
            async with trio.open_nursery() as self.nursery.now:
                self.simulator.chance = self.simulator.operations.chance = chance
                await self.simulator.do(name)
                await trio.testing.wait_all_tasks_blocked()

        trio.run(step, clock=trio.testing.MockClock(autojump_threshold=0))

    @rule(name=st.sampled_from(MONEY), chance=CHANCE)
    def money(self, name: str, chance: random.Random) -> None:
        self.do(name, chance)

    @rule(name=st.sampled_from(OTHER), chance=CHANCE)
    def other(self, name: str, chance: random.Random) -> None:
        self.do(name, chance)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "simulator"):
            self.simulator.checks.all()

    def teardown(self) -> None:
        if hasattr(self, "simulator"):
            trio.run(self.simulator.end)


TestPayments = Payments.TestCase
TestPayments.settings = settings(
    max_examples=400 if LONG else 20, stateful_step_count=120 if LONG else 40, deadline=None, derandomize=not LONG
)
