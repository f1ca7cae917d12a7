"""Names to addresses: what a resolver is, and the system's own, in threads that are bounded.

The system's resolver cannot be interrupted: a look-up that is given up goes on in its thread until the system gives up
too. So the places are held by threads, not by who waits for them, and a program whose names answer nobody takes its own
few, not all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

import trio

LOOKUPS_MAX: Final = 32
LOOKUPS_PER_PROGRAM_MAX: Final = 4


class Resolver(Protocol):
    async def __call__(self, host: str, *, app_id: str) -> Sequence[str]:
        """All addresses of a name, as text. `app_id`: for which program. Raises OSError where there are none."""
        ...


class SystemResolver:
    """The operating system's look-up, each in a thread. A cancelled look-up leaves its thread and its place behind."""

    def __init__(self, lookup: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo) -> None:
        """`lookup` is called in threads, as `socket.getaddrinfo` is, and may block for long."""
        self._lookup = lookup
        self._all = trio.CapacityLimiter(LOOKUPS_MAX)
        self._of_programs: dict[str, trio.CapacityLimiter] = {}

    async def __call__(self, host: str, *, app_id: str) -> Sequence[str]:
        """`host` is looked up as a complete name: no search list. Waits while the program, or the host, has as many
        look-ups running as it may."""
        own = self._of_programs.setdefault(app_id, trio.CapacityLimiter(LOOKUPS_PER_PROGRAM_MAX))
        try:
            found = await trio.to_thread.run_sync(
                partial(self._lookup, f"{host}.".encode("ascii"), None, type=socket.SOCK_STREAM),
                limiter=_Both(own, self._all),  # type: ignore[arg-type]
                abandon_on_cancel=True,
            )
        finally:
            self._forget_idle()
        return list(dict.fromkeys(str(place[0]) for *_, place in found))

    def _forget_idle(self) -> None:
        for app_id, limiter in list(self._of_programs.items()):
            told = limiter.statistics()
            if told.borrowed_tokens == told.tasks_waiting == 0:
                del self._of_programs[app_id]


class _Both:
    """Two limiters as one, for `trio.to_thread.run_sync`: a place in both, or none."""

    def __init__(self, first: trio.CapacityLimiter, second: trio.CapacityLimiter) -> None:
        self._first, self._second = first, second

    async def acquire_on_behalf_of(self, borrower: Any) -> None:
        await self._first.acquire_on_behalf_of(borrower)
        try:
            await self._second.acquire_on_behalf_of(borrower)
        except BaseException:
            self._first.release_on_behalf_of(borrower)
            raise

    def release_on_behalf_of(self, borrower: Any) -> None:
        self._first.release_on_behalf_of(borrower)
        self._second.release_on_behalf_of(borrower)
