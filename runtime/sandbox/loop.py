"""The event loop, as a sandbox uses it: from a task; and the line of those that it has no time for in this pass.

Why a line: each of them could make a pass of its own (a checkpoint), but where thousands wait every pass would wake all
of them for the few that it has time for, and they would cost the square of their number. Here one makes the pass and
takes a few along. Programs take turns, so that one with thousands in line keeps no other one from its next pass.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import outcome
import trio

PASS_MOST: Final = 32
"""Of those that wait for the next pass, so many go on in one. More would often wake in vain, and fewer make a pass of
the loop, with its look at the sockets, for little work."""


class Loop:
    """One for each event loop that serves guests; used in its thread alone. Where a sandbox's coroutine is taken on by
    hand (executor/strand.py) another one stands here."""

    __slots__ = ("_is_led", "_lines")

    def __init__(self) -> None:
        self._lines: OrderedDict[object, OrderedDict[trio.lowlevel.Task, None]] = OrderedDict()
        """By program, the next one first; none of them is empty."""
        self._is_led = False
        """One of those that wait goes on in the next pass whatever comes, and takes others along. While anybody is in
        line it is so."""

    async def enter(self) -> None:
        """To be awaited before a wait for anything but an answer from elsewhere."""

    async def next_pass(self, of: object, again: bool = False) -> None:
        """Lets everybody else go on first. At most `PASS_MOST` go on in one pass of the loop: those `of` the same
        program in the order they came, programs one after the other. `again`: it went on in vain, and comes first."""
        if not self._is_led:
            self._is_led = True
            try:
                await trio.lowlevel.checkpoint()
            finally:
                self._take_along()
        elif await self._wait(of, again):
            self._take_along()

    async def _wait(self, of: object, again: bool) -> bool:
        """Whether it is now the one that takes others along."""
        task = trio.lowlevel.current_task()
        line = self._lines.setdefault(of, OrderedDict())
        line[task] = None
        if again:
            line.move_to_end(task, last=False)

        def abort(_: object) -> trio.lowlevel.Abort:
            del line[task]
            if not line:
                del self._lines[of]
            return trio.lowlevel.Abort.SUCCEEDED

        leads: bool = await trio.lowlevel.wait_task_rescheduled(abort)
        return leads

    def _take_along(self) -> None:
        """They go on in the pass after this one; the first of them takes the next ones along."""
        lines, self._is_led = self._lines, False
        for _ in range(PASS_MOST):
            if not lines:
                return
            of, line = lines.popitem(last=False)
            task, _ = line.popitem(last=False)
            if line:
                lines[of] = line
            trio.lowlevel.reschedule(task, outcome.Value(not self._is_led))
            self._is_led = True
