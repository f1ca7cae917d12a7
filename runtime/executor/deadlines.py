"""The wall deadlines of all calls in flight: one heap and one task, since a cancel scope for each costs as much as the
rest of a call.

Deadlines move later while a person is asked; that is looked at when the earlier time comes. One that comes nearer, as
the person has answered or it is cut, tells so itself (Deadline.on_nearer).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

import trio

from runtime.executor.flight import Flight

_SLACK = 64


class Deadlines:
    """`expired` is called once for each flight whose deadline passed. `run` is a task of its own."""

    def __init__(self, expired: Callable[[Flight], None]) -> None:
        self._expired = expired
        self._heap: list[tuple[float, int, Flight]] = []
        self._numbers = count()
        self._live = 0
        self._alarm = trio.CancelScope()

    def add(self, flight: Flight) -> None:
        self._live += 1
        if len(self._heap) > 2 * self._live + _SLACK:
            self._heap = [entry for entry in self._heap if not entry[2].over]
            heapify(self._heap)
        self._push(flight)

    def forget(self) -> None:
        """One of those added is over; its entry goes with time."""
        self._live -= 1

    def came_nearer(self, flight: Flight) -> None:
        """Looks at one of those added, whose entry would come too late. `expired` may be called here."""
        if flight.over:
            return
        if flight.host.deadline.expired():
            self._expired(flight)
        else:
            self._push(flight)

    def _push(self, flight: Flight) -> None:
        at = flight.host.deadline.ends_at
        heappush(self._heap, (at, next(self._numbers), flight))
        if at < self._alarm.deadline:
            self._alarm.deadline = at

    async def run(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._heap[0][0] if self._heap else inf) as self._alarm:
                await trio.sleep_forever()
            self._strike()

    def _strike(self) -> None:
        now = trio.current_time()
        while self._heap and self._heap[0][0] <= now:
            _, _, flight = heappop(self._heap)
            self.came_nearer(flight)
