"""Turns, without guests: programs that would run for ever, in a time of the test's own."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from random import Random

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from runtime.sandbox.turns import KEPT_MOST, PASS_QUANTA, Share, Turn, Turns

QUANTUM = 1_000
SLICE_MOST = 1_200
COSTS = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(1, 9), st.integers(1, SLICE_MOST)), min_size=2, max_size=6
)
"""Program → how many guests spin, and how long a slice of them is at most."""


class Guest:
    """Spins: asks for its next turn whenever one is over."""

    def __init__(self, program: str, share: Share, slice_most: int) -> None:
        self.program, self.share, self.slice_most = program, share, slice_most
        self.on = False

    def granted(self) -> None:
        self.on = True


class Machine:
    """Places that run who was granted a turn."""

    def __init__(self, places: int, seed: int) -> None:
        self.turns = Turns(places=places, quantum_ns=QUANTUM)
        self.used: Counter[str] = Counter()
        self.now = 0
        self._guests: list[Guest] = []
        self._running: list[tuple[int, int, Guest, int]] = []
        self._random = Random(seed)
        self._count = 0

    def add(self, program: str, guests: int, slice_most: int) -> None:
        for _ in range(guests):
            guest = Guest(program, self.turns.of(program), slice_most)
            self._guests.append(guest)
            self.turns.ask(guest.share, guest)
        self._begin()

    def step(self) -> str:
        """One turn ends; whose it was."""
        self.now, _, guest, cost = heapq.heappop(self._running)
        self.used[guest.program] += cost
        guest.share.credit_ns -= cost
        self.turns.give(guest.share, guest)
        self._begin()
        return guest.program

    def running(self) -> set[str]:
        return {guest.program for *_, guest, _ in self._running}

    def _begin(self) -> None:
        for guest in self._guests:
            if guest.on:
                guest.on = False
                self._count += 1
                cost = self._random.randint(1, guest.slice_most)
                heapq.heappush(self._running, (self.now + cost, self._count, guest, cost))


@given(programs=COSTS, seed=st.integers(0, 99), places=st.integers(1, 3))
def test_each_program_has_its_share_within_a_quantum(
    programs: Mapping[str, tuple[int, int]], seed: int, places: int
) -> None:
    """However many guests it has and however long their slices are, as long as it has one for each place."""
    machine = Machine(places, seed)
    for program, (guests, slice_most) in programs.items():
        machine.add(program, guests + places - 1, slice_most)
    for _ in range(400):
        machine.step()
        used = [machine.used[program] for program in programs]
        assert max(used) - min(used) <= (QUANTUM + SLICE_MOST) * (1 if places == 1 else 2 * places)


@given(seed=st.integers(0, 99), slice_most=st.integers(QUANTUM // 10, QUANTUM))
def test_one_guest_beside_64_has_half_of_two_places(seed: int, slice_most: int) -> None:
    machine = Machine(2, seed)
    machine.add("a", 64, slice_most)
    machine.add("b", 1, slice_most)
    for _ in range(2_000):
        machine.step()
    assert 0.45 <= machine.used["b"] / machine.used.total() <= 0.55


@given(programs=COSTS, seed=st.integers(0, 99), places=st.integers(1, 3))
def test_who_has_just_come_is_next(programs: Mapping[str, tuple[int, int]], seed: int, places: int) -> None:
    machine = Machine(places, seed)
    for program, (guests, slice_most) in programs.items():
        machine.add(program, guests + places, slice_most)
    for _ in range(3 * places * len(programs) * (QUANTUM + 1)):  # until none of them is new
        machine.step()
        if min(machine.used[program] for program in programs) > 2 * QUANTUM:
            break
    machine.add("new", 1, SLICE_MOST)
    machine.step()
    assert "new" in machine.running()


@given(seed=st.integers(0, 99), each=st.integers(1, QUANTUM))
def test_many_short_calls_are_new_for_one_quantum(seed: int, each: int) -> None:
    """They come one after the other and are over at once, as fast as they are let."""
    machine = Machine(1, seed)
    machine.add("spins", 4, QUANTUM)
    for _ in range(500):
        for _ in range(10):
            share = machine.turns.of("short")
            if share.goes_on():
                share.credit_ns -= each
                machine.used["short"] += each
            share.close()
        machine.step()
    assert machine.used["short"] <= machine.used["spins"] + 3 * QUANTUM


def test_a_program_alone_keeps_the_loop_for_a_few_quanta() -> None:
    """Calls that come together are served together; but others may have sent something since."""
    turns = Turns(places=1, quantum_ns=QUANTUM)
    for passes in range(1, 4):
        served = 0
        while (share := turns.of("a")).goes_on():
            share.credit_ns -= QUANTUM // 10
            share.close()
            served += 1
        share.close()
        assert served == 10 * (PASS_QUANTA + (passes == 1))
        turns.before_io_wait(0)


def test_who_ran_into_debt_is_not_new_when_it_was_forgotten() -> None:
    """Its guest waited for the host for whole rounds, then ran long: it goes behind those that asked before."""
    machine = Machine(1, 0)
    share = machine.turns.of("debtor")
    machine.add("other", 2, QUANTUM)
    for _ in range(10):
        machine.step()
    assert not share.listed
    share.credit_ns -= 3 * QUANTUM
    debtor = Guest("debtor", share, QUANTUM)
    machine.turns.ask(share, debtor)
    before = machine.used["other"]
    while not debtor.on:
        machine.step()
    assert machine.used["other"] - before >= QUANTUM


def test_who_leaves_is_not_granted() -> None:
    turns = Turns(places=1, quantum_ns=QUANTUM)
    first, second, third = (Guest("a", turns.of("a"), 1) for _ in range(3))
    for guest in (first, second, third):
        turns.ask(guest.share, guest)
    assert (first.on, len(turns)) == (True, 2)
    turns.leave(second.share, second)
    turns.give(first.share)
    assert (second.on, third.on, len(turns)) == (False, True, 0)


def test_programs_without_a_guest_are_forgotten() -> None:
    turns = Turns(places=1, quantum_ns=QUANTUM)
    kept = turns.of("kept")
    for number in range(3 * KEPT_MOST):
        turns.of(str(number)).close()
    assert len(turns._shares) <= KEPT_MOST
    assert turns.of("kept") is kept


async def test_who_was_just_called_goes_before_a_guest_that_keeps_the_loop() -> None:
    """And what it sends is sent: the loop comes by once more."""
    turns, called, order = Turns(places=1, quantum_ns=QUANTUM), trio.Event(), list[str]()

    def is_news() -> bool:
        called.set()
        return True

    async def serve() -> None:
        await called.wait()
        order.append("called")

    turns.is_news = is_news
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await trio.testing.wait_all_tasks_blocked()
        turn = Turn(turns.of("spins"))
        await turn.take()
        await turn.after_news()
        order.append("spins")
        turn.give()
    assert order == ["called", "spins"]
