"""The host's clock: it stands still but for `advance_ms`, and for calls that wait while nobody is there to move it.

One lock for the whole host: who has it may read and change anything; waiting lets it go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

SOON_S = 0.02


class Clock:
    def __init__(self, begin: str) -> None:
        self.now_us = int(datetime.fromisoformat(begin).timestamp()) * 1_000_000
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.player = threading.get_ident()
        self.player_waits = False
        """Whether the thread that plays steps waits itself: then nobody else will move the time."""
        self.sleepers: list[int] = []

    def advance(self, ms: int) -> None:
        with self.lock:
            self.now_us += ms * 1000
            self.changed.notify_all()

    def wait(self, until_us: int, is_over: Callable[[], bool]) -> None:
        """To that time, or until it is over: whichever comes first. With the lock held."""
        is_player = threading.get_ident() == self.player
        self.player_waits = self.player_waits or is_player
        self.sleepers.append(until_us)
        self.changed.notify_all()
        try:
            while self.now_us < until_us and not is_over():
                if self.player_waits and until_us == min(self.sleepers):
                    self.now_us = until_us
                    self.changed.notify_all()
                else:
                    self.changed.wait(SOON_S)
        finally:
            self.sleepers.remove(until_us)
            self.player_waits = self.player_waits and not is_player
