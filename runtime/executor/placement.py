"""Which worker a call goes to, and which calls wait. Pure bookkeeping: starts no process and sends nothing itself.

Programs of different groups never share a worker. Inside a group a program keeps to one worker while it has calls in
flight, so that its modules, its held memory and its share of CPU are counted in one place; a program that was granted
more than one core is spread over all. Where the worker it keeps to is full, another one takes the call: a call inside
another must never wait for a slot that its own caller holds.
"""

from __future__ import annotations

from collections import deque
from typing import Final
from zlib import crc32

from runtime.executor.flight import Flight
from runtime.executor.job import Job
from runtime.executor.worker_link import WorkerLink

ALONE: Final = "alone:"
"""Groups of this name hold one program (`isolation = "dedicated"`), and one worker."""
CORE_US: Final = 1_000_000
_SPREAD: Final = 16
"""So many calls more than twice the least busy worker's make another than the usual one."""


class Group:
    """The workers of one group by their place, and the calls that wait for one of them."""

    def __init__(self, name: str, *, places: int, queue: int) -> None:
        self.name = name
        self.places = 1 if name.startswith(ALONE) else places
        self.staffed: set[int] = set()
        """Places that have a worker, or one that starts."""
        self.links: dict[int, WorkerLink] = {}
        """Workers that are ready."""
        self.waiting: deque[Flight] = deque()
        self._queue = queue

    @property
    def is_queue_full(self) -> bool:
        return len(self.waiting) >= self._queue

    def home(self, program: str) -> int:
        """The place that the program usually gets: the same for ever, and nothing has to be kept for it."""
        return crc32(program.encode()) % self.places

    def choose(self, job: Job) -> WorkerLink | None:
        """The worker that takes the call now; None: it waits."""
        links = self.links
        if len(links) == 1:
            (link,) = links.values()
            return link if link.has_room() else None
        has_one_core = job.limits.cpu_us_per_s <= CORE_US
        if has_one_core:
            for link in links.values():
                if job.program in link.programs and link.has_room():
                    return link
        room = [link for link in links.values() if link.has_room()]
        if not room:
            return None
        least = min(room, key=_busy)
        if not has_one_core:
            return least
        home = links.get(self.home(job.program))
        if home is not None and home in room and _busy(home) <= 2 * _busy(least) + _SPREAD:
            return home
        return least

    def place_to_staff(self, job: Job) -> int | None:
        """A place that should have a worker for this call and has none: its home, or any where all others are full."""
        if len(self.staffed) == self.places:
            return None
        if (home := self.home(job.program)) not in self.staffed:
            return home
        if self.waiting or job.limits.cpu_us_per_s > CORE_US:
            return next(place for place in range(self.places) if place not in self.staffed)
        return None

    def has_room(self) -> bool:
        """A sandbox would be had without waiting for another call to end; for a worker to start, perhaps."""
        if any(link.has_room() for link in self.links.values()):
            return not self.waiting
        return len(self.staffed) > len(self.links) and not self.is_queue_full


def _busy(link: WorkerLink) -> int:
    return len(link.flights)
