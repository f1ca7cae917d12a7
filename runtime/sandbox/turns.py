"""Whose turn it is: CPU time is shared between programs, however many guests each of them has.

What lives here: deficit round-robin (Shreedhar and Varghese) over programs, with the two lists of fq_codel (RFC 8290):
programs that have just come go before those that have been running, until they have used up one quantum. `Turns` and
`Share` are pure: no clock, no I/O, told what was used and when a pass of the loop begins. `Turn` is where a guest's
task waits.

A guest runs without asking while its program has credit; else it waits for a turn (`Share.goes_on`). Turns
are granted one at a time for each place, so that in a loop that serves guests itself every grant is a pass of the loop,
with its sockets read in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import trio

KEPT_MOST = 1_024
"""Programs remembered that have no guest; they are forgotten in the round they do not ask in, and all beyond this."""

PASS_QUANTA = 2
"""What programs may take in one pass of the loop beyond their credit, where nobody else asks: who has sent something
meanwhile waits so long to be read."""


class Waiter(Protocol):
    def granted(self) -> None: ...


class Share:
    """One program's share. `credit_ns` is CPU time it may use before others have their turn; whoever runs a guest of it
    takes off what that used."""

    __slots__ = ("calls", "credit_ns", "listed", "program", "queue", "running", "turns")

    def __init__(self, turns: Turns, program: str) -> None:
        self.turns, self.program = turns, program
        self.credit_ns = turns.quantum_ns
        self.queue: deque[Waiter] = deque()
        self.running = 0
        """Turns granted and not given back. A quantum each is held back, so that several places do not spend one."""
        self.calls = 0
        self.listed = False

    def goes_on(self) -> bool:
        """A guest of it may run without asking: the program has credit, or no other one wants the place and the loop
        has not been kept for long. So calls that come together are served together, in one pass of the loop."""
        turns = self.turns
        if self.credit_ns > 0:
            return True
        if turns.pass_left <= 0 or turns.is_wanted_beside(self):
            return False
        turns.pass_left -= 1
        self.credit_ns += turns.quantum_ns
        return self.credit_ns > 0

    def close(self) -> None:
        """For each `Turns.of`: one guest less."""
        self.calls -= 1
        if not self.calls and not self.listed:
            self.turns.forget(self)


class Turns(trio.abc.Instrument):
    """The turns of one resource with so many places: an event loop has one, a set of threads as many as there are."""

    def __init__(self, *, places: int, quantum_ns: int) -> None:
        self.quantum_ns = quantum_ns
        self.pass_left = PASS_QUANTA
        """Quanta that are given without asking until the loop has looked at its sockets."""
        self.is_news: Callable[[], bool] | None = None
        """Set by a loop that serves guests itself: whether something came for others, which it hands out."""
        self._places = self._free = places
        self._waiting = 0
        self._shares: dict[str, Share] = {}
        self._new: deque[Share] = deque()
        self._old: deque[Share] = deque()

    def __len__(self) -> int:
        """Guests that wait."""
        return self._waiting

    def before_io_wait(self, timeout: float) -> None:
        """Called by a loop that this was added to, at each pass."""
        self.next_pass()

    def next_pass(self) -> None:
        """The loop has looked at its sockets."""
        self.pass_left = PASS_QUANTA

    def is_wanted_beside(self, share: Share) -> bool:
        """A guest of another program waits, or has a turn."""
        return self._waiting > len(share.queue) or self._places - self._free > share.running

    def of(self, program: str) -> Share:
        """The program's share, for one guest more; `close` it when that is over. One that has just come goes ahead."""
        share = self._shares.get(program)
        if share is None:
            if len(self._shares) >= KEPT_MOST:
                self._forget_idle()
            share = self._shares[program] = Share(self, program)
            self._list_as_new(share)
        share.calls += 1
        return share

    def ask(self, share: Share, waiter: Waiter) -> None:
        """Waits in the program's line; `granted` may come before this returns."""
        self._join(share, waiter)
        self._grant()

    def leave(self, share: Share, waiter: Waiter) -> None:
        """Waits no more, and was not granted."""
        share.queue.remove(waiter)
        self._waiting -= 1

    def give(self, share: Share, again: Waiter | None = None) -> None:
        """A turn is over. `again`: it asks for its next one before the place goes to anybody."""
        share.running -= 1
        share.credit_ns += self.quantum_ns
        self._free += 1
        if again is not None:
            self._join(share, again)
        self._grant()

    def forget(self, share: Share) -> None:
        if self._shares.get(share.program) is share:
            del self._shares[share.program]

    def _join(self, share: Share, waiter: Waiter) -> None:
        share.queue.append(waiter)
        self._waiting += 1
        if not share.listed:
            self._list_again(share)

    def _list_as_new(self, share: Share) -> None:
        share.listed = True
        self._new.append(share)

    def _list_again(self, share: Share) -> None:
        """Back after a round in which it did not ask: as new, unless it used up what it had left meanwhile."""
        if share.credit_ns > 0:
            share.credit_ns = self.quantum_ns
            self._list_as_new(share)
        else:
            share.listed = True
            self._old.append(share)

    def _grant(self) -> None:
        while self._free and self._waiting:
            share = self._next()
            if share.running:
                share = self._without_a_place() or share
            waiter = share.queue.popleft()
            self._waiting -= 1
            self._free -= 1
            share.running += 1
            share.credit_ns -= self.quantum_ns
            waiter.granted()

    def _next(self) -> Share:
        """The first program that has credit and waits. Whom it passes over is given a quantum and goes to the end; who
        runs now and has credit for more keeps its place."""
        for line in (self._new, self._old):
            at = 0
            while at < len(line):
                share = line[at]
                if share.credit_ns > 0 and share.queue:
                    return share
                if share.running and not share.queue and share.credit_ns + share.running * self.quantum_ns > 0:
                    at += 1
                else:
                    del line[at]
                    self._pass_over(share, line)
        raise RuntimeError("somebody waits, and no program that is listed")

    def _without_a_place(self) -> Share | None:
        """Another one that has credit and waits with no turn of its own: one guest alone cannot catch up by a second
        place later."""
        for line in (self._new, self._old):
            for share in line:
                if share.queue and not share.running and share.credit_ns > 0:
                    return share
        return None

    def _pass_over(self, share: Share, line: deque[Share]) -> None:
        if share.credit_ns <= 0:
            share.credit_ns += self.quantum_ns
        elif line is self._old:  # it has not asked for a whole round
            share.listed = False
            if not share.calls:
                self.forget(share)
            return
        self._old.append(share)

    def _forget_idle(self) -> None:
        for line in (self._new, self._old):
            kept = [share for share in line if share.calls]
            for share in line:
                if not share.calls:
                    self.forget(share)
            line.clear()
            line.extend(kept)


class Turn:
    """A guest's turn: waited for, held, given back. Used from the trio thread by one task."""

    __slots__ = ("_task", "held", "share")

    def __init__(self, share: Share) -> None:
        self.share = share
        self.held = False
        self._task: trio.lowlevel.Task | None = None

    async def take(self) -> None:
        """Gives back what is held and waits for the next turn. Others run meanwhile, also where nobody waits.
        Cancelled while it waits, it holds nothing."""
        share = self.share
        if self.held:
            self.held = False
            share.turns.give(share, self)
        else:
            share.turns.ask(share, self)
        if self.held:
            await trio.lowlevel.checkpoint()
            return
        self._task = trio.lowlevel.current_task()
        try:
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        finally:
            self._task = None

    async def after_news(self) -> None:
        """Before a guest keeps the loop for a slice: who was just called or answered goes first, and what that one
        sends goes out. A pass in which they run, in any order, and one more."""
        is_news = self.share.turns.is_news
        if is_news is not None and is_news():
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

    def give(self) -> None:
        if self.held:
            self.held = False
            self.share.turns.give(self.share)

    def granted(self) -> None:
        self.held = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.share.turns.leave(self.share, self)
        return trio.lowlevel.Abort.SUCCEEDED
