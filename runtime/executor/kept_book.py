"""What the broker knows of a worker's resident sandboxes between their calls, so that it can count them.

What lives here: which of them there are in one worker, and which have to go for others. The rule is the worker's own
(kept.py), applied in the order of the frames: nothing is asked of the worker, and nothing it says is believed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from runtime.executor.job import Job


class KeptBook:
    """Of one worker. Idle sandboxes only: one with a call in it is counted as the call."""

    def __init__(self, slots: int, forget: Callable[[str, str], None]) -> None:
        """`forget` tells the worker to drop that of (program, user)."""
        self._slots, self._most, self._forget = slots, slots * 3 // 4, forget
        self._kept: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def begins(self, job: Job, in_flight: int) -> None:
        """A call, before its frame is sent, with so many beside it: it takes the sandbox of its user, or a slot."""
        if job.resident is not None and self._kept.pop((job.program, job.resident.user), self) is None:
            return
        if self._kept and in_flight + 1 + len(self._kept) > self._slots:
            self._drop_oldest()

    def stays(self, job: Job) -> None:
        """The sandbox that a call left behind, all being well."""
        if job.resident is None:
            return
        key = job.program, job.resident.user
        self._kept[key] = None
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._drop_oldest()

    def forgotten(self, program: str, user: str) -> None:
        self._kept.pop((program, user), None)

    def clear(self) -> None:
        """The worker is gone."""
        self._kept.clear()

    def _drop_oldest(self) -> None:
        oldest, _ = self._kept.popitem(last=False)
        self._forget(*oldest)
