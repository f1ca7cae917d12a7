"""What left the host, counted: how many requests of which program to which host since it was last asked.

A fetch has no transaction of its own, and a record of each would let a program fill the audit. So requests are counted
as refusals are, and who keeps house writes the counts down. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PAIRS_MAX: Final = 10_000
"""Distinct (program, host) counted between two drains; beyond it they are counted together, as ('', '')."""


class Departures:
    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, app_id: str, host: str) -> None:
        pair = (app_id, host)
        if pair not in self._counts and len(self._counts) >= PAIRS_MAX:
            pair = ("", "")
        self._counts[pair] = self._counts.get(pair, 0) + 1

    def drain(self) -> Mapping[tuple[str, str], int]:
        """(app_id, host or host:port) → requests that began to be sent since the last drain."""
        drained, self._counts = self._counts, {}
        return drained
