"""The line of those that the event loop has no time for in this pass: in order, a few in each pass, programs in turn;
and what waiting costs does not grow with the square of how many wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from runtime.sandbox.loop import PASS_MOST, Loop


class Passes(trio.abc.Instrument):
    """Counts the event loop's; `after`: what is to be done once all tasks of a pass have run."""

    def __init__(self) -> None:
        self.count = 0
        self.after: Callable[[], None] = lambda: None

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1
        self.after()


@dataclass
class Site:
    """Guests of programs, of whom `each_pass` have their way in one pass of the loop; the others go back in line."""

    each_pass: int = 1_000_000
    loop: Loop = field(default_factory=Loop)
    passes: Passes = field(default_factory=Passes)
    came: list[str] = field(default_factory=list)
    went: list[tuple[int, str]] = field(default_factory=list)
    """With the pass it was in."""
    woken: int = 0

    def __post_init__(self) -> None:
        trio.lowlevel.add_instrument(self.passes)

    async def guest(self, program: str, number: int = 0) -> None:
        name, again = f"{program}{number}", False
        self.came.append(name)  # trio starts the tasks of one pass in any order
        while True:
            await self.loop.next_pass(program, again)
            self.woken += 1
            again = True
            if sum(at == self.passes.count for at, _ in self.went[-self.each_pass :]) < self.each_pass:
                self.went.append((self.passes.count, name))
                return

    async def all(self, **counts: int) -> None:
        """So many guests of each program, at once, to their end."""
        async with trio.open_nursery() as nursery:
            for program, count in counts.items():
                for number in range(count):
                    nursery.start_soon(self.guest, program, number)

    def groups(self) -> list[set[str]]:
        """Those of each pass."""
        return [{name for at, name in self.went if at == which} for which in sorted({at for at, _ in self.went})]


async def test_those_that_wait_go_on_in_order_a_few_in_each_pass() -> None:
    site = Site()
    await site.all(a=2 * PASS_MOST + 4)
    first, *rest = site.came
    assert site.groups() == [{first}, set(rest[:PASS_MOST]), set(rest[PASS_MOST : 2 * PASS_MOST]), set(rest[-3:])]


async def test_one_that_waits_alone_waits_one_pass() -> None:
    site = Site()
    for _ in range(3):
        await site.all(a=1)
    passes = [at for at, _ in site.went]
    assert (site.woken, len(set(passes))) == (3, 3)


async def test_thousands_in_line_keep_no_other_program_from_its_next_pass() -> None:
    site = Site()
    await site.all(many=1_000, one=1, two=2)
    early = set().union(*site.groups()[:2])
    assert {"one0", "two0", "two1"} <= early and len(early) == PASS_MOST + 1


async def test_who_went_on_in_vain_comes_first_and_a_pass_wakes_few_however_many_wait() -> None:
    """Trio runs the tasks of one pass in any order, so that which two of those 32 go on is chance: one in 10**10 runs
    would see somebody overtaken by 1,000."""
    site = Site(each_pass=2)
    await site.all(a=2_000)
    place = {name: came for came, name in enumerate(site.came)}
    assert max(went - place[name] for went, (_, name) in enumerate(site.went)) < 1_000
    assert 1_000 <= site.passes.count <= 1_010
    assert site.woken <= PASS_MOST * site.passes.count, "and not each of those that wait in each pass"


async def test_whoever_is_cancelled_leaves_the_line_and_the_others_go_on() -> None:
    """The one that makes the pass among them, one in the middle, and a program's last."""
    site, scopes, gone = Site(), dict[str, trio.CancelScope](), set[str]()

    async def guest(program: str, number: int) -> None:
        with scopes.setdefault(f"{program}{number}", trio.CancelScope()):
            await site.guest(program, number)

    def cancel() -> None:
        if len(site.came) == 4 * PASS_MOST + 1 and not gone:
            gone.update((site.came[0], site.came[2 * PASS_MOST], "b0"))
            for name in gone:
                scopes[name].cancel()

    site.passes.after = cancel
    async with trio.open_nursery() as nursery:
        for number in range(4 * PASS_MOST):
            nursery.start_soon(guest, "a", number)
        nursery.start_soon(guest, "b", 0)
    assert gone and {name for _, name in site.went} == set(site.came) - gone
    await site.all(b=1)
    assert site.went[-1][1] == "b0", "the line is in order: the next one makes its pass"


async def test_all_of_them_can_be_cancelled_at_once() -> None:
    site = Site(each_pass=0)
    async with trio.open_nursery() as nursery:
        for number in range(3 * PASS_MOST):
            nursery.start_soon(site.guest, "a", number)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    site.each_pass = 1
    await site.all(b=2)
    assert [name[0] for _, name in site.went] == ["b", "b"]
