"""How many uploads of a developer were refused lately: each was work, and counts as an upload of their day.

What lives here: the count, in memory. Pure: the clock is the caller's. A restart forgets it; what was taken is counted
by the store.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

DAY_US: Final = 24 * 3600 * 1_000_000
DEVELOPERS_MOST: Final = 10_000
"""Of more, those go whose last refusal is the longest ago."""


class RefusedUploads:
    """Of one host. `at_most` of a developer's are remembered at once: more would change nothing."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[int]] = OrderedDict()

    def note(self, developer: str, now_us: int, at_most: int) -> None:
        times = self._times.setdefault(developer, deque())
        self._times.move_to_end(developer)
        times.append(now_us)
        while len(times) > at_most:
            times.popleft()
        while len(self._times) > DEVELOPERS_MOST:
            self._times.popitem(last=False)

    def count(self, developer: str, now_us: int) -> int:
        """Within the last 24 hours."""
        times = self._times.get(developer)
        if times is None:
            return 0
        while times and times[0] <= now_us - DAY_US:
            times.popleft()
        if not times:
            del self._times[developer]
        return len(times)
