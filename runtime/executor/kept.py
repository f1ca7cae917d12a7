"""Resident sandboxes between their calls, in the process they live in.

What lives here: which of them there are, how many at most, and which goes first. Whose turn it is and when one is
dropped is residents.py's, at the host: here one may vanish at any time, and the next call gets a fresh one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from runtime.executor.job import Resident
from runtime.sandbox.fiber import Fiber

F = TypeVar("F", bound=Fiber)


class _Kept(NamedTuple, Generic[F]):
    fiber: F
    after: int


class KeptSandboxes(Generic[F]):
    """Idle ones only: a sandbox that handles a call is not here."""

    def __init__(self, slots: int, drop: Callable[[F], None]) -> None:
        """`drop` closes one and gives its slot back. A quarter of the slots is never kept: fresh calls find one."""
        self._most = slots * 3 // 4
        self._drop = drop
        self._kept: OrderedDict[tuple[str, str], _Kept[F]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, program: str, resident: Resident | None) -> F | None:
        """The one that the call before left; None: there is none, or another call was in it since."""
        if resident is None:
            return None
        kept = self._kept.pop((program, resident.user), None)
        if kept is None or kept.after == resident.before:
            return kept and kept.fiber
        self._drop(kept.fiber)
        return None

    def keep(self, program: str, resident: Resident, fiber: F) -> None:
        """Its call is over, and it is well. The one used least recently goes where there are too many."""
        self.forget(program, resident.user)
        self._kept[program, resident.user] = _Kept(fiber, resident.after)
        while len(self._kept) > self._most:
            self.drop_oldest()

    def forget(self, program: str, user: str) -> None:
        if kept := self._kept.pop((program, user), None):
            self._drop(kept.fiber)

    def drop_oldest(self) -> bool:
        """False: there is none."""
        if not self._kept:
            return False
        _, kept = self._kept.popitem(last=False)
        self._drop(kept.fiber)
        return True

    def clear(self) -> None:
        while self.drop_oldest():
            pass
