"""Which program killed a worker, and which one does so again and again. Pure: the clock is the caller's.

The rule. A worker that crashed, ended by itself or hung was ended by the call that was on its CPU, which it leaves
marked on a board outside its own memory: that program has 1 to answer for. Where no call was marked, and where a
worker sent what none of ours sends, asked the kernel for what its jail forbids or outgrew its memory (its mark is worth
nothing then), the programs that had a call in it share 1 between them. A worker killed or stopped from outside is
nobody's doing. A program that has `deaths` to answer
for within `seconds` is named, once; what it did before is then forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Final

PROGRAMS_MOST: Final = 1_000


class Suspicion:
    """What each program has to answer for. Programs that did nothing lately are forgotten."""

    def __init__(self, *, deaths: int, seconds: float) -> None:
        self._deaths, self._seconds = deaths, seconds
        self._marks: dict[str, deque[tuple[float, float]]] = {}

    def died(self, now: float, running: str | None, in_flight: Collection[str]) -> list[str]:
        """A worker died while these programs had calls in it; `running` was on the CPU, if that is known. Gives the
        programs that are to be quarantined."""
        self._forget(now)
        programs = (running,) if running is not None else tuple(dict.fromkeys(in_flight))
        named = []
        for program in programs:
            marks = self._marks.setdefault(program, deque())
            marks.append((now, 1 / len(programs)))
            if sum(weight for _, weight in marks) > self._deaths - 0.001:
                named.append(program)
                del self._marks[program]
        return named

    def _forget(self, now: float) -> None:
        for program, marks in tuple(self._marks.items()):
            while marks and marks[0][0] <= now - self._seconds:
                marks.popleft()
            if not marks:
                del self._marks[program]
        while len(self._marks) > PROGRAMS_MOST:
            del self._marks[next(iter(self._marks))]
