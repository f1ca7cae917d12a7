"""The wall deadline of one call: when it passes, what it cancels, and how it stands still while a person is asked.

One object a call, used from the trio thread only. It owns no task and no timer: what waits does so inside `scope()`,
and a guest that computes is stopped by the executor, which asks `expired()` between slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from math import inf
from types import TracebackType

import trio


class Deadline:
    """`wall_s` seconds from its making, plus the time stood still, which is `still_s` seconds at most in all.

    `now` is a monotonic clock in seconds, trio's own by default, because trio's scopes are what it drives.
    """

    __slots__ = ("_began", "_ends", "_now", "_scopes", "_standing", "_still_left", "_stood", "on_nearer")

    def __init__(self, *, wall_s: float, still_s: float = 0.0, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        self._ends = now() + wall_s
        self._still_left = still_s
        self._stood = 0.0
        self._standing = 0
        self._began = 0.0
        self._scopes: set[trio.CancelScope] = set()
        self.on_nearer: Callable[[], None] | None = None
        """Called when `ends_at` has come nearer, by `cut` or because it stands still no more: for who watches it by a
        clock of its own."""

    @property
    def ends_at(self) -> float:
        """The latest time, by `now`, at which the call is over; while it stands still, as if it did so to the limit."""
        return self._ends + self._still_left if self._standing else self._ends

    @property
    def stood_s(self) -> float:
        """Seconds stood still so far, the stretch that is not over yet left out."""
        return self._stood

    def expired(self) -> bool:
        """A comparison and a clock read: to be asked at every slice boundary."""
        now = self._now()
        return now >= self._ends and now >= self.ends_at

    def cut(self) -> None:
        """Over now, standing still or not, and what is awaited in a scope is cancelled: the host is closing."""
        self._ends, self._still_left = -inf, 0.0
        self._come_nearer()

    def scope(self) -> AbstractContextManager[trio.CancelScope, bool]:
        """What is awaited inside is cancelled when the deadline passes, and moved along when it stands still.

        The block is then left without an error and `scope.cancelled_caught` is True; a cancellation from outside goes
        through as ever, so the two are told apart. Scopes may be open in several tasks at once.
        """
        return _Scope(self.ends_at, self._scopes)

    @contextmanager
    def stand_still(self) -> Iterator[None]:
        """Inside it the deadline does not come nearer. Stretches that overlap count once."""
        if not self._standing:
            self._began = self._now()
        self._standing += 1
        self._move_scopes()
        try:
            yield
        finally:
            self._standing -= 1
            if self._standing == 0:  # below after a cut: nothing is shifted any more
                stood = min(self._now() - self._began, self._still_left)
                self._ends += stood
                self._still_left -= stood
                self._stood += stood
                self._come_nearer()

    def _come_nearer(self) -> None:
        self._move_scopes()
        if self.on_nearer is not None:
            self.on_nearer()

    def _move_scopes(self) -> None:
        ends_at = self.ends_at
        for scope in self._scopes:
            scope.deadline = ends_at


class _Scope:
    """A cancel scope that is among the open ones of its deadline while it is entered."""

    __slots__ = ("_open", "_scope")

    def __init__(self, ends_at: float, open_scopes: set[trio.CancelScope]) -> None:
        self._scope = trio.CancelScope(deadline=ends_at)
        self._open = open_scopes

    def __enter__(self) -> trio.CancelScope:
        self._open.add(self._scope)
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._open.discard(self._scope)
        return self._scope.__exit__(kind, error, traceback)
